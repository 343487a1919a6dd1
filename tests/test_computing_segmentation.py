"""A segmentation is written on the grid of its image, by a network that is loaded once."""

import heads
import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from vista3d_weights import make_weights

from mrrate_bids.computing import segmentation
from mrrate_bids.computing.scans import read_scan
from mrrate_bids.computing.segmentation import Network, segment_scan
from mrrate_bids.computing.vista3d import Segmenter, task_classes
from mrrate_bids.computing.vista3d_weights import VARIABLE
from mrrate_bids.errors import ImageError, QualityError, ResourceError

SHAPE = (16, 14, 12)
AFFINE = nib.affines.from_matvec([[0, 0, -3.0], [-3, 0, 0], [0, 3, 0]], (20, 30, -10))


ROI = (32, 32, 32)


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp('weights') / 'models' / 'model.pt')


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Look at few voxels at once, and forget the network of the test before."""
    monkeypatch.setattr(segmentation, 'ROI', ROI)
    monkeypatch.setattr(segmentation, 'SMALL_ROI', (64, 32, 32))
    monkeypatch.setattr('mrrate_bids.computing.brain_volume.least_brain_ml', lambda: 10.0)
    yield
    segmentation._load.cache_clear()


@pytest.fixture
def image(tmp_path):
    noise = gaussian_filter(np.random.default_rng(0).random(SHAPE), 1.5)
    values = ((noise - noise.min()) / np.ptp(noise) * 1000).astype(np.uint16)
    return heads.save(tmp_path / 'a.nii.gz', values, AFFINE)


@pytest.fixture
def mask(tmp_path):
    values = np.zeros(SHAPE, np.uint8)
    values[4:12, 3:11, 2:10] = 1
    return heads.save(tmp_path / 'mask.nii.gz', values, AFFINE)


def test_labels_lie_on_the_grid_of_the_image(image, weights, tmp_path):
    out = tmp_path / 'out.nii.gz'
    quality = segment_scan(image, out, task='body', network=Network(str(weights), 'cpu'))
    written = nib.load(out)
    labels = np.asarray(written.dataobj)
    assert written.get_data_dtype() == np.uint16
    np.testing.assert_array_equal(written.affine, AFFINE)
    expected = Segmenter.load(weights, device='cpu').segment(read_scan(image), 'body', roi=ROI)
    np.testing.assert_array_equal(labels, expected)
    assert {*np.unique(labels)} <= {0, *task_classes('body')}
    assert quality == {'LabelsFound': len({*np.unique(labels)} - {0})}
    assert quality['LabelsFound'] > 5


def test_brain_mask_is_used(image, mask, weights, tmp_path):
    out = tmp_path / 'out.nii.gz'
    segment_scan(image, out, task='brain', mask=mask, network=Network(str(weights), 'cpu'))
    labels, inside = (np.asarray(nib.load(path).dataobj) for path in (out, mask))
    assert labels[inside == 1].any()
    assert not labels[inside == 0].any()
    assert {*np.unique(labels)} <= {0, *task_classes('brain')}
    assert labels.max() > 255


def test_brain_mask_that_cannot_be_one(image, weights, tmp_path):
    """It is found before the network is asked."""
    path = heads.save(
        tmp_path / 'one.nii.gz',
        np.eye(*SHAPE[:2], dtype=np.uint8)[..., None]
        * (np.arange(SHAPE[2]) == 5).astype(np.uint8),
        AFFINE,
    )
    with pytest.raises(QualityError, match=r'^one\.nii\.gz: is too small'):
        segment_scan(
            image, tmp_path / 'out.nii.gz', task='brain', mask=path, network=Network(str(weights))
        )


def test_network_is_loaded_once(image, weights, tmp_path, monkeypatch):
    calls, load = [], Segmenter.load
    monkeypatch.setattr(
        Segmenter, 'load', lambda *given, **more: calls.append(given) or load(*given, **more)
    )
    for name in ('one', 'two'):
        out = tmp_path / f'{name}.nii.gz'
        segment_scan(image, out, task='body', network=Network(str(weights.parents[1]), 'cpu'))
    assert calls == [(weights,)]
    assert (tmp_path / 'one.nii.gz').read_bytes() == (tmp_path / 'two.nii.gz').read_bytes()


def test_what_is_not_there(image, mask, weights, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    out = tmp_path / 'out.nii.gz'
    with pytest.raises(ResourceError, match='nvseg-ctmr: does not exist'):
        segment_scan(image, out, task='body')
    with pytest.raises(ResourceError, match='does not exist'):
        segment_scan(image, out, task='body', network=Network(str(tmp_path / 'gone')))
    heads.save(mask, np.ones((9, 9, 9), np.uint8), AFFINE)
    with pytest.raises(ImageError, match=r'^mask\.nii\.gz: does not lie on the grid'):
        segment_scan(image, out, task='brain', mask=mask, network=Network(str(weights), 'cpu'))
    assert not out.exists()


def test_small_windows_cover_the_whole_image(image, weights, tmp_path):
    whole, parts = tmp_path / 'whole.nii.gz', tmp_path / 'parts.nii.gz'
    network = Network(str(weights), 'cpu')
    segment_scan(image, whole, task='body', network=network)
    segment_scan(image, parts, task='body', network=network._replace(low_mem=True))
    one, other = (np.asarray(nib.load(path).dataobj) for path in (whole, parts))
    assert one.shape == other.shape
    assert {*np.unique(other)} <= {0, *task_classes('body')}
    assert (one != other).any()
