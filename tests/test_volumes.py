"""Grids are read from headers, and what cannot stand in a release is told."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from makers import make_nifti, patch
from scipy.spatial.transform import Rotation

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


@pytest.mark.parametrize('degrees', [0, 25.84, -25.84, 25.85, -25.85, 45])
@pytest.mark.parametrize(('world', 'about'), list(itertools.permutations(range(3), 2)))
def test_tilt(degrees, world, about):
    affine = np.eye(4)
    affine[:3, :3] = np.roll(np.eye(3), world - 2, axis=0)
    turn = Rotation.from_rotvec(np.eye(3)[about] * degrees, degrees=True).as_matrix()
    affine[:3, :3] = turn @ affine[:3, :3] @ np.diag([2, 2, 5])
    assert plane_of(affine) == (AXES[world] if abs(degrees) < 25.842 else 'obl')


@pytest.mark.parametrize(('spacing', 'plane'), [(1.49, 'axi'), (1.5, 'sag')])
def test_coarse_axis_is_half_as_large_again_at_least(spacing, plane):
    assert plane_of(np.diag([spacing, 1, 1, 1])) == plane


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


def colours(names):
    return nib.Nifti1Image(np.zeros((5, 5, 5), [(name, 'u1') for name in names]), np.eye(4))


def complex_values(dtype):
    return nib.Nifti1Image(np.zeros((5, 5, 5), dtype), np.eye(4))


@pytest.mark.parametrize(
    ('image', 'says'),
    [
        (nib.Nifti1Image(np.zeros((5, 5, 5, 2), np.uint8), np.eye(4)), '4-D'),
        (nib.Nifti1Image(np.zeros((5, 5), np.uint8), np.eye(4)), '2-D'),
        (nib.Nifti1Image(np.zeros((5, 5, 5, 1, 3), np.uint8), np.eye(4)), '5-D'),
        (colours('RGB'), r'\(RGB\)'),
        (colours('RGBA'), r'\(RGBA\)'),
        (complex_values(np.complex64), 'complex'),
        (complex_values(np.complex128), 'complex'),
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


@pytest.mark.parametrize('shift', [0.01, 0.9, -0.9])
def test_rounding_between_the_two_orientations_is_no_conflict(shift, tmp_path):
    read_volume(save(tmp_path / 'a.nii.gz', conflicting(shift=shift)))


def test_orientations_that_part_at_a_far_corner_are_a_conflict(tmp_path):
    image = conflicting(shift=0)
    image.set_sform(np.diag([1.4, 1, 1, 1]), code=1)
    with pytest.raises(ImageError, match=r'disagree by 1\.6 mm'):
        read_volume(save(tmp_path / 'a.nii.gz', image))


@pytest.mark.parametrize(
    'affine', [np.diag([1, 1, 0, 1]), np.ones((4, 4)), np.diag([np.nan, 1, 1, 1])]
)
def test_singular_affine(affine, tmp_path):
    image = conflicting(qform=0)
    image.header['srow_x'], image.header['srow_y'], image.header['srow_z'] = affine[:3]
    path = tmp_path / 'a.nii'
    path.write_bytes(image.header.binaryblock + bytes(4 + 125))
    with pytest.raises(ImageError, match='the affine is singular'):
        read_volume(path)


@pytest.mark.parametrize(('unit', 'name'), [('meter', 'metres'), ('micron', 'micrometres')])
def test_other_unit_of_space(unit, name, tmp_path):
    image = nib.Nifti1Image(np.ones((5, 5, 5), np.uint8), np.diag([1e-3, 1e-3, 1e-3, 1]))
    image.header.set_xyzt_units(unit)
    with pytest.raises(ImageError, match=f'is measured in {name}, not in mm'):
        read_volume(save(tmp_path / 'a.nii.gz', image))


@pytest.mark.parametrize('size', [np.nan, np.inf, 0, -1])
def test_voxel_size_that_makes_no_sense(size, tmp_path):
    path = make_nifti(tmp_path / 'a.nii', (5, 5, 5))
    patch(path, 80, np.float32(size).tobytes())
    with pytest.raises(ImageError, match='voxel size'):
        read_volume(path)


@pytest.mark.parametrize(
    ('code', 'bits', 'says'),
    [
        (0, 8, 'not known'),
        (1, 1, 'not known'),
        (999, 8, 'not known'),
        (1536, 128, 'not known'),
        (512, 8, 'disagree'),
    ],
)
def test_data_type_that_makes_no_sense(code, bits, says, tmp_path):
    path = make_nifti(tmp_path / 'a.nii', (5, 5, 5))
    patch(path, 70, np.array([code, bits], np.int16).tobytes())
    path.write_bytes(path.read_bytes() + bytes(5**3 * 16))
    with pytest.raises(ImageError, match=says):
        read_volume(path)


@pytest.mark.parametrize('dtype', 'u1 u2 u4 u8 i1 i2 i4 i8 f4 f8'.split())
@pytest.mark.parametrize('order', '<>')
def test_every_type_with_one_number_per_voxel_is_read(dtype, order, tmp_path):
    path = make_nifti(tmp_path / 'a.nii.gz', dtype=dtype, order=order)
    assert read_volume(path).dtype == np.dtype(dtype).name


def test_qform_that_is_no_rotation(tmp_path):
    path = make_nifti(tmp_path / 'a.nii')
    patch(path, 256, np.float32([1, 1, 1]).tobytes())
    with pytest.raises(ImageError, match='no rotation'):
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
