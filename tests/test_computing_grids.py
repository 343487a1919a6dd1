"""A part of a grid, or a coarser one, leaves everything where it is in the world."""

from pathlib import Path

import heads
import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from mrrate_bids.computing.grids import coarsen, coarsen_mask, crop, near, window_of
from mrrate_bids.computing.scans import Scan

SHAPE = (40, 36, 30)
TILT = heads.turned((15, -25, 40), (7, -30, 12))
AFFINES = {
    'RAS': np.diag([1.0, 1.2, 2.5, 1]),
    'LAS': np.diag([-1.0, 1.2, 2.5, 1]),
    'PSR': nib.affines.from_matvec([[0, 0, 2.5], [-1, 0, 0], [0, 1.2, 0]], (-30, 50, 12)),
    'LIA': nib.affines.from_matvec([[-1, 0, 0], [0, 0, 2.5], [0, -1.2, 0]], (3, 5, 70)),
    'oblique': TILT @ np.diag([-1.0, 1.2, 2.5, 1]),
    'thick': np.diag([0.5, 0.5, 7, 1]),
}


def blob(affine, at=(14, 20, 13), width=3.0):
    """Return a scan of a Gaussian of some mm about a voxel."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing='ij'), -1)
    away = (index - at) @ affine[:3, :3].T
    values = 1000 * np.exp(-(away**2).sum(-1) / (2 * width**2))
    return Scan(Path('a.nii.gz'), values.astype(np.float32), affine, None)


def place(scan):
    """Return where the bright spot of a scan lies, in world mm."""
    return (scan.affine @ [*center_of_mass(scan.values), 1])[:3]


@pytest.mark.parametrize('name', AFFINES)
def test_coarser_mask_keeps_place_and_volume(name):
    scan = blob(AFFINES[name], at=(20, 18, 14), width=8.0)
    mask = (scan.values > 300).astype(np.uint8)
    grid = coarsen(scan, 2.0)
    coarse = coarsen_mask(mask, scan, 2.0)
    assert (coarse.dtype, coarse.shape) == (np.uint8, grid.values.shape)
    assert {*np.unique(coarse)} == {0, 1}
    volume = mask.sum() * scan.voxel_volume
    assert coarse.sum() * grid.voxel_volume == pytest.approx(volume, rel=0.05)
    where, there = (place(s._replace(values=m)) for s, m in ((scan, mask), (grid, coarse)))
    np.testing.assert_allclose(there, where, atol=0.5)


@pytest.mark.parametrize('name', AFFINES)
@pytest.mark.parametrize('spacing', [3.0, 1.7, 1.0])
def test_coarser_grid_keeps_the_place_and_the_axes(name, spacing):
    scan = blob(AFFINES[name], width=4.0)
    coarse = coarsen(scan, spacing)
    np.testing.assert_allclose(coarse.spacing, spacing)
    np.testing.assert_allclose(place(coarse), place(scan), atol=0.1 * spacing)
    np.testing.assert_allclose(
        coarse.affine[:3, :3] / spacing, scan.affine[:3, :3] / scan.spacing, atol=1e-12
    )
    assert coarse.path == scan.path
    assert coarse.values.dtype == np.float32
    # It ends where the old grid ends, up to a voxel of its own.
    old, new = (np.array(s.values.shape) * s.spacing for s in (scan, coarse))
    assert (new >= old - 1e-6).all()
    assert (new < old + spacing).all()


def test_corner_of_the_coarser_grid_is_the_corner_of_the_old_one():
    scan = blob(AFFINES['oblique'])
    corner = scan.affine @ [-0.5, -0.5, -0.5, 1]
    np.testing.assert_allclose(coarsen(scan, 3.0).affine @ [-0.5, -0.5, -0.5, 1], corner)


def test_own_spacing_changes_nothing():
    scan = blob(np.diag([2.0, 2, 2, 1]))
    same = coarsen(scan, 2.0)
    np.testing.assert_allclose(same.values, scan.values, atol=1e-3)
    np.testing.assert_array_equal(same.affine, scan.affine)


def test_fine_pattern_does_not_turn_into_a_coarse_one():
    """A checkerboard of 1 mm on a grid of 4 mm is grey."""
    board = (np.indices(SHAPE).sum(0) % 2 * 1000).astype(np.uint16)
    coarse = coarsen(Scan(Path('a'), board, np.eye(4), None), 4.0)
    assert np.ptp(coarse.values[1:-1, 1:-1, 1:-1]) < 20
    assert coarse.values.mean() == pytest.approx(500, abs=10)


def test_constant_stays_constant_to_the_rim():
    flat = Scan(Path('a'), np.full((11, 12, 13), 7, np.int16), np.eye(4), None)
    np.testing.assert_allclose(coarsen(flat, 2.3).values, 7, rtol=1e-5)


def test_grid_of_a_single_coarse_voxel():
    scan = Scan(Path('a'), np.ones((2, 2, 2), np.float32), np.eye(4), None)
    assert coarsen(scan, 5.0).values.shape == (1, 1, 1)


@pytest.mark.parametrize('name', AFFINES)
def test_part_stays_where_it_is(name):
    scan = blob(AFFINES[name])
    window = slice(5, 25), slice(10, 31), slice(6, 22)
    part = crop(scan, window)
    np.testing.assert_array_equal(part.values, scan.values[window])
    for index in ((0, 0, 0), (19, 20, 15), (3, 7, 2)):
        there = scan.affine @ [index[0] + 5, index[1] + 10, index[2] + 6, 1]
        np.testing.assert_allclose(part.affine @ [*index, 1], there)
    assert scan.affine[0, 3] == AFFINES[name][0, 3]  # the scan itself is not changed


def test_window_is_the_box_and_its_margin():
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[5:8, 9, 0:19] = 1
    scan = Scan(Path('a'), mask, np.diag([-1.0, 2, 3, 1]), None)
    assert window_of(mask, scan, 0.0) == (slice(5, 8), slice(9, 10), slice(0, 19))
    assert window_of(mask, scan, 3.1) == (slice(1, 12), slice(7, 12), slice(0, 20))
    assert window_of(mask.astype(bool), scan, 0.0) == window_of(mask, scan, 0.0)


def test_window_holds_two_bodies():
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[2, 3, 4] = mask[15, 16, 17] = 1
    scan = Scan(Path('a'), mask, np.eye(4), None)
    assert window_of(mask, scan, 0.0) == (slice(2, 16), slice(3, 17), slice(4, 18))


def test_near_is_a_margin_in_mm_along_each_axis():
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[10, 10, 10] = 1
    scan = Scan(Path('a'), mask, np.diag([-1.0, 2, 4, 1]), None)
    grown = near(mask, scan, 4.0)
    assert window_of(grown, scan, 0.0) == (slice(6, 15), slice(8, 13), slice(9, 12))
    assert grown.sum() == 9 * 5 * 3
    np.testing.assert_array_equal(near(mask, scan, 0.0), mask)
