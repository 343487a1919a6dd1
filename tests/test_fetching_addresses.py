"""Addresses that a web server can be asked at."""

import pytest

from mrrate_bids.errors import SourceError
from mrrate_bids.fetching.addresses import check_address

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
