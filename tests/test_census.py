import pytest

from mrrate_bids.catalog import Study
from mrrate_bids.census import Census
from mrrate_bids.receipts import Receipt, Receipts
from mrrate_bids.tables import Record

HEADER = ['patient_uid', 'study_uid', 'series_id']


def study(patient='P1', uid='S1', batch='batch00', *, others=()):
    rows = [Record(n, [p, uid, 't1w-raw-axi']) for n, p in enumerate([patient, *others])]
    return Study(batch, patient, uid, HEADER, rows)


@pytest.fixture
def census(tmp_path):
    return Census(tmp_path, ['batch00', 'batch01'])


def test_ordinary_studies_stand_next_to_each_other(census):
    for uid in ('S1', 'S2'):
        assert census.objection(study(uid=uid)) == ('', '')
        assert not list(census.remarks(study(uid=uid)))


@pytest.mark.parametrize(
    ('second', 'says'),
    [
        (study(uid='S1', batch='batch01'), 'rows in batch00 as well'),
        (study(uid='s1'), 'differs from ses-S1 by case only'),
        (study('p1', 'S2'), 'differs from sub-P1 by case only'),
        (study(uid='S2', others=['P2']), 'several patients: P1, P2'),
        (study(uid=''), 'study_uid is empty in data rows 1'),
        (study('', 'S2', others=['']), 'patient_uid is empty in data rows 1, 2'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_what_cannot_stand_next_to_the_first(census, second, says):
    assert census.objection(study()) == ('', '')
    message, remedy = census.objection(second)
    assert says in message
    assert remedy


def test_a_study_does_not_object_to_itself(census):
    assert census.objection(study()) == census.objection(study()) == ('', '')


def test_what_an_earlier_run_exported_counts(tmp_path):
    Receipts(tmp_path).save(Receipt('P1', 'S1', 'batch00', 'complete'))
    (tmp_path / 'sub-P1').mkdir()
    census = Census(tmp_path, ['batch00', 'batch01'])
    assert 'by case only' in census.objection(study('p1', 'S9'))[0]
    assert 'batch00 as well' in census.objection(study(uid='S1', batch='batch01'))[0]


def test_identifiers_that_are_no_labels_are_remarked(census):
    found = list(census.remarks(study('a-b', 'S_1')))
    assert found[0].endswith("'a-b' is no BIDS label; it is written as sub-a+2Db")
    assert found[1].endswith('it is written as ses-S+5F1')
