"""Are the files of a resource those that were published, or those that were fetched.

Nothing is loaded: of weights that somebody has tampered with no line is run.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mrrate_bids.digests import digest_of
from mrrate_bids.errors import ResourceError
from mrrate_bids.resources.catalogue import File, Resource
from mrrate_bids.resources.lock import Entry, Lock

__all__ = ['Verdict', 'record', 'state_of', 'verify']


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison of a file gave."""

    resource: Resource
    file: File
    path: Path
    state: str
    """``published`` or ``recorded`` (equal to that), ``differs``, ``absent``, ``unknown`` (there
    is nothing to compare with)."""

    size: int = 0
    sha256: str = ''
    reason: str = ''

    @property
    def is_bad(self) -> bool:
        """Whether the file is not what it should be."""
        return self.state == 'differs'


def state_of(resource: Resource) -> str:
    """Tell in a word whether a resource is there; nothing is read but sizes.

    Returns
    -------
    state
        ``here``, ``partial``, ``absent``, or ``wrong size``.
    """
    paths = [(file, resource.find(file)) for file in resource.file]
    sizes = [(file, path.stat().st_size) for file, path in paths if path.is_file()]
    filled = [(file, size) for file, size in sizes if size]
    if not filled:
        return 'absent'
    if len(filled) < len(paths):
        return 'partial'
    wrong = any(file.size is not None and file.size != size for file, size in filled)
    return 'wrong size' if wrong else 'here'


def verify(resource: Resource) -> Iterator[Verdict]:
    """Compare every file of a resource with what was published, else with what was recorded.

    Raises
    ------
    ResourceError
        When a file cannot be read.
    """
    lock = Lock(resource.home)
    for file in resource.file:
        path = resource.find(file)
        try:
            if not path.is_file() or not path.stat().st_size:
                yield Verdict(resource, file, path, 'absent')
                continue
            yield _compare(resource, file, path, lock)
        except OSError as error:
            raise ResourceError(
                f'{path}: cannot be read ({error.strerror})', hint='Ask its owner for access.'
            ) from error


def _compare(resource: Resource, file: File, path: Path, lock: Lock) -> Verdict:
    size, sha256 = path.stat().st_size, digest_of(path)
    reason, state = published_fault(file, path, size=size, sha256=sha256), 'published'
    if not (file.md5 or file.sha256):
        noted, state = lock.get(resource.name, resource.place(file)), 'recorded'
        if noted is None:
            state = 'unknown'
        elif not reason and noted.sha256 != sha256:
            reason = f'its SHA-256 is not that of {noted.recorded}'
    return Verdict(resource, file, path, 'differs' if reason else state, size, sha256, reason)


def published_fault(file: File, path: Path, *, size: int, sha256: str) -> str:
    """Tell in what a file differs from the published one, as far as that is known."""
    if file.size is not None and file.size != size:
        return f'it has {size:,} bytes instead of {file.size:,}'
    if file.sha256 and file.sha256 != sha256:
        return 'its SHA-256 is not the published one'
    if file.md5 and file.md5 != digest_of(path, 'md5'):
        return 'its MD5 is not the published one'
    return ''


def record(resource: Resource, files: Iterable[File], *, source: str = '') -> list[Entry]:
    """Record files of a resource as they are now.

    Parameters
    ----------
    resource
        The resource.
    files
        Which of its files.
    source
        The address that they were fetched from.

    Raises
    ------
    ResourceError
        When a record cannot be read.
    DestinationError
        When the folder cannot be written.
    """
    entries = [
        Entry(resource.name, resource.place(file), path.stat().st_size, digest_of(path), source)
        for file in files
        if (path := resource.find(file)).is_file()
    ]
    Lock(resource.home).save(entries)
    return entries
