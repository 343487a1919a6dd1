"""A release is checked as a whole, whatever its layout, by the command and by the library."""

import shutil

import hostile
import pytest
from click.testing import CliRunner
from hostile import FAR, GOOD, MOVING, VICTIM
from sound_release import sound_studies

from mrrate_bids import release_validation
from mrrate_bids.catalog import open_release
from mrrate_bids.cli import main
from mrrate_bids.errors import SourceError, UsageError
from mrrate_bids.release_checks import CHECKS
from mrrate_bids.release_validation import validate_any, validate_release
from mrrate_bids.tables import read_tsv

IMAGE = f'img/{VICTIM}_{MOVING}.nii.gz'


@pytest.fixture
def studies():
    return sound_studies()


@pytest.fixture
def source(studies, tmp_path):
    return hostile.write_release(tmp_path / 'release', studies)


def run(*arguments):
    return CliRunner().invoke(main, ['validate', *map(str, arguments)])


def rows_of(report):
    return {row.check: row for row in report.rows}


def test_demo_has_one_remark_for_each_study(release):
    """Its atlas is coarse, as its images are."""
    for deep in (False, True):
        report = validate_release(open_release(release), deep=deep)
        assert report.exit_code == 0
        assert [f.check for f in report.findings] == ['atlas'] * 3
        assert {row.check for row in report.rows if row.not_run} == (
            set() if deep else {CHECKS['values'][0]}
        )


def test_counts_of_the_table(source, studies):
    rows = rows_of(validate_release(open_release(source), deep=True))
    files = [name for s in studies for home in s.files.values() for name in home]
    images = [name for name in files if name.endswith('.nii.gz')]
    assert rows['zips and folders'].files == 4 * 3
    assert rows['files and rows'].files == len(files)
    assert rows['images whole'].files == rows['3-D, right type'].files == len(images)
    assert rows['masks uint8, 0 or 1'].files == sum('mask' in name for name in images)
    assert rows['finite, defaced is 0'].files == sum('img/' in name for name in images)
    assert rows['transforms rigid'].files == len(files) - len(images)
    assert rows['one centre per study'].files == 3
    assert rows['one split per patient'].files == 3
    assert rows['tables'].files == 2 + 2 + 2  # metadata, reports; splits and labels
    assert rows['tables and headers'].files == 5
    assert not any(row.errors or row.warnings for row in rows.values())


def test_the_folder_of_the_native_repository_alone(source):
    rows = rows_of(validate_release(open_release(source / 'MR-RATE')))
    assert rows['files and rows'].dataset == 'MR-RATE'
    assert rows['grid of the atlas'].not_run
    assert rows['transforms rigid'].not_run
    assert not any(row.errors or row.warnings for row in rows.values())


def test_tables_alone(source):
    for path in source.glob('*/mri'):
        shutil.rmtree(path)
    report = validate_release(open_release(source))
    assert [problem.severity for problem in report.problems] == ['warning'] * 2
    assert rows_of(report)['images whole'].not_run == 'no images'


def test_damage_is_counted_where_it_belongs(source, studies):
    path = studies[1].zip_of(source, 'MR-RATE-atlas')
    path.write_bytes(path.read_bytes()[:100])
    report = validate_release(open_release(source))
    errors = {row.check: row.errors for row in report.rows if row.errors}
    assert errors == {'zips and folders': 1}
    assert report.exit_code == 3


@pytest.mark.parametrize('jobs', [1, 3])
def test_order_does_not_depend_on_jobs(studies, tmp_path, jobs):
    for study in studies:
        for name in study.files['MR-RATE']:
            study.files['MR-RATE'][name] = b''
    source = hostile.write_release(tmp_path / 'release', studies)
    problems = validate_release(open_release(source), jobs=jobs).problems
    files = [problem.file for problem in problems if problem.file]
    assert files == sorted(files)
    assert {problem.study for problem in problems} == {GOOD, VICTIM, FAR}


def test_watch_is_told_of_batches(source):
    seen = []
    validate_release(open_release(source), watch=lambda *told: seen.append(told))
    assert [told[:3] for told in seen] == [('batch00', 1, 2), ('batch00', 2, 2), ('batch01', 1, 1)]
    assert all(told[3] > 0 for told in seen)


def test_error_of_a_worker_is_raised(source, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError('lost')

    monkeypatch.setattr(release_validation, 'check_study', fail)
    with pytest.raises(RuntimeError, match='lost'):
        validate_release(open_release(source))


def test_dataset_and_release_are_told_apart(source, exported):
    options = {'jobs': 1, 'deep': False, 'bids_validator': False}
    assert 'equal to receipts' in rows_of(validate_any(exported, **options))
    assert 'zips and folders' in rows_of(validate_any(source, **options))
    with pytest.raises(UsageError, match=r'is no BIDS dataset .* and no release'):
        validate_any(source / 'MR-RATE/mri', **options)
    with pytest.raises(UsageError, match=r'is no BIDS dataset .* and no release'):
        validate_any(source / 'nothing', **options)


def test_images_without_metadata_are_no_release(source):
    with pytest.raises(SourceError, match='has images but no metadata'):
        validate_any(source / 'MR-RATE-coreg', jobs=1, deep=False, bids_validator=False)


def test_command_on_a_sound_release(source):
    done = run(source, '--deep', '--jobs', 2)
    assert done.exit_code == 0, done.output
    assert all(text in done.stdout for text, _ in CHECKS.values())
    assert 'not run' not in done.stdout
    assert 'Checking batch00: 2/2' in done.stderr


def test_command_names_what_is_wrong(studies, tmp_path):
    studies[1].files['MR-RATE'][IMAGE] = b'?'
    source = hostile.write_release(tmp_path / 'release', studies)
    done = run(source, '--tsv', tmp_path / 'problems.tsv')
    assert done.exit_code == 3
    assert f'error batch00 {VICTIM} {MOVING}: {IMAGE}: is not gzip' in done.stdout
    (row,) = read_tsv(tmp_path / 'problems.tsv')
    assert (row['check'], row['dataset'], row['study']) == ('images', 'MR-RATE', VICTIM)
    assert (row['series'], row['file'], row['severity']) == (MOVING, IMAGE, 'error')
    assert row['remedy']


def test_command_on_neither(tmp_path):
    done = run(tmp_path)
    assert done.exit_code == 2
    assert done.stdout == ''
    assert done.stderr.count('Error:') == 1
    assert 'no dataset_description.json' in done.stderr
    assert 'no mri/' in done.stderr


def test_nothing_is_written(source):
    before = hostile.stamps(source)
    run(source, '--deep')
    assert hostile.stamps(source) == before


def test_splits_are_missing(source):
    (source / 'MR-RATE/splits.csv').unlink()
    done = run(source)
    assert done.exit_code == 0
    assert 'warning splits.csv is missing' in done.stdout
