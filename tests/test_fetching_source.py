"""Where a release is published: addresses, and which repositories are there."""

from pathlib import Path

import pytest

from mrrate_bids.errors import SourceError
from mrrate_bids.fetching.client import HttpSettings
from mrrate_bids.fetching.listing import FsspecStore, HttpStore, LocalStore
from mrrate_bids.fetching.rate import Rate
from mrrate_bids.fetching.source import (
    local_folder,
    open_repositories,
    open_store,
    parse_hub,
    parse_revisions,
    repositories_of,
)
from mrrate_bids.naming import INCLUDES, REPOSITORIES


def how(tmp_path):
    return {'spool': tmp_path, 'rate': Rate(), 'jobs': 1, 'settings': HttpSettings(tries=1)}


@pytest.mark.parametrize(
    ('address', 'folder'),
    [
        ('data', 'data'),
        ('/data', '/data'),
        ('file:///data', '/data'),
        ('C:', 'C:'),
        ('s3://bucket', None),
        ('zip::s3://bucket', None),
        ('hf://datasets/a/b', None),
    ],
)
def test_folder_on_this_machine(address, folder):
    assert local_folder(address) == (None if folder is None else Path(folder))


@pytest.mark.parametrize(
    ('address', 'parsed'),
    [
        ('hf://datasets/a/b', ('a/b', '')),
        ('hf://datasets/a/b/', ('a/b', '')),
        ('hf://datasets/a/b@v1', ('a/b', 'v1')),
        ('hf://datasets/a/b@refs%2Fpr%2F1', ('a/b', 'refs/pr/1')),
    ],
)
def test_address_at_the_hub(address, parsed):
    assert parse_hub(address) == parsed


@pytest.mark.parametrize(
    'address', ['hf://', 'hf://datasets/a', 'hf://a/b', 'hf://datasets/a/b/c']
)
def test_address_that_is_no_dataset(address):
    with pytest.raises(SourceError, match='is no dataset of the Hub') as caught:
        parse_hub(address)
    assert 'hf://datasets/OWNER/NAME' in caught.value.hint


def test_revisions_by_repository():
    assert parse_revisions([]) == {}
    assert parse_revisions(['v1', 'MR-RATE-coreg=a=b']) == {'': 'v1', 'MR-RATE-coreg': 'a=b'}


def test_repositories_of_groups():
    assert repositories_of(INCLUDES) == list(REPOSITORIES)
    assert repositories_of(['raw']) == ['MR-RATE']
    assert repositories_of(()) == []


@pytest.mark.parametrize(
    ('address', 'kind'),
    [('here', LocalStore), ('http://h/x', HttpStore), ('memory://x', FsspecStore)],
)
def test_store_is_of_its_kind(address, kind, tmp_path):
    store = open_store(address, **how(tmp_path))
    assert type(store) is kind
    assert str(store).endswith(address.rpartition('/')[2])


def test_release_or_its_native_repository(source, tmp_path):
    for folder in (source, source / 'MR-RATE'):
        found = open_repositories(str(folder), revisions={}, **how(tmp_path))
        assert str(found.native) == str(source / 'MR-RATE')
        assert str(found.get('MR-RATE-coreg')) == str(source / 'MR-RATE-coreg')
        assert found.get('MR-RATE-vista-seg') is None
        assert list(found.require(['MR-RATE', 'MR-RATE-coreg'])) == ['MR-RATE', 'MR-RATE-coreg']


def test_revision_of_a_folder(source, tmp_path):
    with pytest.raises(SourceError, match='has no revisions'):
        open_repositories(str(source), revisions={'': 'v1'}, **how(tmp_path))
