"""Files that appear whole or not at all.

Everything is written under a temporary name in its own folder and renamed when it is complete.
The temporary name is random, so that two processes, on one machine or on two, never share one.
"""

import errno
import filecmp
import os
import re
import secrets
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

from mrrate_bids.errors import DestinationError, NamingError

__all__ = [
    'appear',
    'checksum',
    'checksum_of',
    'holds',
    'insist',
    'open_if_changed',
    'refuse_other_table',
    'remove',
    'sweep',
    'write_bytes',
    'write_if_changed',
    'write_text',
]

_TEMPORARY = re.compile(r'\..+\.[0-9a-f]{12}\.part')
_TARGET_BROKEN = {
    errno.ENOSPC: 'is full',
    errno.EDQUOT: 'is full (quota)',
    errno.EROFS: 'is read-only',
    errno.EACCES: 'may not be written',
    errno.EPERM: 'may not be written',
    errno.ENOTDIR: 'has a file where a folder should be',
    errno.EEXIST: 'has a file where a folder should be',
    errno.EISDIR: 'has a folder where a file should be',
    errno.EFBIG: 'cannot hold a file of this size',
}
_TRIES = 5
_BLOCK = 1 << 18  # stays in the second-level cache
_T = TypeVar('_T')


@contextmanager
def appear(target: str | Path, *, keep_equal: bool = False) -> Iterator[str]:
    """Give a temporary path next to *target* and rename it to *target* at the end.

    With *keep_equal* a file that has this content already stays as it is.

    Raises
    ------
    DestinationError
        When the folder is full, read-only or cannot be made.
    NamingError
        When the name is longer than the filesystem allows.
    """
    folder, name = os.path.split(target)
    folder = folder or '.'
    temporary = f'{folder}/.{name}.{secrets.token_hex(6)}.part'
    try:
        try:
            if not os.path.isdir(folder):  # noqa: PTH112  (a failing mkdir locks the parent)
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            yield temporary
            if keep_equal and _equal(temporary, target):
                remove(temporary)
            else:
                os.replace(temporary, target)  # noqa: PTH105
        except BaseException:
            remove(temporary)
            raise
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise NamingError(
                f'{target}: the name is too long for the destination',
                hint='Shorten patient_uid or study_uid, or export to another filesystem.',
            ) from error
        reason = _TARGET_BROKEN.get(error.errno or 0)
        if reason is None or not _is_below(error.filename2 or error.filename, folder):
            raise
        raise DestinationError(f'{target}: the destination {reason}') from error


def _equal(temporary: str, target: str | Path) -> bool:
    if not os.path.isfile(target):  # noqa: PTH113
        return False
    filecmp.clear_cache()
    return filecmp.cmp(temporary, target, shallow=False)


def _is_below(path: object, folder: str) -> bool:
    """Tell whether a failure is the target's: a write names no file, an open names one."""
    own, other = f'{folder}/', f'{path}/'
    return path is None or own.startswith(other) or other.startswith(own)


def insist(write: Callable[[], _T]) -> _T:
    """Call *write* again when another run swept its temporary file away.

    Raises
    ------
    DestinationError
        When that does not end.
    """
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):
            return write()
    try:
        return write()
    except FileNotFoundError as error:
        raise DestinationError(
            f'{error.filename}: the destination cannot be made, or vanishes again'
        ) from error


def write_bytes(target: str | Path, data: bytes) -> None:
    """Write a small file.

    Raises
    ------
    DestinationError
        When the folder is full, read-only or cannot be made.
    """
    insist(lambda: _write_bytes(target, data))


def _write_bytes(target: str | Path, data: bytes) -> None:
    with appear(target) as temporary, open(temporary, 'wb', buffering=0) as file:  # noqa: PTH123
        left = memoryview(data)
        while left:  # a disk that fills up takes a part of them and says nothing
            left = left[file.write(left) :]


def write_text(target: Path, text: str) -> None:
    """Write a small text file, UTF-8.

    Raises
    ------
    DestinationError
        When the folder is full, read-only or cannot be made.
    """
    write_bytes(target, text.encode('utf-8', 'surrogatepass'))


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file of any size.

    Raises
    ------
    OSError
        When it cannot be read.
    """
    with path.open('rb', buffering=0) as file:
        return checksum_of(file)


def checksum_of(file: Any) -> int:
    """Return the CRC-32 of what is left to read of an open file of bytes."""
    crc, block = 0, memoryview(bytearray(_BLOCK))
    while count := file.readinto(block):
        crc = zlib.crc32(block[:count], crc)
    return crc


def holds(path: Path, text: str) -> bool:
    """Tell whether a file has this text and nothing else."""
    try:
        return path.read_bytes() == text.encode('utf-8', 'surrogatepass')
    except OSError:
        return False


def write_if_changed(target: Path, text: str) -> None:
    """Write a small text file unless it has this content already.

    Raises
    ------
    DestinationError
        When the folder is full, read-only or cannot be made.
    """
    data = text.encode('utf-8', 'surrogatepass')
    try:
        if target.read_bytes() == data:
            return
    except OSError:
        pass  # absent, or not a file: writing it will tell
    write_bytes(target, data)


@contextmanager
def open_if_changed(target: Path) -> Iterator[TextIO]:
    """Open a text file to be written line by line, UTF-8; *target* appears at the end.

    Where it has this content already it stays as it is.

    Raises
    ------
    DestinationError
        When the folder is full, read-only or cannot be made.
    """
    with (
        appear(target, keep_equal=True) as temporary,
        open(temporary, 'w', encoding='utf-8', errors='surrogatepass', newline='') as file,  # noqa: PTH123
    ):
        yield file


def refuse_other_table(target: Path, header: Sequence[str]) -> None:
    """Make sure that a table takes the place of nothing but an earlier one of its kind.

    Raises
    ------
    DestinationError
        When there is another file, which may be one of a release.
    """
    if not target.is_file() or not target.stat().st_size:
        return
    with target.open(encoding='utf-8', errors='replace') as text:
        first = text.readline(1 << 16).rstrip('\r\n')
    if first != '\t'.join(header):
        raise DestinationError(
            f'{target} is another file, and would be lost',
            hint='Give the table another name, or remove the file first.',
        )


def remove(path: str | Path) -> None:
    """Remove a file that may be gone already."""
    try:
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        pass
    except OSError:
        if os.path.lexists(path):
            raise


def sweep(folder: Path, *, name: str = '') -> None:
    """Remove what a killed run left half-written in *folder*, of one file where it is named."""
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return
    for found in names:
        if found.startswith(f'.{name}') and _TEMPORARY.fullmatch(found):
            remove(folder / found)
