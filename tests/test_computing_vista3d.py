"""NV-Segment-CTMR with random weights: everything but what only the published ones can tell."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai import transforms
from monai.apps.vista3d.transforms import VistaPostTransformd
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInfererAdapt
from monai.networks.nets.vista3d import vista3d132
from scipy.ndimage import gaussian_filter
from vista3d_weights import NARROWEST, make_weights

from mrrate_bids.computing.devices import torch_threads
from mrrate_bids.computing.scans import Scan
from mrrate_bids.computing.vista3d import Segmenter, task_classes
from mrrate_bids.errors import ImageError
from mrrate_bids.templates import read_text

SHAPE, ROI = (24, 22, 20), (32, 32, 32)
AFFINE = nib.affines.from_matvec(np.diag([3.0, 3, 3]), (-30, -40, -20))
"""Twice the spacing of the network: the corners of both grids meet whatever the orientation."""


def make_scan(shape=SHAPE, affine=AFFINE, seed=0):
    noise = gaussian_filter(np.random.default_rng(seed).random(shape), 1.5)
    values = ((noise - noise.min()) / np.ptp(noise) * 1000).astype(np.float32)
    return Scan(Path('a.nii.gz'), values, affine, None)


def reoriented(scan, values, codes):
    """Return the same voxels in the same places with other axes."""
    image = nib.Nifti1Image(values, scan.affine)
    ends = nib.orientations.axcodes2ornt(codes)
    image = image.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(scan.affine), ends)
    )
    return scan._replace(values=np.asarray(image.dataobj), affine=image.affine)


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp('weights') / 'models' / 'model.pt')


@pytest.fixture(scope='module')
def segmenter(weights):
    return Segmenter.load(weights, device='cpu')


@pytest.fixture(scope='module')
def body(segmenter):
    return segmenter.segment(make_scan(), 'body', roi=ROI)


def published(weights, scan, classes):
    """Return labels by MONAI's own dictionary transforms, in the order of inference.json."""
    network = vista3d132(encoder_embed_dim=NARROWEST)
    network.load_state_dict(torch.load(weights, weights_only=True))
    prepare = transforms.Compose(
        [
            transforms.Spacingd('image', pixdim=(1.5,) * 3, mode='bilinear'),
            transforms.CropForegroundd('image', allow_smaller=True, margin=10, source_key='image'),
            transforms.ScaleIntensityRangePercentilesd(
                'image', lower=1, upper=99, b_min=0, b_max=1, clip=True
            ),
            transforms.Orientationd('image', axcodes='RAS', labels=None),
        ]
    )
    data = prepare(
        {'image': MetaTensor(torch.tensor(scan.values[None].copy()), affine=scan.affine)}
    )
    prompts = torch.tensor(classes)
    with torch.inference_mode(), torch_threads(1):
        data['pred'] = SlidingWindowInfererAdapt(
            roi_size=ROI, sw_batch_size=1, with_coord=True, padding_mode='replicate'
        )(
            data['image'][None],
            network.eval(),
            transpose=True,
            point_coords=None,
            point_labels=None,
            class_vector=prompts[:, None],
        )[0]
    pred = MetaTensor(data['pred'].clone(), meta=data['image'].meta)
    pred.applied_operations = data['image'].applied_operations
    data = VistaPostTransformd('pred')(data | {'pred': pred, 'label_prompt': prompts})
    invert = transforms.Invertd('pred', prepare, 'image', nearest_interp=True)
    return invert(data)['pred'][0].numpy()


def test_classes_of_the_tasks_have_names():
    names = dict(line.split('\t') for line in read_text('nvsegctmr_labels.tsv').splitlines()[1:])
    brain, body = task_classes('brain'), task_classes('body')
    assert brain == tuple(range(214, 346))
    assert (names['214'], names['345']) == (
        '3rd-Ventricle',
        'Left-TTG---transverse-temporal-gyrus',
    )
    assert len(set(body)) == 50
    assert {names[str(number)] for number in body} >= {
        'brain',
        'spinal cord',
        'intervertebral discs',
        'vertebrae',
    }


@pytest.mark.parametrize('task', ['brain', 'body'])
def test_labels_are_those_of_the_published_pipeline(task, segmenter, weights):
    whole = make_scan()
    inside = np.pad(np.ones((10, 9, 6)), [(5, 9), (6, 7), (8, 6)])  # leaves something to crop
    scan = reoriented(whole, (whole.values * inside).astype(np.float32), 'PSR')
    labels = segmenter.segment(scan, task, roi=ROI)
    assert (labels.shape, labels.dtype) == (scan.values.shape, np.uint16)
    assert {*np.unique(labels)} <= {0, *task_classes(task)}
    assert len(np.unique(labels)) > 10
    np.testing.assert_array_equal(labels, published(weights, scan, task_classes(task)))


def test_other_orientation_gives_the_same_labels(segmenter, body):
    scan = make_scan()
    turned = reoriented(scan, scan.values, 'PSR')
    labels = segmenter.segment(turned, 'body', roi=ROI)
    back = reoriented(turned, labels, 'RAS')
    np.testing.assert_allclose(back.affine, scan.affine)
    assert (back.values == body).mean() > 0.999


def test_oblique_anisotropic_grid_is_kept(segmenter, weights):
    turn = nib.eulerangles.euler2mat(0.3, -0.2, 0.1) @ np.diag([-2.0, 3.5, 5])
    scan = make_scan((21, 17, 11), nib.affines.from_matvec(turn, (5, 6, 7)))
    labels = segmenter.segment(scan, 'body', roi=ROI)
    assert labels.shape == (21, 17, 11)
    assert (labels > 0).mean() > 0.5
    np.testing.assert_array_equal(labels, published(weights, scan, task_classes('body')))


def test_same_labels_again_also_of_weights_loaded_again(segmenter, weights, body):
    before = torch.random.get_rng_state(), torch.get_num_threads()
    again = Segmenter.load(weights, device='cpu').segment(make_scan(), 'body', roi=ROI)
    np.testing.assert_array_equal(segmenter.segment(make_scan(), 'body', roi=ROI), body)
    np.testing.assert_array_equal(again, body)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == torch.get_num_threads()


def test_other_weights_give_other_labels(body, tmp_path):
    other = Segmenter.load(make_weights(tmp_path / 'model.pt', seed=1), device='cpu')
    assert (other.segment(make_scan(), 'body', roi=ROI) != body).mean() > 0.5


def test_brain_mask_limits_what_is_seen_and_labelled(segmenter):
    scan = make_scan()
    mask = np.zeros(SHAPE, np.uint8)
    mask[6:18, 6:16, 5:15] = 1
    labels = segmenter.segment(scan, 'brain', brain=mask, roi=ROI)
    assert not labels[mask == 0].any()
    assert labels[mask == 1].any()
    stripped = scan._replace(values=scan.values * mask)
    seen = segmenter.segment(stripped, 'brain', roi=ROI)
    np.testing.assert_array_equal(seen[mask == 1], labels[mask == 1])
    assert seen[mask == 0].any()


def test_nothing_to_segment(segmenter):
    with pytest.raises(ImageError, match=r'a\.nii\.gz: has nothing above 0'):
        segmenter.segment(make_scan(), 'brain', brain=np.zeros(SHAPE, bool), roi=ROI)


def test_width_is_read_off_the_weights(tmp_path):
    path = make_weights(tmp_path / 'model.pt', width=16)
    scan = make_scan((11, 11, 11))
    assert Segmenter.load(path, device='cpu').segment(scan, 'body', roi=ROI).any()


def test_checkpoint_with_its_key_is_read_as_well(weights, body, tmp_path):
    torch.save({'model': torch.load(weights, weights_only=True)}, tmp_path / 'model.pt')
    labels = Segmenter.load(tmp_path / 'model.pt', device='cpu').segment(
        make_scan(), 'body', roi=ROI
    )
    np.testing.assert_array_equal(labels, body)
