"""Grids are read from headers, and what cannot stand in a release is told."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from makers import make_nifti, patch

from mrrate_bids.errors import ImageError
from mrrate_bids.volumes import plane_of, read_volume

AXES = 'sag', 'cor', 'axi'


def save(path, image):
    nib.save(image, path)
    return path


@pytest.mark.parametrize('order', list(itertools.permutations(range(3))))
@pytest.mark.parametrize('signs', list(itertools.product((1, -1), repeat=3)))
def test_plane_of_every_orientation(order, signs):
    affine = np.eye(4)
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[:3, axis] = 0
        affine[world, axis] = sign
    assert plane_of(affine) == AXES[order[2]]
    assert plane_of(affine, slice_axis=0) == AXES[order[0]]
    affine[:3, 1] *= 4
    assert plane_of(affine) == AXES[order[1]], 'the coarse axis is the one across slices'


@pytest.mark.parametrize(
    ('degrees', 'plane'), [(0, 'axi'), (25.8, 'axi'), (25.9, 'obl'), (45, 'obl')]
)
def test_tilt(degrees, plane):
    angle = np.deg2rad(degrees)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert plane_of(affine @ np.diag([2, 2, 5, 1])) == plane


@pytest.mark.parametrize('more', [{}, {'version': 2}, {'order': '>'}, {'packed': False}])
def test_header(more, tmp_path):
    name = 'a.nii' if more.pop('packed', True) is False else 'a.nii.gz'
    path = make_nifti(tmp_path / name, (5, 6, 7), np.diag([2, 3, 4, 1.0]), np.int16, **more)
    volume = read_volume(path)
    assert volume.shape == (5, 6, 7)
    assert volume.spacing == (2, 3, 4)
    assert volume.fov == (10, 18, 28)
    assert (volume.plane, volume.dtype, volume.scaled, volume.squeeze) == (
        'axi',
        'int16',
        False,
        False,
    )
    np.testing.assert_array_equal(volume.affine, np.diag([2, 3, 4, 1]))


def test_slice_axis_of_the_header_is_believed(tmp_path):
    image = nib.Nifti1Image(np.zeros((5, 5, 5), np.uint8), np.eye(4))
    image.header.set_dim_info(slice=0)
    assert read_volume(save(tmp_path / 'a.nii.gz', image)).plane == 'sag'


def test_scaling_and_further_axes_of_length_one_are_noted(tmp_path):
    image = nib.Nifti1Image(np.zeros((5, 5, 5, 1), np.uint8), np.eye(4))
    image.header.set_slope_inter(2, 1)
    volume = read_volume(save(tmp_path / 'a.nii.gz', image))
    assert volume.scaled
    assert volume.squeeze
    assert volume.shape == (5, 5, 5)


def conflicting(sform=1, qform=1, shift=5.0):
    image = nib.Nifti1Image(np.zeros((5, 5, 5), np.uint8), np.eye(4))
    image.set_qform(np.eye(4), code=qform)
    moved = np.eye(4)
    moved[0, 3] = shift
    image.set_sform(moved, code=sform)
    return image


COLOUR = np.zeros((5, 5, 5), dtype=[('R', 'u1'), ('G', 'u1'), ('B', 'u1')])


@pytest.mark.parametrize(
    ('image', 'says'),
    [
        (nib.Nifti1Image(np.zeros((5, 5, 5, 2), np.uint8), np.eye(4)), '4-D'),
        (nib.Nifti1Image(np.zeros((5, 5), np.uint8), np.eye(4)), '2-D'),
        (nib.Nifti1Image(COLOUR, np.eye(4)), 'RGB'),
        (nib.Nifti1Image(np.zeros((5, 5, 5), np.complex64), np.eye(4)), 'complex'),
        (conflicting(), 'disagree by 5.0 mm'),
        (conflicting(sform=0, qform=0), 'no orientation'),
    ],
)
def test_what_cannot_stand_in_a_release(image, says, tmp_path):
    path = save(tmp_path / 'a.nii.gz', image)
    with pytest.raises(ImageError, match=says) as caught:
        read_volume(path, name='study/a.nii.gz')
    assert str(caught.value).startswith('study/a.nii.gz: ')
    assert caught.value.hint


@pytest.mark.parametrize('codes', [(1, 0), (0, 1)])
def test_one_orientation_is_enough(codes, tmp_path):
    image = conflicting(*codes)
    volume = read_volume(save(tmp_path / 'a.nii.gz', image))
    assert volume.affine[0, 3] == (5 if codes[0] else 0)


def test_rounding_between_the_two_orientations_is_no_conflict(tmp_path):
    read_volume(save(tmp_path / 'a.nii.gz', conflicting(shift=0.01)))


def test_singular_affine(tmp_path):
    image = conflicting(qform=0)
    image.set_sform(np.diag([1, 1, 0, 1]), code=1)
    with pytest.raises(ImageError, match=r'singular|voxel size'):
        read_volume(save(tmp_path / 'a.nii.gz', image))


def test_voxel_size_that_makes_no_sense(tmp_path):
    path = make_nifti(tmp_path / 'a.nii', (5, 5, 5))
    patch(path, 80, np.float32(np.nan).tobytes())
    with pytest.raises(ImageError, match='voxel size'):
        read_volume(path)


@pytest.mark.parametrize('data', [b'', b'text', b'\x1f\x8bgarbage'])
def test_no_image(data, tmp_path):
    path = tmp_path / 'a.nii.gz'
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r'a\.nii\.gz'):
        read_volume(path)


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(ImageError, match='cannot be read'):
        read_volume(tmp_path / 'a.nii.gz')
