"""HD-BET in this process gives the masks of nnU-Net's own predictor, voxel by voxel."""

import subprocess
import sys
import warnings

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch
from hdbet_heads import HEADS, make_head, with_network
from hdbet_weights import make_weights
from scipy.spatial.transform import Rotation

from mrrate_bids.computing.devices import torch_threads
from mrrate_bids.computing.hdbet import Extractor
from mrrate_bids.computing.scans import read_scan
from mrrate_bids.errors import ImageError, QualityError, ResourceError, UsageError


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp('hdbet') / 'weights')


@pytest.fixture(scope='module')
def heads(tmp_path_factory):
    folder = tmp_path_factory.mktemp('heads')
    return {name: make_head(folder / f'{name}.nii.gz', *HEADS[name]) for name in HEADS}


def nnunet(weights, path, *, tta):
    """Return what nnU-Net's predictor finds, on the grid of the file."""
    with torch_threads(1), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        predictor = nnUNetPredictor(
            use_mirroring=tta, device=torch.device('cpu'), allow_tqdm=False
        )
        predictor.initialize_from_trained_model_folder(str(weights), 'all')
        reader = predictor.plans_manager.image_reader_writer_class()
        values, properties = reader.read_images([str(path)])
        found = predictor.predict_single_npy_array(values, properties)
        target = path.with_name('nnunet.nii.gz')
        reader.write_seg(found, str(target), properties)
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(target)).T


@pytest.mark.parametrize('tta', [True, False])
@pytest.mark.parametrize('name', HEADS)
def test_identical_to_nnunet(name, tta, weights, heads):
    extractor = Extractor.load(weights, device='cpu', tta=tta)
    extractor.predictor.flips_at_once = 1
    ours = extractor.mask(read_scan(heads[name]), largest=False)
    theirs = nnunet(weights, heads[name], tta=tta)
    assert 0.1 < theirs.mean() < 0.9
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, theirs)


def test_mirrored_copies_matter(weights, heads):
    scan = read_scan(heads['LPI'])
    one, other = (Extractor.load(weights, device='cpu', tta=tta).mask(scan) for tta in (1, 0))
    assert (one != other).any()


@pytest.mark.parametrize(
    'plans',
    [
        {'reader': 'SimpleITKIOWithReorient'},
        {'reader': 'NibabelIOWithReorient'},
        {'reader': 'NibabelIO', 'transpose': (2, 0, 1), 'patch': (16, 32, 24)},
    ],
    ids=str,
)
def test_other_plans(plans, tmp_path):
    weights = make_weights(tmp_path / 'weights', **plans)
    path = make_head(tmp_path / 'head.nii.gz', *HEADS['oblique'])
    ours = Extractor.load(weights, device='cpu', tta=False).mask(read_scan(path), largest=False)
    np.testing.assert_array_equal(ours, nnunet(weights, path, tta=False))


def test_spacing_is_that_of_the_header(weights, tmp_path):
    """45 voxels of 0.9 mm are 40 of 1 mm by the header, and 41 by the rounded affine.

    (49 voxels, of which two at each end are air.)
    """
    turn = Rotation.from_euler('xyz', (45, 10, 20), degrees=True).as_matrix()
    path = make_head(tmp_path / 'head.nii.gz', (33, 33, 49), nib.affines.from_matvec(turn * 0.9))
    scan = read_scan(path)
    assert scan.image.header.get_zooms()[2] * np.float64(45) < 40.5 < scan.spacing[2] * 45
    ours = Extractor.load(weights, device='cpu', tta=False).mask(scan, largest=False)
    np.testing.assert_array_equal(ours, nnunet(weights, path, tta=False))


def test_several_images_with_one_load_and_the_same_bytes_twice(weights, heads):
    scans = [read_scan(path) for path in heads.values()]
    extractor = Extractor.load(weights, device='cpu', tta=False)
    first = [extractor.mask(scan) for scan in scans]
    again = [extractor.mask(scan) for scan in scans[::-1]][::-1]
    fresh = [Extractor.load(weights, device='cpu', tta=False).mask(scan) for scan in scans]
    for scan, *masks in zip(scans, first, again, fresh, strict=True):
        assert {mask.tobytes() for mask in masks} == {masks[0].tobytes()}
        assert masks[0].shape == scan.values.shape


def test_largest_component_of_26_neighbours(weights, heads):
    from skimage.measure import label

    scan = read_scan(heads['LPI'])
    extractor = Extractor.load(weights, device='cpu', tta=False)
    parts = label(extractor.mask(scan, largest=False), connectivity=3)
    sizes = np.bincount(parts.ravel())[1:]
    assert len(sizes) > 1
    np.testing.assert_array_equal(extractor.mask(scan), parts == 1 + sizes.argmax())


def test_empty_mask_is_no_error(weights, heads):
    extractor = with_network(weights, lambda tiles: torch.cat([tiles * 0 + 1, tiles * 0], 1))
    mask = extractor.mask(read_scan(heads['LPI']))
    assert (mask.dtype, mask.any()) == (np.uint8, False)


def test_overflow(weights, heads):
    extractor = with_network(weights, lambda tiles: torch.cat([tiles, tiles], 1) * 1e6)
    with pytest.raises(QualityError, match=r'LPI\.nii\.gz: the network of HD-BET overflows'):
        extractor.mask(read_scan(heads['LPI']))


def test_image_of_zeros(weights, heads):
    scan = read_scan(heads['LPI'])
    with pytest.raises(ImageError, match='every voxel is 0'):
        Extractor.load(weights, device='cpu').mask(scan._replace(values=scan.values * 0))


def test_nothing_is_printed_and_streams_stay(weights, heads, tmp_path):
    script = tmp_path / 'run.py'
    script.write_text(
        'import sys, torch\n'
        'from pathlib import Path\n'
        'from mrrate_bids.computing.hdbet import Extractor\n'
        'from mrrate_bids.computing.scans import read_scan\n'
        'out, threads = sys.stdout, torch.get_num_threads()\n'
        'extractor = Extractor.load(Path(sys.argv[1]), device="cpu", threads=threads + 1)\n'
        'extractor.mask(read_scan(Path(sys.argv[2])))\n'
        'assert sys.stdout is out\n'
        'assert torch.get_num_threads() == threads\n'
        'assert "HD_BET" not in sys.modules\n'
        'assert "nnunetv2.inference.predict_from_raw_data" not in sys.modules\n'
    )
    command = [sys.executable, '-W', 'default', str(script), str(weights), str(heads['LPI'])]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_what_libraries_say_is_kept_away(weights, heads, capsys):
    def talk(tiles):
        assert torch.get_num_threads() == 3
        sys.stdout.write('Using torch.compile')
        warnings.warn('old plans', stacklevel=1)
        return torch.cat([tiles, -tiles], 1)

    with_network(weights, talk, threads=3).mask(read_scan(heads['LPI']))
    assert capsys.readouterr() == ('', '')


def test_importing_is_cheap():
    code = (
        'import sys, mrrate_bids.computing.hdbet\n'
        'print({"torch", "nnunetv2", "SimpleITK"} & {*sys.modules})'
    )
    done = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True)
    assert done.stdout == 'set()\n'


@pytest.mark.parametrize(('device', 'kind'), [('gpu', UsageError), ('cuda:99', ResourceError)])
def test_device_that_is_not_there(device, kind, weights):
    with pytest.raises(kind, match=device):
        Extractor.load(weights, device=device)
