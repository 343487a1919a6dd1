"""A web server is asked, through a proxy where there is one."""

import pytest
from bad_server import served

from mrrate_bids.errors import NetworkError, SourceError
from mrrate_bids.fetching.client import HttpSettings, make_client
from mrrate_bids.fetching.rate import Rate


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
