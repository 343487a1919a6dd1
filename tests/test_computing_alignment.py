"""A registration is judged, tried from elsewhere, and refused when it stays bad."""

from pathlib import Path

import heads
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mrrate_bids.computing import alignment
from mrrate_bids.computing.alignment import Target, align
from mrrate_bids.computing.presets import (
    Limits,
    Stage,
    coarse_stage,
    find_limits,
    find_preset,
)
from mrrate_bids.computing.registration import Rigid, coarse_pair
from mrrate_bids.computing.transforms import read_transform, write_transform
from mrrate_bids.errors import QualityError

LEAST = 1.5
FIELDS = {
    'NormalizedMutualInformation',
    'Sharpness',
    'BrainCovered',
    'RotationDegrees',
    'TranslationMm',
    'Start',
}


@pytest.fixture(scope='module')
def fixed(tmp_path_factory):
    return heads.scan(tmp_path_factory.mktemp('fixed'), 't1w', spacing=(3, 3, 3))


@pytest.fixture(scope='module', autouse=True)
def fewer():
    """Judge by half of the points: the numbers are the same to a few per cent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mrrate_bids.computing.agreement._POINTS', 15_000)
        yield


@pytest.fixture
def quick(monkeypatch):
    """Search among the starts at 6 instead of 3 mm."""
    sizes = {'iterations': (60, 20), 'shrink': (2, 1), 'smoothing': (1, 0)}
    stage = Stage(sampling=0.2, spacing_mm=6.0, **sizes)
    monkeypatch.setattr(alignment, 'coarse_stage', lambda: stage)
    monkeypatch.setattr(alignment, 'coarse_spacing', lambda: 6.0)
    return (stage,)


@pytest.fixture
def moving(tmp_path):
    pose = heads.turned((12, -6, 18), (10, -20, 20))
    return heads.scan(tmp_path, 't2w', codes='PSR', pose=pose)


def target_of(fixed, **more):
    return Target(
        fixed.scan, fixed.brain, find_preset('reference', 'coreg'), find_limits('coreg'), **more
    )


@pytest.fixture
def runs(monkeypatch):
    """Take a transform for the search, by where it starts; note how it was started."""

    class Runs(list):
        answer = staticmethod(lambda start, brains: np.eye(4))

    noted = Runs()

    def register(fixed, moving, *, target, preset, brains, start, session):
        noted.append((start, preset, brains[1] is not None))
        matrix = noted.answer(start, brains)
        write_transform(target, matrix)
        return Rigid(matrix, 1.0)

    monkeypatch.setattr(alignment, 'register', register)
    return noted


def test_first_result_is_taken_when_it_is_good(fixed, moving, tmp_path):
    found = align(target_of(fixed), moving.scan, mask=moving.brain, transform=tmp_path / 'a.mat')
    assert heads.miss(found.rigid.matrix, fixed, moving) < LEAST
    assert found.start == 'centres of mass'
    assert found.dice > 0.94
    facts = found.describe()
    assert set(facts) == FIELDS | {'BrainDice'}
    turn = np.degrees(np.arccos((np.trace(heads.truth(fixed, moving)[:3, :3]) - 1) / 2))
    assert facts['RotationDegrees'] == pytest.approx(turn, abs=1)
    shift = heads.truth(fixed, moving) @ [*found.centre, 1] - [*found.centre, 1]
    assert facts['TranslationMm'] == pytest.approx(np.linalg.norm(shift), abs=LEAST)
    assert facts['Sharpness'] > find_limits('coreg').sharpness
    assert all(isinstance(fact, float | str) for fact in facts.values())


def test_bad_start_is_tried_again(fixed, quick, tmp_path):
    """A head bent by 70 degrees is not found from the centres of mass; from nearer it is."""
    moving = heads.scan(tmp_path, 't2w', pose=heads.turned((-70, 0, 0), (5, 5, 5)))
    path = tmp_path / 'a.mat'
    found = align(target_of(fixed), moving.scan, mask=moving.brain, transform=path)
    assert found.start == 'brain centres, turned (-30, 0, 0)'
    assert heads.miss(found.rigid.matrix, fixed, moving) < LEAST
    np.testing.assert_array_equal(read_transform(path), found.rigid.matrix)


def test_best_of_the_other_starts_is_refined(fixed, moving, runs, tmp_path):
    truth = heads.truth(fixed, moving)
    third = []

    def answer(start, brains):
        if start is None:
            return truth @ heads.turned((0, 60, 0))
        third.append(start)
        return truth if len(third) in (3, 9) else truth @ heads.turned((40, 0, 0))

    runs.answer = answer
    found = align(target_of(fixed), moving.scan, transform=tmp_path / 'a.mat')
    assert found.start == 'brain centres, turned (30, 0, 0)'
    np.testing.assert_array_equal(found.rigid.matrix, truth)
    starts = [start for start, _, _ in runs]
    assert len(starts) == 10
    assert starts[0] is None
    np.testing.assert_array_equal(starts[1], np.eye(4))
    np.testing.assert_array_equal(starts[-1], truth)
    # The search is coarse, the first and the last attempt are what was asked for.
    presets = [preset for _, preset, _ in runs]
    assert presets[0] == presets[-1] == find_preset('reference', 'coreg')
    assert set(presets[1:-1]) == {(coarse_stage()._replace(spacing_mm=None),)}
    assert found.rigid.seconds == len(runs)


def test_starts_bring_brain_on_brain(fixed, moving, runs, tmp_path):
    with pytest.raises(QualityError):
        align(target_of(fixed), moving.scan, mask=moving.brain, transform=tmp_path / 'a.mat')
    centre = alignment.centre_of(fixed.brain, fixed.scan)
    there = alignment.centre_of(moving.brain, moving.scan)
    starts = [start for start, _, _ in runs[2:-1]]
    assert len(starts) == 7
    for start in starts:
        np.testing.assert_allclose(start[:3, :3] @ centre + start[:3, 3], there, atol=1e-9)
    np.testing.assert_allclose(starts[0][:3, :3], np.eye(3))


@pytest.mark.parametrize('other_person', [False, True])
def test_own_mask_guides_the_search_between_two_people_only(
    other_person, fixed, moving, runs, tmp_path
):
    runs.answer = lambda start, brains: heads.truth(fixed, moving)
    target = target_of(fixed, other_person=other_person)
    align(target, moving.scan, mask=moving.brain, transform=tmp_path / 'a.mat')
    assert [guided for _, _, guided in runs] == [other_person]


@pytest.mark.parametrize('other_person', [False, True])
def test_other_starts_are_searched_on_images_made_coarse_once(
    other_person, fixed, moving, quick, runs, tmp_path, monkeypatch
):
    """Of two people nothing but the brains is left of them."""
    made, given = [], []

    def make(one, other, brains, spacing):
        made.append((brains, spacing))
        return coarse_pair(one, other, brains, spacing)

    def note(*images, **more):
        given.append((images, more['brains'][0]))
        return register(*images, **more)

    register = alignment.register
    monkeypatch.setattr(alignment, 'coarse_pair', make)
    monkeypatch.setattr(alignment, 'register', note)
    target = target_of(fixed, other_person=other_person)
    with pytest.raises(QualityError):
        align(target, moving.scan, mask=moving.brain, transform=tmp_path / 'a.mat')
    (((brain, own), spacing),) = made
    assert brain is fixed.brain
    assert own is (moving.brain if other_person else None)
    assert spacing == 6.0
    assert len({tuple(map(id, images)) for images, _ in given[1:-1]}) == 1
    (one, other), region = given[1]
    assert one.values.shape == region.shape
    np.testing.assert_allclose([one.spacing, other.spacing], spacing)
    for images, whole in (given[0], given[-1]):
        assert images == (fixed.scan, moving.scan)
        assert whole is fixed.brain


def test_noise_is_refused_and_leaves_nothing(fixed, quick, tmp_path):
    noise = np.random.default_rng(0).random(fixed.scan.values.shape)
    noise = gaussian_filter(noise, 1.5).astype(np.float32)
    moving = fixed.scan._replace(path=Path('noise.nii.gz'), values=noise)
    target = target_of(fixed)._replace(preset=quick)
    with pytest.raises(QualityError) as caught:
        align(target, moving, transform=tmp_path / 'a.mat')
    said = str(caught.value)
    assert said.startswith('noise.nii.gz: cannot be registered to t1w-LAS.nii.gz: ')
    assert f'at least {find_limits("coreg").sharpness} are needed' in said
    assert '--derivatives' in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_masks_that_do_not_meet_are_refused(fixed, moving, runs, tmp_path):
    """However sharp: a mask of the moving image that lies elsewhere tells of a mistake."""
    runs.answer = lambda start, brains: heads.truth(fixed, moving)
    wrong = np.roll(moving.brain, 12, axis=0)
    with pytest.raises(QualityError, match=r'Dice of the brain masks 0\.\d\d; .* and 0\.8 are'):
        align(target_of(fixed), moving.scan, mask=wrong, transform=tmp_path / 'a.mat')
    assert not (tmp_path / 'a.mat').exists()


@pytest.mark.parametrize(
    ('limits', 'good'),
    [
        (Limits(sharpness=1.0, dice=0.5), True),
        (Limits(sharpness=99.0, dice=0.5), False),
        (Limits(sharpness=1.0, dice=0.999), False),
    ],
)
def test_both_limits_hold(limits, good, fixed, moving, runs, tmp_path):
    runs.answer = lambda start, brains: heads.truth(fixed, moving)
    target = target_of(fixed)._replace(limits=limits)
    arguments = {'mask': moving.brain, 'transform': tmp_path / 'a.mat'}
    if good:
        assert align(target, moving.scan, **arguments).dice > 0.9
        return
    with pytest.raises(QualityError):
        align(target, moving.scan, **arguments)


def test_without_a_mask_there_is_no_dice(fixed, moving, runs, tmp_path):
    runs.answer = lambda start, brains: heads.truth(fixed, moving)
    found = align(target_of(fixed), moving.scan, transform=tmp_path / 'a.mat')
    assert found.dice is None
    assert set(found.describe()) == FIELDS
