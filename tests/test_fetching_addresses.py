"""Addresses that a web server can be asked at."""

import pytest

from mrrate_bids.errors import SourceError
from mrrate_bids.fetching.addresses import check_address, without_secrets

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


@pytest.mark.parametrize(
    ('address', 'shown'),
    [
        ('ftp://me:secret@host/a', 'ftp://…@host/a'),
        ('x::ftp://me:se@cret@host', 'x::ftp://…@host'),
        ('simplecache::https://host/a?token=secret', 'simplecache::https://host/a?…'),
        ('hf://datasets/a/b@v1', 'hf://datasets/a/b@v1'),
        ('/data/a?b@c', '/data/a?b@c'),
    ],
)
def test_secrets_are_left_out(address, shown):
    assert without_secrets(address) == shown


def test_file_may_have_a_query():
    check_address('https://host/get?file=index.tsv', folder=False)
    with pytest.raises(SourceError, match='holds a query'):
        check_address('https://host/get?file=index.tsv')
