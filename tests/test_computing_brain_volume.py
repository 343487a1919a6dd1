"""A mask that holds far less or far more than a brain is none, whoever drew it."""

import heads
import numpy as np
import pytest

from mrrate_bids.computing.brain_volume import judge_found, judge_given, read_brain, volume_ml
from mrrate_bids.computing.presets import least_brain_ml, most_brain_ml
from mrrate_bids.computing.scans import Scan
from mrrate_bids.errors import ImageError, QualityError

SHAPE = (40, 40, 40)
AFFINE = np.diag([-5.0, 5.0, 4.0, 1.0])  # a tenth of a mL


@pytest.fixture
def scan(tmp_path):
    return Scan(tmp_path / 'T1w.nii.gz', np.zeros(SHAPE), AFFINE, None)


def mask_of(voxels):
    mask = np.zeros(SHAPE, np.uint8)
    mask.reshape(-1)[:voxels] = 1
    return mask


def test_volume_is_in_millilitres(scan):
    assert volume_ml(mask_of(12_345), scan) == pytest.approx(1234.5)


@pytest.mark.parametrize('voxels', [2001, 15_000, 24_999])
def test_mask_within_the_limits(voxels, scan):
    mask = mask_of(voxels)
    volume = pytest.approx(voxels / 10)
    assert judge_found(mask, scan) == judge_given(mask, scan, name='m') == volume
    assert least_brain_ml() < voxels / 10 < most_brain_ml()


@pytest.mark.parametrize(
    ('voxels', 'says'),
    [
        (0, r'the mask is empty \(0 mL, at least 200 mL\)'),
        (1, r'is too small for the brain in a head \(0 mL, at least 200 mL\)'),
        (1999, r'is too small for the brain in a head \(200 mL, at least 200 mL\)'),
        (25_001, r'is too large for a brain \(2500 mL, at most 2500 mL\)'),
        (64_000, r'is too large for a brain \(6400 mL, at most 2500 mL\)'),
    ],
)
def test_given_mask_that_is_none_is_named(voxels, says, scan):
    with pytest.raises(QualityError, match=rf'^mine\.nii\.gz: {says}$') as caught:
        judge_given(mask_of(voxels), scan, name='mine.nii.gz')
    assert '--derivatives' in caught.value.hint
    assert 'let the run find the brain' in caught.value.hint
    with pytest.raises(QualityError, match=r'^T1w\.nii\.gz: its brain mask is '):
        judge_found(mask_of(voxels), scan)


def test_mask_in_a_file(scan, tmp_path):
    good = mask_of(15_000)
    path = heads.save(tmp_path / 'good.nii.gz', good, AFFINE)
    np.testing.assert_array_equal(read_brain(path, like=scan), good)
    path = heads.save(tmp_path / 'one.nii.gz', mask_of(1), AFFINE)
    with pytest.raises(QualityError, match=r'^one\.nii\.gz: is too small'):
        read_brain(path, like=scan)
    path = heads.save(tmp_path / 'none.nii.gz', mask_of(0), AFFINE)
    with pytest.raises(ImageError, match=r'^none\.nii\.gz: the mask is empty'):
        read_brain(path, like=scan)
