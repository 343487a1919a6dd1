"""``mrrate-bids run`` with results of the user: what is taken, and what is refused in words."""

import shutil
from importlib.util import find_spec
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import small_bids
from scipy import io
from small_bids import DEFACED, call

if not find_spec('ants'):  # an import here would fix its number of threads
    pytest.skip('antspyx is not installed', allow_module_level=True)
pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.computing.quickshear import deface, shear

OPTIONS = (
    *('--registration', 'fast', '--brain-extractor', 'derivatives', '--skip-bids-validation'),
    *('--nprocs', '1'),
)
T1W, BOTH = ('T1w',), ('T1w', 'T2w')
ANOTHER = ' → Give another with --derivatives, or leave it out.'
BAD = {
    'sub-22': (T1W, 'sub-22_mod-T1w_space-orig_defacemask.nii.gz: takes away 100.0% of the brain'),
    'sub-23': (T1W, 'sub-23_mod-T1w_space-orig_defacemask.nii.gz: takes away 0.00% of the head'),
    'sub-24': (BOTH, f'_xfm.mat: is no linear transform of ITK (NaN or infinity){ANOTHER}'),
    'sub-25': (BOTH, '_xfm.mat: is no linear transform of ITK (Unknown mat file type'),
    'sub-26': (BOTH, f'_xfm.mat: is no rigid transform, it changes lengths by 100.0%{ANOTHER}'),
    'sub-27': (BOTH, f'_xfm.mat: is no rigid transform, it mirrors{ANOTHER}'),
    'sub-28': (T1W, 'sub-28_desc-defaced_T1w.nii.gz: does not lie on the grid of sub-28_T1w'),
    'sub-29': (T1W, 'sub-29_desc-defaced_T1w.nii.gz: takes away 0.00% of the head'),
}
GOOD = {'sub-20': T1W, 'sub-21': T1W}
"""With a defacing mask, and with a defaced image."""


def give(masks, subject):
    """Write what the user gives of a subject."""
    values, brain, affine = small_bids.scan('T1w', seed=int(subject[4:]))
    kept = shear(brain, affine)
    one = np.where(np.arange(kept.size).reshape(kept.shape), 1, 0)
    keep = f'{DEFACED}/{subject}/anat/{subject}_mod-T1w_space-orig_defacemask.nii.gz'
    shown = f'{DEFACED}/{subject}/anat/{subject}_desc-defaced_T1w.nii.gz'
    files = {
        'sub-20': (keep, kept),
        'sub-21': (shown, deface(values, kept)),
        'sub-22': (keep, 1 - kept),
        'sub-23': (keep, one.astype(np.uint8)),
        'sub-28': (shown, deface(values, kept)[1:]),
        'sub-29': (shown, values),
    }
    if subject in files:
        name, content = files[subject]
        small_bids.write(masks / name, content, affine)
        return
    path = masks / f'mrrate-coreg/{subject}/anat/{subject}_from-T2w_to-T1w_mode-image_xfm.mat'
    path.parent.mkdir(parents=True)
    if subject == 'sub-25':
        path.write_bytes(b'junk' * 50)
        return
    linear = {'sub-24': np.nan * np.eye(3), 'sub-26': 2 * np.eye(3), 'sub-27': np.diag([-1, 1, 1])}
    parameters = np.r_[linear[subject].ravel(), np.zeros(3)][:, None].astype(float)
    content = {'AffineTransform_double_3_3': parameters, 'fixed': np.zeros((3, 1))}
    io.savemat(path, content, format='4')


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Return what a run says of results of the user, most of them bad."""
    root = tmp_path_factory.mktemp('world')
    series = GOOD | {subject: pair[0] for subject, pair in BAD.items()}
    visits = tuple((subject, '', suffixes) for subject, suffixes in series.items())
    bids = small_bids.make_bids(root / 'bids', visits)
    masks = small_bids.make_masks(root / 'given', visits)
    small_bids.describe(masks / 'mrrate-coreg', 'derivative', GeneratedBy=[{'Name': 'the user'}])
    for subject in series:
        give(masks, subject)
    out, env = bids / 'derivatives', small_bids.clean_environment()
    more = ('-d', masks, '-w', root / 'work', '--steps', 'mask,deface,coreg')
    done = call('run', bids, out, 'participant', *OPTIONS, *more, env=env, cwd=root)
    return SimpleNamespace(done=done, bids=bids, masks=masks, out=out, env=env, root=root)


@pytest.mark.parametrize('subject', BAD)
def test_bad_result_of_the_user_is_named_with_a_remedy(subject, world):
    _, says = BAD[subject]
    lines = [one for one in world.done.stdout.splitlines() if f'{subject}: ' in one]
    assert [one for one in lines if says in one and ' → ' in one], world.done.stdout
    assert len(lines) == 1
    assert 'unexpectedly' not in lines[0]


@pytest.mark.parametrize('subject', BAD)
def test_nothing_that_hangs_on_a_bad_result_is_published(subject, world):
    made = {path.name for path in world.out.rglob(f'{subject}_*.nii.gz')}
    spared = {name for name in made if 'label-brain' in name}
    if len(BAD[subject][0]) > 1:  # the centre does not hang on the transform
        spared |= {name for name in made if 'mod-T1w' in name or name.endswith('_T1w.nii.gz')}
        spared |= {name for name in made if '_space-T1w_' not in name}
    assert made == spared
    assert world.done.returncode == 3


def test_good_results_of_the_user_are_used(world):
    _, brain, affine = small_bids.scan('T1w', seed=20)
    kept = shear(brain, affine)
    shown = world.out / 'mrrate-coreg/sub-20/anat/sub-20_space-T1w_T1w.nii.gz'
    assert (np.asarray(nib.load(shown).dataobj)[kept == 0] == 0).all()
    given = world.masks / f'{DEFACED}/sub-21/anat/sub-21_desc-defaced_T1w.nii.gz'
    shown = world.out / 'mrrate-coreg/sub-21/anat/sub-21_space-T1w_T1w.nii.gz'
    assert shown.read_bytes() == given.read_bytes()


def test_release_has_the_mask_that_a_defaced_image_tells(world, tmp_path):
    bids = shutil.copytree(world.bids, tmp_path / 'bids')
    given = f'{DEFACED}/sub-21/anat/sub-21_desc-defaced_T1w.nii.gz'
    shutil.copy(world.masks / given, bids / 'derivatives' / given)
    rules = [f'--rule={rule}' for rule in ('min_age=0', 'min_shape=0', 'min_fov_mm=0')]
    arguments = ('import', bids, tmp_path / 'release', '--participant', '21', '--no-zip', *rules)
    done = call(*arguments, env=world.env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (mask,) = (tmp_path / 'release').rglob('*/seg/*_defacing-mask.nii.gz')
    (image,) = (tmp_path / 'release').rglob('*/img/*.nii.gz')
    kept, shown = (np.asarray(nib.load(path).dataobj) for path in (mask, image))
    raw = np.asarray(nib.load(small_bids.image_of(bids, ('sub-21', ''), 'T1w')).dataobj)
    assert (shown[kept == 0] == 0).all()
    assert np.array_equal(shown[kept == 1], raw[kept == 1])


def test_centre_that_is_not_packed(world, tmp_path):
    """Nobody is defaced: the centre is copied as it is, and packed."""
    bids = small_bids.make_bids(tmp_path / 'bids', (('sub-30', '', T1W),))
    masks = small_bids.make_masks(tmp_path / 'given', (('sub-30', '', T1W),))
    path = small_bids.image_of(bids, ('sub-30', ''), 'T1w')
    image = nib.load(path)
    values = np.asarray(image.dataobj)
    nib.save(image, path.with_suffix(''))
    path.unlink()
    more = ('-d', masks, '-w', tmp_path / 'work', '--steps', 'mask,coreg,anatref')
    out = tmp_path / 'out'
    done = call('run', bids, out, 'participant', *OPTIONS, *more, env=world.env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    copy = nib.load(out / 'mrrate-coreg/sub-30/anat/sub-30_space-T1w_T1w.nii.gz')
    assert np.array_equal(np.asarray(copy.dataobj), values)
    nib.load(out / 'mrrate-anatref/sub-30/anat/sub-30_desc-preproc_T1w.nii.gz').get_fdata()
