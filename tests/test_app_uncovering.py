"""Once faces are taken away, no image that shows one stays unsaid, whoever left it and how."""

import gzip
import json
import shutil

import pytest
from app_studies import execute, leave, run_of
from foreign_bids import AXIAL, Series, make_dataset, write_series

pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.app.options import Options
from mrrate_bids.app.run import ComputeRun
from mrrate_bids.app.scope import Scope
from mrrate_bids.faces import is_faceless
from mrrate_bids.selection import Shard
from mrrate_bids.sidecars import sidecar_path

LATE = 'acq-late_T2w'
STEPS = ('mask', 'deface')


@pytest.fixture
def bids(tmp_path):
    """Return a dataset of two subjects without sessions, two series each."""
    root = make_dataset(tmp_path / 'bids', subjects=1, sessions=False)
    shutil.rmtree(root / 'sub-01')
    for number, subject in enumerate(('sub-01', 'sub-02')):
        write_series(root, subject, '', Series('acq-mprage_T1w', AXIAL), seed=number)
        write_series(root, subject, '', Series(LATE, AXIAL), seed=number)
    return root


@pytest.fixture
def out(bids, tmp_path):
    """Return results of both subjects, made with their faces."""
    leave(run_of(bids, tmp_path / 'out', 'mask', 'coreg', 'anatref', who=()))
    return tmp_path / 'out'


@pytest.fixture
def masks(bids, tmp_path):
    """Return masks and defaced images of both, so that a run has nothing left to compute."""
    leave(run_of(bids, tmp_path / 'masks', *STEPS, who=()))
    return tmp_path / 'masks/mrrate-defaced'


def deface(bids, out, masks, *steps, who=('02',), **scope):
    """Return a run that takes faces away."""
    asked = Scope(participants=who, derivatives={'mrrate-defaced': masks}, **scope)
    return ComputeRun(bids, out, scope=asked, options=Options(steps or STEPS, 'deepbet'))


def shown(out, subject='sub-02'):
    """Return what shows the face of a subject, from the output folder."""
    return sorted(
        path.relative_to(out).as_posix()
        for path in out.glob(f'mrrate-*/{subject}/anat/*.nii*')
        if not path.name.partition('.')[0].endswith('mask') and not is_faceless(path)
    )


def told(summary, study):
    """Return what is told of faces that are left."""
    said = [p for p in summary.problems if 'the face, as ' in p.message and p.study == study]
    return [(p.severity, p.message) for p in said if 'removed' not in p.message]


def name(inside):
    return inside.rpartition('/')[2]


def test_all_that_runs_vouch_for_goes(bids, out, masks, tmp_path):
    assert len(shown(out)) == 3
    summary = execute(deface(bids, out, masks), tmp_path)
    assert shown(out) == []
    assert told(summary, 'sub-02') == []
    assert summary.exit_code == 0


def test_images_without_a_receipt_are_named(bids, out, masks, tmp_path):
    """A run was killed, or somebody removed the folder of receipts."""
    shutil.rmtree(out / '.mrrate-bids')
    before = shown(out)
    summary = execute(deface(bids, out, masks), tmp_path)
    assert shown(out) == before
    ((severity, text),) = told(summary, 'sub-02')
    assert severity == 'error'
    assert text.startswith('3 images ')
    assert before[0] in text
    assert summary.exit_code == 3
    assert text in (out / '.mrrate-bids/problems.tsv').read_text()
    assert text in (out / 'reports/sub-02.html').read_text()


def test_what_is_solved_is_not_told_again(bids, out, masks, tmp_path):
    shutil.rmtree(out / '.mrrate-bids')
    execute(deface(bids, out, masks), tmp_path)
    for inside in shown(out):
        (out / inside).unlink()
    summary = execute(deface(bids, out, masks, 'deface'), tmp_path)
    assert told(summary, 'sub-02') == []
    assert 'the face' not in (out / '.mrrate-bids/problems.tsv').read_text()


def test_images_that_were_packed_anew_are_named(bids, out, masks, tmp_path):
    (image,) = [out / one for one in shown(out) if LATE[:8] in one]
    image.write_bytes(gzip.compress(image.read_bytes(), 1))
    summary = execute(deface(bids, out, masks), tmp_path)
    assert shown(out) == [image.relative_to(out).as_posix()]
    ((severity, text),) = told(summary, 'sub-02')
    assert (severity, image.name in text) == ('error', True)


def test_images_that_were_unpacked_are_named(bids, out, masks, tmp_path):
    image = out / shown(out)[-1]
    image.rename(image.with_suffix(''))
    ((severity, text),) = told(execute(deface(bids, out, masks), tmp_path), 'sub-02')
    assert (severity, image.with_suffix('').name in text) == ('error', True)


def test_edited_study_that_is_not_computed(bids, out, masks, tmp_path):
    """The study is set aside, for its image was changed; that shows the face all the same."""
    (image,) = [out / one for one in shown(out) if LATE[:8] in one]
    image.write_bytes(gzip.compress(image.read_bytes(), 1))
    summary = execute(deface(bids, out, masks, 'deface', 'coreg'), tmp_path)
    assert ('error', image.name) in [(s, name(t.split()[-1])) for s, t in told(summary, 'sub-02')]


@pytest.mark.parametrize('receipts', [True, False])
def test_images_of_series_that_are_left_out(receipts, bids, out, masks, tmp_path):
    if not receipts:
        shutil.rmtree(out / '.mrrate-bids')
    run = deface(bids, out, masks, filters={'t2w': {'acquisition': 'other'}})
    summary = execute(run, tmp_path)
    assert bool(shown(out)) != receipts
    assert [severity for severity, _ in told(summary, 'sub-02')] == ['error'] * (not receipts)


def test_images_of_a_series_that_has_another_name_now(bids, out, masks, tmp_path):
    for path in (bids / 'sub-02/anat').glob(f'*{LATE}*'):
        path.rename(path.with_name(path.name.replace('late', 'later')))
    run = deface(bids, out, masks, 'deface', filters={'t2w': {'acquisition': 'other'}})
    summary = execute(run, tmp_path)
    assert shown(out) == []
    assert told(summary, 'sub-02') == []


def test_series_that_is_not_defaced_keeps_its_image(bids, out, masks, tmp_path):
    """Nothing can take its place; it is named."""
    for path in (masks / 'sub-02').rglob(f'*{LATE[:8]}*'):
        path.unlink()
    summary = execute(deface(bids, out, masks, 'mask'), tmp_path)
    assert [LATE[:8] in one for one in shown(out)] == [True]
    assert [severity for severity, _ in told(summary, 'sub-02')] == ['error']


def test_other_studies_are_named_once(bids, out, masks, tmp_path):
    before = shown(out, 'sub-01')
    summary = execute(deface(bids, out, masks), tmp_path)
    ((severity, text),) = told(summary, '')
    assert severity == 'warning'
    assert text.startswith('at least 3 images ')
    assert before[0] in text
    assert shown(out, 'sub-01') == before
    assert summary.exit_code == 0


def test_study_that_the_dataset_has_no_more(bids, out, masks, tmp_path):
    shutil.rmtree(bids / 'sub-01')
    summary = execute(deface(bids, out, masks, who=()), tmp_path)
    ((severity, text),) = told(summary, '')
    assert (severity, text.split(' images')[0]) == ('warning', '3')


def test_part_of_a_run_looks_at_its_own_studies_only(bids, out, masks, tmp_path):
    summary = execute(deface(bids, out, masks, who=(), shard=Shard(2, 2)), tmp_path)
    assert told(summary, '') == []
    assert (shown(out), len(shown(out, 'sub-01'))) == ([], 3)


def test_nothing_is_said_where_no_face_is_taken_away(bids, out, tmp_path):
    shutil.rmtree(out / '.mrrate-bids')
    run = run_of(bids, out, 'mask', mrrate_defaced=out / 'mrrate-defaced')
    assert told(execute(run, tmp_path), 'sub-02') == []


def test_what_is_told_waits_for_the_last_template(bids, out, masks, tmp_path):
    """A later run may compute it anew."""
    shutil.rmtree(out / '.mrrate-bids')
    run = deface(bids, out, masks)
    run.is_last = False
    summary = execute(run, tmp_path)
    assert told(summary, 'sub-02') == told(summary, '') == []


def test_images_of_a_release_have_no_face(bids, out, masks, tmp_path):
    about = bids / 'dataset_description.json'
    content = json.loads(about.read_text()) | {'GeneratedBy': [{'Name': 'mrrate-bids'}]}
    about.write_text(json.dumps(content))
    for image in bids.glob('sub-*/anat/*.nii.gz'):
        (image.parent / sidecar_path(image.name)).write_text('{"MRRATE": {"a": "b"}}')
    shutil.rmtree(out / '.mrrate-bids')
    before = shown(out) + shown(out, 'sub-01')
    summary = execute(deface(bids, out, masks), tmp_path)
    assert shown(out) + shown(out, 'sub-01') == before
    assert told(summary, 'sub-02') == told(summary, '') == []


def test_exported_images_that_name_no_image(bids, out, masks, tmp_path):
    """The images of a release may not have been exported with its registered ones."""
    shutil.rmtree(out / '.mrrate-bids')
    for inside in shown(out):
        (out / sidecar_path(inside)).write_text('{}')
    for dataset in ('mrrate-coreg', 'mrrate-anatref'):
        (out / dataset / 'dataset_description.json').write_text('{"Name": "Exported"}')
    assert told(execute(deface(bids, out, masks), tmp_path), 'sub-02') == []


def test_masks_and_transforms_stay(bids, out):
    before = [path for path in out.rglob('*_*') if path.is_file() and '.json' not in path.name]
    gone = [out / one for one in shown(out)]
    run = run_of(bids, out, *STEPS)
    ((study, _, targets),) = run.pending()
    (problem,) = run._uncovering.clear(study, targets)
    assert problem.severity == 'warning'
    assert '--steps coreg' in problem.remedy
    assert {path for path in before if not path.exists()} == set(gone)
    assert list(run._uncovering.clear(study, targets)) == []


def test_what_was_made_without_the_face_stays(bids, tmp_path):
    out = tmp_path / 'out'
    leave(run_of(bids, out, *STEPS, 'coreg'))
    images = list(out.glob('mrrate-coreg/sub-02/anat/*_space-T1w_T?w.nii.gz'))
    assert len(images) == 2
    run = run_of(bids, out, 'deface', 'coreg')
    (study,) = run.found.studies
    assert list(run._uncovering.clear(study, {})) == []
    assert all(path.exists() for path in images)
