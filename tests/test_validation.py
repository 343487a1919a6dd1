import json
import shutil
from collections import Counter

import pytest

from mrrate_bids import validation
from mrrate_bids.checks import open_tree
from mrrate_bids.errors import UsageError
from mrrate_bids.selection import Shard
from mrrate_bids.tables import read_tsv
from mrrate_bids.validation import validate

STUDY = '2END5JBWVA'
IMAGE = f'sub-7731/ses-{STUDY}/anat/sub-7731_ses-{STUDY}_acq-cor_run-01_T2w.nii.gz'


@pytest.fixture
def foreign(tmp_path, exported):
    """Return a BIDS dataset without sessions that this package knows nothing about."""
    root = tmp_path / 'foreign'
    description = {'Name': 'x', 'BIDSVersion': '1.8.0', 'Authors': ['A'], 'License': 'CC0'}
    for name in ('sub-01', 'sub-02'):
        (root / name / 'anat').mkdir(parents=True)
        shutil.copy(exported / IMAGE, root / name / 'anat' / f'{name}_T1w.nii.gz')
        (root / name / 'anat' / f'{name}_T1w.json').write_text('{"EchoTime": 0.01}')
    (root / 'dataset_description.json').write_text(json.dumps(description))
    (root / 'README').write_text('A dataset of two subjects, for a test of the validator.\n')
    (root / 'participants.tsv').write_text('participant_id\tage\nsub-01\t20\nsub-02\t30\n')
    return root


def _not_run(report):
    return {row.check for row in report.rows if row.not_run}


def test_export_passes_every_check_and_the_validator(exported):
    report = validate(exported, deep=True)
    assert report.findings == []
    assert report.exit_code == 0
    assert _not_run(report) == set()
    titles = [row.dataset for row in report.rows if row.check == 'BIDS validator']
    derived = [f'mrrate-{name}' for name in ('atlas', 'coreg', 'defaced', 'nvsegctmr')]
    assert titles == ['raw', *derived]


@pytest.mark.parametrize('name', ['atlas', 'coreg', 'defaced', 'nvsegctmr'])
def test_derivative_alone(exported, name):
    report = validate(exported / f'derivatives/mrrate-{name}')
    assert report.findings == []
    assert 'same grids' not in _not_run(report)
    assert {'equal to receipts', 'one centre per study'} <= _not_run(report)


def test_foreign_dataset(foreign):
    report = validate(foreign, deep=True)
    assert report.findings == []
    done = {row.check: row.files for row in report.rows if not row.not_run}
    assert done == {'images whole': 2, 'tables and folders': 1, 'BIDS validator': 7}


def test_foreign_dataset_with_a_damaged_image(foreign):
    path = foreign / 'sub-02/anat/sub-02_T1w.nii.gz'
    path.write_bytes(path.read_bytes()[:-50])
    (found,) = validate(foreign, bids_validator=False).problems
    assert found.file == 'sub-02/anat/sub-02_T1w.nii.gz'
    assert found.remedy == 'Fetch it or make it again.'


def test_foreign_dataset_with_a_participant_without_data(foreign):
    with (foreign / 'participants.tsv').open('a') as table:
        table.write('sub-03\t40\n')
    report = validate(foreign)
    assert [problem.severity for problem in report.problems] == ['warning']
    assert report.exit_code == 0


def test_interrupted_first_export_is_a_dataset(copied):
    (copied / 'dataset_description.json').unlink()
    report = validate(copied, bids_validator=False)
    assert [problem.file for problem in report.problems] == ['dataset_description.json']


@pytest.mark.parametrize('make', [True, False])
def test_folder_that_is_no_dataset(tmp_path, make):
    root = tmp_path / 'empty'
    if make:
        root.mkdir()
    with pytest.raises(UsageError, match='is no BIDS dataset'):
        validate(root)


def test_missing_validator_is_said_once(exported, monkeypatch):
    monkeypatch.setattr(validation, 'find_validator', lambda: None)
    report = validate(exported)
    (found,) = report.problems
    assert found.severity == 'warning'
    assert found.remedy == 'Install it: pip install bids-validator-deno'
    assert [row.not_run for row in report.rows if row.check == 'BIDS validator'] == [
        'not installed'
    ]


def test_findings_of_the_validator_are_counted_by_dataset(copied):
    odd = copied / 'derivatives/mrrate-coreg/odd.txt'
    odd.write_text('?')
    report = validate(copied)
    assert [problem.file for problem in report.problems] == [
        'derivatives/mrrate-coreg/odd.txt',
    ]
    errors = {row.dataset: row.errors for row in report.rows if row.check == 'BIDS validator'}
    assert errors.pop('mrrate-coreg') == 1
    assert set(errors.values()) == {0}
    assert report.exit_code == 3


@pytest.mark.parametrize('jobs', [1, 4])
def test_order_of_findings_does_not_depend_on_jobs(copied, jobs):
    for path in copied.glob('**/*_T2w.nii.gz'):
        path.write_bytes(b'')
    report = validate(copied, jobs=jobs, bids_validator=False)
    keys = [(f.check, f.problem.file) for f in report.findings]
    order = list(dict.fromkeys(check for check, _ in keys))
    assert keys == sorted(keys, key=lambda key: (order.index(key[0]), key[1]))
    assert order[:2] == ['receipts', 'images']


def test_table_of_problems(copied, tmp_path):
    (copied / IMAGE).write_bytes(b'')
    report = validate(copied, bids_validator=False)
    (tmp_path / 'problems.tsv').write_text(report.to_tsv())
    rows = read_tsv(tmp_path / 'problems.tsv')
    assert {row['file'] for row in rows} == {IMAGE}
    assert {row['study'] for row in rows} == {STUDY}
    assert {row['series'] for row in rows} == {'t2w-raw-cor'}
    assert [row['check'] for row in rows] == ['receipts', 'images']
    assert {row['dataset'] for row in rows} == {'raw'}


def test_watch_is_told_of_subjects_and_datasets(exported):
    seen = []
    validate(exported, watch=lambda *told: seen.append(told))
    assert [told[:3] for told in seen] == [
        *[('subjects', n, 2) for n in (1, 2)],
        *[('datasets with the BIDS validator', n, 5) for n in range(1, 6)],
    ]
    assert seen[1][3] > 10_000_000


def test_error_of_a_worker_is_raised(exported, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError('lost')

    monkeypatch.setattr(validation, 'check_subject', fail)
    with pytest.raises(RuntimeError, match='lost'):
        validate(exported, bids_validator=False)


@pytest.mark.parametrize('left', ['everything', 'empty folders', 'nothing'])
def test_shards_together_find_what_the_whole_finds(left, copied):
    (copied / IMAGE).unlink()
    (copied / 'T1w.json').write_text('{"Sources": ["bids::nothing.nii.gz"]}')
    rows = (copied / 'participants.tsv').read_text().splitlines()
    (copied / 'participants.tsv').write_text('\n'.join(rows[:-1]) + '\n')
    gone = next(copied.glob('sub-7731/ses-*'))
    for folder in (copied, *(copied / 'derivatives').iterdir()):
        if left != 'everything':
            shutil.rmtree(folder / gone.relative_to(copied), ignore_errors=True)
    if left == 'empty folders':
        (gone / 'anat').mkdir(parents=True)
    whole = validate(copied)
    parts = [validate(copied, shard=Shard(index, 3)) for index in (1, 2, 3)]
    assert whole.findings
    # What the validator says of the root it says of each part.
    assert {finding for part in parts for finding in part.findings} == set(whole.findings)
    checks = {row.check for row in whole.rows} - {'BIDS validator'}
    assert _files(parts, checks) == _files([whole], checks)


def _files(reports, checks):
    """Return how many files some checks looked at; participants.tsv counts for each part."""
    rows = [row for report in reports for row in report.rows if row.check in checks]
    return Counter({check: sum(r.files for r in rows if r.check == check) for check in checks})


def test_session_folder_that_is_a_link_is_seen_alike(copied):
    """By what looks at a subject, and by what only asks which sessions others have."""
    session = next(copied.glob('sub-7731/ses-*'))
    session.rename(copied / 'elsewhere')
    session.symlink_to(copied / 'elsewhere')
    shutil.rmtree(copied / 'derivatives')
    tree = open_tree(copied)
    for subject in tree.subjects():
        assert tree.sessions(subject) == tree.studies(subject).keys() - {''}
