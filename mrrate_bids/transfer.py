"""Carry out the rows of a plan: bytes from a zip or a folder to their place in the dataset.

A stored member of a zip is copied by its byte range; its CRC-32 is computed on the way and the
two ends of the image are compared. Only then does the file get its name.
"""

import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mrrate_bids.archives import Member
from mrrate_bids.errors import ArchiveError, DestinationError, ImageError
from mrrate_bids.files import appear, insist, remove
from mrrate_bids.images import EDGE, Header, count_packed, peek, peek_file
from mrrate_bids.members import open_bytes
from mrrate_bids.plan import Row
from mrrate_bids.sources import Remote

__all__ = ['Done', 'Transfer']

_BLOCK = 1 << 18  # stays in the second-level cache between reading, summing and writing
_LINKS = {'link', 'hardlink', 'symlink'}


class Done(NamedTuple):
    """What became of a row."""

    size: int
    crc: int | None
    """CRC-32 of the bytes; ``None`` for a link, whose bytes were not read."""

    header: Header | None
    """The NIfTI header; ``None`` for a transform."""


class Transfer:
    """Put files into a dataset.

    Parameters
    ----------
    root
        The raw dataset.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._block = memoryview(bytearray(_BLOCK))

    def place(self, row: Row) -> Done:
        """Carry out one row.

        Raises
        ------
        ArchiveError
            When the zip does not hold what its directory promised.
        ImageError
            When the image is empty, truncated or not NIfTI.
        DestinationError
            When the target cannot take the file.
        """
        return insist(lambda: self._place(row))

    def _place(self, row: Row) -> Done:
        target = f'{self._root}/{row.target}'
        if row.twin and os.path.exists(f'{self._root}/{row.twin}'):  # noqa: PTH110
            return self._twin(row, target)
        if row.action in _LINKS:
            return self._link(row, target)
        return self._copy(row, target)

    def discard(self, row: Row) -> None:
        """Take a file out of the dataset again."""
        remove(f'{self._root}/{row.target}')

    def _twin(self, row: Row, target: str) -> Done:
        twin = f'{self._root}/{row.twin}'
        header = peek_file(Path(twin), name=row.member.name)
        try:
            _make_link(os.link, Path(twin), target)
        except (OSError, DestinationError):  # a filesystem without hard links
            return self._copy(row, target)
        return Done(row.member.size, row.member.crc, header)

    def _link(self, row: Row, target: str) -> Done:
        source = Path(row.member.path)
        header = _peek_whole(source, row.member.name)
        make = os.symlink if row.action == 'symlink' else os.link
        if row.action == 'symlink':
            origin = source.absolute()
        else:
            origin = source.resolve() if source.is_symlink() else source
        try:
            _make_link(make, origin, target)
        except (OSError, DestinationError) as error:
            if row.action == 'link':  # another filesystem, or one without links
                return self._copy(row, target)
            raise DestinationError(
                f'{row.target}: no {row.action} to {source} can be made ({error})',
                hint='Use --link auto, or export to the filesystem of SOURCE.',
            ) from error
        return Done(row.member.size, None, header)

    def _copy(self, row: Row, target: str) -> Done:
        try:
            return self._copy_once(row, target)
        except ArchiveError:
            if not isinstance(row.member.path, Remote):
                raise
            return self._copy_once(row, target)  # it may have suffered on the way

    def _copy_once(self, row: Row, target: str) -> Done:
        member = row.member
        with (
            open_bytes(member) as source,
            appear(target) as temporary,
            open(temporary, 'w+b', buffering=0) as out,  # noqa: PTH123
        ):
            try:
                size, crc, head = self._pump(source, out, member)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise ArchiveError(f'{member.name}: damaged in {member.path} ({error})') from error
            if size != member.size:
                raise ArchiveError(f'{member.name}: is truncated in {member.path}')
            if member.crc is not None and crc != member.crc:
                raise ArchiveError(f'{member.name}: the CRC-32 differs in {member.path}')
            header = _check_image(out, head, member.name)
        return Done(size, crc, header)

    def _pump(self, source: BinaryIO, out: BinaryIO, member: Member) -> tuple[int, int, bytes]:
        block, left, crc, head = self._block, member.size, 0, b''
        while left > 0:
            try:
                count = source.readinto(block[: min(_BLOCK, left)])  # type: ignore[attr-defined]
            except OSError as error:
                reason = f'{member.path}: {member.name} cannot be read ({error.strerror})'
                raise ArchiveError(reason) from error
            if not count:
                break
            part = block[:count]
            crc = zlib.crc32(part, crc)
            if len(head) < EDGE:
                head += bytes(part[: EDGE - len(head)])
            while part:
                part = part[out.write(part) :]
            left -= count
        return member.size - left, crc, head


def _make_link(make: Callable[[Path, str], None], origin: Path, target: str) -> None:
    """Make a link under its final name: it appears whole, without the detour of a rename."""
    try:
        make(origin, target)
    except (FileExistsError, FileNotFoundError):
        with appear(target) as temporary:
            make(origin, temporary)
        remove(temporary)  # to rename a link over another one to the same file does nothing


def _check_image(out: BinaryIO, head: bytes, name: str) -> Header | None:
    size = out.seek(0, os.SEEK_END)
    if '.nii' not in name:
        if not size:
            raise ImageError(f'{name}: is empty')
        return None
    out.seek(max(0, size - 8))
    header, agrees = peek(head, out.read(8), name=name)
    if not agrees:
        out.seek(0)
        count_packed(out, header, name=name)
    return header


def _peek_whole(path: Path, name: str) -> Header | None:
    try:
        if '.nii' in name:
            return peek_file(path, name=name)
        if not path.stat().st_size:
            raise ImageError(f'{name}: is empty')
    except OSError as error:
        raise ArchiveError(f'{path}: cannot be read ({error.strerror})') from error
    return None
