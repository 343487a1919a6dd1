"""Where bytes come from: a local file, or a URL that fsspec can open and seek in.

The plan and the executor do not know the difference: listing a zip reads its tail, copying a
member reads its range, on a disk as on a server.
"""

from pathlib import Path
from typing import Any, BinaryIO

__all__ = ['Location', 'name_of', 'open_source', 'state_of']

Location = Path | str
"""A local file as a path, anything else as a URL."""


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
