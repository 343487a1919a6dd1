"""What a study consists of on disk: the members of its zips and folders.

A place is one zip or one extracted folder. Listing a zip reads its central directory only;
nothing is unpacked. What could harm (paths that escape, links, bombs) is refused here, before
anything is planned.

Source: APPNOTE 6.3.10, the zip format.
"""

import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mrrate_bids.errors import ArchiveError
from mrrate_bids.sources import Location, open_source, state_of

__all__ = ['Listing', 'Member', 'Place', 'data_offset', 'list_place']

_MAX_MEMBERS = 10_000
_MAX_RATIO = 200
_RATIO_FROM = 1 << 26  # below 64 MiB even a wild ratio does no harm
_LOCAL_HEADER = struct.Struct('<4s22xHH')
_ENCRYPTED = 0x1


class Place(NamedTuple):
    """A zip or an extracted folder that belongs to a study."""

    path: Location
    study: str
    zipped: bool


class Member(NamedTuple):
    """A file of a study, where it lies now."""

    path: Location
    """The zip that holds it, or the file itself."""

    name: str
    """Its path inside the study folder."""

    size: int
    offset: int = -1
    """Where its local header begins in the zip; -1 for a file on its own."""

    crc: int | None = None
    packed: int = -1
    """Compressed size where the member is deflated, -1 where its bytes stand as they are."""

    mtime: int = 0
    """Modification time in ns of a file on its own."""


class Listing(NamedTuple):
    """The members of a place, and what was refused."""

    members: list[Member]
    refused: list[tuple[str, str]]
    """Name and reason."""


def list_place(place: Place) -> Listing:
    """List a place.

    Raises
    ------
    ArchiveError
        When a zip is empty, truncated or not a zip, or a folder cannot be read.
    """
    try:
        return _list_zip(place) if place.zipped else _list_folder(place)
    except OSError as error:
        raise ArchiveError(f'{place.path}: cannot be read ({error.strerror})') from error


def _list_zip(place: Place) -> Listing:
    try:
        with open_source(place.path) as file, zipfile.ZipFile(file) as archive:
            infos, end = archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, ValueError, UnicodeDecodeError) as error:
        raise ArchiveError(f'{place.path}: is truncated or no zip ({error})') from error
    if not infos:
        raise ArchiveError(f'{place.path}: is an empty zip ({state_of(place.path)[0]} bytes)')
    if len(infos) > _MAX_MEMBERS:
        raise ArchiveError(f'{place.path}: has {len(infos):,} members, a study has far fewer')
    _refuse_overlap(place.path, infos, end)
    members, refused, names = [], [], set()
    for info in infos:
        if info.is_dir():
            continue
        reason = _refusal(info, place.study)
        if info.filename in names:
            reason = 'the zip has another member of this name, which was taken'
        names.add(info.filename)
        if reason:
            refused.append((info.filename, reason))
            continue
        stored = info.compress_type == zipfile.ZIP_STORED
        name = info.filename.removeprefix(f'{place.study}/')
        packed = -1 if stored else info.compress_size
        members.append(
            Member(place.path, name, info.file_size, info.header_offset, info.CRC, packed)
        )
    return Listing(members, refused)


def _refuse_overlap(path: Location, infos: list[zipfile.ZipInfo], end: int) -> None:
    """Refuse members that share bytes or reach into the directory: a bomb or a broken zip."""
    spans = sorted((info.header_offset, info.compress_size, info.filename) for info in infos)
    if spans[0][0] < 0:
        raise ArchiveError(f'{path}: is truncated, its directory speaks of more than there is')
    limits = [offset for offset, _, _ in spans[1:]] + [end]
    for (offset, size, name), limit in zip(spans, limits, strict=True):
        if offset + _LOCAL_HEADER.size + size > limit:
            raise ArchiveError(
                f'{path}: member {name} overlaps what follows it (truncated, or a zip bomb)'
            )


def _refusal(info: zipfile.ZipInfo, study: str) -> str:
    """Return why a member must not be touched; empty for an honest one."""
    parts = info.filename.split('/')
    if info.filename.startswith(('/', '\\')) or '..' in parts or '\\' in info.filename:
        return 'its path leads out of the study folder'
    if parts[0] != study:
        return f'it does not lie in the folder {study}/'
    if stat.S_ISLNK(info.external_attr >> 16):
        return 'it is a symbolic link'
    return _bad_packing(info)


def _bad_packing(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & _ENCRYPTED:
        return 'it is encrypted'
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f'its compression method {info.compress_type} is not used in a release'
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        return 'its sizes contradict each other'
    if info.file_size > max(_RATIO_FROM, info.compress_size * _MAX_RATIO):
        return f'it would unpack to {info.file_size:,} bytes from {info.compress_size:,}: a bomb'
    return ''


def _list_folder(place: Place) -> Listing:
    members, refused = [], []
    for name, path in _walk(Path(place.path)):
        try:
            state = path.stat()
        except OSError as error:
            refused.append((name, f'it cannot be read ({error.strerror})'))
            continue
        if stat.S_ISREG(state.st_mode):
            members.append(Member(path, name, state.st_size, mtime=state.st_mtime_ns))
        elif path.suffix:  # any other folder is somebody's own
            refused.append((name, 'it is a folder or a device where a file should be'))
    if not members and not refused:
        raise ArchiveError(f'{place.path}: holds no file')
    return Listing(members, refused)


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield what lies in the folder and one level down; hidden files belong to the system."""
    for name in _names(folder):
        path = folder / name
        if path.is_dir():
            yield from ((f'{name}/{inner}', path / inner) for inner in _names(path))
        else:
            yield name, path


def _names(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith('.'))  # noqa: PTH208


def data_offset(header: bytes, offset: int, *, name: str) -> int:
    """Return where the bytes of a stored member begin, from its local header at *offset*.

    Raises
    ------
    ArchiveError
        When there is no local header at that place.
    """
    if len(header) != _LOCAL_HEADER.size or not header.startswith(b'PK\x03\x04'):
        raise ArchiveError(f'{name}: the zip directory points to a place without a file')
    _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    return offset + _LOCAL_HEADER.size + int(name_length) + int(extra_length)
