"""Whether a defacing mask, or a defaced image of the user, can be what it should be."""

import heads
import nibabel as nib
import numpy as np
import pytest

from mrrate_bids.computing.defacing_masks import check_defacing, derive_defacing
from mrrate_bids.computing.quickshear import deface, shear
from mrrate_bids.errors import ImageError, QualityError


@pytest.fixture(params=['LAS', 'PSR'])
def taken(request, tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    tilt = heads.turned((-10, 5, 20))
    return heads.scan(folder, 't1w', codes=request.param, tilt=tilt)


def _without_one(kept):
    return np.where(np.cumsum(kept).reshape(kept.shape) == 1, 0, np.ones_like(kept))


@pytest.mark.parametrize(
    ('spoil', 'says'),
    [
        (lambda kept: 1 - kept, r'takes away 100\.0% of the brain \(at most 1%\)'),
        (_without_one, r'takes away 0\.00% of the head \(at least 0\.5%\), and the face stays'),
        (
            lambda kept: kept * (np.arange(len(kept)) % 10 > 0)[:, None, None],
            r'takes away \d+\.\d% of the brain',
        ),
    ],
)
def test_defacing_mask_of_the_user_leaves_the_brain_and_takes_the_face(
    spoil, says, taken, tmp_path
):
    kept = shear(taken.brain, taken.scan.affine)
    good = heads.save(tmp_path / 'good.nii.gz', kept, taken.scan.affine)
    check_defacing(good, taken.image, brain=taken.mask)
    bad = heads.save(tmp_path / 'bad.nii.gz', spoil(kept).astype(np.uint8), taken.scan.affine)
    with pytest.raises(QualityError, match=rf'^bad\.nii\.gz: {says}') as caught:
        check_defacing(bad, taken.image, brain=taken.mask)
    assert '1 is kept, and 0 is removed' in caught.value.hint
    assert '--derivatives' in caught.value.hint


def test_mask_that_was_applied_before_takes_nothing_more(taken, tmp_path):
    kept = shear(taken.brain, taken.scan.affine)
    good = heads.save(tmp_path / 'good.nii.gz', kept, taken.scan.affine)
    image = heads.save(tmp_path / 'a.nii.gz', taken.scan.values * kept, taken.scan.affine)
    check_defacing(good, image, brain=taken.mask, faceless=True)
    bad = heads.save(tmp_path / 'bad.nii.gz', 1 - kept, taken.scan.affine)
    with pytest.raises(QualityError, match='of the brain'):
        check_defacing(bad, image, brain=taken.mask, faceless=True)


@pytest.fixture
def defaced(taken, tmp_path):
    """Return the image without its face, and the mask that took it away."""
    kept = shear(taken.brain, taken.scan.affine)
    values = deface(taken.scan.values, kept)
    return heads.save(tmp_path / 'defaced.nii.gz', values, taken.scan.affine), kept


def derive(taken, image):
    keep = image.with_name('keep.nii.gz')
    quality = derive_defacing(taken.image, image, brain=taken.mask, keep=keep)
    return quality, nib.load(keep)


def test_mask_of_a_defaced_image_is_where_it_was_changed(taken, defaced):
    quality, keep = derive(taken, defaced[0])
    values = np.asarray(keep.dataobj)
    assert values.dtype == np.uint8
    assert (keep.affine == taken.scan.affine).all()
    seen = taken.scan.values > 5  # what was nearly 0 before is still that
    assert np.array_equal(values[seen], defaced[1][seen])
    assert values[defaced[1] > 0].all()
    assert 0.05 < quality['HeadRemoved'] < 0.4


def test_rounding_is_no_change(taken, defaced, tmp_path):
    values = np.asarray(nib.load(defaced[0]).dataobj) * np.float32(1 + 1e-6)
    rounded = heads.save(tmp_path / 'rounded.nii.gz', values, taken.scan.affine)
    one, two = (np.asarray(derive(taken, path)[1].dataobj) for path in (defaced[0], rounded))
    assert np.array_equal(one, two)


@pytest.mark.parametrize(
    ('spoil', 'error', 'says'),
    [
        (lambda raw, kept: raw, QualityError, r'takes away 0\.00% of the head'),
        (lambda raw, kept: raw * 2, QualityError, r'takes away \d+\.\d% of the brain'),
        (lambda raw, kept: (raw * kept)[::-1], QualityError, r'takes away \d+\.\d% of the brain'),
        (lambda raw, kept: (raw * kept)[1:], ImageError, 'does not lie on the grid of t1w-'),
    ],
    ids=['face', 'brightness', 'turned', 'grid'],
)
def test_image_that_is_not_the_raw_one_without_its_face(
    spoil, error, says, taken, defaced, tmp_path
):
    values = spoil(taken.scan.values, defaced[1]).astype(np.uint16)
    path = heads.save(tmp_path / 'bad.nii.gz', values, taken.scan.affine)
    with pytest.raises(error, match=rf'^bad\.nii\.gz: {says}') as caught:
        derive(taken, path)
    assert '--derivatives' in caught.value.hint
    assert not (tmp_path / 'keep.nii.gz').exists()
