"""What was recorded of files is read back as it was written."""

import pytest

from mrrate_bids.errors import ResourceError
from mrrate_bids.resources.lock import NAME, Entry, Lock


def test_lock_keeps_what_it_had(tmp_path):
    odd = Entry('x', 'a "b" \\ é\n.pt', 3, 'ab', 'http://x')
    Lock(tmp_path).save([odd])
    Lock(tmp_path).save([Entry('x', 'other', 4, 'cd', '')])
    assert Lock(tmp_path).get('x', odd.path).sha256 == 'ab'
    assert Lock(tmp_path).get('x', 'other').size == 4
    assert Lock(tmp_path).get('y', 'other') is None


def test_later_record_replaces_an_earlier_one(tmp_path):
    for sha256 in ('ab', 'cd'):
        Lock(tmp_path).save([Entry('x', 'file', 3, sha256, '')])
    found = Lock(tmp_path).get('x', 'file')
    assert found.sha256 == 'cd'
    assert len(found.recorded) == len('2026-01-31')
    assert (tmp_path / NAME).read_text().count('[[file]]') == 1


def test_folder_that_is_not_there(tmp_path):
    assert Lock(tmp_path / 'gone').get('x', 'file') is None
    (tmp_path / 'file').touch()
    assert Lock(tmp_path / 'file').get('x', 'file') is None


@pytest.mark.parametrize('content', [b'= oops', b'file = 3', b'[[file]]\nx = 1', b'\xff'])
def test_record_that_is_none(content, tmp_path):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(ResourceError, match='cannot be read as a record') as caught:
        Lock(tmp_path)
    assert 'verify --record' in caught.value.hint
