"""What is read is fit to be computed from; what is written is the same each time."""

import gzip

import heads
import nibabel as nib
import numpy as np
import pytest
from makers import make_nifti, patch

from mrrate_bids.computing.scans import (
    LEAST_VOXELS,
    read_grid,
    read_mask,
    read_scan,
    same_space,
    write_like,
    write_mask,
)
from mrrate_bids.errors import DestinationError, ImageError


def test_sheared_affine_is_refused(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 0.05
    path = tmp_path / 'a.nii.gz'
    image = nib.Nifti1Image(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), None)
    image.set_sform(affine, code=1)
    nib.save(image, path)
    with pytest.raises(ImageError, match=r'^a\.nii\.gz: its axes are not at right angles'):
        read_scan(path)


SHAPE = (10, 11, 12)
AFFINE = nib.affines.from_matvec(np.diag([2.0, 3, 4]), (5, 6, 7))
OBLIQUE = heads.turned((20, -13, 41), (30, -20, 10))
GRIDS = {
    'LIA': [[-1, 0, 0], [0, 0, 1], [0, -1, 0]],
    'PSR': [[0, 0, 1], [-1, 0, 0], [0, 1, 0]],
    'oblique': OBLIQUE[:3, :3],
}


def values_of(dtype=np.float32, shape=SHAPE):
    return np.random.default_rng(0).integers(0, 900, shape).astype(dtype)


def replaced(value):
    values = values_of()
    values[3, 4, 5] = value
    return values


def grid(name):
    return nib.affines.from_matvec(np.array(GRIDS[name]) @ np.diag([1, 1.5, 2.5]), (3, -4, 50))


@pytest.fixture
def scan(tmp_path):
    return read_scan(heads.save(tmp_path / 'image.nii.gz', values_of(np.uint16), AFFINE))


@pytest.mark.parametrize(
    ('values', 'says'),
    [
        (values_of(shape=(20, 20)), '2-D'),
        (values_of(shape=(*SHAPE, 2)), '4-D'),
        (values_of(shape=(20, 20, LEAST_VOXELS - 1)), r'only 9 voxels along an axis \(20x20x9\)'),
        (values_of(shape=(3, 20, 20)), 'only 3 voxels'),
        (replaced(np.nan), '1 voxels are NaN or infinite'),
        (replaced(-np.inf), '1 voxels are NaN or infinite'),
        (np.full(SHAPE, np.nan, np.float32), '1,320 voxels are NaN'),
        (np.full(SHAPE, 7, np.int16), 'is constant, every voxel is 7'),
        (values_of(np.complex64), 'complex numbers'),
        (np.zeros(SHAPE, np.dtype([(c, 'u1') for c in 'RGB'])), r'colours \(RGB\)'),
    ],
)
def test_image_that_nothing_can_be_computed_from(values, says, tmp_path):
    path = heads.save(tmp_path / 'a.nii.gz', values, AFFINE)
    with pytest.raises(ImageError, match=rf'^a\.nii\.gz: .*{says}') as caught:
        read_scan(path)
    assert caught.value.hint
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    'spoil',
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-4],
        lambda data: data[:-8] + bytes(8),
        lambda data: gzip.compress(gzip.decompress(data)[:-1]),
        lambda data: data[:200],
        lambda data: b'',
        lambda data: b'no image',
    ],
    ids=['half', 'no length', 'wrong checksum', 'a byte less', 'header', 'empty', 'text'],
)
def test_damaged_file(spoil, tmp_path):
    path = heads.save(tmp_path / 'a.nii.gz', values_of(), AFFINE)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ImageError, match=r'^a\.nii\.gz'):
        read_scan(path)


def test_no_place_in_space(tmp_path):
    path = heads.save(tmp_path / 'a.nii', values_of(), AFFINE)
    patch(path, 252, bytes(4))  # qform_code and sform_code
    with pytest.raises(ImageError, match=r'^a\.nii: has no orientation'):
        read_scan(path)


def test_no_file(tmp_path):
    with pytest.raises(ImageError, match=r'gone\.nii\.gz: cannot be read'):
        read_scan(tmp_path / 'gone.nii.gz')


@pytest.mark.parametrize('dtype', [np.uint8, np.int16, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize('more', [{}, {'version': 2}, {'order': '>'}])
def test_every_number_is_read(dtype, more, tmp_path):
    path = make_nifti(tmp_path / 'a.nii.gz', SHAPE, AFFINE, dtype, **more)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.values, nib.load(path).get_fdata())
    np.testing.assert_array_equal(scan.affine, AFFINE)
    np.testing.assert_allclose(scan.spacing, (2, 3, 4))
    assert scan.voxel_volume == pytest.approx(0.024)


def test_values_are_the_scaled_ones(tmp_path):
    path = heads.save(tmp_path / 'a.nii', values_of(np.int16), AFFINE)
    patch(path, 112, np.float32([0.5, -3]).tobytes())
    np.testing.assert_array_equal(read_scan(path).values, values_of() / 2 - 3)


def test_a_single_volume_of_a_4d_file(tmp_path):
    path = heads.save(tmp_path / 'a.nii.gz', values_of(shape=(*SHAPE, 1)), AFFINE)
    assert read_scan(path).values.shape == SHAPE


@pytest.mark.parametrize('name', GRIDS)
def test_spacing_and_volume_on_turned_grids(name, tmp_path):
    scan = read_scan(heads.save(tmp_path / 'a.nii.gz', values_of(), grid(name)))
    np.testing.assert_allclose(scan.spacing, (1, 1.5, 2.5), rtol=1e-6)
    assert scan.voxel_volume == pytest.approx(0.00375)


@pytest.mark.parametrize(
    ('values', 'affine', 'says'),
    [
        (np.ones((*SHAPE[:2], 13), np.uint8), AFFINE, r'not lie on the grid of image\.nii\.gz'),
        (np.ones(SHAPE, np.uint8), AFFINE + np.eye(4, k=3) * 0.002, 'not lie on the grid'),
        (np.ones(SHAPE, np.uint8), AFFINE @ np.diag([-1, 1, 1, 1]), 'not lie on the grid'),
        (np.full(SHAPE, 2, np.uint8), AFFINE, 'no mask'),
        (np.full(SHAPE, 0.5, np.float32), AFFINE, 'no mask'),
        (np.full(SHAPE, -1, np.int16), AFFINE, 'no mask'),
        (np.full(SHAPE, np.nan, np.float32), AFFINE, 'no mask'),
        (np.zeros(SHAPE, np.uint8), AFFINE, 'mask is empty'),
    ],
)
def test_mask_that_does_not_fit(values, affine, says, scan, tmp_path):
    path = heads.save(tmp_path / 'mask.nii.gz', values, affine)
    with pytest.raises(ImageError, match=rf'^mask\.nii\.gz: .*{says}'):
        read_mask(path, like=scan)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32, np.float64])
def test_mask_becomes_uint8(dtype, scan, tmp_path):
    values = (values_of() > 400).astype(dtype)
    mask = read_mask(heads.save(tmp_path / 'm.nii.gz', values, AFFINE), like=scan)
    assert mask.values.dtype == np.uint8
    np.testing.assert_array_equal(mask.values, values)


def test_empty_mask_where_it_is_allowed(scan, tmp_path):
    path = heads.save(tmp_path / 'm.nii.gz', np.zeros(SHAPE, np.uint8), AFFINE)
    assert not read_mask(path, like=scan, allow_empty=True).values.any()


def test_same_space(scan):
    near = scan.affine + np.eye(4, k=3) * 0.0009
    assert same_space(scan, scan._replace(affine=near))
    assert not same_space(scan, scan._replace(affine=scan.affine + np.eye(4, k=3) * 0.0011))
    assert not same_space(scan, scan._replace(values=scan.values[:-1]))
    turned = scan._replace(values=scan.values.transpose(2, 1, 0))
    assert not same_space(scan, turned)


@pytest.mark.parametrize(
    ('values', 'dtype'),
    [
        (values_of(np.uint8) % 2, np.uint16),  # an image, no mask
        (values_of(np.uint8), np.uint16),
        (values_of(np.uint16), np.uint16),
        (values_of(np.uint16) % 2, np.uint16),
        (values_of(np.int16), np.uint16),
        (values_of(np.float32), np.uint16),
        (values_of(np.float64), np.uint16),
        (replaced(0.5), np.float32),
        (replaced(-1), np.float32),
        (replaced(65535), np.uint16),
        (replaced(65536), np.float32),
    ],
)
def test_type_of_what_is_written(values, dtype, scan, tmp_path):
    write_like(scan, values, tmp_path / 'out.nii.gz')
    image = nib.load(tmp_path / 'out.nii.gz')
    assert image.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asarray(image.dataobj), values.astype(dtype))


@pytest.mark.parametrize('dtype', [bool, np.uint8, np.float32])
def test_mask_is_uint8(dtype, scan, tmp_path):
    mask = (values_of(np.uint8) % 2).astype(dtype)
    write_mask(scan, mask, tmp_path / 'out.nii.gz')
    image = nib.load(tmp_path / 'out.nii.gz')
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj), mask)


@pytest.mark.parametrize('name', GRIDS)
def test_place_in_space_is_kept(name, tmp_path):
    scan = read_scan(heads.save(tmp_path / 'a.nii.gz', values_of(), grid(name)))
    write_like(scan, scan.values, tmp_path / 'out.nii.gz')
    header = nib.load(tmp_path / 'out.nii.gz').header
    np.testing.assert_array_equal(header.get_sform(), scan.affine)
    np.testing.assert_allclose(header.get_qform(), scan.affine, atol=1e-5)
    assert (int(header['sform_code']), int(header['qform_code'])) == (1, 1)
    assert header.get_xyzt_units()[0] == 'mm'
    again = read_scan(tmp_path / 'out.nii.gz')
    assert same_space(again, scan)
    np.testing.assert_array_equal(again.values, scan.values)


def test_same_bytes_every_time_and_none_of_the_header(scan, tmp_path):
    image = nib.Nifti1Image(scan.values, scan.affine)
    image.header['descrip'] = b'Jane Doe'
    nib.save(image, tmp_path / 'jane.nii.gz')
    named = read_scan(tmp_path / 'jane.nii.gz')
    for source, name in ((scan, 'one'), (scan, 'two'), (named, 'three')):
        write_like(source, source.values, tmp_path / f'{name}.nii.gz')
    one, two, three = ((tmp_path / f'{n}.nii.gz').read_bytes() for n in ('one', 'two', 'three'))
    assert one == two == three
    assert one[4:8] == bytes(4)  # no time in the header of gzip


def test_target_that_cannot_be_written(scan, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(DestinationError):
        write_like(scan, scan.values, tmp_path / 'file' / 'out.nii.gz')


def test_numbers_too_large_are_refused_by_name(scan, tmp_path):
    values = np.full(SHAPE, 1e39)
    with pytest.raises(ImageError, match=r'out\.nii\.gz: holds numbers that are too large'):
        write_like(scan, values, tmp_path / 'out.nii.gz')
    assert not (tmp_path / 'out.nii.gz').exists()


def test_grid_of_an_image(scan):
    grid = read_grid(scan.path)
    assert same_space(grid, scan)
    assert not grid.values.any()


def test_grid_of_a_file_that_has_none(tmp_path):
    (tmp_path / 'a.nii.gz').write_bytes(b'no image')
    with pytest.raises(ImageError, match=r'a\.nii\.gz'):
        read_grid(tmp_path / 'a.nii.gz')
