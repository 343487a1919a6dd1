"""Where bytes come from: a local file, a URL that fsspec can open, or a file at a server.

The plan and the executor do not know the difference: listing a zip reads its tail, copying a
member reads its range, on a disk as on a server.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ['Location', 'Remote', 'name_of', 'open_source', 'state_of']


class Remote(str, ABC):
    """The address of a file elsewhere that knows how to be read."""

    __slots__ = ()

    @abstractmethod
    def open(self) -> BinaryIO:
        """Open it for reading from any position."""

    @abstractmethod
    def state(self) -> list[Any]:
        """Return what changes when it changes: its size and its tag."""


Location = Path | str
"""A local file as a path, anything else as a URL; a :class:`Remote` needs no fsspec."""


def open_source(location: Location, *, buffering: int = -1) -> BinaryIO:
    """Open a file for reading from any position.

    Parameters
    ----------
    location
        The file.
    buffering
        0 hands local reads to the operating system as they are.

    Raises
    ------
    OSError
        When it cannot be opened, or is no file: to open a pipe would wait for ever.
    """
    if isinstance(location, Path):
        if location.exists() and not location.is_file():
            raise OSError(0, 'it is no file', str(location))
        return location.open('rb', buffering=buffering)
    if isinstance(location, Remote):
        return location.open()
    import fsspec  # noqa: PLC0415  (slow, and only for what is elsewhere)

    file: BinaryIO = fsspec.open(location, 'rb').open()
    return file


def state_of(location: Location) -> list[Any]:
    """Return what changes when a file changes: its size and its time or tag.

    Raises
    ------
    OSError
        When it is not there.
    """
    if isinstance(location, Path):
        state = location.stat()
        return [state.st_size, state.st_mtime_ns]
    if isinstance(location, Remote):
        return location.state()
    import fsspec  # noqa: PLC0415

    filesystem, path = fsspec.core.url_to_fs(location)
    facts = filesystem.info(path)
    return [facts.get('size'), *(str(facts[key]) for key in ('ETag', 'mtime') if key in facts)]


def name_of(location: Location) -> str:
    """Return the last part of a location.

    >>> name_of('https://host/a/b.zip'), name_of(Path('/a/b.zip'))
    ('b.zip', 'b.zip')
    """
    return str(location).rpartition('/')[2]
