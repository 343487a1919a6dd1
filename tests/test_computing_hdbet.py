"""HD-BET in this process gives the masks of nnU-Net's own predictor, voxel by voxel."""

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch
from hdbet_weights import make_weights
from scipy.spatial.transform import Rotation

from mrrate_bids.computing.devices import torch_threads
from mrrate_bids.computing.hdbet import ENVIRONMENT, Extractor, find_weights
from mrrate_bids.computing.scans import read_scan
from mrrate_bids.errors import ImageError, QualityError, ResourceError, UsageError

LPI = nib.affines.from_matvec(np.diag([-1.0, 1, 1]), (20, -20, -20))
TURN = Rotation.from_euler('xyz', (17, 73, 44), degrees=True).as_matrix()
OBLIQUE = nib.affines.from_matvec(TURN @ np.diag([0.9, 1.1, 3.2]), (-20, 15, 8))
HEADS = {'LPI': ((50, 34, 30), LPI), 'oblique': ((34, 30, 12), OBLIQUE)}


def make_head(path, shape, affine, seed=0):
    """Write a bright ellipsoid with noise in a darker shell, and air of zeros."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing='ij'))
    radius = np.linalg.norm(grid, axis=0)
    noise = np.random.default_rng(seed).normal(0, 30, shape)
    values = np.where(radius < 0.6, 600, 200) + noise + 100 * grid[0]
    values[radius > 0.93] = 0
    image = nib.Nifti1Image(values.clip(0).astype(np.uint16), affine)
    image.set_qform(affine, code=1)
    nib.save(image, path)
    return path


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp('hdbet') / 'weights')


@pytest.fixture
def copy(weights, tmp_path):
    """Return weights that a test may spoil."""
    return Path(shutil.copytree(weights, tmp_path / 'weights'))


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
    extractor.flips_at_once = 1
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


class Network:
    """In the place of the true one: logits by a function of the tile."""

    def __init__(self, logits):
        self.logits = logits

    def __call__(self, tiles):
        return self.logits(tiles)


def with_network(weights, logits, **more):
    extractor = Extractor.load(weights, device='cpu', **more)
    extractor._model = extractor._model._replace(network=Network(logits))
    return extractor


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


@pytest.mark.parametrize(
    ('patch', 'tta', 'copies'),
    [
        ((32, 32, 32), True, 8),
        ((64, 64, 64), True, 4),
        ((128, 128, 96), True, 1),
        ((32, 32, 32), False, 1),
    ],
)
def test_copies_in_one_batch(patch, tta, copies, tmp_path):
    weights = make_weights(tmp_path / 'weights', patch=patch)
    assert Extractor.load(weights, device='cpu', tta=tta).flips_at_once == copies


@pytest.mark.parametrize('copies', [3, 8])
def test_batches_give_the_same_mask(copies, weights, heads):
    """Up to voxels where brain and background tie, for the last bits of the sums may differ."""
    scan = read_scan(heads['LPI'])
    extractor = Extractor.load(weights, device='cpu')
    extractor.flips_at_once = 1
    alone = extractor.mask(scan, largest=False)
    extractor.flips_at_once = copies
    assert (extractor.mask(scan, largest=False) != alone).sum() <= 3


def test_memory_of_the_gpu(weights, heads):
    """Eight copies that do not fit follow one another; one that does not fit is told."""
    scan, sizes, limit = read_scan(heads['LPI']), [], 1
    extractor = Extractor.load(weights, device='cpu')
    extractor.flips_at_once = 1
    expected, network = extractor.mask(scan), extractor._model.network

    def small(tiles):
        sizes.append(len(tiles))
        if len(tiles) > limit:
            raise torch.cuda.OutOfMemoryError
        return network(tiles)

    extractor._model = extractor._model._replace(network=Network(small))
    extractor.flips_at_once = 8
    np.testing.assert_array_equal(extractor.mask(scan), expected)
    assert sizes[0] == 8
    assert set(sizes[1:]) == {1}
    limit = 0
    with pytest.raises(ResourceError, match='memory of the GPU is too small') as caught:
        extractor.mask(scan)
    assert '--device cpu' in caught.value.hint


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


def test_where_weights_are_looked_for(weights, tmp_path, monkeypatch):
    own = shutil.copytree(weights, tmp_path / 'hd-bet_params/release_2.0.0')
    named = shutil.copytree(weights, tmp_path / 'named')
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    assert find_weights(None) == own
    monkeypatch.setenv(ENVIRONMENT, '~/named')
    assert find_weights(None) == named
    assert find_weights(weights) == weights


def test_own_folder_is_that_of_hd_bet(tmp_path):
    code = (
        'from HD_BET.checkpoint_download import maybe_download_parameters as fetch\n'
        'from HD_BET.paths import folder_with_parameter_files as folder\n'
        'import inspect; print(folder, len(inspect.signature(fetch).parameters))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        check=True,
        capture_output=True,
        text=True,
        env={'HOME': str(tmp_path)},
    )
    assert done.stdout == f'{tmp_path}/hd-bet_params/release_2.0.0 0\n'


def test_no_weights_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    folder = tmp_path / 'hd-bet_params/release_2.0.0'
    with pytest.raises(ResourceError, match=f'no folder {folder}') as caught:
        find_weights(None)
    assert 'maybe_download_parameters()"' in caught.value.hint
    assert ENVIRONMENT in caught.value.hint
    assert caught.value.exit_code == 2


def edit(**changes):
    """Return a function that changes or, with None, takes out keys of a JSON file."""

    def change(path):
        content = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return change


FAULTS = {
    'no dataset': ('dataset.json', Path.unlink, 'is missing'),
    'no plans': ('plans.json', Path.unlink, 'is missing'),
    'no JSON': ('plans.json', lambda p: p.write_text('{"a": '), 'cannot be read'),
    'no text': ('dataset.json', lambda p: p.write_bytes(b'\xff\xfe\x00'), 'cannot be read'),
    'no object': ('plans.json', lambda p: p.write_text('[1]'), 'holds no JSON object'),
    'no labels': ('dataset.json', edit(labels=None), "lacks 'labels'"),
    'no channels': ('dataset.json', edit(channel_names=None), "lacks 'channel_names'"),
    'no configurations': ('plans.json', edit(configurations=None), "lacks 'configurations'"),
    'no checkpoint': ('fold_all/checkpoint_final.pth', Path.unlink, 'is missing'),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_incomplete_folder(fault, copy):
    name, spoil, says = FAULTS[fault]
    spoil(copy / name)
    with pytest.raises(ResourceError, match=f'{copy}: .*{name} {says}') as caught:
        find_weights(copy)
    assert 'maybe_download_parameters' in caught.value.hint


def save(content):
    return lambda path: torch.save(content, path)


def resave(**changes):
    def change(path):
        torch.save({**torch.load(path, weights_only=False), **changes}, path)

    return change


CHECKPOINT = 'fold_all/checkpoint_final.pth'
MISFITS = {
    'no checkpoint': (CHECKPOINT, lambda p: p.write_bytes(b'<html>'), 'cannot be loaded'),
    'empty': (CHECKPOINT, lambda p: p.write_bytes(b''), 'cannot be loaded'),
    'cut': (CHECKPOINT, lambda p: p.write_bytes(p.read_bytes()[:9999]), 'cannot be loaded'),
    'a tensor': (CHECKPOINT, save(torch.ones(2)), "lacks 'network_weights'"),
    'other keys': (CHECKPOINT, save({'state_dict': {}}), "lacks 'network_weights'"),
    'no arguments': (CHECKPOINT, resave(init_args=None), "lacks 'init_args'"),
    'other configuration': (CHECKPOINT, resave(init_args={'configuration': '2d'}), 'does not fit'),
    'other weights': (CHECKPOINT, resave(network_weights={'a': torch.ones(2)}), 'does not fit'),
    'no weights': (CHECKPOINT, resave(network_weights=7), 'does not fit'),
    'three labels': (
        'dataset.json',
        edit(labels={'background': 0, 'brain': 1, 'skull': 2}),
        'does not fit',
    ),
    'two channels': ('dataset.json', edit(channel_names={'0': 'a', '1': 'b'}), 'does not fit'),
    'other reader': ('plans.json', edit(image_reader_writer='Tiff3DIO'), "reader 'Tiff3DIO'"),
    'labels of another kind': ('dataset.json', edit(labels=[0, 1]), 'does not fit'),
}


@pytest.mark.parametrize('fault', MISFITS)
def test_weights_that_do_not_fit(fault, copy):
    name, spoil, says = MISFITS[fault]
    spoil(copy / name)
    assert find_weights(copy) == copy
    with pytest.raises(ResourceError, match=f'{copy}: .*{says}') as caught:
        Extractor.load(copy, device='cpu')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('changes', 'says'),
    [
        ({'patch_size': [32, 32]}, 'for slices'),
        ({'previous_stage': '3d_lowres'}, 'second stage of a cascade'),
        ({'normalization_schemes': ['ZScoreNormalization'] * 2}, 'several images at once'),
    ],
)
def test_models_of_another_kind(changes, says, copy):
    plans = json.loads((copy / 'plans.json').read_text())
    plans['configurations']['3d_fullres'].update(changes)
    (copy / 'plans.json').write_text(json.dumps(plans))
    if 'previous_stage' in changes:  # a cascade takes one more channel, the first stage's mask
        checkpoint = torch.load(copy / CHECKPOINT, weights_only=False)
        kernel = 'encoder.stages.0.0.convs.0.conv.weight'
        for key, value in checkpoint['network_weights'].items():
            if value.ndim == 5 and value.shape[1] == 1:
                checkpoint['network_weights'][key] = value.repeat(1, 2, 1, 1, 1)
        assert checkpoint['network_weights'][kernel].shape[1] == 2
        torch.save(checkpoint, copy / CHECKPOINT)
    with pytest.raises(ResourceError, match=says):
        Extractor.load(copy, device='cpu')


@pytest.mark.parametrize(('device', 'kind'), [('gpu', UsageError), ('cuda:99', ResourceError)])
def test_device_that_is_not_there(device, kind, weights):
    with pytest.raises(kind, match=device):
        Extractor.load(weights, device=device)


def test_without_nnunet(weights, monkeypatch):
    for name in list(sys.modules):
        if name.partition('.')[0] == 'nnunetv2':
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'nnunetv2', None)
    with pytest.raises(ResourceError, match='HD-BET cannot be used') as caught:
        Extractor.load(weights, device='cpu')
    assert 'mrrate-bids[brain]' in caught.value.hint
