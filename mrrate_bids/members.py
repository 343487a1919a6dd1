"""A file of a study, opened where it lies: in a zip, stored or deflated, or in a folder."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mrrate_bids.archives import Member, data_offset
from mrrate_bids.errors import ArchiveError
from mrrate_bids.files import checksum_of
from mrrate_bids.images import Header, count_packed, peek_open
from mrrate_bids.sources import open_source

__all__ = ['check_crc', 'check_image', 'crc_of', 'open_bytes', 'opened', 'peek_member']


class _Window(io.RawIOBase):
    """The bytes of a stored member as a file of its own.

    Parameters
    ----------
    file
        The zip, standing at the first byte of the member.
    size
        How many bytes the member has.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._start, self._size = file, file.tell(), size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._at)
        wanted = min(len(buffer), max(0, self._size - self._at))
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def opened(member: Member) -> Iterator[BinaryIO]:
    """Open a member as a file that ends where the member ends and can be sought in.

    Raises
    ------
    ArchiveError
        When it cannot be read, here or by what is done with the file.
    """
    file: BinaryIO = open_bytes(member)
    if member.offset >= 0 and member.packed < 0:
        file = io.BufferedReader(_Window(file, member.size))
    try:
        with file:
            yield file
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ArchiveError(f'{member.name}: damaged in {member.path} ({error})') from error


def peek_member(member: Member) -> Header:
    """Read the header of an image and make sure that it is whole, as far as its ends can tell.

    Raises
    ------
    ArchiveError
        When it cannot be read.
    ImageError
        When it is empty, truncated or not NIfTI.
    """
    with opened(member) as file:
        return peek_open(file, name=member.name)


def check_image(member: Member, *, deep: bool) -> Header:
    """Read the header of an image and make sure that it is whole; *deep* reads every byte.

    Raises
    ------
    ArchiveError
        When it cannot be read, or its CRC-32 differs from that of the zip.
    ImageError
        When it is empty, truncated or not NIfTI.
    """
    header = peek_member(member)
    if deep:
        check_crc(member)
        if member.name.endswith('.gz'):
            with opened(member) as file:
                count_packed(file, header, name=member.name)
    return header


def check_crc(member: Member) -> None:
    """Compare the CRC-32 of a member of a zip with what the zip says.

    Raises
    ------
    ArchiveError
        When they differ, or it cannot be read.
    """
    if member.crc is not None and crc_of(member) != member.crc:
        raise ArchiveError(f'{member.name}: the CRC-32 differs from that of the zip')


def crc_of(member: Member) -> int:
    """Return the CRC-32 of all bytes of a member.

    Raises
    ------
    ArchiveError
        When it cannot be read.
    """
    with opened(member) as file:
        return checksum_of(file)


def open_bytes(member: Member) -> BinaryIO:
    """Open a member so that reading begins with its first byte.

    Of a stored member of a zip the file goes on behind its last byte.

    Raises
    ------
    ArchiveError
        When it is not where the zip says, or cannot be opened.
    """
    try:
        if member.packed >= 0:
            return _open_deflated(member)
        file = open_source(member.path, buffering=0)
        try:
            if member.offset >= 0:
                file.seek(member.offset)
                file.seek(data_offset(file.read(30), member.offset, name=member.name))
        except BaseException:
            file.close()
            raise
    except (OSError, zipfile.BadZipFile, KeyError, NotImplementedError) as error:
        raise ArchiveError(f'{member.path}: {member.name} cannot be read ({error})') from error
    return file


def _open_deflated(member: Member) -> BinaryIO:
    local = isinstance(member.path, Path)
    zipped = member.path if local else open_source(member.path)
    with zipfile.ZipFile(zipped) as archive:  # what it opened stays open
        for info in archive.infolist():
            if info.header_offset == member.offset:
                return archive.open(info)  # type: ignore[return-value]
    raise KeyError(member.name)
