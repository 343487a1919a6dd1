"""A series without its face, and the mask that says what was kept."""

import heads
import nibabel as nib
import numpy as np
import pytest

from mrrate_bids.computing.defacing import deface_scan
from mrrate_bids.computing.quickshear import BUFFER_MM, shear
from mrrate_bids.errors import ImageError, QualityError


@pytest.fixture(params=['LAS', 'PSR'])
def taken(request, tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    tilt = heads.turned((-10, 5, 20))
    return heads.scan(folder, 't1w', codes=request.param, tilt=tilt)


def run(taken, folder, **more):
    keep, defaced = folder / 'keep.nii.gz', folder / 'defaced.nii.gz'
    quality = deface_scan(
        taken.image, taken.mask, keep=keep, defaced=defaced, **{'buffer_mm': BUFFER_MM} | more
    )
    return quality, nib.load(keep), nib.load(defaced)


def voxels(image):
    return np.asarray(image.dataobj)


def test_image_that_would_keep_its_face_is_refused(taken, tmp_path):
    with pytest.raises(QualityError, match=r'^t1w-.*: defacing would remove nothing') as caught:
        run(taken, tmp_path, buffer_mm=500.0)
    assert 'brain mask' in caught.value.hint
    assert not list(tmp_path.glob('*.nii.gz'))


@pytest.mark.parametrize(
    ('spoil', 'given', 'says'),
    [
        (np.ones_like, False, 'is too large for a brain'),
        (lambda brain: brain * (np.cumsum(brain).reshape(brain.shape) == 1), False, 'too small'),
        (np.ones_like, True, 'keeps every voxel, and no face goes'),
        (lambda brain: brain * (np.cumsum(brain).reshape(brain.shape) == 1), True, 'keeps less'),
    ],
)
def test_mask_that_cannot_be_what_it_should_is_named(spoil, given, says, taken, tmp_path):
    """The remedy speaks of the file that is wrong, and not of the brain mask in its place."""
    path = heads.save(tmp_path / 'mine.nii.gz', spoil(taken.brain), taken.scan.affine)
    more = {'given': path} if given else {}
    with pytest.raises(QualityError, match=rf'^mine\.nii\.gz: .*{says}') as caught:
        run(taken._replace(mask=None if given else path), tmp_path, **more)
    assert ('defacing mask' in caught.value.hint) == given
    assert 'brain mask' not in caught.value.hint
    assert [path.name for path in tmp_path.glob('*.nii.gz')] == ['mine.nii.gz']


def test_image_without_any_mask(taken, tmp_path):
    with pytest.raises(ImageError, match='neither brain mask nor defacing mask'):
        run(taken._replace(mask=None), tmp_path)


def test_face_is_0_and_everything_else_as_it_was(taken, tmp_path):
    quality, keep, defaced = run(taken, tmp_path)
    kept, values = voxels(keep), voxels(defaced)
    np.testing.assert_array_equal(kept, shear(taken.brain, taken.scan.affine))
    assert keep.get_data_dtype() == np.uint8
    assert defaced.get_data_dtype() == np.uint16
    for image in (keep, defaced):
        np.testing.assert_array_equal(image.affine, taken.scan.affine)
    assert not values[kept == 0].any()
    np.testing.assert_array_equal(values[kept == 1], taken.scan.values[kept == 1])
    np.testing.assert_array_equal(values[taken.brain == 1], taken.scan.values[taken.brain == 1])
    assert 0.1 < quality['HeadRemoved'] < 0.4


def test_buffer_is_passed_on(taken, tmp_path):
    kept = voxels(run(taken, tmp_path, buffer_mm=25.0)[1])
    np.testing.assert_array_equal(kept, shear(taken.brain, taken.scan.affine, buffer_mm=25.0))


def test_given_mask_is_only_applied(taken, tmp_path):
    given = np.ones(taken.brain.shape, np.uint8)
    given[:5] = 0
    path = heads.save(tmp_path / 'given.nii.gz', given, taken.scan.affine)
    quality, keep, defaced = run(taken._replace(mask=None), tmp_path, given=path)
    np.testing.assert_array_equal(voxels(keep), given)
    np.testing.assert_array_equal(voxels(defaced), taken.scan.values * given)
    assert quality['HeadRemoved'] < 0.2


def test_same_bytes_every_time(taken, tmp_path):
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
        run(taken, tmp_path / name)
    for name in ('keep.nii.gz', 'defaced.nii.gz'):
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ('one', 'two'))
        assert one == two


def test_negative_and_broken_values_stay_float(taken, tmp_path):
    image = heads.save(tmp_path / 'a.nii.gz', taken.scan.values - 100.5, taken.scan.affine)
    _, keep, defaced = run(taken._replace(image=image), tmp_path)
    assert defaced.get_data_dtype() == np.float32
    assert not voxels(defaced)[voxels(keep) == 0].any()


@pytest.mark.parametrize(
    ('values', 'given', 'says'),
    [
        (lambda brain: brain * 0, False, r'^mask\.nii\.gz: the mask is empty'),
        (lambda brain: brain[:-1], False, r'^mask\.nii\.gz: does not lie on the grid'),
        (lambda brain: brain * 3, False, r'^mask\.nii\.gz: is no mask'),
        (lambda brain: brain * 0, True, r'^mask\.nii\.gz: the mask is empty'),
        (lambda brain: brain[:-1], True, r'^mask\.nii\.gz: does not lie on the grid'),
    ],
)
def test_mask_that_is_none(values, given, says, taken, tmp_path):
    path = heads.save(tmp_path / 'mask.nii.gz', values(taken.brain), taken.scan.affine)
    more = {'given': path} if given else {}
    with pytest.raises(ImageError, match=says):
        run(taken if given else taken._replace(mask=path), tmp_path, **more)
    assert {p.name for p in tmp_path.iterdir()} == {'in', 'mask.nii.gz'}
