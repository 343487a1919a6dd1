"""The index on disk: a Parquet file for each unit, and which state of the unit it is of.

It lives in a hidden folder of what is indexed, or in the user's cache where that cannot be
written. Every column is text, stored as a dictionary: a cell that many files share, a report for
example, is there once.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from mrrate_bids.ahead import Watch
from mrrate_bids.errors import DestinationError
from mrrate_bids.files import appear, insist, remove, write_text
from mrrate_bids.index.shorthand import shorten
from mrrate_bids.index.states import outline
from mrrate_bids.index.units import Entry, Unit, find_units
from mrrate_bids.naming import encode_label
from mrrate_bids.problems import Problem
from mrrate_bids.sources import state_of

__all__ = ['FILE_COLUMNS', 'Index']

FILE_COLUMNS = ('kind', 'home', 'path', 'member', 'size')
"""Columns that speak of the file; all others speak of its series, study or patient."""

_FORMAT = 2
_FOLDER = '.mrrate-bids/index'
_MANIFEST = 'manifest.json'
_WHOLE = 1 << 30  # keep a column of reports a dictionary, however long its texts are


@dataclass(slots=True)
class _Part:
    """What the manifest says of a unit."""

    file: str
    state: str
    columns: list[str]
    rows: int
    stamp: list[Any]
    """Size and time of the file, to know it again."""

    problems: list[dict[str, str]] = field(default_factory=list)
    watched: list[list[Any]] = field(default_factory=list)
    """The files that problems are about, with their states: once mended they are read again."""


class Index:
    """The index of a release or a dataset.

    Parameters
    ----------
    root
        What is indexed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._home = root / _FOLDER
        self._parts: dict[str, _Part] = {}
        self._outline = ''
        self._found: list[dict[str, str]] = []

    @property
    def columns(self) -> list[str]:
        """All columns, those of files first."""
        found = dict.fromkeys(FILE_COLUMNS)
        for part in self._parts.values():
            found |= dict.fromkeys(part.columns)
        return list(found)

    @property
    def rows(self) -> int:
        """How many files there are."""
        return sum(part.rows for part in self._parts.values())

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with what was indexed, each once."""
        records = [*self._found, *(p for part in self._parts.values() for p in part.problems)]
        return list(dict.fromkeys(map(Problem.from_dict, records)))

    def renew(self, *, rebuild: bool = False, watch: Watch | None = None) -> None:
        """Index what is new or has changed, and forget what is gone.

        Raises
        ------
        UsageError
            When the folder is neither a release nor a dataset.
        DestinationError
            When the index can be written nowhere.
        """
        drawn = outline(self.root)
        homes = [self.root / _FOLDER, _cache(self.root)]
        if drawn and not rebuild and any(self._is_as(drawn, home) for home in homes):
            return
        found: list[Problem] = []
        units = find_units(self.root, found)
        for home in homes:
            self._load(home)
            stale = [unit for unit in units if rebuild or not self._is_current(unit)]
            gone = self._parts.keys() - {unit.name for unit in units}
            self._found = [problem.to_dict() for problem in found]
            if not stale and not gone and self._outline == drawn:
                return
            if self._save():  # a folder that cannot be written says so before anything is read
                break
        else:
            places = ' nor in '.join(map(str, homes))
            raise DestinationError(
                f'the index can be written neither in {places}',
                hint='Set XDG_CACHE_HOME to a folder that can be written.',
            )
        for done, unit in enumerate(stale, 1):
            self._parts[unit.name] = self._write(unit)
            if watch:
                watch('units', done, len(stale), 0)
        for name in gone:
            remove(self._home / self._parts.pop(name).file)
        self._outline = drawn
        self._save()

    def table(self, columns: Iterable[str]) -> Any:
        """Return columns of all files as an Arrow table of text, each chunk with a dictionary.

        Paths are as :mod:`~mrrate_bids.index.shorthand` writes them. A unit that lacks a column
        has empty cells there. What another run replaces, or a disk has damaged, is made again.

        Parameters
        ----------
        columns
            Their names.
        """
        import pyarrow as pa  # noqa: PLC0415  (a tenth of a second)

        names = list(dict.fromkeys(columns))
        try:
            return self._read(names)
        except (pa.ArrowException, OSError, KeyError, ValueError):
            self.renew(rebuild=True)
            return self._read(names)

    def _read(self, names: list[str]) -> Any:
        import pyarrow as pa  # noqa: PLC0415

        kind = pa.dictionary(pa.int32(), pa.string())
        empty = pa.schema([(name, kind) for name in names]).empty_table()
        parts = [part for _, part in sorted(self._parts.items())]
        with ThreadPoolExecutor() as pool:
            tables = list(pool.map(lambda part: self._read_part(part, names), parts))
        return pa.concat_tables([empty, *tables])

    def _read_part(self, part: _Part, names: list[str]) -> Any:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        there = [name for name in names if name in {*FILE_COLUMNS, *part.columns}]
        path, kind = self._home / part.file, pa.dictionary(pa.int32(), pa.string())
        with pq.ParquetFile(path, read_dictionary=there, page_checksum_verification=True) as file:
            found = file.read(there)
        zeros = pa.repeat(pa.scalar(0, pa.int32()), part.rows)
        empty = pa.DictionaryArray.from_arrays(zeros, [''])
        arrays = [found[name].cast(kind) if name in there else empty for name in names]
        return pa.table(arrays, names=names)

    def _is_as(self, drawn: str, home: Path) -> bool:
        """Tell whether an index is of what an outline shows, and whole."""
        self._load(home)
        return self._outline == drawn and all(map(self._is_whole, self._parts.values()))

    def _is_current(self, unit: Unit) -> bool:
        part = self._parts.get(unit.name)
        return part is not None and part.state == unit.state and self._is_whole(part)

    def _is_whole(self, part: _Part) -> bool:
        watched = all(_state(self.root / file) == state for file, state in part.watched)
        return watched and _state(self._home / part.file) == part.stamp

    def _write(self, unit: Unit) -> _Part:
        import pyarrow.parquet as pq  # noqa: PLC0415

        found: list[Problem] = []
        table = _tabulate(list(unit.read(found)))
        name = f'{encode_label(unit.name)}.parquet'

        def write() -> None:
            with appear(self._home / name) as draft:
                pq.write_table(
                    table,
                    draft,
                    compression='zstd',
                    dictionary_pagesize_limit=_WHOLE,
                    write_page_checksum=True,
                )

        insist(write)
        columns = [column for column in table.column_names if column not in FILE_COLUMNS]
        stamp, watched = _state(self._home / name), list(self._watched(found))
        records = [problem.to_dict() for problem in found]
        return _Part(name, unit.state, columns, table.num_rows, stamp, records, watched)

    def _watched(self, problems: list[Problem]) -> Iterator[list[Any]]:
        for file in dict.fromkeys(problem.file for problem in problems if problem.file):
            inside = file.removeprefix(f'{self.root}/')
            yield [inside, _state(self.root / inside)]

    def _save(self) -> bool:
        """Write the manifest; tell whether it could be written."""
        content = {
            'format': _FORMAT,
            'root': str(self.root.resolve()),
            'outline': self._outline,
            'problems': self._found,
            'parts': {name: astuple(part) for name, part in sorted(self._parts.items())},
        }
        try:
            write_text(self._home / _MANIFEST, json.dumps(content))
        except (DestinationError, OSError):
            return False
        return True

    def _load(self, home: Path) -> None:
        """Read the manifest; of another version, of another folder, or damaged it is none."""
        self._home, self._parts, self._outline, self._found = home, {}, '', []
        try:
            content = json.loads((home / _MANIFEST).read_text(encoding='utf-8'))
            if (content['format'], content['root']) == (_FORMAT, str(self.root.resolve())):
                parts = {name: _Part(*values) for name, values in content['parts'].items()}
                self._outline, self._found = content['outline'], content['problems']
                self._parts = parts
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return


def _state(path: Path) -> list[Any]:
    """Return what changes when a file changes; nothing where there is none."""
    try:
        return state_of(path)
    except OSError:
        return []


def _cache(root: Path) -> Path:
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return Path(base, 'mrrate-bids', 'index', key)


def _tabulate(entries: list[Entry]) -> Any:
    """Return the files of series as a table; the cells of a series stand once in dictionaries."""
    import numpy as np  # noqa: PLC0415  (slow)
    import pyarrow as pa  # noqa: PLC0415

    entries = [entry for entry in entries if entry.files]
    counts = np.array([len(entry.files) for entry in entries], dtype=np.int64)
    arrays: dict[str, Any] = {}
    for name in FILE_COLUMNS:
        values = [text for entry in entries for text in _texts(entry, name)]
        arrays[name] = pa.array(values, pa.string()).dictionary_encode()
    names = dict.fromkeys(name for entry in entries for name in entry.cells)
    for name in names:
        if name not in arrays:
            cells = pa.array([entry.cells.get(name, '') for entry in entries], pa.string())
            coded = cells.dictionary_encode()
            codes = np.repeat(coded.indices.to_numpy(zero_copy_only=False), counts)
            arrays[name] = pa.DictionaryArray.from_arrays(pa.array(codes), coded.dictionary)
    return pa.table(arrays)


def _texts(entry: Entry, name: str) -> Iterator[str]:
    """Yield a column of the files of a series."""
    identifiers = [entry.cells.get(column, '') for column in ('study_uid', 'patient_uid')]
    for file in entry.files:
        text = str(getattr(file, name))
        yield shorten(text, *identifiers) if name in {'path', 'member'} else text
