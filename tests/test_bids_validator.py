import shutil
import sys
from pathlib import Path

import pytest

from mrrate_bids import bids_validator
from mrrate_bids.bids_validator import find_validator, run_validator
from mrrate_bids.selection import Shard

STUDY = '2END5JBWVA'
IMAGE = f'sub-7731/ses-{STUDY}/anat/sub-7731_ses-{STUDY}_acq-cor_run-01_T2w.nii.gz'
DATASETS = ('', *(f'derivatives/mrrate-{n}' for n in ('defaced', 'coreg', 'atlas', 'nvsegctmr')))


@pytest.fixture(scope='module')
def executable():
    found = find_validator()
    assert found
    return found


def script(folder, body):
    path = folder / 'validator'
    path.write_text(f'#!/bin/sh\n{body}\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize('subjects', [2000, 1])
@pytest.mark.parametrize('dataset', DATASETS)
def test_export_has_no_errors(exported, executable, dataset, subjects):
    verdict = run_validator(exported / dataset, executable, subjects=subjects)
    assert verdict.problems == []
    assert verdict.files > 20


@pytest.mark.parametrize('subjects', [2000, 1])
def test_finding_names_code_study_and_file(copied, executable, subjects):
    wrong = IMAGE.replace('_T2w', '_T9w')
    (copied / IMAGE).rename(copied / wrong)
    verdict = run_validator(copied, executable, subjects=subjects)
    (found,) = [problem for problem in verdict.problems if problem.file == wrong]
    assert (found.severity, found.study) == ('error', STUDY)
    assert found.message.startswith(f'{wrong}: NOT_INCLUDED: ')


def test_prefix_names_the_dataset(copied, executable):
    (copied / 'derivatives/mrrate-coreg/dataset_description.json').unlink()
    prefix = 'derivatives/mrrate-coreg/'
    verdict = run_validator(copied / prefix, executable, prefix=prefix)
    assert f'{prefix}dataset_description.json' in {problem.file for problem in verdict.problems}


def test_parts_report_an_error_at_the_root_once(copied, executable):
    (copied / 'odd.txt').write_text('?')
    verdict = run_validator(copied, executable, subjects=1)
    assert [problem.file for problem in verdict.problems] == ['odd.txt']


def test_parts_see_a_subject_without_a_row(copied, executable):
    path = copied / 'participants.tsv'
    path.write_text(''.join(path.read_text().splitlines(keepends=True)[:-1]))
    verdict = run_validator(copied, executable, subjects=1)
    assert [p.file for p in verdict.problems] == ['participants.tsv']
    assert 'PARTICIPANT_ID_MISMATCH' in verdict.problems[0].message


def test_parts_see_the_voxels_behind_links(copied, executable):
    data = (copied / IMAGE).read_bytes()
    (copied / IMAGE).write_bytes(data[:100])
    verdict = run_validator(copied, executable, subjects=1)
    assert [p.file for p in verdict.problems] == [IMAGE]


def test_parts_show_every_row_once_and_nothing_else(exported, tmp_path):
    rows, shown = [], []
    for number, subject in enumerate(['sub-10482', 'sub-7731']):
        view = tmp_path / str(number)
        view.mkdir()
        bids_validator._show(exported, view, {subject})
        tables = ['participants.tsv', 'phenotype/radiology_report_visit-01.tsv']
        for table in tables:
            header, *lines = (view / table).read_text().splitlines()
            assert {line.split('\t')[0] for line in lines} <= {subject}
            rows += [(table, line) for line in lines]
            assert header == (exported / table).read_text().splitlines()[0]
        shown += [path.name for path in view.iterdir() if path.name.startswith('sub-')]
        assert not (view / 'derivatives').exists()
        assert not (view / 'sourcedata').exists()
    assert shown == ['sub-10482', 'sub-7731']
    for table in tables:
        assert [row for name, row in rows if name == table] == (
            exported / table
        ).read_text().splitlines()[1:]


def test_parts_leave_nothing_behind(exported, executable, tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    run_validator(exported, executable, subjects=1)
    assert list(tmp_path.iterdir()) == []
    assert (exported / IMAGE).exists()


def test_validator_that_takes_too_long(exported, tmp_path):
    slow = script(tmp_path, 'exec sleep 60')
    (found,) = run_validator(exported, slow, timeout=0.2).problems
    assert 'did not finish within 0.2 s' in found.message
    assert found.severity == 'error'


@pytest.mark.parametrize(
    ('body', 'says'),
    [
        ('echo hello', 'code 0 and no report (hello)'),
        ('echo out of memory >&2; exit 133', 'code 133 and no report (out of memory)'),
        ('echo "[]"', 'code 0 and no report'),
        ('echo \'{"issues": 1}\'', 'code 0 and no report'),
        ('kill -9 $$', 'code -9 and no report (silent)'),
    ],
)
def test_validator_that_gives_no_report(exported, tmp_path, body, says):
    (found,) = run_validator(exported, script(tmp_path, body)).problems
    assert says in found.message


def test_part_that_failed_is_named(exported, tmp_path):
    found = run_validator(exported, script(tmp_path, 'exit 1'), subjects=1).problems
    assert ['sub-10482 to sub-10482' in p.message for p in found] == [True, False]


def test_validator_that_cannot_be_started(exported, tmp_path):
    (found,) = run_validator(exported, str(tmp_path / 'none')).problems
    assert 'cannot be started' in found.message


def test_validator_is_looked_for_beside_python_then_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'executable', str(tmp_path / 'bin/python'))
    monkeypatch.setenv('PATH', str(tmp_path / 'other'))
    assert find_validator() is None
    for folder in ('other', 'bin'):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / 'bids-validator-deno'
        shutil.copy(script(tmp_path, 'true'), path)
        assert Path(find_validator()) == path


def test_a_share_does_not_blame_a_sidecar_that_others_may_use(copied, executable):
    (copied / 'swi.json').write_text('{}')
    whole = run_validator(copied, executable)
    parts = [run_validator(copied, executable, shard=Shard(index, 2)) for index in (1, 2)]
    said = [problem.message for part in parts for problem in part.problems]
    assert {problem.file for problem in whole.problems} == {'swi.json'}
    assert not any('WITHOUT_DATAFILE' in message for message in said)
