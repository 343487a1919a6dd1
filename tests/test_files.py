"""Files appear whole or not at all."""

import os
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from mrrate_bids.errors import DestinationError
from mrrate_bids.files import (
    appear,
    checksum,
    open_if_changed,
    remove,
    sweep,
    write_bytes,
    write_if_changed,
    write_text,
)


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def small_disk(disk):
    """Return a folder on a filesystem of 64 KiB."""
    return disk('size=64k')


def test_file_appears_in_new_folders(tmp_path):
    target = tmp_path / 'a/b/c.txt'
    with appear(target) as temporary:
        Path(temporary).write_text('content')
        assert Path(temporary).parent == target.parent
        assert not target.exists()
    assert target.read_text() == 'content'
    assert _names(target.parent) == ['c.txt']


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, OSError, SystemExit])
def test_nothing_is_left_of_a_file_that_failed(tmp_path, error):
    def write():
        with appear(tmp_path / 'a') as temporary:
            Path(temporary).write_text('half')
            raise error

    with pytest.raises(error):
        write()
    assert not _names(tmp_path)
    (tmp_path / 'a').write_text('before')
    with pytest.raises(error):
        write()
    assert (tmp_path / 'a').read_text() == 'before'
    assert _names(tmp_path) == ['a']


def test_failure_before_anything_was_written(tmp_path):
    with pytest.raises(FileNotFoundError), appear(tmp_path / 'a'):
        pass
    assert not _names(tmp_path)


def test_file_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_bytes('a', b'content')
    write_if_changed(tmp_path.relative_to(tmp_path) / 'b', 'text')
    assert _names(tmp_path) == ['a', 'b']


@pytest.mark.parametrize('target', ['file/a', 'file/b/a', 'file/b/c/a'])
def test_file_where_a_folder_should_be(tmp_path, target):
    (tmp_path / 'file').write_text('content')
    with pytest.raises(DestinationError, match='has a file where a folder should be'):
        write_bytes(tmp_path / target, b'')
    assert (tmp_path / 'file').read_text() == 'content'


def test_error_of_another_file_is_not_blamed_on_the_destination(tmp_path):
    """What is read while a file is written may fail for the same reasons."""
    with pytest.raises(NotADirectoryError), appear(tmp_path / 'out/a'):
        (tmp_path / 'in').write_text('')
        (tmp_path / 'in/b').read_text()
    assert not _names(tmp_path / 'out')


@pytest.mark.parametrize('size', [100_000, 3_000_000])
def test_full_disk(small_disk, size):
    write_bytes(small_disk / 'first', b'x' * 1000)
    with pytest.raises(DestinationError, match=r'second: the destination is full') as found:
        write_bytes(small_disk / 'second', b'x' * size)
    assert 'Make room' in found.value.hint
    assert _names(small_disk) == ['first']


def test_copy_to_a_full_disk(small_disk, tmp_path):
    """The error of a copy names the source first."""
    (tmp_path / 'source').write_bytes(b'x' * 3_000_000)
    with (
        pytest.raises(DestinationError, match='a: the destination is full'),
        appear(small_disk / 'a') as temporary,
    ):
        shutil.copyfile(tmp_path / 'source', temporary)
    assert not _names(small_disk)


def test_read_only_disk(small_disk):
    subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
    with pytest.raises(DestinationError, match='is read-only'):
        write_bytes(small_disk / 'a', b'')
    with pytest.raises(DestinationError, match='is read-only'):
        write_bytes(small_disk / 'b/a', b'')


@pytest.mark.skipif(not os.geteuid(), reason='root may write anywhere')
def test_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DestinationError, match='may not be written'):
        write_bytes(tmp_path / 'a', b'')


def test_text_is_utf8_with_the_line_ends_it_has(tmp_path):
    write_text(tmp_path / 'a', 'İ\r\n\u2028\ud800')
    assert (tmp_path / 'a').read_bytes() == b'\xc4\xb0\r\n\xe2\x80\xa8\xed\xa0\x80'


def test_same_content_is_not_written_again(tmp_path):
    path = tmp_path / 'a'
    write_if_changed(path, 'one')
    before = path.stat()
    write_if_changed(path, 'one')
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    write_if_changed(path, 'two')
    assert path.read_text() == 'two'


def _write_lines(path, *lines):
    with open_if_changed(path) as file:
        file.writelines(lines)


def test_same_lines_leave_the_file_as_it_is(tmp_path):
    path = tmp_path / 'new/a'
    _write_lines(path, 'one\r\n', 'İ\u2028\ud800\n')
    assert path.read_bytes() == b'one\r\n\xc4\xb0\xe2\x80\xa8\xed\xa0\x80\n'
    before = path.stat()
    _write_lines(path, 'one\r\n', 'İ\u2028\ud800\n')
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert _names(path.parent) == ['a']


@pytest.mark.parametrize('text', ['', 'two', 'One', 'one '])
def test_other_lines_replace_the_file(tmp_path, text):
    path = tmp_path / 'a'
    path.write_text('one')
    os.utime(path, (1, 1))
    _write_lines(path, text)
    assert path.read_text() == text
    assert _names(tmp_path) == ['a']


def test_lines_that_fail_leave_the_file_as_it_is(tmp_path):
    def lines():
        yield 'half'
        raise ValueError('lost')

    (tmp_path / 'a').write_text('before')
    with pytest.raises(ValueError, match='lost'), open_if_changed(tmp_path / 'a') as file:
        file.writelines(lines())
    assert (tmp_path / 'a').read_text() == 'before'
    assert _names(tmp_path) == ['a']


def test_lines_on_a_full_disk(small_disk):
    with pytest.raises(DestinationError, match='a: the destination is full'):
        _write_lines(small_disk / 'a', *['x' * 1000] * 1000)
    assert not _names(small_disk)


def test_remove(tmp_path):
    (tmp_path / 'a').write_text('')
    remove(tmp_path / 'a')
    remove(tmp_path / 'a')
    remove(tmp_path / 'gone/a')
    assert not _names(tmp_path)
    (tmp_path / 'folder').mkdir()
    with pytest.raises(OSError, match='folder'):
        remove(tmp_path / 'folder')


def test_sweep_removes_what_a_killed_run_left(tmp_path):
    with appear(tmp_path / 'kept.nii.gz') as temporary:
        Path(temporary).touch()
    half = Path(temporary).name
    assert re.fullmatch(r'\.kept\.nii\.gz\.[0-9a-f]{12}\.part', half)
    other = '.a.0123456789ab.part'
    for name in (half, other, other[1:], '.a.x.part', f'{other}s'):
        (tmp_path / name).write_text('half')
    sweep(tmp_path)
    assert _names(tmp_path) == [f'{other}s', '.a.x.part', other[1:], 'kept.nii.gz']


def test_sweep_of_no_folder(tmp_path):
    sweep(tmp_path / 'gone')
    (tmp_path / 'file').write_text('')
    sweep(tmp_path / 'file')
    assert _names(tmp_path) == ['file']


@pytest.mark.parametrize('size', [0, 1, (1 << 20) + 1])
def test_checksum(size, tmp_path):
    data = os.urandom(size)
    (tmp_path / 'a').write_bytes(data)
    assert checksum(tmp_path / 'a') == zlib.crc32(data)
