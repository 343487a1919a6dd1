"""The tables of a release, written from the receipts of an import.

A row that came from a release goes back to its place, spelt as it was; a new one stands behind
the other rows of its study. When every row of the table that was exported is accounted for, so
are the rows that no study stands for, and the table is the original byte for byte.
"""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrrate_bids.files import remove, write_bytes
from mrrate_bids.importing.records import table_name
from mrrate_bids.metadata_columns import column_order
from mrrate_bids.naming import NATIVE
from mrrate_bids.receipts import FOLDER, METADATA, REPORTS, Receipt, Receipts
from mrrate_bids.tables import Dialect, format_record

__all__ = ['write_tables']

_DIALECT = ('bom', 'newline', 'last_newline', 'quote_all')
_END = '\r\n'


@dataclass(slots=True)
class _Row:
    number: int | None
    study: str
    cells: dict[str, str]
    raw: str | None

    @property
    def order(self) -> tuple[str, str, float, str]:
        """Where a new row stands among other new ones, as upstream sorts the metadata."""
        try:
            number = float(self.cells.get('SeriesNumber') or 'inf')
        except ValueError:
            number = math.inf
        return (
            self.cells.get('patient_uid', ''),
            self.study,
            number,
            self.cells.get('series_id', ''),
        )


@dataclass(slots=True)
class _Sheet:
    """A table that is being put together."""

    facts: dict[str, Any] = field(default_factory=dict)
    rest: dict[int, str] = field(default_factory=dict)
    rows: list[_Row] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)

    def add(self, study: str, record: dict[str, Any], cells: dict[str, str]) -> None:
        self.rows.append(_Row(record['row'], study, cells, record.get('raw')))

    @property
    def is_whole(self) -> bool:
        """Whether every row of the table that was exported is accounted for."""
        known = {row.number for row in self.rows} - {None}
        count = len(known | self.gone | self.rest.keys())
        return bool(self.facts) and count == self.facts['rows']

    @property
    def is_known(self) -> bool:
        """Whether it is known how the table was spelt that the rows came from."""
        return bool(self.facts) or all(row.number is None for row in self.rows)

    def header(self) -> list[str]:
        known = list(self.facts.get('header', ()))
        names = dict.fromkeys(name for row in self.rows for name in row.cells)
        more = [name for name in names if name not in known]
        if known or not more:
            return known + sorted(more)
        return column_order(more) if 'series_id' in more else more

    def lines(self) -> Iterator[str]:
        """Yield the lines of the file."""
        header, dialect = self.header(), self._dialect()
        raw_header = self.facts.get('raw_header')
        same = header == self.facts.get('header')
        yield raw_header if raw_header and same else format_record(header, dialect)
        texts = [(key, _text(row, header, dialect)) for key, row in self._placed()]
        if self.is_whole:
            texts += [((number, 0, ('', '', 0.0, '')), raw) for number, raw in self.rest.items()]
            texts.sort(key=lambda item: item[0])
        for position, (_, text) in enumerate(texts, start=1):
            yield _ended(text, dialect, last=position == len(texts))

    def _dialect(self) -> Dialect:
        return Dialect(**{name: self.facts[name] for name in _DIALECT if name in self.facts})

    def _placed(self) -> list[tuple[tuple[float, int, tuple[Any, ...]], _Row]]:
        last: dict[str, int] = {}
        for row in self.rows:
            if row.number is not None:
                last[row.study] = max(row.number, last.get(row.study, -1))
        placed = []
        for row in self.rows:
            if row.number is None:
                key = (last.get(row.study, math.inf), 1, row.order)
            else:
                key = (row.number, 0, ('', '', 0.0, ''))
            placed.append((key, row))
        return sorted(placed, key=lambda item: item[0])


def _text(row: _Row, header: Sequence[str], dialect: Dialect) -> str:
    cells = [row.cells.get(name, '') for name in header]
    if row.raw is not None and next(csv.reader(io.StringIO(row.raw, newline='')), None) == cells:
        return row.raw
    return format_record(cells, dialect)


def _ended(text: str, dialect: Dialect, *, last: bool) -> str:
    if last and not dialect.last_newline:
        return text[: -len(dialect.newline)] if text.endswith(dialect.newline) else text
    return text if text.endswith(tuple(_END)) else text + dialect.newline


def write_tables(
    receipts: Receipts, source: Path, target: Path
) -> Iterator[tuple[str, bool, bool]]:
    """Write the CSVs of a release, while it is iterated over.

    Parameters
    ----------
    receipts
        Those of the import; they hold the rows.
    source
        The dataset, which says how the tables of an exported release were spelt.
    target
        The release.

    Yields
    ------
    name, same, known
        Of each table, whether it is byte for byte what was exported, and whether it is known how
        that was spelt; of a table that no export wrote there is nothing to know.

    Raises
    ------
    DestinationError
        When the release cannot take files.
    """
    sheets = _Sheets(source)
    for batch, members in _batches(receipts):
        for receipt in members:
            sheets.take(receipt)
        yield from _write_all(sheets, batch, target)
    yield from _write_all(sheets, '', target)


def _write_all(sheets: '_Sheets', batch: str, target: Path) -> Iterator[tuple[str, bool, bool]]:
    for name in sheets.names(batch):
        sheet = sheets.pop(name)
        same = _write(target / NATIVE / name, sheet)
        if same is not None:
            yield name, same, sheet.is_known


def _batches(receipts: Receipts) -> Iterator[tuple[str, list[Receipt]]]:
    batch, members = '', list[Receipt]()
    for receipt in receipts:
        if receipt.batch != batch and members:
            yield batch, members
            members = []
        batch = receipt.batch
        members.append(receipt)
    if members:
        yield batch, members


def _write(path: Path, sheet: _Sheet) -> bool | None:
    """Write a table; tell whether it is what was exported, ``None`` when there is none."""
    if not sheet.rows and not (sheet.is_whole and not sheet.gone):
        remove(path)
        return None
    encoding = 'utf-8-sig' if sheet.facts.get('bom') else 'utf-8'
    data = ''.join(sheet.lines()).encode(encoding)
    if not path.exists() or path.read_bytes() != data:
        write_bytes(path, data)
    return hashlib.sha256(data).hexdigest() == sheet.facts.get('sha256')


class _Sheets:
    """The tables that are being put together, by their place in the native repository."""

    def __init__(self, source: Path) -> None:
        self._sheets: dict[str, _Sheet] = {}
        folder = source / FOLDER / 'tables'
        for path in sorted(folder.rglob('*.json')):
            content = _read(path)
            if path.parent.name == 'rest':
                for name, rows in content.items():
                    self._of(name).rest.update(rows)
            elif isinstance(content.get('table'), str):
                self._of(content['table']).facts = content

    def _of(self, name: str) -> _Sheet:
        return self._sheets.setdefault(name, _Sheet())

    def names(self, batch: str) -> list[str]:
        """Return the tables of a batch; of the whole release, and all that are left, for none."""
        kinds = (table_name(kind, batch) for kind in (METADATA, REPORTS))
        return [name for name in kinds if name in self._sheets] if batch else sorted(self._sheets)

    def pop(self, name: str) -> _Sheet:
        return self._sheets.pop(name)

    def take(self, receipt: Receipt) -> None:
        """Add the rows of a study."""
        study, batch = receipt.study, receipt.batch
        sheet = self._of(table_name(METADATA, batch))
        for record in [*receipt.series.values(), *receipt.set_aside]:
            sheet.add(study, record, record['cells'])
        for record in receipt.tables.values():
            cells = dict(zip(record['header'], record['cells'], strict=True))
            self._of(record['table']).add(study, record, cells)
        for kind, numbers in receipt.gone.items():
            self._of(table_name(kind, batch)).gone.update(numbers)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8', errors='surrogatepass'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
