"""A folder is listed, or it is said why not."""

import pytest

from mrrate_bids.errors import AccessError
from mrrate_bids.fetching.listing import LocalStore


def test_folder_of_a_disk(tmp_path):
    (tmp_path / 'a/b').mkdir(parents=True)
    for name in ('a/.hidden', 'a/c', 'file'):
        (tmp_path / name).touch()
    store = LocalStore(tmp_path)
    assert [(e.name, e.folder) for e in store.folder('a')] == [('b', True), ('c', False)]
    assert [e.name for e in store.inside('a/b/..').folder('')] == ['b', 'c']
    assert store.folder('gone') == store.folder('file') == store.folder('file/in') == []


def test_folder_that_is_closed(tmp_path, unprivileged):
    closed = tmp_path / 'closed'
    closed.mkdir()
    with unprivileged(closed):
        closed.chmod(0)
        for path in ('', 'in'):
            with pytest.raises(AccessError, match=r'cannot be read \(Permission denied') as caught:
                LocalStore(closed).folder(path)
            assert caught.value.hint == 'Ask its owner for access.'
        closed.chmod(0o755)


def test_every_file_is_walked_once(tmp_path):
    for name in ('b/c/d.zip', 'b/e', 'f', '.hidden/x'):
        (tmp_path / 'top' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'top' / name).touch()
    (tmp_path / 'top/b/back').symlink_to(tmp_path / 'top', target_is_directory=True)
    (tmp_path / 'beside').mkdir()
    (tmp_path / 'beside/g').touch()
    (tmp_path / 'top/link').symlink_to(tmp_path / 'beside', target_is_directory=True)
    walked = dict(LocalStore(tmp_path / 'top').walk())
    assert list(walked) == ['b/c/d.zip', 'b/e', 'f', 'link/g']
    assert walked['link/g'] == tmp_path / 'top/link/g'
    assert [path for path, _ in LocalStore(tmp_path / 'top').walk('b/c')] == ['b/c/d.zip']
