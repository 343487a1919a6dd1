"""A run: which studies it takes, what it tells, and that a plan promises what a run does."""

import json
import zipfile
import zlib
from collections import Counter

import hostile
import pytest
from hostile import CENTRE, FAR, GOOD, MOVING, VICTIM, Study, export

from mrrate_bids.catalog import open_release
from mrrate_bids.descriptions import About
from mrrate_bids.errors import DestinationError, SelectionError
from mrrate_bids.export import ExportSettings, Outcome
from mrrate_bids.export_run import ExportRun, Summary
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import Receipt, Receipts
from mrrate_bids.selection import Selection, Shard
from mrrate_bids.tables import read_tsv


@pytest.fixture
def run(source, tmp_path):
    """Return a function that makes a run with the given selection."""

    def make(*, shard=None, about=None, settings=None, **selection):
        return ExportRun(
            open_release(source),
            tmp_path / 'bids',
            selection=Selection(**selection),
            settings=settings or ExportSettings(),
            shard=shard,
            about=about,
        )

    return make


def exported_studies(root) -> set[str]:
    return {receipt.study for receipt in Receipts(root) if receipt.outputs}


@pytest.mark.parametrize(
    ('severities', 'code'), [((), 0), (('warning',), 0), (('warning', 'error'), 3)]
)
def test_exit_code_of_a_summary(severities, code):
    problems = [Problem(severity, 'what') for severity in severities]
    assert Summary(problems=problems).exit_code == code


def test_summary_counts():
    summary = Summary()
    receipt = Receipt('22', VICTIM, 'batch00', 'complete')
    for status, size in [('done', 5), ('done', 6), ('skipped', 0), ('partial', 7)]:
        summary.add(Outcome(status, receipt, [], size))
    assert summary.counts == Counter(done=2, skipped=1, partial=1)
    assert summary.bytes == 18


def test_watch_is_told_the_progress(run):
    told = []
    run().execute(jobs=2, watch=lambda *what: told.append(what))
    assert [what[:3] for what in told] == [('batch00', 1, 2), ('batch00', 2, 2), ('batch01', 1, 1)]
    sizes = [what[3] for what in told]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3


@pytest.mark.parametrize('jobs', [1, 3, 16])
def test_number_of_jobs_does_not_matter(jobs, run, source, tmp_path):
    summary = run().execute(jobs=jobs)
    assert summary.counts == {'done': 3}
    assert not summary.problems
    export(source, tmp_path / 'other')
    assert hostile.tree(tmp_path / 'bids') == hostile.tree(tmp_path / 'other')


@pytest.mark.parametrize(
    ('selection', 'expected'),
    [
        ({'batches': ('1',)}, [FAR]),
        ({'batches': ('batch00', '01')}, [GOOD, VICTIM, FAR]),
        ({'patients': ('22', '33')}, [VICTIM, FAR]),
        ({'studies': (GOOD,)}, [GOOD]),
        ({'splits': ('val', 'test')}, [VICTIM, FAR]),
        ({'modalities': ('FLAIR',)}, [VICTIM]),
        ({'planes': ('sag',)}, [VICTIM]),
        ({'where': "split == 'test'"}, [FAR]),
        ({'where': 'SeriesNumber > 2'}, [VICTIM]),
        ({'where': 'age > 50'}, []),
        ({'where': "report.str.contains('VICTIM')"}, [VICTIM]),
        ({'splits': ('val',), 'patients': ('33',)}, []),
    ],
    ids=str,
)
def test_selection(selection, expected, run, tmp_path):
    summary = run(**selection).execute(jobs=2)
    assert summary.exit_code == 0
    assert exported_studies(tmp_path / 'bids') == set(expected)
    people = tmp_path / 'bids/participants.tsv'
    rows = read_tsv(people) if people.exists() else []
    assert len(rows) == len(expected)


@pytest.mark.parametrize('count', [1, 2, 3, 7])
def test_shards_share_the_studies(count, run):
    seen = Counter()
    for index in range(1, count + 1):
        problems = []
        seen.update(plan.study.study for plan in run(shard=Shard(index, count)).plans(problems))
        assert not problems
    assert seen == {GOOD: 1, VICTIM: 1, FAR: 1}


def test_plan_promises_what_the_run_does(run, tmp_path):
    plans = list(run().plans([]))
    assert not (tmp_path / 'bids').exists()
    rows = {row.target: row for plan in plans for row in plan.rows}
    run().execute(jobs=2)
    made = {
        where: path
        for where in hostile.files(tmp_path / 'bids')
        if (path := tmp_path / 'bids' / where).name.endswith(('.nii.gz', '.mat'))
    }
    assert made.keys() == rows.keys()
    for where, path in made.items():
        data = path.read_bytes()
        assert (len(data), zlib.crc32(data)) == (rows[where].member.size, rows[where].member.crc)
        assert (path.stat().st_nlink > 1) == any(
            row.twin in (where, rows[where].twin) and row.twin for row in rows.values()
        )


def test_dry_run_says_what_a_run_would_say(source, studies, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studies[1].zip_of(source).write_bytes(b'')
    before = hostile.tree(tmp_path)
    dry = export(source, tmp_path / 'bids', '--dry-run')
    assert dry.code == 3
    assert f'{VICTIM}.zip: is truncated or no zip' in dry.output
    after = hostile.tree(tmp_path)
    assert after.keys() - before.keys() == {'export-plan.tsv'}
    rows = read_tsv(tmp_path / 'export-plan.tsv')
    export(source, tmp_path / 'bids')
    ends = ('.nii.gz', '.mat')
    made = {where for where in hostile.files(tmp_path / 'bids') if where.endswith(ends)}
    assert {row['target'] for row in rows if row['target'].endswith(ends)} == made


def test_plan_of_defects_names_them_all(run, studies, source):
    studies[1].zip_of(source).write_bytes(b'')
    (source / 'MR-RATE/splits.csv').write_text('nothing')
    (source / 'MR-RATE/metadata/batch01_metadata.csv').write_text('nothing')
    problems = []
    plans = list(run().plans(problems))
    assert [plan.study.study for plan in plans] == [GOOD, VICTIM]
    assert {problem.batch for problem in problems} == {'batch01', ''}
    assert [len(plan.problems) for plan in plans] == [0, 1]


def test_run_ends_at_a_destination_that_fails(run, tmp_path):
    (tmp_path / 'bids/sourcedata/mrrate').mkdir(parents=True)
    (tmp_path / 'bids/sub-11').write_text('?')
    with pytest.raises(DestinationError, match='a file where a folder should be'):
        run().execute(jobs=1)
    assert not (tmp_path / 'bids/participants.tsv').exists()
    assert not list((tmp_path / 'bids').glob('sub-33/*'))
    (tmp_path / 'bids/sub-11').unlink()
    assert run().execute(jobs=1).exit_code == 0
    hostile.assert_sound(tmp_path / 'bids')


def test_batch_that_does_not_exist(run):
    with pytest.raises(SelectionError, match='there is no batch 7') as found:
        run(batches=('00', '7'))
    assert 'batch00, batch01' in found.value.hint


@pytest.mark.parametrize(
    ('selection', 'says'),
    [
        ({'studies': (GOOD, 'NOPE', 'NEVER')}, 'no study_uid NEVER, NOPE'),
        ({'patients': ('1',)}, 'no patient_uid 1'),
        ({'studies': (FAR,), 'batches': ('00',)}, f'no study_uid {FAR}'),
    ],
)
def test_identifier_that_the_release_does_not_have(selection, says, run):
    with pytest.raises(SelectionError, match=says):
        run(**selection)


def test_unreadable_metadata_are_not_called_an_unknown_study(run, source, tmp_path):
    (source / 'MR-RATE/metadata/batch00_metadata.csv').write_text('nothing')
    summary = run(studies=(VICTIM,)).execute(jobs=1)
    assert summary.exit_code == 3
    assert 'metadata/batch00_metadata.csv' in summary.problems[0].message


def test_images_without_metadata_of_their_batch(source, studies, tmp_path):
    (source / 'MR-RATE/metadata/batch01_metadata.csv').unlink()
    done = export(source, tmp_path / 'bids')
    assert done.code == 3
    assert 'metadata/batch01_metadata.csv is missing: 1 studies have no row' in done.output
    assert exported_studies(tmp_path / 'bids') == {GOOD, VICTIM}


def test_metadata_without_images_are_no_defect(run, source, tmp_path):
    for path in source.glob(f'*/mri/batch00/{VICTIM}*'):
        path.unlink()
    summary = run().execute(jobs=2)
    assert summary.exit_code == 0
    assert summary.counts == {'done': 2, 'absent': 1}
    assert exported_studies(tmp_path / 'bids') == {GOOD, FAR}


def test_visits_are_numbered_by_date(source, studies, tmp_path):
    early = Study('EARLYDDDDD', '22', 'batch01', (CENTRE,), split='val', date='20190101', seed=4)
    hostile.write_release(source, [*studies, early])
    assert export(source, tmp_path / 'bids').code == 0
    first, second = (
        read_tsv(tmp_path / f'bids/phenotype/radiology_report_visit-0{n}.tsv') for n in (1, 2)
    )
    assert [row['session_id'] for row in first] == [
        f'ses-{GOOD}',
        'ses-EARLYDDDDD',
        f'ses-{FAR}',
    ]
    assert [row['report'] for row in second] == [f'Head of {VICTIM}.\nNormal.']
    sessions = read_tsv(tmp_path / 'bids/sub-22/sub-22_sessions.tsv')
    assert [row['study_uid'] for row in sessions] == ['EARLYDDDDD', VICTIM]
    assert [row['acq_time'] for row in sessions] == [
        '2019-01-01T00:00:00',
        '2020-01-01T00:00:00',
    ]


def test_what_was_set_aside_is_kept_in_full(source, studies, tmp_path):
    path = studies[1].zip_of(source)
    del studies[1].files['MR-RATE'][studies[1].image(MOVING)]
    hostile.write_zip(path, studies[1].files['MR-RATE'], prefix=f'{VICTIM}/')
    assert export(source, tmp_path / 'bids').code == 3
    (row,) = read_tsv(tmp_path / 'bids/sourcedata/mrrate/set_aside.tsv')
    assert (row['study_uid'], row['row']) == (VICTIM, '2')
    assert f'series_id={MOVING}; ' in row['cells']
    states = read_tsv(tmp_path / 'bids/sourcedata/mrrate/studies.tsv')
    assert {state['study_uid']: state['state'] for state in states} == {
        GOOD: 'complete',
        VICTIM: 'partial',
        FAR: 'complete',
    }


def test_about(run, tmp_path):
    run(about=About(name='Ours', license='CC0', source='https://example.org')).execute(jobs=1)
    description = json.loads((tmp_path / 'bids/dataset_description.json').read_text())
    assert (description['Name'], description['License']) == ('Ours', 'CC0')


def test_every_byte_of_the_demo_arrives(release, exported):
    """Nothing of a real release is lost, changed or invented."""
    before, after = Counter(), Counter()
    for path in release.rglob('*.zip'):
        with zipfile.ZipFile(path) as archive:
            before.update((info.file_size, info.CRC) for info in archive.infolist())
    for path in exported.rglob('*'):
        if path.name.endswith(('.nii.gz', '.mat')):
            data = path.read_bytes()
            after[len(data), zlib.crc32(data)] += 1
    assert before
    assert after == before
    assert not hostile.problems(exported)


def test_dataset_of_somebody_else_is_left_alone(run, tmp_path):
    other = tmp_path / 'bids'
    other.mkdir()
    (other / 'dataset_description.json').write_text('{}')
    with pytest.raises(DestinationError, match='not exported from a release: dataset_description'):
        run()
    assert [path.name for path in other.iterdir()] == ['dataset_description.json']


def test_rows_of_no_study_are_kept_as_they_stand(source, studies, tmp_path):
    native = source / 'MR-RATE'
    strays = {
        'reports/batch00_reports.csv': 'STRAYSTRAY,"a ""quoted"" report"\n',
        'splits.csv': 'batch07,99,"STRAYSTRAY",train\n',
    }
    for name, line in strays.items():
        path = native / name
        path.write_text(path.read_text() + line)
    ragged = native / 'metadata/batch01_metadata.csv'
    ragged.write_text(ragged.read_text() + 'too,few\n')
    assert export(source, tmp_path / 'bids').code == 3
    folder = tmp_path / 'bids/sourcedata/mrrate/tables/rest'
    kept = {path.stem: json.loads(path.read_text()) for path in folder.glob('*.json')}
    texts = {
        (where, table): [raw for _, raw in rows]
        for where, tables in kept.items()
        for table, rows in tables.items()
    }
    assert texts == {
        ('batch00', 'reports/batch00_reports.csv'): [strays['reports/batch00_reports.csv']],
        ('batch01', 'metadata/batch01_metadata.csv'): ['too,few\n'],
        ('release', 'splits.csv'): [strays['splits.csv']],
    }


def test_metadata_are_kept_when_no_image_is_exported(run, tmp_path):
    export_only = ExportSettings(include=('coreg',))
    run(studies=(GOOD,), settings=export_only).execute(jobs=1)
    receipt = Receipts(tmp_path / 'bids').load('batch00', GOOD)
    assert CENTRE in receipt.series
    assert receipt.series[CENTRE]['cells']['series_id'] == CENTRE


def test_problem_of_a_wider_run_outlives_a_narrower_one(source, studies, tmp_path):
    for path in (source / 'MR-RATE').rglob('*.csv'):
        path.write_text(path.read_text().replace(FAR, GOOD.lower()))
    export(source, tmp_path / 'bids')
    wide = {row['message'] for row in hostile.problems(tmp_path / 'bids')}
    assert any('by case only' in message for message in wide)
    export(source, tmp_path / 'bids', '--study', GOOD)
    assert wide == {row['message'] for row in hostile.problems(tmp_path / 'bids')}


def test_nothing_that_is_asked_for_leaves_no_trace(run, tmp_path):
    summary = run(where='age > 200').execute(jobs=1)
    assert not summary.counts
    assert not (tmp_path / 'bids').exists()


def test_split_without_splits(source, tmp_path):
    (source / 'MR-RATE/splits.csv').unlink()
    done = export(source, tmp_path / 'bids', '--split', 'val')
    assert done.code == 2
    assert 'splits.csv' in done.output
