"""A CSV is read so that its bytes can be made again; a TSV cell holds any text."""

import codecs
import csv
import hashlib
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mrrate_bids.errors import TableError
from mrrate_bids.tables import (
    Dialect,
    escape_cell,
    format_record,
    format_tsv,
    read_table,
    read_tsv,
    unescape_cell,
)

ODD = ['', 'NaN', 'NA', 'n/a', 'None', '0.0', '1e5', '007', 'a"b', '"', '""', "'", ',', ' x ']
ODD += ['a,b', 'a\nb', 'a\r\nb', 'a\rb', '\n', '\r', 'a\tb', '\xa0', '\x85', '\u2028', '\u2029']
ODD += [
    '\x7f',
    '\x00',
    '\ufeff',
    '\\',
    '\\n',
    '\\u006e/a',
    'İıŞşĞğÇç',
    '🧠',
    'e\u0301',
    '#',
    '=1+1',
]
cells = st.sampled_from(ODD) | st.text(max_size=6)
rows = st.lists(st.lists(cells, min_size=3, max_size=3), max_size=5)
newlines = st.sampled_from(['\n', '\r\n', '\r'])
quoting = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])


def _read(data: bytes, required=('study_uid',), **more):
    with TemporaryDirectory() as folder:
        path = Path(folder, 'a.csv')
        path.write_bytes(data)
        return read_table(path, name='a.csv', required=required, **more)


def _render(table) -> bytes:
    """Write a table again from what was kept of it."""
    dialect = table.dialect
    text = table.raw_header or format_record(table.header, dialect)
    for record in sorted(table.records + table.rest, key=lambda record: record.number):
        raw = record.raw
        text += format_record(record.cells, dialect) if raw is None else raw
    if not dialect.last_newline:
        text = text.removesuffix(dialect.newline)
    return (codecs.BOM_UTF8 if dialect.bom else b'') + text.encode()


def _csv(records, newline='\n', quote=csv.QUOTE_MINIMAL) -> str:
    lines = []
    for record in records:
        text = io.StringIO()
        csv.writer(text, quoting=quote, lineterminator='\r\n').writerow(record)
        lines.append(text.getvalue().removesuffix('\r\n') + newline)
    return ''.join(lines)


@given(rows, newlines, quoting, st.booleans(), st.booleans())
def test_csv_and_back(body, newline, quote, bom, last_newline):
    header = ['study_uid', 'a "b"', 'İ, x']
    text = _csv([header, *body], newline, quote)
    if not last_newline:
        text = text.removesuffix(newline)
    data = (codecs.BOM_UTF8 if bom else b'') + text.encode()
    table = _read(data)
    assert table.header == header
    assert [record.cells for record in table.records] == body
    assert _render(table) == data
    assert all(record.raw is None for record in table.records)


@given(st.lists(st.tuples(quoting, newlines, cells, cells, cells), max_size=5), st.booleans())
def test_records_in_different_spellings_and_back(body, last_newline):
    data = 'study_uid,b,c\n'
    data += ''.join(_csv([row], newline, quote) for quote, newline, *row in body)
    data = (data if last_newline else data.rstrip('\r\n')).encode()
    assert _render(_read(data)) == data


@given(st.text(alphabet='ab,"\r\n \t\ufeffğ', max_size=30))
@example('"a" ,b\n')
@example('a,b')
@example('\n\n')
@example('a"b,c\r\n')
@example('"a')
def test_any_text_is_read_so_that_it_can_be_written_again_or_refused(body):
    data = ('study_uid,b\n' + body).encode()
    try:
        table = _read(data)
    except TableError:
        return
    assert _render(table) == data


@pytest.mark.parametrize(
    ('data', 'dialect'),
    [
        (b'study_uid,b\n1,2\n', Dialect()),
        (b'\xef\xbb\xbfstudy_uid,b\n1,2\n', Dialect(bom=True)),
        (b'study_uid,b\r\n1,2\r\n', Dialect(newline='\r\n')),
        (b'study_uid,b\r1,2\r', Dialect(newline='\r')),
        (b'"study_uid","b"\n"1","2"\n', Dialect(quote_all=True)),
        (b'study_uid,b\n1,2', Dialect(last_newline=False)),
        (b'study_uid,b', Dialect(last_newline=False)),
    ],
)
def test_dialect_is_recognised_and_nothing_is_kept_raw(data, dialect):
    table = _read(data)
    assert table.dialect == dialect
    assert all(record.raw is None for record in table.records)
    assert _render(table) == data


@pytest.mark.parametrize('newline', ['\n', '\r\n', '\r'])
@pytest.mark.parametrize('cell', ['a\rb', 'a\nb', 'a\r\nb'])
def test_line_ends_in_cells_are_quoted_whatever_the_version_of_python(cell, newline):
    assert format_record([cell, 'c'], Dialect(newline=newline)) == f'"{cell}",c{newline}'


def test_odd_records_keep_their_text():
    table = _read(b'study_uid,b\n"1",2\n3,4\n5,6\r\n')
    assert [record.raw for record in table.records] == ['"1",2\n', None, '5,6\r\n']


def test_facts_tell_what_the_cells_cannot():
    table = _read(b'\xef\xbb\xbf"study_uid",b\r\n1,2')
    assert table.facts() == {
        'table': 'a.csv',
        'rows': 1,
        'sha256': hashlib.sha256(b'\xef\xbb\xbf"study_uid",b\r\n1,2').hexdigest(),
        'header': ['study_uid', 'b'],
        'raw_header': '"study_uid",b\r\n',
        'bom': True,
        'newline': '\r\n',
        'last_newline': False,
        'quote_all': False,
    }


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'study_uid\n\xff\n', 'not UTF-8'),
        (b'study_uid\n\xed\xa0\x80\n', 'not UTF-8'),
        (b'study_uid\n' + b'a' * 70_000 + b'\xff\n', 'not UTF-8'),
        (b'study,b\n1,2\n', 'lacks the column study_uid; it has study, b'),
        (b'', 'lacks the column study_uid'),
        (b'\n', 'lacks the column'),
        (b'study_uid,b,b\n', 'the column b more than once'),
        (b'study_uid,b\n"1,2\n', 'not a CSV'),
    ],
)
def test_table_that_is_refused(data, message):
    with pytest.raises(TableError, match=message) as found:
        _read(data)
    assert str(found.value).startswith('a.csv: ')
    assert found.value.hint


def test_missing_table_is_refused(tmp_path):
    with pytest.raises(TableError, match=r'gone\.csv: cannot be read'):
        read_table(tmp_path / 'gone.csv', name='gone.csv', required=())
    with pytest.raises(TableError, match='cannot be read'):
        read_table(tmp_path, name='a folder', required=())


def test_ragged_rows_are_set_aside_with_their_numbers():
    table = _read(b'study_uid,b\n1,2\n3\n\n4,5,6\n7,8\n')
    assert [(r.number, r.cells) for r in table.records] == [(0, ['1', '2']), (4, ['7', '8'])]
    assert [(r.number, r.cells) for r in table.ragged] == [
        (1, ['3']),
        (3, ['4', '5', '6']),
    ]


def test_keep_leaves_out_records_and_keeps_the_numbers():
    table = _read(b'b,study_uid\n1,x\n2,y\n3,x\n', keep=lambda uid: uid == 'x')
    assert [(r.number, r.cells) for r in table.records] == [(0, ['1', 'x']), (2, ['3', 'x'])]


def test_groups_and_columns():
    table = _read(b'study_uid,b\nx,1\ny,2\nx,3\n')
    groups = {
        uid: [r.number for r in records] for uid, records in table.group('study_uid').items()
    }
    assert groups == {'x': [0, 2], 'y': [1]}
    assert [table.column('b'), table.column('c')] == [1, None]


def test_long_reports_are_read():
    text = 'a' * 300_000
    assert _read(f'study_uid,b\n1,{text}\n'.encode()).records[0].cells[1] == text


def test_identifiers_stay_text():
    assert _read(b'study_uid,b\n007,1e5\n').records[0].cells == ['007', '1e5']


@given(cells)
@example('\ud800')
def test_cell_and_back(text):
    cell = escape_cell(text)
    assert unescape_cell(cell) == text
    assert cell
    assert len(cell.splitlines()) == 1
    assert '\t' not in cell
    assert not cell.startswith('"')


@given(cells, cells)
def test_different_texts_have_different_cells(one, other):
    assert (escape_cell(one) == escape_cell(other)) == (one == other)


@pytest.mark.parametrize(
    ('text', 'cell'),
    [
        ('', 'n/a'),
        ('n/a', '\\u006e/a'),
        ('N/A', 'N/A'),
        ('a\nb', 'a\\nb'),
        ('\u2028\x85\x7f', '\\u2028\\u0085\\u007f'),
        ('İğ', 'İğ'),
    ],
)
def test_spelling_of_a_cell(text, cell):
    assert escape_cell(text) == cell


@given(rows)
def test_pandas_reads_what_we_wrote(body):
    header = ['a', 'b', 'c']
    with TemporaryDirectory() as folder:
        path = Path(folder, 'a.tsv')
        path.write_text(format_tsv(header, body), encoding='utf-8')
        frame = pd.read_csv(path, sep='\t', keep_default_na=False, dtype=str)
        ours = read_tsv(path)
    assert list(frame.columns) == header
    found = [[unescape_cell(cell) for cell in row] for row in frame.itertuples(index=False)]
    assert found == body
    assert [list(row.values()) for row in ours] == body


@pytest.mark.parametrize('line', ['1', '1\t2\t3', '1\t"', '1\t\\x', ''])
def test_damaged_tsv_is_refused(line, tmp_path):
    path = tmp_path / 'a.tsv'
    path.write_text(f'a\tb\n1\t2\n{line}\n3\t4\n', encoding='utf-8')
    with pytest.raises(TableError, match='data row 2'):
        read_tsv(path)


def test_a_stray_quote_costs_nothing_but_its_own_looks():
    table = _read(b'study_uid,b\n1,"15"97\n2,5" disk\n3,ok\n')
    assert [row.cells for row in table.records] == [['1', '1597'], ['2', '5" disk'], ['3', 'ok']]
    assert [row.raw is None for row in table.records] == [False, False, True]


def test_blank_lines_are_kept_and_are_no_defect():
    table = _read(b'study_uid,b\n\n1,2\n\n')
    assert not table.ragged
    assert [(row.number, table.raw(row)) for row in table.rest] == [(0, '\n'), (2, '\n')]
