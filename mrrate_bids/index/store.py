"""The index on disk: a Parquet file for each unit, and which state of the unit it is of.

It lives in a hidden folder of what is indexed, or in the user's cache where that cannot be
written. Every column is text, stored as a dictionary: a cell that many files share, a report for
example, is there once.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrrate_bids.ahead import Watch
from mrrate_bids.errors import DestinationError
from mrrate_bids.files import appear, insist, remove, write_text
from mrrate_bids.index.units import Entry, Unit, find_units
from mrrate_bids.naming import encode_label
from mrrate_bids.problems import Problem
from mrrate_bids.sources import state_of

__all__ = ['FILE_COLUMNS', 'Index']

FILE_COLUMNS = ('kind', 'home', 'path', 'member', 'size')
"""Columns that speak of the file; all others speak of its series, study or patient."""

_FORMAT = 1
_FOLDER = '.mrrate-bids/index'
_MANIFEST = 'manifest.json'
_WHOLE = 1 << 30  # keep a column of reports a dictionary, however long its texts are


@dataclass(slots=True)
class _Part:
    """What the manifest says of a unit."""

    file: str
    state: Any
    columns: list[str]
    rows: int
    stamp: list[int]
    """Size and time of the file, to know it again."""


class Index:
    """The index of a release or a dataset.

    Parameters
    ----------
    root
        What is indexed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[Problem] = []
        self._home, self._parts = self._find_home()

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

    def renew(self, *, rebuild: bool = False, watch: Watch | None = None) -> None:
        """Index what is new or has changed, and forget what is gone.

        Raises
        ------
        UsageError
            When the folder is neither a release nor a dataset.
        DestinationError
            When the index can be written nowhere.
        """
        units = find_units(self.root)
        stale = [unit for unit in units if rebuild or not self._is_current(unit)]
        for done, unit in enumerate(stale, 1):
            self._parts[unit.name] = self._write(unit)
            if watch:
                watch('units', done, len(stale), 0)
        gone = self._parts.keys() - {unit.name for unit in units}
        for name in gone:
            remove(self._home / self._parts.pop(name).file)
        if stale or gone:
            self._save()

    def read(self, columns: list[str], keep: Any = None) -> Any:
        """Return columns of files as a data frame of categorical text.

        Parameters
        ----------
        columns
            Their names; a unit that lacks one has empty cells there.
        keep
            An array that tells of all files which to return; all when left out. Units without
            any are not read.
        """
        import pandas as pd  # noqa: PLC0415  (a third of a second)
        import pyarrow as pa  # noqa: PLC0415

        tables, start = [], 0
        for _, part in sorted(self._parts.items()):
            mask = None if keep is None else keep[start : start + part.rows]
            start += part.rows
            if mask is None or mask.any():
                table = self._table(part, columns)
                tables.append(table if mask is None else table.filter(pa.array(mask)))
        if not tables:
            return pd.DataFrame({name: pd.Categorical([]) for name in columns})
        if keep is None:
            return pa.concat_tables(tables).unify_dictionaries().to_pandas()
        plain = [pa.table({n: t[n].cast(pa.string()) for n in columns}) for t in tables]
        return pa.concat_tables(plain).to_pandas()

    def _table(self, part: _Part, columns: list[str]) -> Any:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        there = [name for name in columns if name in {*FILE_COLUMNS, *part.columns}]
        path = self._home / part.file
        found = pq.read_table(path, columns=there, read_dictionary=there)
        kind = pa.dictionary(pa.int32(), pa.string())
        arrays = []
        for name in columns:
            if name in there:
                arrays.append(found[name].cast(kind))
            else:
                empty = pa.DictionaryArray.from_arrays(pa.array([0] * part.rows, pa.int32()), [''])
                arrays.append(pa.chunked_array([empty]))
        return pa.table(arrays, names=columns)

    def _is_current(self, unit: Unit) -> bool:
        part = self._parts.get(unit.name)
        state = json.loads(json.dumps(unit.state))
        if part is None or part.state != state:
            return False
        try:
            return state_of(self._home / part.file) == part.stamp
        except OSError:
            return False

    def _write(self, unit: Unit) -> _Part:
        import pyarrow.parquet as pq  # noqa: PLC0415

        found: list[Problem] = []
        table = _tabulate(list(unit.read(found)))
        self.problems += found
        name = f'{encode_label(unit.name)}.parquet'

        def write() -> None:
            with appear(self._home / name) as draft:
                pq.write_table(table, draft, compression='zstd', dictionary_pagesize_limit=_WHOLE)

        insist(write)
        # A unit that could not be read as a whole is tried again by the next run.
        state = None if found else unit.state
        columns = [column for column in table.column_names if column not in FILE_COLUMNS]
        return _Part(name, state, columns, table.num_rows, state_of(self._home / name))

    def _save(self) -> None:
        parts = {
            name: [part.file, part.state, part.columns, part.rows, part.stamp]
            for name, part in sorted(self._parts.items())
        }
        content = {'format': _FORMAT, 'root': str(self.root.resolve()), 'parts': parts}
        write_text(self._home / _MANIFEST, json.dumps(content))

    def _find_home(self) -> tuple[Path, dict[str, _Part]]:
        """Return where the index is, or can be, and what it holds."""
        homes = [self.root / _FOLDER, _cache(self.root)]
        for home in homes:
            parts = _load(home, self.root)
            if parts:
                return home, parts
        return next(_writable(homes)), {}


def _cache(root: Path) -> Path:
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return Path(base, 'mrrate-bids', 'index', key)


def _writable(homes: list[Path]) -> Iterator[Path]:
    for home in homes:
        try:
            write_text(home / _MANIFEST, '{}')
        except (DestinationError, OSError):
            continue
        yield home
    raise DestinationError(f'the index can be written neither in {homes[0]} nor in {homes[1]}')


def _load(home: Path, root: Path) -> dict[str, _Part]:
    """Read the manifest; of another version, of another folder, or damaged it is none."""
    try:
        content = json.loads((home / _MANIFEST).read_text(encoding='utf-8'))
        if (content['format'], content['root']) != (_FORMAT, str(root.resolve())):
            return {}
        return {name: _Part(*values) for name, values in content['parts'].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _tabulate(entries: list[Entry]) -> Any:
    """Return the files of series as a table; the cells of a series stand once in dictionaries."""
    import numpy as np  # noqa: PLC0415  (slow)
    import pyarrow as pa  # noqa: PLC0415

    entries = [entry for entry in entries if entry.files]
    counts = np.array([len(entry.files) for entry in entries], dtype=np.int64)
    names = dict.fromkeys(name for entry in entries for name in entry.cells)
    arrays: dict[str, Any] = {}
    for position, name in enumerate(FILE_COLUMNS):
        fields = ('kind', 'home', 'path', 'member', 'size')
        values = [str(getattr(file, fields[position])) for e in entries for file in e.files]
        arrays[name] = pa.array(values, pa.string()).dictionary_encode()
    for name in names:
        if name not in arrays:
            cells = pa.array([entry.cells.get(name, '') for entry in entries], pa.string())
            coded = cells.dictionary_encode()
            codes = np.repeat(coded.indices.to_numpy(zero_copy_only=False), counts)
            arrays[name] = pa.DictionaryArray.from_arrays(pa.array(codes), coded.dictionary)
    return pa.table(arrays)
