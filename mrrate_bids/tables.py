r"""Tables read so that they can be written back byte for byte, and TSV cells that survive BIDS.

A CSV of the release is read as text, cell by cell; what the cells and the header cannot tell
(byte order mark, line ends, unusual quoting) is kept as :class:`Dialect` and, for the odd record,
as its raw text.

>>> escape_cell('line one\nline two'), escape_cell(''), escape_cell('n/a')
('line one\\nline two', 'n/a', '\\u006e/a')
>>> unescape_cell('\\u006e/a')
'n/a'

Sources: RFC 4180; BIDS 1.10.1, "Tabular files".
"""

import codecs
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mrrate_bids.errors import TableError

__all__ = [
    'Dialect',
    'Record',
    'Table',
    'escape_cell',
    'format_record',
    'format_tsv',
    'iterate_records',
    'make_record',
    'read_table',
    'read_tsv',
    'unescape_cell',
]

_CELL_LIMIT = 1 << 26  # a report is a few kB; the default of the csv module is 128 kB
_NOT_BARE = re.compile('[\x7f\x85\u2028\u2029]')


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a CSV file looks like beyond its cells."""

    bom: bool = False
    newline: str = '\n'
    last_newline: bool = True
    quote_all: bool = False


@dataclass(slots=True)
class Record:
    """One data row: its number (0-based, without the header) and its cells as text."""

    number: int
    cells: list[str]
    raw: str | None = None
    """The text of the record where the dialect would write it otherwise."""


@dataclass(slots=True)
class Table:
    """A CSV of the release: where it was, its header, its records."""

    name: str
    header: list[str]
    records: list[Record]
    dialect: Dialect
    raw_header: str | None = None
    rest: list[Record] = field(default_factory=list)
    """Rows that no study stands for, set aside: of another number of cells than the header, a
    second one for the same study, of a study that the metadata do not have."""

    rows: int = 0
    """Data rows in the file, kept or not."""

    sha256: str = ''
    """Of the whole file."""

    def column(self, name: str) -> int | None:
        """Return the position of a column, ``None`` when the table has none of that name."""
        return self.header.index(name) if name in self.header else None

    def group(self, column: str) -> dict[str, list[Record]]:
        """Return the records by the value of a required column, in file order."""
        position = self.header.index(column)
        groups: dict[str, list[Record]] = {}
        for record in self.records:
            groups.setdefault(record.cells[position], []).append(record)
        return groups

    @property
    def ragged(self) -> list[Record]:
        """Rows with another number of cells than the header; a blank line is none."""
        return [row for row in self.rest if row.cells and len(row.cells) != len(self.header)]

    def raw(self, record: Record) -> str:
        """Return the text of a record as it stands in the file."""
        return format_record(record.cells, self.dialect) if record.raw is None else record.raw

    def facts(self) -> dict[str, Any]:
        """Return what the cells of a BIDS dataset cannot tell about this table, for JSON."""
        facts = {'table': self.name, 'rows': self.rows, 'sha256': self.sha256}
        facts['header'] = self.header
        if self.raw_header is not None:
            facts['raw_header'] = self.raw_header
        return facts | asdict(self.dialect)


def format_record(cells: Sequence[str], dialect: Dialect) -> str:
    """Return a record as CSV text with the line end of *dialect*."""
    buffer = io.StringIO()
    # Before Python 3.13 only the characters of the line end are quoted: have both of them in it.
    write = csv.writer(
        buffer,
        quoting=csv.QUOTE_ALL if dialect.quote_all else csv.QUOTE_MINIMAL,
        lineterminator='\r\n',
    )
    write.writerow(cells)
    return buffer.getvalue()[:-2] + dialect.newline


class _Lines:
    """Iterate over the lines of a text and remember those that make up the current record."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text = text
        self._taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            self._taken.append(line)
            yield line

    def take(self) -> str:
        raw, self._taken[:] = ''.join(self._taken), []
        return raw


def read_table(
    path: Path, *, name: str, required: Iterable[str], keep: Callable[[str], bool] | None = None
) -> Table:
    """Read a CSV of the release as text.

    Parameters
    ----------
    path
        The file, UTF-8 with or without byte order mark.
    name
        What to call it in messages and in the dataset, relative to its repository.
    required
        Columns without which the table is of no use.
    keep
        Whether to keep a record, asked with the value of the first required column.

    Raises
    ------
    TableError
        When the file is missing, is not UTF-8 or not CSV, or when its header repeats a name or
        lacks a required column.
    """
    try:
        with path.open('rb') as file:
            bom = file.read(3) == codecs.BOM_UTF8
            file.seek(0)
            digest = hashlib.file_digest(file, 'sha256')
        encoding = 'utf-8-sig' if bom else 'utf-8'
        with path.open(encoding=encoding, newline='') as text:
            table = _read(text, name=name, required=list(required), keep=keep, bom=bom)
    except UnicodeDecodeError as error:
        raise TableError(
            f'{name}: not UTF-8 ({error.reason} near byte {error.start})',
            hint='Save it as UTF-8, or fetch it again from the release.',
        ) from error
    except csv.Error as error:
        raise TableError(f'{name}: not a CSV file ({error})') from error
    except OSError as error:
        raise TableError(f'{name}: cannot be read ({error.strerror})') from error
    table.sha256 = digest.hexdigest()
    return table


def _read(
    text: io.TextIOBase,
    *,
    name: str,
    required: list[str],
    keep: Callable[[str], bool] | None,
    bom: bool,
) -> Table:
    csv.field_size_limit(_CELL_LIMIT)
    lines = _Lines(text)
    reader = csv.reader(lines)
    header = next(reader, [])
    _check_header(header, name=name, required=required)
    raw_header = lines.take()
    dialect = _dialect(raw_header, header, bom=bom)
    table = Table(name, header, [], dialect)
    table.raw_header = None if format_record(header, dialect) == raw_header else raw_header
    shared: dict[str, str] = {}
    key = header.index(required[0]) if required else 0
    raw = raw_header
    for number, cells in enumerate(reader):
        raw, table.rows = lines.take(), number + 1
        if len(cells) != len(header):
            table.rest.append(Record(number, cells, raw))
        elif keep is None or keep(cells[key]):
            table.records.append(make_record(number, cells, raw, dialect, shared))
    _refuse_open_quote(raw, table.rows)
    if not raw.endswith(('\n', '\r')):
        table.dialect = replace(dialect, last_newline=False)
    return table


def make_record(
    number: int, cells: list[str], raw: str, dialect: Dialect, shared: dict[str, str]
) -> Record:
    """Return a record, which keeps its raw text where the dialect would write it otherwise.

    Parameters
    ----------
    number, cells, raw
        The data row, from 0, its cells and its text. Only the last one of a file may lack its
        line end.
    dialect
        Of the table.
    shared
        The cells of a part of the table so far. A column repeats few values: one string for all
        of them keeps a batch small.
    """
    whole = raw if raw.endswith(('\n', '\r')) else raw + dialect.newline
    record = Record(number, [shared.setdefault(cell, cell) for cell in cells])
    record.raw = None if format_record(cells, dialect) == whole else raw
    return record


def iterate_records(path: Path, dialect: Dialect) -> Iterator[tuple[list[str], str]]:
    """Yield cells and text of the header, then of each record, of a table that can be read."""
    with path.open(encoding='utf-8-sig' if dialect.bom else 'utf-8', newline='') as text:
        lines = _Lines(text)
        for cells in csv.reader(lines):
            yield cells, lines.take()


def _refuse_open_quote(raw: str, rows: int) -> None:
    """Refuse a last record whose quote is never closed: it has swallowed what followed."""
    try:
        list(csv.reader(io.StringIO(raw, newline=''), strict=True))
    except csv.Error as error:
        if 'unexpected end' in str(error):
            raise csv.Error(f'the quote opened in data row {rows} is never closed') from error


def _check_header(header: list[str], *, name: str, required: list[str]) -> None:
    missing = [column for column in required if column not in header]
    if missing:
        raise TableError(
            f'{name}: lacks the column {", ".join(missing)}; it has {", ".join(header[:8])} …',
            hint='Compare its header with the dataset guide, or fetch it again.',
        )
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        raise TableError(f'{name}: has the column {", ".join(repeated)} more than once')


def _dialect(raw: str, header: list[str], *, bom: bool) -> Dialect:
    """Guess the dialect from the header line; records that differ keep their raw text."""
    newline = '\r\n' if raw.endswith('\r\n') else '\r' if raw.endswith('\r') else '\n'
    plain = Dialect(bom=bom, newline=newline)
    quoted = Dialect(bom=bom, newline=newline, quote_all=True)
    return quoted if format_record(header, quoted) == raw else plain


def escape_cell(text: str) -> str:
    """Return *text* as a TSV cell without tabs or line ends; empty becomes ``n/a``.

    A cell is the body of a JSON string, so that every text has exactly one cell.
    """
    if not text:
        return 'n/a'
    if text == 'n/a':
        return '\\u006e/a'
    body = json.dumps(text, ensure_ascii=False)[1:-1]
    return _NOT_BARE.sub(lambda found: f'\\u{ord(found[0]):04x}', body)


def unescape_cell(cell: str) -> str:
    """Return the text that :func:`escape_cell` made *cell* from."""
    if cell == 'n/a':
        return ''
    return str(json.loads(f'"{cell}"'))


def format_tsv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a TSV file with every cell escaped."""
    lines = ['\t'.join(header)]
    lines += ['\t'.join(map(escape_cell, row)) for row in rows]
    return '\n'.join(lines) + '\n'


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Read a TSV file that :func:`format_tsv` wrote.

    Raises
    ------
    TableError
        When a row has another number of cells than the header, or a cell is no JSON string body.
    """
    return parse_tsv(path.read_text(encoding='utf-8', errors='surrogatepass'), name=str(path))


def parse_tsv(text: str, *, name: str) -> list[dict[str, str]]:
    """Read the text of a TSV file; errors name it.

    Raises
    ------
    TableError
        As :func:`read_tsv` does.
    """
    header, *lines = text.rstrip('\n').split('\n')
    names = header.split('\t')
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            cells = [unescape_cell(cell) for cell in line.split('\t')]
            rows.append(dict(zip(names, cells, strict=True)))
        except ValueError as error:
            raise TableError(f'{name}: data row {number} cannot be read ({error})') from error
    return rows
