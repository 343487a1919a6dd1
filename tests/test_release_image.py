"""Images are stored by the rule of the release, masks on the grid of their image."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from makers import make_nifti, patch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from mrrate_bids.errors import ImageError
from mrrate_bids.release_image import (
    convert_image,
    convert_mask,
    needs_conversion,
    write_packed,
)
from mrrate_bids.volumes import read_volume

AFFINE = nib.affines.from_matvec(np.diag([2.0, 3, 4]), (5, 6, 7))


def save(path, values, affine=AFFINE):
    image = nib.Nifti1Image(values, affine)
    image.set_qform(affine, code=1)
    nib.save(image, path)
    return path


VALUES = {
    'uint8': (np.arange(60, dtype=np.uint8), np.uint16),
    'int16, not negative': (np.arange(60, dtype=np.int16), np.uint16),
    'int16, negative': (np.arange(-1, 59, dtype=np.int16), np.float32),
    'int32, large': (np.arange(60, dtype=np.int32) * 5000, np.float32),
    'uint16, the largest': (np.full(60, 65535, np.uint16), np.uint16),
    'float64, whole': (np.arange(60, dtype=np.float64), np.uint16),
    'float32, fractions': (np.arange(60, dtype=np.float32) / 4, np.float32),
    'float64, whole, negative': (np.arange(-1, 59, dtype=np.float64), np.float32),
    'float64, whole, too large': (np.arange(65477, 65537, dtype=np.float64), np.float32),
    'float32, NaN': (np.full(60, np.nan, np.float32), np.float32),
    'float32, whole but for a NaN': (np.r_[np.nan, np.ones(59)].astype(np.float32), np.float32),
    'float32, whole but for an infinity': (np.r_[np.inf, np.ones(59)], np.float32),
}


@pytest.mark.parametrize('name', VALUES)
@pytest.mark.parametrize('ending', ['nii', 'nii.gz'])
def test_type_and_values(name, ending, tmp_path):
    values, dtype = VALUES[name]
    values = values.reshape(3, 4, 5)
    source = save(tmp_path / f'a.{ending}', values)
    convert_image(source, tmp_path / 'out.nii.gz')
    ours = nib.load(tmp_path / 'out.nii.gz')
    assert ours.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asarray(ours.dataobj), values.astype(dtype))
    np.testing.assert_array_equal(ours.affine, AFFINE)
    assert (int(ours.header['sform_code']), int(ours.header['qform_code'])) == (2, 1)
    assert not needs_conversion(read_volume(tmp_path / 'out.nii.gz'), 'out.nii.gz')


@pytest.mark.parametrize(
    ('value', 'rounding'),
    [(16777217, 1), (-16777217, 1), (4_000_000_123, 123), (16777216, 0), (0.1, 0), (np.inf, 0)],
)
def test_rounding_of_large_whole_numbers_is_told(value, rounding, tmp_path):
    values = np.r_[value, np.zeros(59)].reshape(3, 4, 5)
    told = convert_image(save(tmp_path / 'a.nii.gz', values), tmp_path / 'out.nii.gz')
    assert told == rounding


@pytest.mark.parametrize('value', [1e39, -1e300])
def test_number_too_large_for_a_release(value, tmp_path):
    source = save(tmp_path / 'a.nii.gz', np.r_[value, np.nan, np.ones(58)].reshape(3, 4, 5))
    with pytest.raises(ImageError, match=r'a\.nii\.gz: holds numbers that are too large'):
        convert_image(source, tmp_path / 'out.nii.gz')
    assert not (tmp_path / 'out.nii.gz').exists()


@pytest.mark.parametrize(
    ('slope', 'intercept', 'dtype'),
    [(2, 1, np.uint16), (0.5, 0, np.float32), (1, -1, np.float32), (0, 9, np.uint16)],
)
def test_scaled_values_are_the_values(slope, intercept, dtype, tmp_path):
    stored = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    source = save(tmp_path / 'a.nii', stored)
    patch(source, 112, np.float32([slope, intercept]).tobytes())
    packed = tmp_path / 'a.nii.gz'
    packed.write_bytes(gzip.compress(source.read_bytes()))
    assert needs_conversion(read_volume(packed), packed.name) == bool(slope)
    convert_image(packed, tmp_path / 'out.nii.gz')
    ours = nib.load(tmp_path / 'out.nii.gz')
    assert ours.get_data_dtype() == dtype
    values = stored * float(slope) + intercept if slope else stored
    np.testing.assert_array_equal(ours.get_fdata(), values)
    assert not read_volume(tmp_path / 'out.nii.gz').scaled


@pytest.mark.parametrize('more', [{'version': 2}, {'order': '>'}])
def test_other_headers(more, tmp_path):
    source = make_nifti(tmp_path / 'a.nii', (3, 4, 5), AFFINE, np.int16, **more)
    convert_image(source, tmp_path / 'out.nii.gz')
    ours, theirs = nib.load(tmp_path / 'out.nii.gz'), nib.load(source)
    np.testing.assert_array_equal(ours.get_fdata(), theirs.get_fdata())
    np.testing.assert_array_equal(ours.affine, AFFINE)
    assert ours.get_data_dtype().name == 'uint16'


def test_big_endian_numbers_are_turned(tmp_path):
    source = make_nifti(tmp_path / 'a.nii.gz', (3, 4, 5), AFFINE, np.float32, order='>')
    assert needs_conversion(read_volume(source), source.name)
    convert_image(source, tmp_path / 'out.nii.gz')
    ours = nib.load(tmp_path / 'out.nii.gz')
    assert ours.header.endianness == '<'
    np.testing.assert_array_equal(ours.get_fdata(), nib.load(source).get_fdata())
    assert not needs_conversion(read_volume(tmp_path / 'out.nii.gz'), 'out.nii.gz')


def test_further_axes_of_length_one_go(tmp_path):
    source = save(tmp_path / 'a.nii.gz', np.ones((3, 4, 5, 1), np.uint16))
    assert needs_conversion(read_volume(source), 'a.nii.gz')
    convert_image(source, tmp_path / 'out.nii.gz')
    assert nib.load(tmp_path / 'out.nii.gz').shape == (3, 4, 5)


def test_same_bytes_every_time_without_time_and_name(tmp_path):
    source = save(tmp_path / 'a.nii', np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    convert_image(source, tmp_path / 'one.nii.gz')
    convert_image(source, tmp_path / 'two.nii.gz')
    data = (tmp_path / 'one.nii.gz').read_bytes()
    assert data == (tmp_path / 'two.nii.gz').read_bytes()
    assert (data[3], data[4:8]) == (0, bytes(4))


@pytest.mark.parametrize(
    ('kind', 'texts'),
    [
        (nib.Nifti1Image, ('descrip', 'aux_file', 'db_name', 'intent_name')),
        (nib.Nifti2Image, ('descrip', 'aux_file', 'intent_name')),
    ],
)
def test_free_texts_of_the_header_are_not_taken_over(kind, texts, tmp_path):
    image = kind(np.ones((3, 4, 5), np.int16), AFFINE)
    for name in texts:
        image.header[name] = b'Jane Doe'
    image.header.extensions.append(nib.nifti1.Nifti1Extension('comment', b'Jane Doe'))
    nib.save(image, tmp_path / 'a.nii')
    assert b'Jane' in (tmp_path / 'a.nii').read_bytes()
    convert_image(tmp_path / 'a.nii', tmp_path / 'out.nii.gz')
    assert b'Jane' not in gzip.decompress((tmp_path / 'out.nii.gz').read_bytes())


@pytest.mark.parametrize('dtype', [np.uint16, np.float32, np.int16])
def test_only_what_must_be_is_converted(dtype, tmp_path):
    packed = make_nifti(tmp_path / 'a.nii.gz', dtype=dtype)
    assert needs_conversion(read_volume(packed), packed.name) == (dtype is np.int16)
    plain = make_nifti(tmp_path / 'a.nii', dtype=dtype)
    assert needs_conversion(read_volume(plain), plain.name)


def test_damaged_voxels(tmp_path):
    source = make_nifti(tmp_path / 'a.nii.gz', (20, 20, 20), dtype=np.int16)
    data = bytearray(source.read_bytes())
    data[len(data) // 2] ^= 0xFF
    source.write_bytes(data)
    with pytest.raises(ImageError, match=r'a\.nii\.gz'):
        convert_image(source, tmp_path / 'out.nii.gz')
    assert not (tmp_path / 'out.nii.gz').exists()


ORIENTATIONS = [
    np.column_stack([order, signs])
    for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])
    for signs in np.array(np.meshgrid(*[[1, -1]] * 3)).reshape(3, -1).T
]


TILTS = {'straight': (0, 0, 0), 'oblique': (17, 73, 44), '45': (45, 0, 0), '45 twice': (45, 45, 0)}


@pytest.mark.parametrize('there', ORIENTATIONS, ids=lambda o: ''.join(map(str, o.ravel())))
@pytest.mark.parametrize('tilt', TILTS)
def test_mask_is_turned_back_from_every_orientation(there, tilt, tmp_path):
    turn = Rotation.from_euler('xyz', TILTS[tilt], degrees=True).as_matrix()
    affine = nib.affines.from_matvec(turn @ AFFINE[:3, :3], (5, 6, 7))
    image = make_nifti(tmp_path / 'image.nii.gz', (3, 4, 5), affine, np.uint16)
    mask = np.random.default_rng(1).integers(0, 2, (3, 4, 5), np.uint8)
    turned = nib.Nifti1Image(mask, affine).as_reoriented(there)
    nib.save(turned, tmp_path / 'mask.nii.gz')
    convert_mask(tmp_path / 'mask.nii.gz', tmp_path / 'out.nii.gz', like=read_volume(image))
    ours = nib.load(tmp_path / 'out.nii.gz')
    np.testing.assert_array_equal(np.asarray(ours.dataobj), mask)
    np.testing.assert_array_equal(ours.affine, nib.load(image).affine)
    assert ours.get_data_dtype() == np.uint8


@pytest.mark.parametrize(
    ('values', 'affine', 'says'),
    [
        (np.full((3, 4, 5), 2, np.uint8), AFFINE, 'other values'),
        (np.full((3, 4, 5), 0.5, np.float32), AFFINE, 'other values'),
        (np.ones((3, 4, 6), np.uint8), AFFINE, 'another grid'),
        (np.ones((3, 4, 5), np.uint8), AFFINE @ np.diag([1, 1, 1.1, 1]), 'another grid'),
        (np.ones((3, 4, 5), np.uint8), AFFINE + np.eye(4, k=3) * 0.002, 'another grid'),
        (np.full((3, 4, 5), np.nan, np.float32), AFFINE, 'other values'),
        (np.ones((3, 4, 5, 2), np.uint8), AFFINE, '4-D'),
    ],
)
def test_mask_that_does_not_fit(values, affine, says, tmp_path):
    image = make_nifti(tmp_path / 'image.nii.gz', (3, 4, 5), AFFINE, np.uint16)
    save(tmp_path / 'mask.nii.gz', values, affine)
    with pytest.raises(ImageError, match=says):
        convert_mask(tmp_path / 'mask.nii.gz', tmp_path / 'out.nii.gz', like=read_volume(image))


def test_interpolated_image_is_packed_smaller_than_by_gzip_itself(tmp_path):
    """And its header has no flags, name or time, which would differ from run to run."""
    values = np.zeros((40, 40, 40), np.float32)
    known = np.random.default_rng(0).integers(0, 900, (14, 14, 14)).astype(np.float32)
    values[8:32, 8:32, 8:32] = ndimage.zoom(known, 24 / 14, order=1)
    image, path = nib.Nifti1Image(values, np.eye(4)), tmp_path / 'a.nii.gz'
    write_packed(image, path)
    packed = path.read_bytes()
    assert gzip.decompress(packed) == image.to_bytes()
    assert packed[:8] == b'\x1f\x8b\x08\x00' + bytes(4)
    assert len(packed) <= len(gzip.compress(image.to_bytes(), 6))
