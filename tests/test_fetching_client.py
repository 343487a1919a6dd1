"""Addresses that a web server can be asked at, and proxies on the way to it."""

import pytest
from bad_server import served

from mrrate_bids.errors import NetworkError, SourceError
from mrrate_bids.fetching.client import HttpSettings, check_address, make_client
from mrrate_bids.fetching.rate import Rate

WRONG = [
    '',
    'nope',
    'ftp://h/x',
    'http://',
    'https:///x',
    'http://[::1',
    'http://a b/x',
    'http://',
]
WRONG += ['http://h:x/', 'http://h:99999/', '//h/x']


@pytest.mark.parametrize('address', sorted(set(WRONG)))
def test_address_that_is_none(address):
    with pytest.raises(SourceError) as caught:
        check_address(address)
    assert str(caught.value) == f'{address} is no address of a web server'
    assert 'https://HOST/' in caught.value.hint


def test_address_with_a_password_is_refused_and_not_shown():
    with pytest.raises(SourceError, match='holds a name or a password') as caught:
        check_address('https://me:secret@host/MR-RATE')
    assert 'secret' not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    'address', ['http://h', 'https://h:8443/a b', 'http://[::1]:80/x', 'HTTP://ü/']
)
def test_address(address):
    check_address(address)


def ask_through(proxy, tmp_path, monkeypatch, **options):
    """Ask a server that there is not, through a proxy that serves a folder."""
    monkeypatch.setenv('http_proxy', proxy)
    for name, value in options.items():
        monkeypatch.setenv(name, value)
    home = 'http://nowhere.invalid'
    client = make_client(home, Rate(), jobs=1, settings=HttpSettings(tries=0, timeout=5))
    return client.get(f'{home}/file')[0]


@pytest.fixture
def proxy(tmp_path, monkeypatch):
    for name in ('http_proxy', 'HTTP_PROXY', 'no_proxy', 'NO_PROXY', 'REQUEST_METHOD'):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / 'file').write_bytes(b'through a proxy')
    yield from served(tmp_path)


@pytest.mark.parametrize('scheme', ['http://', 'http://me:se%20cret@', ''])
def test_proxy_of_the_environment(scheme, proxy, tmp_path, monkeypatch):
    address = proxy.url.replace('http://', scheme)
    assert ask_through(address, tmp_path, monkeypatch) == b'through a proxy'
    assert [request.path for request in proxy.log] == ['/file']


def test_proxy_is_not_asked_for_what_it_is_not_for(proxy, tmp_path, monkeypatch):
    with pytest.raises(NetworkError, match='no answer'):
        ask_through(proxy.url, tmp_path, monkeypatch, no_proxy='nowhere.invalid')
    assert proxy.log == []


def test_proxy_that_cannot_be(tmp_path, monkeypatch, proxy):
    with pytest.raises(SourceError, match='http_proxy names no proxy'):
        ask_through('socks5://127.0.0.1:9', tmp_path, monkeypatch)
