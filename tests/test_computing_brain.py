"""Where a brain mask comes from, and when it is none of a head."""

import shutil
from types import SimpleNamespace

import heads
import nibabel as nib
import numpy as np
import pytest
from hdbet_weights import make_weights

from mrrate_bids.computing import brain
from mrrate_bids.computing.agreement import dice
from mrrate_bids.computing.brain import (
    EXTRACTORS,
    HD_BET,
    Choice,
    carry_mask,
    extract_brain,
    files_of,
    load_extractor,
    take_mask,
)
from mrrate_bids.computing.hdbet_weights import CHECKPOINT
from mrrate_bids.computing.presets import least_brain_ml
from mrrate_bids.computing.transforms import write_transform
from mrrate_bids.errors import ImageError, QualityError, ResourceError


@pytest.fixture(scope='module')
def centre(tmp_path_factory):
    return heads.scan(tmp_path_factory.mktemp('centre'), 't1w', spacing=(3, 3, 3))


def draws(monkeypatch, mask):
    """Let every extractor draw this mask."""
    monkeypatch.setattr(brain, 'load_extractor', lambda choice: SimpleNamespace(mask=mask))


def test_mask_is_written_on_the_grid_of_the_image(monkeypatch, tmp_path):
    taken = heads.scan(tmp_path, 'flair', codes='PSR', tilt=heads.turned((10, 20, -5)))
    draws(monkeypatch, lambda scan: taken.brain)
    quality = extract_brain(taken.image, tmp_path / 'out.nii.gz', choice=HD_BET)
    written = nib.load(tmp_path / 'out.nii.gz')
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(written.dataobj), taken.brain)
    np.testing.assert_array_equal(written.affine, taken.scan.affine)
    litres = taken.brain.sum() * 54 / 1e6
    assert quality == {'BrainVolumeMl': pytest.approx(1000 * litres, abs=0.06)}
    assert 1.5 < litres < 2.2


@pytest.mark.parametrize(('count', 'says'), [(0, r'empty \(0 mL'), (1000, r'too small \(27 mL')])
def test_mask_of_no_head_is_refused(count, says, centre, monkeypatch, tmp_path):
    mask = np.zeros(centre.brain.shape, np.uint8)
    mask.reshape(-1)[:count] = 1
    draws(monkeypatch, lambda scan: mask)
    with pytest.raises(
        QualityError, match=rf'^t1w-LAS\.nii\.gz: .* {says}, at least 200'
    ) as caught:
        extract_brain(centre.image, tmp_path / 'out.nii.gz', choice=HD_BET)
    assert '--derivatives' in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_mask_of_more_than_a_brain_is_refused(centre, monkeypatch, tmp_path):
    draws(monkeypatch, lambda scan: np.ones(scan.values.shape, np.uint8))
    with pytest.raises(QualityError, match=r'too large \(\d+ mL, at most 2500'):
        extract_brain(centre.image, tmp_path / 'out.nii.gz', choice=HD_BET)
    assert not list(tmp_path.iterdir())


def test_least_volume_is_enough(centre, monkeypatch, tmp_path):
    mask = np.zeros(centre.brain.shape, np.uint8)
    mask.reshape(-1)[: int(np.ceil(least_brain_ml() / 0.027))] = 1
    draws(monkeypatch, lambda scan: mask)
    quality = extract_brain(centre.image, tmp_path / 'out.nii.gz', choice=HD_BET)
    assert quality == {'BrainVolumeMl': least_brain_ml()}


def test_image_that_is_none_never_reaches_the_network(monkeypatch, tmp_path):
    draws(monkeypatch, lambda scan: pytest.fail('was asked'))
    path = heads.save(tmp_path / 'a.nii.gz', np.ones((12, 12, 12), np.int16), np.eye(4))
    with pytest.raises(ImageError, match='is constant'):
        extract_brain(path, tmp_path / 'out.nii.gz', choice=HD_BET)


@pytest.mark.parametrize(
    ('codes', 'tilt'), [('PSR', heads.STILL), ('LIA', heads.turned((15, -20, 10)))]
)
def test_mask_of_the_centre_is_carried_to_a_series(codes, tilt, centre, tmp_path):
    pose = heads.turned((12, -8, 20), (20, -30, 15))
    series = heads.scan(tmp_path, 't2w', codes=codes, pose=pose, tilt=tilt)
    write_transform(tmp_path / 'a.mat', heads.truth(centre, series))
    quality = carry_mask(
        series.image,
        tmp_path / 'out.nii.gz',
        centre=centre.image,
        mask=centre.mask,
        transform=tmp_path / 'a.mat',
    )
    written = nib.load(tmp_path / 'out.nii.gz')
    carried = np.asarray(written.dataobj)
    assert carried.dtype == np.uint8
    np.testing.assert_array_equal(written.affine, series.scan.affine)
    assert dice(carried, series.brain) > 0.96
    volume = series.brain.sum() * series.scan.voxel_volume
    assert quality['BrainVolumeMl'] == pytest.approx(volume, rel=0.03)


def test_nothing_of_the_brain_lies_in_the_series(centre, tmp_path):
    """A neck, say: the transform is right, and leads away."""
    away = np.eye(4)
    away[2, 3] = 400
    write_transform(tmp_path / 'a.mat', away)
    with pytest.raises(QualityError, match=r'^t1w-LAS\.nii\.gz: its brain mask is empty'):
        carry_mask(
            centre.image,
            tmp_path / 'out.nii.gz',
            centre=centre.image,
            mask=centre.mask,
            transform=tmp_path / 'a.mat',
        )
    assert not (tmp_path / 'out.nii.gz').exists()


def test_mask_of_another_pipeline_is_turned_to_the_image(tmp_path):
    taken = heads.scan(tmp_path, 't2w', codes='PSR')
    mask = nib.Nifti1Image(taken.brain.astype(np.float32), taken.scan.affine)
    nib.save(nib.as_closest_canonical(mask), tmp_path / 'mask.nii.gz')
    out = tmp_path / 'out.nii.gz'
    quality = take_mask(taken.image, out, mask=tmp_path / 'mask.nii.gz')
    np.testing.assert_array_equal(np.asarray(nib.load(out).dataobj), taken.brain)
    assert nib.load(out).get_data_dtype() == np.uint8
    np.testing.assert_allclose(nib.load(out).affine, taken.scan.affine, atol=1e-6)
    assert quality['BrainVolumeMl'] > 1500


@pytest.mark.parametrize(
    ('values', 'error', 'says'),
    [
        (lambda brain: brain * 2, ImageError, 'holds other values'),
        (lambda brain: brain[:-1], ImageError, 'another grid'),
        (lambda brain: brain * 0, QualityError, 'mask is empty'),
        (lambda brain: brain * (np.indices(brain.shape)[0] < 13), QualityError, 'too small'),
        (lambda brain: brain * 0 + 1, QualityError, 'too large'),
    ],
)
def test_mask_of_another_pipeline_that_does_not_fit(values, error, says, centre, tmp_path):
    path = heads.save(tmp_path / 'mask.nii.gz', values(centre.brain), centre.scan.affine)
    with pytest.raises(error, match=rf'^mask\.nii\.gz: .*{says}'):
        take_mask(centre.image, tmp_path / 'out.nii.gz', mask=path)


def test_extractor_is_loaded_once(tmp_path):
    weights = make_weights(tmp_path / 'weights')
    choice = Choice('hd-bet', weights=str(weights), device='cpu')
    assert load_extractor(choice) is load_extractor(choice._replace())
    again = load_extractor(choice)
    assert again is load_extractor(choice)
    make_weights(tmp_path / 'others', seed=1)
    for name in ('dataset.json', 'plans.json', CHECKPOINT):  # the same names, written later
        shutil.copy(tmp_path / 'others' / name, weights / name)
    assert load_extractor(choice) is not again
    brain._load.cache_clear()


def test_files_that_may_be_replaced(tmp_path):
    weights = make_weights(tmp_path / 'weights')
    assert len(files_of(Choice('hd-bet', weights=str(weights)))) == 3
    assert files_of(Choice('hd-bet', weights=str(tmp_path))) == ()
    assert files_of(Choice('deepbet', weights=str(weights))) == ()


def test_weights_that_are_not_there(tmp_path):
    with pytest.raises(ResourceError):
        load_extractor(Choice('hd-bet', weights=str(tmp_path), device='cpu'))


def test_names():
    assert list(EXTRACTORS) == ['hd-bet', 'deepbet']
    assert HD_BET.name in EXTRACTORS
