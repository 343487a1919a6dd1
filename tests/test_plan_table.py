"""The plan as a file: every row of it, or no file."""

import pytest
from makers import make_release

from mrrate_bids.archives import list_place
from mrrate_bids.catalog import open_release
from mrrate_bids.errors import DestinationError
from mrrate_bids.naming import INCLUDES
from mrrate_bids.plan import plan_study
from mrrate_bids.plan_table import PlanTable
from mrrate_bids.tables import read_tsv


@pytest.fixture(params=[True, False], ids=['zips', 'folders'])
def plan(request, tmp_path):
    series = ['t1w-raw-sag', 't2w-raw-axi']
    study = {'batch': 'batch00', 'patient': 'P', 'study': 'S', 'series': series}
    make_release(tmp_path / 'release', [study], zipped=request.param)
    (study,) = open_release(tmp_path / 'release').read_batch('batch00').studies
    wanted = {(name, group) for name in series for group in INCLUDES}
    return plan_study(study, map(list_place, study.places), wanted=wanted, link='auto')


def test_every_row_is_written(plan, tmp_path):
    path = tmp_path / 'new/plan.tsv'
    with PlanTable(path) as table:
        counted = list(table.add(plan))
        assert not path.exists()
    rows = read_tsv(path)
    files = [row for row in rows if row['action'] != 'describe']
    assert len(files) == len(plan.rows) == sum(group != 'JSON' for group, _ in counted)
    for row, written in zip(plan.rows, files, strict=True):
        member = row.member
        assert written['target'] == row.target
        assert written['kind'] == row.kind.name
        assert (written['batch'], written['patient_uid'], written['study_uid']) == (
            'batch00',
            'P',
            'S',
        )
        assert int(written['size']) == member.size
        assert written['source'] == (row.twin or str(member.path))
        assert written['action'] == ('hardlink' if row.twin else row.action)
        assert written['crc32'] == ('' if member.crc is None else f'{member.crc:08x}')
        assert written['offset'] == ('' if member.offset < 0 else str(member.offset))
        assert written['member'] == ('' if member.offset < 0 else member.name)
    assert sum(size for _, size in counted) == sum(row.member.size for row in plan.rows)
    described = {row['target'] for row in rows if row['action'] == 'describe'}
    assert len(described) == len(plan.rows)
    assert all(target.endswith('.json') for target in described)


def test_empty_plan_has_a_header(tmp_path):
    with PlanTable(tmp_path / 'plan.tsv'):
        pass
    assert (tmp_path / 'plan.tsv').read_text().startswith('batch\tpatient_uid\tstudy_uid')
    assert read_tsv(tmp_path / 'plan.tsv') == []


def test_odd_names_are_written(plan, tmp_path):
    plan.rows[0].member = plan.rows[0].member._replace(path=tmp_path / 'a\tb\udce9')
    with PlanTable(tmp_path / 'plan.tsv') as table:
        list(table.add(plan))
    assert b'a\\tb\xed\xb3\xa9' in (tmp_path / 'plan.tsv').read_bytes()


def test_nothing_is_left_of_a_plan_that_failed(plan, tmp_path):
    (tmp_path / 'out').mkdir()
    table = PlanTable(tmp_path / 'out/plan.tsv')
    with pytest.raises(KeyboardInterrupt), table:
        next(table.add(plan))
        raise KeyboardInterrupt
    assert not list((tmp_path / 'out').iterdir())


def test_plan_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(DestinationError, match='the plan cannot be written') as found:
        PlanTable(tmp_path / 'file/plan.tsv').__enter__()
    assert '--plan-file' in found.value.hint
