"""Known motions of a head between contrasts and grids are found, and the same way each time."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import heads
import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.ndimage import center_of_mass

from mrrate_bids.computing.ants_session import REPEATABLE, Session, from_ants, load_ants, to_ants
from mrrate_bids.computing.grids import crop, near, window_of
from mrrate_bids.computing.presets import PRESETS, coarse_stage, find_preset
from mrrate_bids.computing.registration import correct_bias, register, resample
from mrrate_bids.computing.scans import Scan
from mrrate_bids.computing.transforms import read_transform, rigid_about, write_transform
from mrrate_bids.errors import DataError, ImageError, ResourceError

THREADS = 'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS'
LEAST = 1.5
"""Half of an in-plane voxel of 3 mm."""

MOTIONS = {
    't2w': {'codes': 'LAS', 'pose': heads.turned((10, -8, 6), (10, -15, 8))},
    'flair': {'codes': 'PSR', 'pose': heads.turned((-20, 6, 15), (-20, 10, 20))},
    'swi': {'codes': 'LIA', 'pose': heads.turned((8, 4, -25), (15, -25, -5))},
    't1w-gd': {
        'codes': 'RPI',
        'pose': heads.turned((-5, 15, -10), (-30, 0, 0)),
        'tilt': heads.turned((20, -15, 30)),
    },
}


@pytest.fixture(scope='module')
def fixed(tmp_path_factory):
    return heads.scan(tmp_path_factory.mktemp('fixed'), 't1w', spacing=(3, 3, 3))


@pytest.fixture(scope='module')
def oblique(tmp_path_factory):
    """Return a fixed image whose axes are turned, flipped and tilted."""
    tilt, pose = heads.turned((-15, 20, 40)), heads.turned((5, -10, 8), (40, -60, 25))
    folder = tmp_path_factory.mktemp('oblique')
    return heads.scan(folder, 't1w', codes='SRA', spacing=(3, 3, 3), pose=pose, tilt=tilt)


def search(fixed, moving, target, preset='reference', **more):
    brains = fixed.brain, None
    return register(
        fixed.scan,
        moving.scan,
        target=target,
        preset=find_preset(preset, 'coreg'),
        brains=brains,
        **more,
    )


@pytest.mark.parametrize(
    ('preset', 'grid', 'contrast'),
    [
        *(('reference', 'fixed', contrast) for contrast in MOTIONS),
        ('reference', 'oblique', 'flair'),
        ('fast', 'fixed', 'swi'),
        ('fast', 'oblique', 't1w-gd'),
    ],
)
def test_known_motion_is_found(preset, grid, contrast, tmp_path, request):
    fixed = request.getfixturevalue(grid)
    moving = heads.scan(tmp_path, contrast, **MOTIONS[contrast])
    found = search(fixed, moving, tmp_path / 'a.mat', preset)
    assert heads.miss(found.matrix, fixed, moving) < LEAST
    np.testing.assert_array_equal(found.matrix, read_transform(tmp_path / 'a.mat'))
    turn = found.matrix[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(turn) == pytest.approx(1, abs=1e-5)
    assert found.seconds > 0
    left = {'a.mat', moving.image.name, moving.mask.name}
    assert {path.name for path in tmp_path.iterdir()} == left


@pytest.mark.parametrize('preset', PRESETS)
def test_same_bytes_every_time_and_of_values_of_any_type(preset, fixed, tmp_path):
    moving = heads.scan(tmp_path, 't2w', spacing=(4, 4, 6), pose=MOTIONS['t2w']['pose'])
    floats = moving._replace(scan=moving.scan._replace(values=moving.scan.values.astype('f8')))
    for name, one in (('one', moving), ('two', floats)):
        search(fixed, one, tmp_path / f'{name}.mat', preset)
    assert (tmp_path / 'one.mat').read_bytes() == (tmp_path / 'two.mat').read_bytes()


def test_reference_is_what_antspy_finds(fixed, tmp_path):
    """By its own way, which resamples both images as well; seeded through its settings."""
    moving = heads.scan(tmp_path, 't2w', spacing=(4, 4, 6), pose=MOTIONS['t2w']['pose'])
    filled = fixed._replace(scan=fixed.scan._replace(values=fixed.scan.values + 1))
    search(filled, moving, tmp_path / 'a.mat', session=Session(seed=7))
    ants = load_ants(REPEATABLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ants.config, '_random_seed', 7)
        theirs = ants.registration(
            to_ants(filled.scan),
            to_ants(moving.scan),
            type_of_transform='Rigid',
            outprefix=f'{tmp_path}/theirs-',
        )
    assert (tmp_path / 'a.mat').read_bytes() == Path(theirs['fwdtransforms'][0]).read_bytes()


def test_fine_stage_is_what_antspy_finds_inside_a_mask_from_a_start(fixed, tmp_path):
    moving = heads.scan(tmp_path, 'flair', **MOTIONS['flair'])
    stage = find_preset('fast', 'coreg')[1]
    start = heads.truth(fixed, moving) @ heads.turned((3, -2, 4), (2, 3, -2))
    register(
        fixed.scan,
        moving.scan,
        target=tmp_path / 'a.mat',
        preset=(stage,),
        brains=(fixed.brain, None),
        start=start,
    )
    region = near(fixed.brain, fixed.scan, stage.margin_mm)
    window = window_of(region, fixed.scan, 0.0)
    part = crop(fixed.scan, window)
    write_transform(tmp_path / 'start.mat', start)
    ants = load_ants(REPEATABLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ants.config, '_random_seed', REPEATABLE.seed)
        theirs = ants.registration(
            to_ants(part),
            to_ants(moving.scan),
            type_of_transform='Rigid',
            initial_transform=str(tmp_path / 'start.mat'),
            mask=to_ants(part, region[window]),
            mask_all_stages=True,
            aff_random_sampling_rate=stage.sampling,
            aff_iterations=stage.iterations,
            aff_shrink_factors=stage.shrink,
            aff_smoothing_sigmas=stage.smoothing,
            outprefix=f'{tmp_path}/theirs-',
        )
    assert (tmp_path / 'a.mat').read_bytes() == Path(theirs['fwdtransforms'][0]).read_bytes()


def test_ants_is_told_seed_mask_and_parameters(fixed, tmp_path, monkeypatch):
    calls = []

    def note(arguments, _):
        calls.append(dict(zip(arguments[::2], arguments[1::2], strict=True)))
        write_transform(Path(calls[-1]['--output']) / '0GenericAffine.mat', np.eye(4))

    monkeypatch.setattr(load_ants(REPEATABLE), 'registration', note)
    search(fixed, fixed, tmp_path / 'a.mat', 'fast', session=Session(seed=5))
    coarse, fine = calls
    assert {call['--random-seed'] for call in calls} == {'5'}
    assert coarse['--masks'] == '[NA,NA]'
    assert fine['--masks'].startswith('[0x')
    assert coarse['--initial-moving-transform'].endswith(',1]')
    assert fine['--initial-moving-transform'].endswith('start.mat')
    stage = find_preset('fast', 'coreg')[1]
    assert fine['--metric'].endswith(f',1,{stage.bins},regular,{stage.sampling}]')
    assert fine['--convergence'] == 'x'.join(map(str, stage.iterations))


def test_empty_space_around_a_fixed_image_changes_next_to_nothing(fixed, tmp_path):
    """Where every voxel is 0 there is nothing to align: it is left out."""
    moving = heads.scan(tmp_path, 'flair', **MOTIONS['flair'])
    bare = fixed.scan.values * (ndimage.maximum_filter(fixed.brain, 5) > 0)
    wide, offset = np.pad(bare, 12), fixed.scan.affine.copy()
    offset[:3, 3] -= fixed.scan.affine[:3, :3] @ [12, 12, 12]
    found = [
        register(
            scan,
            moving.scan,
            target=tmp_path / 'a.mat',
            preset=find_preset('reference', 'coreg'),
            brains=(np.zeros(scan.values.shape, np.uint8), None),
        )
        for scan in (
            fixed.scan._replace(values=bare),
            fixed.scan._replace(values=wide, affine=offset),
        )
    ]
    np.testing.assert_allclose(found[1].matrix, found[0].matrix, atol=1e-3)


def test_zeros_around_a_full_image_move_no_brain_by_a_tenth_of_a_mm(fixed, tmp_path):
    """And as many more of them as one likes nothing at all: but for a rim they are left out."""
    moving = heads.scan(tmp_path, 'flair', **MOTIONS['flair'])
    points = np.c_[np.argwhere(fixed.brain), np.ones(fixed.brain.sum())] @ fixed.scan.affine.T
    found = []
    for width in (0, 8, 20):
        affine = fixed.scan.affine @ nib.affines.from_matvec(np.eye(3), [-width] * 3)
        scan = Scan(fixed.image, np.pad(fixed.scan.values + 1, width), affine, None)
        brain = np.pad(fixed.brain, width)
        search(fixed._replace(scan=scan, brain=brain), moving, tmp_path / 'a.mat')
        found.append(points @ read_transform(tmp_path / 'a.mat').T)
    none, some, many = found
    assert np.linalg.norm(some - none, axis=1).mean() < 0.1
    np.testing.assert_allclose(many, some, atol=1e-3)


def test_start_leads_where_the_centres_of_mass_do_not(fixed, tmp_path):
    """A head turned by 100 degrees is too far; its true place to 10 degrees is near enough."""
    moving = heads.scan(tmp_path, 't2w', pose=heads.turned((0, 0, 100), (5, 5, 5)))
    path = tmp_path / 'a.mat'
    assert heads.miss(search(fixed, moving, path).matrix, fixed, moving) > 10
    near = heads.truth(fixed, moving) @ rigid_about(np.zeros(3), (4, -4, 8), np.array([5, -5, 5]))
    found = search(fixed, moving, path, start=near)
    assert heads.miss(found.matrix, fixed, moving) < LEAST


def test_brains_of_two_people_are_found_on_each_other(fixed, tmp_path):
    """Stripped to its brain one image has no skull that could be laid on the other's."""
    moving = heads.scan(tmp_path, 't1w', pose=heads.turned((12, 0, -10), (10, 20, 5)), seed=4)
    bare = moving._replace(scan=moving.scan._replace(values=moving.scan.values * moving.brain))
    found = register(
        fixed.scan,
        bare.scan,
        target=tmp_path / 'a.mat',
        preset=(coarse_stage(),),
        brains=(fixed.brain, moving.brain),
    )
    assert heads.miss(found.matrix, fixed, moving) < 2 * LEAST


def test_sheared_affine_is_refused(fixed, tmp_path):
    shear = np.eye(4)
    shear[0, 1] = 0.05
    bent = fixed.scan._replace(affine=fixed.scan.affine @ shear)
    for pair in ((bent, fixed.scan), (fixed.scan, bent)):
        with pytest.raises(ImageError, match=r't1w-LAS\.nii\.gz: .*right angles') as caught:
            register(
                *pair,
                target=tmp_path / 'a.mat',
                preset=find_preset('reference', 'coreg'),
                brains=(fixed.brain, None),
            )
        assert caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('where', [(20, 30, 25), ...], ids=['one voxel', 'all'])
@pytest.mark.parametrize('preset', PRESETS)
@pytest.mark.parametrize('name', ['fixed', 'moving'])
def test_nan_ends_at_once_and_names_both_images(name, preset, where, fixed, tmp_path, monkeypatch):
    """ANTs would never end: it is not called."""
    ants = load_ants(REPEATABLE)
    monkeypatch.setattr(ants, 'registration', lambda *_: pytest.fail('ANTs was called'))
    values = fixed.scan.values.astype(np.float32)
    values[where] = np.nan
    spoilt = fixed._replace(scan=Scan(Path('spoilt.nii.gz'), values, fixed.scan.affine, None))
    pair = (spoilt, fixed) if name == 'fixed' else (fixed, spoilt)
    one, other = (re.escape(taken.scan.path.name) for taken in pair)
    with pytest.raises(DataError, match=f'^{other}: .* cannot register it to {one} .*NaN') as e:
        search(*pair, tmp_path / 'a.mat', preset)
    assert e.value.hint
    assert not list(tmp_path.iterdir())


def test_ants_that_gives_up_names_both_images(fixed, tmp_path):
    values = np.zeros_like(fixed.scan.values)
    blank = fixed._replace(scan=Scan(Path('blank.nii.gz'), values, fixed.scan.affine, None))
    with pytest.raises(DataError, match=r'^blank\.nii\.gz: .* cannot register it to t1w-LAS'):
        search(fixed, blank, tmp_path / 'a.mat')
    assert not list(tmp_path.iterdir())


def test_no_file_is_left_when_a_later_stage_fails(fixed, tmp_path, monkeypatch):
    calls = []

    def fail_later(arguments, _):
        calls.append(arguments)
        prefix = arguments[arguments.index('--output') + 1]
        write_transform(Path(f'{prefix}0GenericAffine.mat'), np.eye(4))
        if len(calls) > 1:
            raise RuntimeError('Registration failed with error code 1')

    monkeypatch.setattr(load_ants(REPEATABLE), 'registration', fail_later)
    with pytest.raises(DataError, match='error code 1'):
        search(fixed, fixed, tmp_path / 'a.mat', 'fast')
    assert len(calls) == 2
    assert not list(tmp_path.iterdir())


RESAMPLED = [
    ('LAS', heads.STILL),
    ('PSR', heads.turned((0, 0, 15))),
    ('LIA', heads.STILL),
    ('RAS', heads.turned((25, -10, 30))),
]


@pytest.mark.parametrize(('codes', 'tilt'), RESAMPLED)
@pytest.mark.parametrize('grid', ['fixed', 'oblique'])
def test_resampled_voxels_lie_where_they_belong(grid, codes, tilt, tmp_path, request):
    """The lesion on the right tells left from right; brain and image tell the rest."""
    fixed = request.getfixturevalue(grid)
    pose = heads.turned((15, -20, 25), (10, -30, 20))
    moving = heads.scan(
        tmp_path, 'flair', codes=codes, spacing=(3, 3, 3), pose=pose, tilt=tilt, noise=0
    )
    write_transform(tmp_path / 'a.mat', heads.truth(fixed, moving))
    there = {'like': fixed.scan, 'transforms': [tmp_path / 'a.mat']}
    mark = resample(moving.scan, moving.on_grid(heads.spot()), nearest=True, **there)
    found = fixed.scan.affine @ [*center_of_mass(mark), 1]
    np.testing.assert_allclose(found, fixed.world_from_head @ [*heads.MARK, 1], atol=1)
    brain = resample(moving.scan, moving.brain, nearest=True, **there)
    assert {*np.unique(brain)} == {0, 1}
    assert (brain != fixed.brain).sum() < 0.06 * fixed.brain.sum()
    values = resample(moving.scan, moving.scan.values, **there)
    assert (values.shape, values.dtype) == (fixed.scan.values.shape, np.float32)
    inside = fixed.brain == 1
    alone = fixed.on_grid(heads.head().signal('flair'), linear=True)[inside]
    assert np.corrcoef(values[inside], alone)[0, 1] > 0.9


def test_inverse_leads_back(fixed, tmp_path):
    moving = heads.scan(tmp_path, 'flair', **MOTIONS['flair'])
    write_transform(tmp_path / 'a.mat', heads.truth(fixed, moving))
    back = resample(
        fixed.scan,
        fixed.brain,
        like=moving.scan,
        transforms=[tmp_path / 'a.mat'],
        inverse=True,
        nearest=True,
    )
    assert (back != moving.brain).sum() < 0.06 * moving.brain.sum()


def test_last_transform_is_nearest_to_the_moving_image(tmp_path):
    one, other = heads.turned((30, 0, 0), (10, 0, 0)), heads.turned((0, 0, 40), (0, 20, 0))
    write_transform(tmp_path / 'one.mat', one)
    write_transform(tmp_path / 'other.mat', other)
    scan = heads.scan(tmp_path, 't1w').scan
    chain = [tmp_path / 'one.mat', tmp_path / 'other.mat']
    twice = resample(scan, scan.values, like=scan, transforms=chain)
    write_transform(tmp_path / 'both.mat', other @ one)
    once = resample(scan, scan.values, like=scan, transforms=[tmp_path / 'both.mat'])
    np.testing.assert_allclose(twice, once, atol=0.5)


def test_no_transform_on_the_own_grid_changes_nothing(oblique):
    same = resample(oblique.scan, oblique.scan.values, like=oblique.scan, transforms=[])
    np.testing.assert_allclose(same, oblique.scan.values, atol=0.2)


def test_outside_is_0(fixed, tmp_path):
    away = np.eye(4)
    away[0, 3] = 1000
    write_transform(tmp_path / 'a.mat', away)
    values = fixed.scan.values + 7
    gone = resample(fixed.scan, values, like=fixed.scan, transforms=[tmp_path / 'a.mat'])
    assert not gone.any()


@pytest.mark.parametrize('name', ['fixed', 'oblique'])
def test_to_ants_and_back(name, request):
    scan = request.getfixturevalue(name).scan
    load_ants(REPEATABLE)
    image = to_ants(scan)
    np.testing.assert_array_equal(from_ants(image), scan.values.astype(np.float32))
    for index in ((0, 0, 0), (3, 20, 11)):
        lps = image.direction @ (np.array(index) * image.spacing) + image.origin
        ras = (scan.affine @ [*index, 1])[:3]
        np.testing.assert_allclose(lps * (-1, -1, 1), ras, atol=1e-4)


def test_shading_is_taken_away(fixed):
    ramp = np.linspace(0.5, 1.5, fixed.scan.values.shape[0])[:, None, None]
    shaded = fixed.scan._replace(values=fixed.scan.values * ramp)
    corrected = correct_bias(shaded, mask=fixed.brain)
    assert (corrected.shape, corrected.dtype) == (ramp.shape[:1] + fixed.brain.shape[1:], 'f4')
    white = fixed.on_grid(heads.head().fractions[2] > 250) & (fixed.brain == 1)
    spread = [v[white].std() / v[white].mean() for v in (shaded.values, corrected)]
    assert spread[1] < 0.5 * spread[0]


@pytest.mark.parametrize(('given', 'says'), [('', 'all'), ('2', '2'), ('1', '')])
def test_ants_with_other_threads_was_loaded_before(given, says, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ants', SimpleNamespace())
    monkeypatch.delenv(THREADS, raising=False)
    if given:
        monkeypatch.setenv(THREADS, given)
    if not says:
        assert load_ants(Session(seed=3)) is sys.modules['ants']
        return
    with pytest.raises(ResourceError, match=f'with {says} threads, not 1') as caught:
        load_ants(Session())
    assert f'{THREADS}=1 before ants is imported' in caught.value.hint


def test_threads_are_set_before_the_import_and_only_once():
    code = (
        'import os; from mrrate_bids.computing.ants_session import *\n'
        'from mrrate_bids.errors import ResourceError\n'
        'load_ants(Session(threads=2))\n'
        f'print(os.environ["{THREADS}"])\n'
        'try: load_ants(Session(threads=1))\n'
        'except ResourceError as error: print(error)'
    )
    clean = {name: value for name, value in os.environ.items() if name != THREADS}
    command = [sys.executable, '-c', code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean)
    assert done.stdout.splitlines() == [
        '2',
        'ANTs was loaded in this process with 2 threads, not 1',
    ]


def test_antspyx_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ants', None)
    monkeypatch.setenv(THREADS, '1')
    with pytest.raises(ResourceError, match='antspyx is not installed') as caught:
        load_ants(Session())
    assert 'mrrate-bids[compute]' in caught.value.hint
