"""Quickshear takes the face and nothing of the brain, whatever the grid."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.spatial.transform import Rotation

from mrrate_bids.computing.quickshear import BUFFER_MM, deface, shear
from mrrate_bids.errors import ImageError, QualityError
from mrrate_bids.phantom import build_head
from mrrate_bids.phantom_scan import resample, rigid, scan_grid
from mrrate_bids.phantom_tissues import Tissue

UPRIGHT = rigid((0, 0, 0), (0, 0, 0))
FIELD = (190.0, 250.0, 250.0)
MOST_LEFT = 0.06
"""Of the face: the skin of the brows is as near to the brain as the buffer."""


@pytest.fixture(scope='module')
def head():
    """Brain, face and the rest on one grid; the brain lacks a corner on the right."""
    built = build_head(voxel=3.0)
    x, y, z = built.grid.coordinates(built.grid.all)
    brain = (built.brain >= 128) & ~((x > 20) & (y > 20))
    inside = built.labels != Tissue.AIR
    face = inside & (y > 62) & (z < -20)
    behind = inside & ((z > 20) | (y < -70)) & (z > -40)
    masks = {'brain': brain, 'face': face, 'behind': behind}
    return built.grid.affine, {k: m.astype(np.uint8) for k, m in masks.items()}


def seen(head, volume, pose=UPRIGHT):
    """Return the masks of a head in some pose, on the grid of a scan."""
    affine, masks = head
    matrix = np.linalg.inv(pose @ affine) @ volume.affine
    return {
        name: resample(mask, matrix=matrix, shape=volume.shape, linear=False) != 0
        for name, mask in masks.items()
    }


def judge(masks, affine):
    keep = shear(masks['brain'], affine)
    assert keep.dtype == np.uint8
    assert set(np.unique(keep)) == {0, 1}
    assert keep[masks['brain']].all()
    assert keep[masks['behind']].mean() > 0.99
    assert keep[masks['face']].mean() < MOST_LEFT
    return keep


def turned(array, affine, codes):
    there = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
    image = nib.Nifti1Image(np.asarray(array, np.uint8), affine).as_reoriented(there)
    return np.asarray(image.dataobj), image.affine


@pytest.mark.parametrize('codes', ['RAS', 'LIA', 'PSR', 'LAS', 'SLP', 'AIR'])
@pytest.mark.parametrize('slices', [3.0, 7.0])
def test_face_goes_and_brain_stays_in_every_order(codes, slices, head):
    field = tuple(FIELD['RLAPSI'.index(c) // 2] for c in codes)
    spacing = (3.0, 3.0, slices)
    volume = scan_grid(codes, field=field, spacing=spacing, pose=UPRIGHT)
    judge(seen(head, volume), volume.affine)


@pytest.mark.parametrize('tilt', [-20, 20])
@pytest.mark.parametrize('spacing', [(3.0, 3.0, 3.0), (3.0, 3.0, 6.0), (5.0, 3.0, 3.0)])
def test_tilted_head(tilt, spacing, head):
    field = (190.0, 300.0, 300.0)
    pose = rigid((tilt, 0, 0), (0, 0, 0))
    volume = scan_grid('LAS', field=field, spacing=spacing, pose=UPRIGHT)
    judge(seen(head, volume, pose), volume.affine)


@pytest.mark.parametrize('tilt', [(20, 0, 0), (-20, 0, 0), (14, -8, 11), (0, 0, 17)])
def test_oblique_grid(tilt, head):
    pose = rigid(tilt, (30, -20, 10))
    volume = scan_grid('LIA', field=(190, 300, 300), spacing=(3, 3, 6), pose=pose)
    judge(seen(head, volume), volume.affine)


def test_header_alone_tilts_the_planes_with_the_head(head):
    affine, masks = head
    upright = shear(masks['brain'], affine)
    tilted = shear(masks['brain'], rigid((20, 0, 0), (5, 6, 7)) @ affine)
    np.testing.assert_array_equal(tilted, upright)


@pytest.mark.parametrize('codes', ['LIA', 'PSR', 'LPS', 'ASL', 'IRP'])
def test_order_of_the_voxels_changes_nothing(codes, head):
    affine = rigid((10, 5, -7), (0, 0, 0)) @ head[0]
    brain = head[1]['brain']
    keep = shear(brain, affine)
    assert (keep != keep[::-1]).any()  # or a flip would not be seen
    expected, _ = turned(keep, affine, codes)
    np.testing.assert_array_equal(shear(*turned(brain, affine, codes)), expected)


def expected(brain, affine, *, tilt, buffer_mm=BUFFER_MM):
    """Return the keep-mask from the corners of every voxel of the brain, plane by plane."""
    grid = np.stack(np.indices(brain.shape), -1).reshape(-1, 3)
    offsets = np.stack(np.meshgrid(*[[-0.5, 0.5]] * 3), -1).reshape(-1, 3)
    corners = (np.argwhere(brain)[:, None] + offsets).reshape(-1, 3)
    corners, centres = (nib.affines.apply_affine(affine, points) for points in (corners, grid))
    back = Rotation.from_euler('x', tilt, degrees=True)
    keep = np.ones(len(grid), bool)
    for down in range(40, 81, 5):
        for aside in range(-30, 31, 15):
            normal = Rotation.from_euler('xz', [-down, -aside], degrees=True).apply([0, 1, 0])
            normal = back.apply(normal)
            keep &= centres @ normal <= (corners @ normal).max() + buffer_mm
    return keep.reshape(brain.shape)


def solid(radii, degrees):
    """Return an ellipsoid in the middle of a box, turned about x, and its affine."""
    affine = nib.affines.from_matvec(np.diag([4.0, 2.0, 2.0]), (-60, -60, -60))
    points = nib.affines.apply_affine(affine, np.stack(np.indices((31, 61, 61)), -1))
    local = Rotation.from_euler('x', -degrees, degrees=True).apply(points.reshape(-1, 3))
    return (np.linalg.norm(local / radii, axis=1) < 1).reshape(points.shape[:3]), affine


@pytest.mark.parametrize(
    ('radii', 'degrees', 'tilt'),
    [
        ((20, 30, 20), 12, 0),  # the long axis of an upright head
        ((20, 30, 20), 32, 20),
        ((20, 30, 20), -18, -30),
        ((20, 30, 20), 75, 0),  # no head lies like this
        ((20, 30, 20), -50, 0),
        ((20, 27, 25), 40, 0),  # hardly longer than high
    ],
)
def test_planes_follow_the_long_axis_of_the_brain(radii, degrees, tilt):
    brain, affine = solid(radii, degrees)
    keep = shear(brain, affine) != 0
    # The axis of an ellipsoid of voxels is found to a fraction of a degree.
    assert (keep != expected(brain, affine, tilt=tilt)).mean() < 0.002
    assert (keep != expected(brain, affine, tilt=tilt + 5)).mean() > 0.005


AFFINES = st.builds(
    lambda order, signs, spacing, turn, shift: nib.affines.from_matvec(
        Rotation.from_euler('xyz', turn, degrees=True).as_matrix()
        @ np.eye(3)[:, order]
        @ np.diag(np.array(spacing) * signs),
        shift,
    ),
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from([-1, 1])] * 3),
    st.tuples(*[st.floats(0.3, 9)] * 3),
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.tuples(*[st.floats(-300, 300)] * 3),
)
SHAPES = st.tuples(*[st.integers(1, 14)] * 3)
CODES = st.sampled_from(['RAS', 'LIA', 'PSR', 'SAR', 'ILP'])


@st.composite
def blobs(draw):
    """A few boxes, anywhere, up to the border."""
    shape = draw(SHAPES)
    brain = np.zeros(shape, np.uint8)
    for _ in range(draw(st.integers(1, 3))):
        low = [draw(st.integers(0, n - 1)) for n in shape]
        high = [draw(st.integers(a + 1, n)) for a, n in zip(low, shape, strict=True)]
        brain[tuple(slice(*pair) for pair in zip(low, high, strict=True))] = 1
    return brain


@given(blobs(), AFFINES, st.floats(0, 30))
def test_no_voxel_of_a_brain_is_ever_removed(brain, affine, buffer_mm):
    keep = shear(brain, affine, buffer_mm=buffer_mm)
    assert keep.shape == brain.shape
    assert keep[brain != 0].all()


@given(blobs(), AFFINES, CODES)
def test_any_grid_in_any_order(brain, affine, codes):
    keep, _ = turned(shear(brain, affine), affine, codes)
    np.testing.assert_array_equal(shear(*turned(brain, affine, codes)), keep)


@given(blobs(), AFFINES, st.floats(0, 15), st.floats(0, 15))
def test_a_larger_buffer_removes_no_more(brain, affine, buffer_mm, more):
    near = shear(brain, affine, buffer_mm=buffer_mm)
    assert (near <= shear(brain, affine, buffer_mm=buffer_mm + more)).all()


@pytest.mark.parametrize('spacing', [(1, 1, 1), (1, 1, 6), (5, 1, 1), (2, 7, 3)])
@pytest.mark.parametrize('buffer_mm', [0.0, 4.0, 10.0])
def test_buffer_is_in_mm(spacing, buffer_mm):
    brain = np.zeros([1 + 2 * int(40 / s) for s in spacing], bool)
    brain[tuple(n // 2 for n in brain.shape)] = True
    affine = np.diag([*spacing, 1.0])
    keep = shear(brain, affine, buffer_mm=buffer_mm) != 0
    np.testing.assert_array_equal(keep, expected(brain, affine, tilt=0, buffer_mm=buffer_mm))
    assert not keep.all()


def test_default_buffer(head):
    affine, masks = head
    keeps = [shear(masks['brain'], affine, buffer_mm=b) for b in (BUFFER_MM - 4, BUFFER_MM)]
    np.testing.assert_array_equal(shear(masks['brain'], affine), keeps[1])
    assert keeps[0].sum() < keeps[1].sum()


@pytest.mark.parametrize('dtype', [bool, np.uint8, np.int16, np.float32])
def test_brain_masks_of_every_type(dtype, head):
    affine, masks = head
    keep = shear(masks['brain'].astype(dtype), affine)
    np.testing.assert_array_equal(keep, shear(masks['brain'], affine))


def test_empty_mask():
    with pytest.raises(ImageError, match=r'^the brain mask is empty$'):
        shear(np.zeros((12, 12, 12), np.uint8), np.eye(4))


def test_full_mask_keeps_everything():
    assert shear(np.ones((12, 13, 14), np.uint8), np.diag([1, 2, 3, 1])).all()


def test_brain_that_fills_the_image_to_its_borders(head):
    affine, masks = head
    low, high = (f(np.argwhere(masks['brain']), axis=0) for f in (np.min, np.max))
    cut = tuple(slice(a + 2, b - 1) for a, b in zip(low, high, strict=True))
    keep = shear(masks['brain'][cut], affine)
    assert keep[masks['brain'][cut] != 0].all()
    assert not keep.all()


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_broken_affine(value):
    brain = np.zeros((12, 12, 12), np.uint8)
    brain[5:7, 5:7, 5:7] = 1
    with pytest.raises(QualityError, match='part of the brain'):
        shear(brain, np.diag([1, value, 1, 1]))


@pytest.mark.parametrize('dtype', ['u1', '<i2', '>i2', '<u2', '<f4', '<f8', '>f4'])
def test_defaced_image_keeps_its_type_and_is_0_where_removed(dtype, head):
    affine, masks = head
    keep = shear(masks['brain'], affine)
    values = np.random.default_rng(1).integers(1, 200, keep.shape).astype(dtype)
    if values.dtype.kind != 'u':
        values[:, ::2] *= -1
    before = values.copy()
    defaced = deface(values, keep)
    assert defaced.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(defaced[keep != 0], values[keep != 0])
    assert not defaced[keep == 0].view(np.uint8).any()  # not even a minus zero


def test_not_a_number_is_removed_with_the_face(head):
    affine, masks = head
    keep = shear(masks['brain'], affine)
    defaced = deface(np.full(keep.shape, np.nan, np.float32), keep)
    assert (defaced[keep == 0] == 0).all()
