"""Rows of a table of the whole release, read where they stand."""

import os

import pytest

from mrrate_bids.errors import TableError
from mrrate_bids.table_index import TableIndex
from mrrate_bids.tables import read_table

TEXTS = {
    'bom and crlf': '\ufeffstudy_uid,split\r\nA,train\r\nB,val\r\nC,"test"\r\n',
    'no last line end': 'study_uid,split\nB,val\nA,train',
    'not ASCII': 'split,study_uid\nğıü—\u2028,A\nnaïve,B\n',
    'quoted line ends': 'study_uid,text\nC,"one\r\ntwo\n"\nA,"say ""no"""\nB,\n',
    'ragged': 'study_uid,split\nA,train,more\n\nB,val\nA\nA,test\n',
    'repeated': 'study_uid,split\nA,1\nB,1\nA,2\nC,1\nA,3\n',
    'everything quoted': '"study_uid","split"\n"A","train"\n"B","val"\n',
    'header only': 'study_uid,split\n',
}
REQUIRED = ('study_uid',)


@pytest.mark.parametrize('wanted', [set(), {'A'}, {'B', 'C'}, {'A', 'B', 'C', 'D'}])
@pytest.mark.parametrize('what', sorted(TEXTS))
def test_a_part_is_what_reading_the_whole_keeps_of_it(tmp_path, what, wanted):
    path = tmp_path / 'splits.csv'
    path.write_bytes(TEXTS[what].encode())
    index = TableIndex(path, name='splits.csv', required=REQUIRED)
    whole = read_table(path, name='splits.csv', required=REQUIRED, keep=wanted.__contains__)
    assert index.read(wanted) == whole


def test_what_one_part_sets_aside_is_not_in_the_next(tmp_path):
    path = tmp_path / 'splits.csv'
    path.write_text('study_uid,split\nA,1\nB,1\n')
    index = TableIndex(path, name='splits.csv', required=REQUIRED)
    first = index.read({'A'})
    first.rest += first.records
    assert index.read({'B'}).rest == []


def test_a_table_that_changed_or_went_is_noticed(tmp_path):
    path = tmp_path / 'splits.csv'
    path.write_text('study_uid,split\nA,1\n')
    index = TableIndex(path, name='splits.csv', required=REQUIRED)
    assert index.is_current
    os.utime(path, (1, 1))
    assert not index.is_current
    path.unlink()
    assert not index.is_current


@pytest.mark.parametrize('text', ['', 'patient_uid\n1\n', 'study_uid,split\nA,"open\nB,1\n'])
def test_a_table_of_no_use_is_refused(tmp_path, text):
    path = tmp_path / 'splits.csv'
    path.write_text(text)
    with pytest.raises(TableError, match=r'splits\.csv'):
        TableIndex(path, name='splits.csv', required=REQUIRED)
