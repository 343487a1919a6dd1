"""A true transform is sharp, a wrong one and noise are not, whatever the contrasts."""

import heads
import numpy as np
import pytest
from scipy.ndimage import center_of_mass, gaussian_filter

from mrrate_bids.computing.agreement import (
    centre_of,
    compare,
    dice,
    mask_dice,
    mutual_information,
)
from mrrate_bids.computing.presets import find_limits
from mrrate_bids.computing.scans import Scan
from mrrate_bids.computing.transforms import rigid_about

POSE = heads.turned((15, -8, 12), (10, -20, 30))


@pytest.fixture(scope='module', autouse=True)
def fewer():
    """Take a quarter of the points: the numbers are the same to a few per cent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mrrate_bids.computing.agreement._POINTS', 15_000)
        yield


@pytest.fixture(scope='module')
def fixed(tmp_path_factory):
    return heads.scan(tmp_path_factory.mktemp('fixed'), 't1w', spacing=(3, 3, 3))


@pytest.fixture(scope='module', params=['t2w', 'flair', 'swi'])
def moving(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('moving')
    return heads.scan(folder, request.param, codes='PSR', pose=POSE)


def judge(fixed, moving, matrix):
    return compare(fixed.scan, fixed.brain, moving.scan, matrix)


def test_only_the_true_transform_is_good_enough(fixed, moving):
    matrix = heads.truth(fixed, moving)
    centre = centre_of(fixed.brain, fixed.scan)
    right = judge(fixed, moving, matrix)
    limit = find_limits('coreg').sharpness
    assert right.sharpness > limit
    assert right.covered > 0.99
    for degrees, shift in (
        ((0, 0, 20), (0, 0, 0)),
        ((-25, 0, 0), (0, 0, 0)),
        ((0, 0, 0), (0, 20, 0)),
        ((180, 0, 0), (0, 0, 0)),
    ):
        wrong = judge(fixed, moving, matrix @ rigid_about(centre, degrees, np.array(shift)))
        assert wrong.sharpness < limit
        assert wrong.information < right.information


def test_mirrored_head_is_less_sharp(fixed, moving):
    matrix = heads.truth(fixed, moving)
    right = judge(fixed, moving, matrix)
    mirrored = judge(fixed, moving, matrix @ np.diag([-1.0, 1, 1, 1]))
    assert mirrored.sharpness < 0.95 * right.sharpness
    assert mirrored.information < right.information


@pytest.mark.parametrize('smooth', [0, 2, 5])
def test_noise_says_nothing(smooth, fixed):
    noise = np.random.default_rng(0).random(fixed.scan.values.shape)
    noise = fixed.scan._replace(values=gaussian_filter(noise, smooth).astype(np.float32))
    found = compare(fixed.scan, fixed.brain, noise, np.eye(4))
    assert found.sharpness < 2
    assert found.information < 1.06
    assert found.covered == 1


def test_image_and_itself(fixed):
    found = compare(fixed.scan, fixed.brain, fixed.scan, np.eye(4))
    assert found.information == pytest.approx(2)
    assert found.sharpness > 10


def test_no_overlap(fixed):
    away = np.eye(4)
    away[0, 3] = 500
    assert compare(fixed.scan, fixed.brain, fixed.scan, away) == (1.0, 0.0, 0.0)


def test_brain_of_no_voxel_agrees_with_nothing(fixed):
    """It is not an error: a mask of one voxel is none on a coarse grid."""
    nothing = np.zeros_like(fixed.brain)
    assert compare(fixed.scan, nothing, fixed.scan, np.eye(4)) == (1.0, 0.0, 0.0)


def test_half_the_brain_is_covered(fixed):
    away = np.eye(4)
    middle = centre_of(fixed.brain, fixed.scan)[2]
    low = fixed.scan.affine[2, 3]
    away[2, 3] = low - middle
    assert compare(fixed.scan, fixed.brain, fixed.scan, away).covered == pytest.approx(
        0.5, abs=0.1
    )


def test_same_numbers_again_and_for_integers(fixed, moving):
    matrix = heads.truth(fixed, moving)
    number = judge(fixed, moving, matrix)
    floats = moving._replace(
        scan=moving.scan._replace(values=moving.scan.values.astype(np.float32))
    )
    assert number == judge(fixed, moving, matrix) == judge(fixed, floats, matrix)


def test_single_bright_voxel_does_not_hide_the_rest(fixed):
    spoilt = fixed.scan.values.astype(np.float32)
    spoilt[30, 40, 40] = 1e9
    found = compare(fixed.scan, fixed.brain, fixed.scan._replace(values=spoilt), np.eye(4))
    assert found.information > 1.9


def test_mutual_information():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 200_000))
    assert mutual_information(one, other) == pytest.approx(1, abs=0.001)
    assert 1.05 < mutual_information(one, one + other) < 1.5
    assert mutual_information(one, np.ones_like(one)) == pytest.approx(1)
    assert mutual_information(np.ones(9), np.ones(9)) == 1


def test_dice():
    one = np.zeros((4, 4, 4), np.uint8)
    one[:2] = 1
    other = np.zeros((4, 4, 4), np.uint8)
    other[1:3] = 1
    assert dice(one, other) == 0.5
    assert dice(one, one) == 1
    assert dice(one, 1 - one) == 0
    assert dice(one * 0, one) == 0
    assert dice(one * 0, one * 0) == 0


def test_dice_of_masks_under_a_transform(fixed, moving):
    matrix = heads.truth(fixed, moving)
    arguments = fixed.scan, fixed.brain, moving.scan, moving.brain
    assert mask_dice(*arguments, matrix) > 0.94
    assert mask_dice(*arguments, np.eye(4)) < 0.8


def test_masks_count_only_where_both_images_reach(fixed):
    """The lower half of a head: its mask is right as far as it goes."""
    half = Scan(fixed.image, fixed.scan.values[:, :, :40], fixed.scan.affine, None)
    found = mask_dice(fixed.scan, fixed.brain, half, fixed.brain[:, :, :40], np.eye(4))
    assert found == 1


def test_thinned_dice_is_that_of_all_voxels(fixed, moving, monkeypatch):
    arguments = fixed.scan, fixed.brain, moving.scan, moving.brain, heads.truth(fixed, moving)
    whole = mask_dice(*arguments)
    monkeypatch.setattr('mrrate_bids.computing.agreement._VOXELS', 60_000)
    assert mask_dice(*arguments) == pytest.approx(whole, abs=0.01)


@pytest.mark.parametrize('codes', ['LAS', 'PSR', 'LIA'])
def test_centre_is_in_the_world(codes, tmp_path):
    taken = heads.scan(tmp_path, 't1w', codes=codes, pose=POSE, tilt=heads.turned((0, 20, 30)))
    model = heads.head()
    there = center_of_mass(model.brain >= 128)
    expected = POSE @ model.grid.affine @ [*there, 1]
    np.testing.assert_allclose(centre_of(taken.brain, taken.scan), expected[:3], atol=0.5)
