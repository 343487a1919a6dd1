"""Images are stored by the rule of the release, masks on the grid of their image."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from makers import make_nifti
from nibabel.orientations import inv_ornt_aff, ornt_transform

from mrrate_bids.errors import ImageError
from mrrate_bids.release_image import convert_image, convert_mask, needs_conversion
from mrrate_bids.volumes import read_volume

AFFINE = nib.affines.from_matvec(np.diag([2.0, 3, 4]), (5, 6, 7))


def save(path, values, affine=AFFINE, slope=None):
    image = nib.Nifti1Image(values, affine)
    image.set_qform(affine, code=1)
    if slope:
        image.header.set_slope_inter(*slope)
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
    'float32, NaN': (np.full(60, np.nan, np.float32), np.float32),
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


def test_scaled_values_are_the_values(tmp_path):
    source = save(tmp_path / 'a.nii.gz', np.full((3, 4, 5), 7.5, np.float64), slope=None)
    image = nib.load(source)
    image.header.set_data_dtype(np.int16)
    image.header.set_slope_inter(0.5, 0)
    nib.save(nib.Nifti1Image(image.get_fdata(), AFFINE, image.header), tmp_path / 'b.nii.gz')
    convert_image(tmp_path / 'b.nii.gz', tmp_path / 'out.nii.gz')
    np.testing.assert_allclose(nib.load(tmp_path / 'out.nii.gz').get_fdata(), 7.5, rtol=1e-4)


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
    assert data[3] == 0
    assert data[4:8] == bytes(4)


def test_free_texts_of_the_header_are_not_taken_over(tmp_path):
    image = nib.Nifti1Image(np.ones((3, 4, 5), np.int16), AFFINE)
    image.header['descrip'] = b'Jane Doe'
    nib.save(image, tmp_path / 'a.nii')
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


@pytest.mark.parametrize('there', ORIENTATIONS, ids=lambda o: ''.join(map(str, o.ravel())))
def test_mask_is_turned_back_from_every_orientation(there, tmp_path):
    image = make_nifti(tmp_path / 'image.nii.gz', (3, 4, 5), AFFINE, np.uint16)
    mask = np.random.default_rng(1).integers(0, 2, (3, 4, 5), np.uint8)
    turned = nib.Nifti1Image(mask, AFFINE).as_reoriented(there)
    nib.save(turned, tmp_path / 'mask.nii.gz')
    convert_mask(tmp_path / 'mask.nii.gz', tmp_path / 'out.nii.gz', like=read_volume(image))
    ours = nib.load(tmp_path / 'out.nii.gz')
    np.testing.assert_array_equal(np.asarray(ours.dataobj), mask)
    np.testing.assert_array_equal(ours.affine, AFFINE)
    assert ours.get_data_dtype() == np.uint8
    assert inv_ornt_aff(ornt_transform(there, there), (3, 4, 5)).shape == (4, 4)


@pytest.mark.parametrize(
    ('values', 'affine', 'says'),
    [
        (np.full((3, 4, 5), 2, np.uint8), AFFINE, 'other values'),
        (np.full((3, 4, 5), 0.5, np.float32), AFFINE, 'other values'),
        (np.ones((3, 4, 6), np.uint8), AFFINE, 'another grid'),
        (np.ones((3, 4, 5), np.uint8), AFFINE @ np.diag([1, 1, 1.1, 1]), 'another grid'),
        (np.ones((3, 4, 5, 2), np.uint8), AFFINE, '4-D'),
    ],
)
def test_mask_that_does_not_fit(values, affine, says, tmp_path):
    image = make_nifti(tmp_path / 'image.nii.gz', (3, 4, 5), AFFINE, np.uint16)
    save(tmp_path / 'mask.nii.gz', values, affine)
    with pytest.raises(ImageError, match=says):
        convert_mask(tmp_path / 'mask.nii.gz', tmp_path / 'out.nii.gz', like=read_volume(image))
