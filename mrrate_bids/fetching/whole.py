"""Files that are fetched whole: tables, weights, and zips where all of a study is wanted.

What came of a large file before a run was interrupted stays under a hidden name that says which
state of the file it is of, and the next run goes on behind it.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from mrrate_bids.archives import Place, list_place
from mrrate_bids.errors import ArchiveError, DestinationError
from mrrate_bids.fetching.ranges import Span
from mrrate_bids.fetching.remote import RemoteFile
from mrrate_bids.files import appear, insist, remove
from mrrate_bids.members import crc_of
from mrrate_bids.receipts import signature
from mrrate_bids.sources import Location, name_of, open_source, state_of

__all__ = [
    'Progress',
    'check_zip',
    'drop_beginning',
    'fetch_file',
    'fetch_rest',
    'fetch_zip',
    'has_published',
    'is_published',
    'say_nothing',
]

_BLOCK = 1 << 18

Progress = Callable[[int, int], None]
"""Told the bytes that are here and those of the whole, 0 when that is unknown."""


def say_nothing(here: int, total: int) -> None:
    """Keep the progress to oneself."""


def fetch_file(location: Location, target: Path) -> int:
    """Fetch a small file; return its size.

    Raises
    ------
    ArchiveError
        When what came is not what the listing promised, or it may not be read.
    DestinationError
        When the folder cannot take it.
    """
    try:
        return _twice(location, lambda: insist(lambda: _fetch_file(location, target)))
    finally:
        if isinstance(location, RemoteFile):
            location.close()  # of a server that sends whole files there is one on the disk


def _fetch_file(location: Location, target: Path) -> int:
    size = _announce(location)
    with appear(target) as temporary:
        with _opened(location) as source, Path(temporary).open('wb') as out:
            count = _pour(source, out)
        _compare(location, Path(temporary), count, size)
    return count


def _opened(location: Location) -> BinaryIO:
    try:
        return open_source(location)
    except OSError as error:
        raise ArchiveError(
            f'{location}: cannot be read ({error.strerror})', hint='Ask its owner for access.'
        ) from error


def fetch_zip(place: Place, target: Path) -> int:
    """Fetch the zip of a study, or the rest of it, and check every member; return its size.

    Raises
    ------
    ArchiveError
        When it is damaged, however often it is fetched.
    DestinationError
        When the folder cannot take it.
    """
    return _twice(place.path, lambda: _fetch_zip(place, target))


def _fetch_zip(place: Place, target: Path) -> int:
    return fetch_rest(place.path, target, check=lambda path, _: _check_partial(place, path))


def fetch_rest(
    location: Location,
    target: Path,
    *,
    check: Callable[[Path, int], None],
    tell: Progress = say_nothing,
) -> int:
    """Fetch a file, or what is missing of it; return its size. No other process may do the same.

    Parameters
    ----------
    location
        The file.
    target
        It appears there when it is whole.
    check
        Called with what came, and its size, before it gets its name; what it raises an
        ArchiveError about is thrown away.
    tell
        Told the bytes as they arrive.

    Raises
    ------
    ArchiveError
        When what came is not what the listing promised, or not what *check* wants.
    DestinationError
        When the folder cannot take it.
    """
    size = _announce(location)
    partial = _partial(location, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _drop_others(partial, target)
        with open_source(location) as source, partial.open('ab') as out:
            source.seek(out.tell())
            _pour(source, out, tell=lambda: tell(out.tell(), size or 0))
            count = out.tell()
        _compare(location, partial, count, size)
        check(partial, count)
        partial.replace(target)
    except ArchiveError:
        remove(partial)
        raise
    except OSError as error:
        if isinstance(location, Path) and error.filename == str(location):
            raise
        raise DestinationError(f'{target}: cannot be written ({error.strerror})') from error
    return count


def drop_beginning(location: Location, target: Path) -> None:
    """Remove what came of a file of which nothing more is wanted."""
    remove(_partial(location, target))


def _partial(location: Location, target: Path) -> Path:
    """Return where a file that is on its way is kept: by the state that it is of."""
    return target.with_name(f'.{target.name}.{signature(*state_of(location))[:12]}.fetch')


def _drop_others(partial: Path, target: Path) -> None:
    """Remove the beginnings of other states of the zip."""
    for other in target.parent.glob(f'.{target.name}.*.fetch'):
        if other != partial:
            remove(other)


def _check_partial(place: Place, partial: Path) -> None:
    """Check the zip that came, and name it by where it came from: it has no name of its own."""
    try:
        check_zip(place._replace(path=partial))
    except ArchiveError as error:
        text = str(error).replace(str(partial), str(place.path))
        raise ArchiveError(text, hint=error.hint) from error


def check_zip(place: Place) -> None:
    """Compare every member of a zip with its CRC-32.

    Raises
    ------
    ArchiveError
        When one differs, or the zip cannot be read.
    """
    for member in list_place(place).members:
        if crc_of(member) != member.crc:
            raise ArchiveError(f'{place.path}: the CRC-32 of {member.name} differs')


def has_published(place: Place, path: Path) -> bool:
    """Tell whether a zip that somebody put here is the published one: sound, and with its files.

    A digest that a listing tells says so, or else the directories of both and every CRC-32.
    """
    try:
        if path.stat().st_size != (state_of(place.path)[0] or path.stat().st_size):
            return False
        if getattr(place.path, 'digest', ''):
            return is_published(place.path, path)
        here = place._replace(path=path)
        check_zip(here)
        return _directory(here) == _directory(place)
    except (ArchiveError, OSError):
        return False


def _directory(place: Place) -> list[tuple[str, int, int | None]]:
    return [(member.name, member.offset, member.crc) for member in list_place(place).members]


def is_published(location: Location, path: Path) -> bool:
    """Tell whether a file that is here has the digest that a listing tells, if it tells one."""
    try:
        _compare(location, path, path.stat().st_size, None)
    except (ArchiveError, OSError):
        return False
    return True


def _compare(location: Location, path: Path, count: int, size: int | None) -> None:
    """Compare what came with the size and the digest that a listing tells."""
    name = name_of(location)
    if size is not None and count != size:
        raise ArchiveError(f'{name}: {count:,} bytes came, there are {size:,}')
    kind, _, expected = getattr(location, 'digest', '').partition(':')
    if not expected:
        return
    digest = hashlib.sha256() if kind == 'sha256' else _git(count)
    with path.open('rb') as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise ArchiveError(f'{name}: its {kind} digest is not the published one')


def _git(size: int) -> Any:
    """Return the digest that git names a file by, about to see its bytes."""
    return hashlib.sha1(f'blob {size}\0'.encode(), usedforsecurity=False)


def _announce(location: Location) -> int | None:
    """Let a server send the file with one request; return its size if that is known."""
    if not isinstance(location, RemoteFile):
        return None
    location.state()
    size = location.known_size
    if size is not None:
        location.expect([Span(0, size)])
    return size


def _pour(source: Any, out: BinaryIO, *, tell: Callable[[], None] = lambda: None) -> int:
    total, block = 0, memoryview(bytearray(_BLOCK))
    while count := source.readinto(block):
        total += out.write(block[:count])
        tell()
    return total


def _twice(location: Location, fetch: Callable[[], int]) -> int:
    """Fetch once more what came damaged over a network."""
    if isinstance(location, RemoteFile):
        with suppress(ArchiveError):
            return fetch()
        location.close()
    return fetch()
