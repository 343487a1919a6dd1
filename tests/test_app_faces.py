"""No face is shown unnoticed: whose study is set aside, what is removed, what is said."""

import json
import shutil

import pytest
from app_studies import execute, leave, make_masks, mask_of, names, run_of
from foreign_bids import make_dataset

pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.app.options import Options
from mrrate_bids.app.run import ComputeRun
from mrrate_bids.app.scope import Scope
from mrrate_bids.cli.run_setup import _CHOSEN, make_runs
from mrrate_bids.faces import is_faceless
from mrrate_bids.naming import ATLAS
from mrrate_bids.sidecars import sidecar_path

DEFACEMASK = 'mod-T1w_space-orig_defacemask.nii.gz'
IMAGES = ('_space-T1w_', '_res-1_', 'desc-preproc')


@pytest.fixture
def bids(tmp_path):
    """Return a dataset of two subjects without sessions."""
    return make_dataset(tmp_path / 'bids', subjects=2, sessions=False)


@pytest.fixture
def masks(bids, tmp_path):
    """Return a dataset with a brain mask and a defacing mask of the second subject."""
    root = make_masks(bids, tmp_path / 'masks')
    shutil.copy(mask_of(root, 'sub-02'), mask_of(root, 'sub-02', DEFACEMASK))
    return root


def said(run):
    return [(p.severity, p.study, p.message) for p in run.found.problems]


def images(run):
    return [n for n in names(run.pending(dry=True)) if any(mark in n for mark in IMAGES)]


@pytest.mark.parametrize('steps', [('coreg',), ('mask', 'anatref')])
def test_it_is_said_once_that_nothing_is_defaced(steps, bids, tmp_path):
    run = run_of(bids, tmp_path / 'out', *steps, who=())
    assert [(s, study) for s, study, _ in said(run)] == [('warning', '')]
    assert 'shows faces' in said(run)[0][2]
    assert images(run)


def test_it_is_said_by_the_first_of_several_templates(bids, tmp_path):
    asked = dict.fromkeys(('participants', 'sessions', 'derivatives', 'database'), ())
    asked |= {'bids_filter_file': None, 'bids_database_dir': None, 'shard': '1/1'}
    asked |= {'steps': ('coreg', 'atlas'), 'spaces': (ATLAS, 'MNI152Lin'), 'hide_faces': False}
    asked |= {name: getattr(Options(), name) for name in _CHOSEN}
    runs = make_runs(bids, tmp_path / 'out', asked)
    assert [[severity for severity, *_ in said(run)] for run in runs] == [['warning'], []]
    assert [(run.is_first, run.is_last) for run in runs] == [(True, False), (False, True)]


@pytest.mark.parametrize('steps', [('mask',), ('deface', 'coreg'), ('mask', 'deface', 'anatref')])
def test_nothing_is_said_where_no_face_is_shown(steps, bids, tmp_path):
    assert said(run_of(bids, tmp_path / 'out', *steps, who=())) == []


@pytest.mark.parametrize('steps', [('coreg',), ('anatref',)])
@pytest.mark.parametrize('who', [(), ('01',)])
def test_study_without_a_mask_is_set_aside_where_others_have_one(steps, who, bids, tmp_path):
    out = tmp_path / 'out'
    leave(run_of(bids, out, 'mask', 'deface'))
    run = run_of(bids, out, *steps, who=who)
    ((severity, study, text),) = said(run)
    assert (severity, study) == ('error', 'sub-01')
    assert 'sub-01/anat/' in text
    assert 'would show the face' in text
    assert not [name for name in images(run) if 'sub-01' in name]
    assert bool(images(run)) == (not who)


def test_given_masks_count(bids, masks, tmp_path):
    run = run_of(bids, tmp_path / 'out', 'coreg', who=(), mrrate_defaced=masks)
    assert [(severity, study) for severity, study, _ in said(run)] == [('error', 'sub-01')]


def test_series_that_came_later_sets_its_study_aside(bids, tmp_path):
    out = tmp_path / 'out'
    leave(run_of(bids, out, 'mask', 'deface'))
    new = bids / 'sub-02/anat/sub-02_acq-late_T2w.nii.gz'
    shutil.copy(bids / 'sub-02/anat/sub-02_acq-mprage_T1w.nii.gz', new)
    ((severity, study, text),) = said(run_of(bids, out, 'coreg'))
    assert (severity, study) == ('error', 'sub-02')
    assert new.name in text


def test_masks_of_other_options_do_not_count(bids, tmp_path):
    out = tmp_path / 'out'
    leave(run_of(bids, out, 'mask', 'deface'))
    options = Options(('coreg',), 'deepbet', buffer_mm=2.0)
    run = ComputeRun(bids, out, scope=Scope(('02',)), options=options)
    assert [severity for severity, *_ in said(run)] == ['error']


def test_images_of_a_release_have_no_faces(bids, masks, tmp_path):
    """They are as they were published; a mask that came with them was applied before."""
    about = bids / 'dataset_description.json'
    said_before = json.loads(about.read_text())
    about.write_text(json.dumps(said_before | {'GeneratedBy': [{'Name': 'mrrate-bids'}]}))
    steps = ('mask', 'deface', 'coreg')
    assert said(run_of(bids, tmp_path / 'out', 'coreg')) != []
    for image in bids.glob('sub-*/anat/*.nii.gz'):
        (image.parent / sidecar_path(image.name)).write_text('{"MRRATE": {"a": "b"}}')
    assert said(run_of(bids, tmp_path / 'out', 'coreg')) == []
    run = run_of(bids, tmp_path / 'out', *steps, mrrate_defaced=masks)
    assert not [n for n in names(run.pending()) if 'defaced' in n or 'orig_defacemask' in n]


def test_a_mask_that_was_given_is_named_as_source(bids, masks, tmp_path):
    written = leave(run_of(bids, tmp_path / 'out', 'coreg', mrrate_defaced=masks))
    images = [path for path in written if '_space-T1w_T1w' in path.name]
    assert images
    assert all(is_faceless(path) for path in images)


def test_defaced_images_of_others_count_without_their_masks(bids, tmp_path):
    out = tmp_path / 'out'
    for path in leave(run_of(bids, out, 'mask', 'deface')):
        if 'defacemask' in path.name:
            path.unlink()
    ((severity, study, _),) = said(run_of(bids, out, 'coreg', who=('01',)))
    assert (severity, study) == ('error', 'sub-01')


def test_faces_go_also_where_nothing_is_left_to_compute(bids, masks, tmp_path):
    """Masks and defaced images are given: no graph runs, but the images with the face go."""
    out, given = tmp_path / 'out', tmp_path / 'given'
    before = leave(run_of(bids, out, 'mask', 'coreg'))
    (image,) = [path for path in before if '_space-T1w_T1w' in path.name]
    leave(run_of(bids, given, 'mask', 'deface'))
    run = run_of(bids, out, 'mask', 'deface', mrrate_defaced=given / 'mrrate-defaced')
    assert list(run.pending()) == []
    summary = execute(run, tmp_path)
    assert any('showed the face were removed' in p.message for p in summary.problems)
    assert not image.exists()
