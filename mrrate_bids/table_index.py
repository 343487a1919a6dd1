"""Where the records of each study stand in a table of the whole release.

Splits and labels have a row for each of a hundred thousand studies, and every batch wants its own
few: the table is gone through once, and a batch reads its rows where they stand.
"""

import csv
import io
from array import array
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path

from mrrate_bids.sources import state_of
from mrrate_bids.tables import Table, iterate_records, make_record, read_table

__all__ = ['TableIndex']


class TableIndex:
    """A table of the whole release, of which a part is read at a time.

    Parameters
    ----------
    path, name, required
        As :func:`mrrate_bids.tables.read_table` takes them; the first column that is required
        is the one that rows are asked for by.

    Raises
    ------
    TableError
        As that function does.
    """

    def __init__(self, path: Path, *, name: str, required: tuple[str, ...]) -> None:
        self._path = path
        self._table = read_table(path, name=name, required=required, keep=lambda _: False)
        self._state = state_of(path)
        self._starts = array('Q', [3 if self._table.dialect.bom else 0])
        """Where the header, each record and the end of the file are, in bytes."""

        self._first: dict[str, int] = {}
        """The first record of each value."""

        self._others: dict[str, list[int]] = {}
        self._note(self._table.header.index(required[0]))

    def _note(self, key: int) -> None:
        ragged = {record.number for record in self._table.rest}
        records = iterate_records(self._path, self._table.dialect)
        for number, (cells, raw) in enumerate(records, start=-1):
            self._starts.append(self._starts[-1] + len(raw.encode()))
            if number < 0 or number in ragged:
                continue
            if self._first.setdefault(cells[key], number) != number:
                self._others.setdefault(cells[key], []).append(number)

    @property
    def is_current(self) -> bool:
        """Whether the file is as it was."""
        try:
            return state_of(self._path) == self._state
        except OSError:
            return False

    def read(self, values: Iterable[str]) -> Table:
        """Return the table with the records of these values, in file order.

        Rows of another number of cells than the header are among the rest each time.
        """
        table = replace(self._table, records=[], rest=list(self._table.rest))
        found = (self._numbers(value) for value in values)
        shared: dict[str, str] = {}
        with self._path.open('rb') as file:
            for number in sorted(chain.from_iterable(found)):
                start, end = self._starts[number + 1 : number + 3]
                file.seek(start)
                raw = file.read(end - start).decode()
                (cells,) = csv.reader(io.StringIO(raw, newline=''))
                table.records.append(make_record(number, cells, raw, table.dialect, shared))
        return table

    def _numbers(self, value: str) -> list[int]:
        first = self._first.get(value)
        return [] if first is None else [first, *self._others.get(value, ())]
