"""Tell whether two releases hold the same files and the same tables, byte for byte.

Zips are compared by their members: time stamps and the order inside are nobody's data.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mrrate_bids.archives import Member, list_place
from mrrate_bids.catalog import open_release

__all__ = ['Comparison', 'compare_releases']

_BLOCK = 1 << 20

State = tuple[int, int]
"""Size and CRC-32."""


@dataclass(slots=True)
class Comparison:
    """What two releases have in common and what not."""

    files: int = 0
    tables: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def compare_releases(one: Path, other: Path) -> Comparison:
    """Compare every file and every table of two releases.

    Parameters
    ----------
    one, other
        Folders as :func:`~mrrate_bids.catalog.open_release` takes them, zipped or extracted.

    Raises
    ------
    SourceError
        When one of them is no release.
    ArchiveError
        When a zip or a folder cannot be read.
    """
    found = Comparison()
    found.files = _compare(dict(_files(one)), dict(_files(other)), found)
    found.tables = _compare(dict(_tables(one)), dict(_tables(other)), found)
    return found


def _compare(first: dict[str, State], second: dict[str, State], found: Comparison) -> int:
    for where in sorted(first.keys() | second.keys()):
        if where not in second:
            found.differences.append(f'{where} is in the first only')
        elif where not in first:
            found.differences.append(f'{where} is in the second only')
        elif first[where] != second[where]:
            found.differences.append(f'{where} differs')
    return len(first)


def _files(root: Path) -> Iterator[tuple[str, State]]:
    release = open_release(root)
    for batch in release.batches:
        for study in release.read_batch(batch).studies:
            for place in study.places:
                for member in list_place(place).members:
                    yield f'{batch}/{study.study}/{member.name}', _state(member)


def _state(member: Member) -> State:
    if member.crc is not None:
        return member.size, member.crc
    return _read_state(Path(member.path))


def _read_state(path: Path) -> State:
    size = crc = 0
    with path.open('rb', buffering=0) as file:
        while block := file.read(_BLOCK):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return size, crc


def _tables(root: Path) -> Iterator[tuple[str, State]]:
    native = open_release(root).native
    for path in sorted(native.glob('**/*.csv')):
        yield path.relative_to(native).as_posix(), _read_state(path)
