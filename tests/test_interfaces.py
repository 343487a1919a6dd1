"""Every interface runs as a node of Nipype, and says in words what it cannot do."""

import gzip
import json
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import small_bids

from mrrate_bids.errors import MrRateError
from mrrate_bids.interfaces import store as store_module
from mrrate_bids.interfaces.base import PROBLEM, optional
from mrrate_bids.interfaces.brain import CarryMask, ExtractBrain, TakeMask
from mrrate_bids.interfaces.deface import Deface
from mrrate_bids.interfaces.register import Coregister, MakeReference, RegisterToAtlas, Resample
from mrrate_bids.interfaces.segment import Segment
from mrrate_bids.interfaces.store import Store

pe = pytest.importorskip('nipype.pipeline.engine')


@pytest.fixture(scope='module')
def head(tmp_path_factory):
    """Return T1w and T2w with their masks, and a transform that leaves points where they are."""
    from mrrate_bids.computing.transforms import write_transform

    root, found = tmp_path_factory.mktemp('head'), {}
    for suffix in ('T1w', 'T2w'):
        values, brain, affine = small_bids.scan(suffix)
        found[suffix.lower()] = str(small_bids.write(root / f'{suffix}.nii.gz', values, affine))
        name = f'{suffix}_mask.nii.gz'
        found[f'{suffix.lower()}_mask'] = str(small_bids.write(root / name, brain, affine))
    write_transform(root / 'still.mat', np.eye(4))
    write_transform(root / 'shift.mat', np.array(np.eye(4) + np.eye(4, k=3) * 8))
    empty = small_bids.write(root / 'empty.nii.gz', np.zeros((57, 60, 57), np.uint8), affine)
    more = {'still': str(root / 'still.mat'), 'shift': str(root / 'shift.mat')}
    return SimpleNamespace(**found, **more, empty=str(empty))


def run(interface, folder, **inputs):
    """Run an interface in a node; return its outputs."""
    node = pe.Node(interface, name='node', base_dir=str(folder))
    for name, value in inputs.items():
        setattr(node.inputs, name, value)
    return node.run().outputs


def fail(interface, folder, **inputs):
    """Run an interface that fails; return what it left in the folder of its node."""
    with pytest.raises(Exception, match=r'\w'):
        run(interface, folder, **inputs)
    return json.loads((folder / 'node' / PROBLEM).read_text())


def load(path):
    image = nib.load(path)
    return image, np.asanyarray(image.dataobj)


def quality(outputs):
    return json.loads(Path(outputs.quality).read_text())


def test_take_mask(head, tmp_path):
    found = run(TakeMask(), tmp_path, image=head.t1w, given=head.t1w_mask)
    assert quality(found) == {'BrainVolumeMl': pytest.approx(1882, abs=5)}
    image, values = load(found.mask)
    assert values.dtype == np.uint8
    assert np.array_equal(values, load(head.t1w_mask)[1])
    assert image.shape == load(head.t1w)[0].shape


def test_results_lie_in_the_folder_of_the_node(head, tmp_path):
    found = run(TakeMask(), tmp_path, image=head.t1w, given=head.t1w_mask)
    assert found.mask.startswith(str(tmp_path / 'node'))
    assert not (tmp_path / 'node' / PROBLEM).exists()


def test_mask_of_no_brain_is_refused_in_words(head, tmp_path):
    said = fail(TakeMask(), tmp_path, image=head.t2w, given=head.empty)
    assert said.keys() == {'message', 'hint'}
    assert 'empty' in said['message']
    assert said['hint']


def test_carry_mask(head, tmp_path):
    inputs = {'image': head.t2w, 'centre': head.t1w, 'centre_mask': head.t1w_mask}
    found = run(CarryMask(), tmp_path, transform=head.still, **inputs)
    mask, true = load(found.mask)[1], load(head.t2w_mask)[1]
    assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.95
    assert quality(found)['BrainVolumeMl'] == pytest.approx(1882, rel=0.02)


def test_extractor_without_weights(head, tmp_path, monkeypatch):
    monkeypatch.delenv('MRRATE_BIDS_HDBET_WEIGHTS', raising=False)
    said = fail(ExtractBrain(weights=str(tmp_path / 'none')), tmp_path, image=head.t1w)
    assert said['message'] == f'the weights of HD-BET are not there: no folder {tmp_path}/none'
    assert 'mrrate-bids resources fetch hd-bet' in said['hint']


def test_extractor_gets_what_was_chosen(head, tmp_path, monkeypatch):
    from mrrate_bids.computing import brain

    asked, brain_of_t1w = [], load(head.t1w_mask)[1].astype(np.uint8)

    def load_extractor(choice):
        asked.append(choice)
        return SimpleNamespace(mask=lambda scan: brain_of_t1w)

    monkeypatch.setattr(brain, 'load_extractor', load_extractor)
    interface = ExtractBrain(extractor='deepbet', weights='w', device='cpu', threads=2)
    found = run(interface, tmp_path, image=head.t1w)
    assert asked == [('deepbet', 'w', 'cpu', 2)]
    np.testing.assert_array_equal(load(found.mask)[1], brain_of_t1w)


def _counted(load, loads, *given, **more):
    loads.append(load)
    return load(*given, **more)


def test_networks_are_loaded_once_for_a_study(head, tmp_path, monkeypatch):
    """HD-BET and VISTA3D take turns over the series, as they do in a run on one process."""
    from hdbet_weights import make_weights
    from vista3d_weights import make_weights as make_vista

    from mrrate_bids.computing.hdbet import Extractor
    from mrrate_bids.computing.vista3d import Segmenter

    hdbet, nvseg = make_weights(tmp_path / 'h'), make_vista(tmp_path / 'n/model.pt')
    loads = []
    for network in (Extractor, Segmenter):
        count = partial(_counted, network.load, loads)
        monkeypatch.setattr(network, 'load', count)
    brain = load(head.t1w_mask)[1].astype(np.uint8)
    monkeypatch.setattr(Extractor, 'mask', lambda self, scan: brain)
    monkeypatch.setattr(Segmenter, 'segment', lambda self, scan, task, brain, roi: brain)
    for turn, image in enumerate([head.t1w, head.t2w, head.t1w]):
        found = run(
            ExtractBrain(weights=str(hdbet), device='cpu'), tmp_path / f'h{turn}', image=image
        )
        for task in ('brain', 'body'):
            segment = Segment(weights=str(nvseg), device='cpu', task=task)
            run(segment, tmp_path / f'{task}{turn}', image=image, mask=found.mask)
    assert len(loads) == 2


@pytest.mark.parametrize('interface', [ExtractBrain, Segment])
def test_other_weights_at_the_same_place_are_another_input(interface, head, tmp_path):
    weights = tmp_path / 'model.pt'
    weights.write_bytes(b'one')
    inputs = interface(weights=str(weights), image=head.t1w, weight_files=[str(weights)]).inputs
    first = inputs.get_hashval('timestamp')[1]
    weights.write_bytes(b'other')
    assert inputs.get_hashval('timestamp')[1] != first


def test_deface(head, tmp_path):
    found = run(Deface(), tmp_path, image=head.t1w, mask=head.t1w_mask)
    kept, shown, raw = (load(path)[1] for path in (found.keep_mask, found.defaced, head.t1w))
    assert kept.dtype == np.uint8
    assert set(np.unique(kept)) == {0, 1}
    assert np.array_equal(shown, np.where(kept, raw, 0))
    assert kept[load(head.t1w_mask)[1] > 0].all()
    assert 0.05 < quality(found)['HeadRemoved'] < 0.4


def test_defacing_mask_that_is_given_is_applied(head, tmp_path):
    found = run(Deface(), tmp_path, image=head.t1w, given=head.t1w_mask)
    assert np.array_equal(load(found.keep_mask)[1], load(head.t1w_mask)[1])


@pytest.mark.parametrize('value', [2.0, 30.0])
def test_buffer_of_defacing(value, head, tmp_path):
    inputs = {'image': head.t1w, 'mask': head.t1w_mask}
    usual = quality(run(Deface(), tmp_path / 'usual', **inputs))['HeadRemoved']
    other = quality(run(Deface(buffer_mm=value), tmp_path / 'other', **inputs))['HeadRemoved']
    assert (other > usual) == (value < 8)


def test_coregister(head, tmp_path):
    from mrrate_bids.computing.transforms import angle_of, read_transform

    inputs = {'centre': head.t1w, 'centre_mask': head.t1w_mask, 'moving': head.t2w}
    interface = Coregister(preset='fast', seed=42)
    found = run(interface, tmp_path, moving_mask=head.t2w_mask, **inputs)
    assert angle_of(read_transform(found.transform)) < 0.5
    numbers = quality(found)
    assert numbers['BrainDice'] > 0.95
    assert numbers['Sharpness'] > 3.2


def test_images_that_do_not_fit_are_refused_in_words(head, tmp_path, monkeypatch):
    """Noise has nothing to be registered to, wherever the search starts."""
    monkeypatch.setattr('mrrate_bids.computing.alignment.start_turns', list)  # a start less
    rng = np.random.default_rng(0)
    affine = load(head.t1w)[0].affine
    noise = small_bids.write(
        tmp_path / 'noise.nii.gz', rng.integers(0, 99, (12, 12, 12), np.int16), affine
    )
    inputs = {'centre': head.t1w, 'centre_mask': head.t1w_mask, 'moving': str(noise)}
    said = fail(Coregister(preset='fast'), tmp_path, **inputs)
    assert said['message'].startswith('noise.nii.gz: cannot be registered to T1w.nii.gz: the best')
    assert '--derivatives' in said['hint']


def test_register_to_atlas(head, tmp_path):
    inputs = {'centre': head.t2w, 'centre_mask': head.t2w_mask}
    found = run(
        RegisterToAtlas(preset='fast'),
        tmp_path,
        template=head.t1w,
        template_mask=head.t1w_mask,
        **inputs,
    )
    assert quality(found)['AtlasBrainDice'] > 0.95


def test_resample_applies_what_stands_last_first(head, tmp_path):
    """Both transforms act; a mask stays a mask."""
    inputs = {'image': head.t1w, 'like': head.t1w}
    found = run(Resample(), tmp_path, transforms=[head.shift, head.shift], **inputs)
    image, moved = load(found.resampled)
    raw = load(head.t1w)[1]
    assert moved.dtype == np.float32
    assert image.shape == raw.shape
    # 2 x 8 mm to the left on a tilted grid of 4 mm
    inside = (slice(4, -8), slice(5, -5), slice(5, -5))
    shifted = np.roll(raw, -4, axis=0)[inside]
    assert np.corrcoef(moved[inside].ravel(), shifted.ravel())[0, 1] > 0.9
    mask = run(
        Resample(), tmp_path / 'mask', transforms=head.still, mask=head.t1w_mask, **inputs
    ).resampled
    assert load(mask)[1].dtype == np.uint8
    assert np.array_equal(load(mask)[1], load(head.t1w_mask)[1])


def test_reference(head, tmp_path):
    found = run(MakeReference(), tmp_path, image=head.t2w, mask=head.t2w_mask)
    for path in (found.preproc, found.brain):
        assert nib.aff2axcodes(load(path)[0].affine) == ('R', 'A', 'S')
    assert load(found.brain)[1].sum() == load(head.t2w_mask)[1].sum()
    assert np.isfinite(load(found.preproc)[1]).all()


def test_segmentation_without_weights(head, tmp_path):
    said = fail(Segment(weights=str(tmp_path / 'none')), tmp_path, image=head.t1w)
    assert f'{tmp_path}/none' in said['message']
    assert said['hint']


@pytest.mark.parametrize('task', ['brain', 'body'])
def test_segmentation_is_written(task, head, tmp_path, monkeypatch):
    from mrrate_bids.computing import segmentation

    class Network:
        def segment(self, scan, asked, *, brain, roi):
            assert (asked, brain is not None) == (task, task == 'brain')
            return np.where(scan.values > 300, 7, 0)

    monkeypatch.setattr(segmentation, 'load_segmenter', lambda *a, **b: Network())
    mask = {'mask': head.t1w_mask} if task == 'brain' else {}
    found = run(Segment(task=task), tmp_path, image=head.t1w, **mask)
    values = load(found.dseg)[1]
    assert values.dtype == np.uint16
    assert set(np.unique(values)) == {0, 7}
    assert quality(found) == {'LabelsFound': 1}


def store(head, tmp_path, **inputs):
    target = tmp_path / 'out/sub-1/anat/sub-1_T1w.nii.gz'
    given = {'in_file': head.t1w, 'target': str(target)} | inputs
    return target, run(Store(), tmp_path / 'work', **given)


def test_store_writes_file_and_sidecar(head, tmp_path):
    numbers = [tmp_path / f'{name}.json' for name in 'ab']
    numbers[0].write_text('{"BrainDice": 0.9, "seconds": 3.1}')
    numbers[1].write_text('{"HeadRemoved": 0.2}')
    said = {'Sources': ['bids:raw:sub-1/anat/sub-1_T1w.nii.gz']}
    target, found = store(head, tmp_path, sidecar=said, quality=[str(path) for path in numbers])
    assert found.out_file == str(target)
    assert target.read_bytes() == Path(head.t1w).read_bytes()
    sidecar = json.loads((target.parent / 'sub-1_T1w.json').read_text())
    assert sidecar == said | {'QualityControl': {'BrainDice': 0.9, 'HeadRemoved': 0.2}}
    assert len(list(target.parent.iterdir())) == 2


def test_image_that_is_not_packed_is_packed_under_a_name_that_says_so(head, tmp_path):
    """A raw centre may be ``.nii``; the same image gives the same bytes."""
    plain = tmp_path / 'plain.nii'
    nib.save(load(head.t1w)[0], plain)
    packed = []
    for when in (1, 2):
        os.utime(plain, (when, when))
        target, _ = store(head, tmp_path / str(when), in_file=str(plain))
        packed.append(target.read_bytes())
        assert np.array_equal(load(target)[1], load(head.t1w)[1])
    assert gzip.decompress(packed[0]) == plain.read_bytes()
    assert packed[0] == packed[1]
    assert packed[0][3:8] == bytes(5)  # neither name nor time


def test_mask_that_is_only_copied_is_looked_at(head, tmp_path):
    """Given by the user, no step has read it before."""
    values, affine = load(head.t1w_mask)[1], load(head.t1w)[0].affine
    empty = small_bids.write(tmp_path / 'empty.nii.gz', 0 * values, affine)
    target, _ = store(head, tmp_path / 'good', in_file=head.t1w_mask, like=head.t1w)
    assert target.exists()
    target = str(tmp_path / 'bad/mask.nii.gz')
    said = fail(Store(), tmp_path, in_file=str(empty), target=target, like=head.t1w)
    assert said['message'] == 'empty.nii.gz: the mask is empty'
    assert not Path(target).exists()


@pytest.mark.parametrize('name', ['a_label-brain_desc-T1w_mask.nii.gz', 'a_defacemask.nii.gz'])
def test_only_brain_masks_are_measured(name, head, tmp_path):
    """What is kept of a head is more than a brain."""
    values, affine = load(head.t1w_mask)[1], load(head.t1w)[0].affine
    most = small_bids.write(tmp_path / 'most.nii.gz', np.ones_like(values), affine)
    inputs = {'in_file': str(most), 'target': str(tmp_path / 'out' / name), 'like': head.t1w}
    if 'brain' in name:
        said = fail(Store(), tmp_path, **inputs)
        assert said['message'].startswith('most.nii.gz: is too large for a brain')
    else:
        assert Path(run(Store(), tmp_path, **inputs).out_file).exists()


def test_store_leaves_what_is_equal(head, tmp_path):
    target, _ = store(head, tmp_path)
    before = target.stat()
    store(head, tmp_path)
    assert (target.stat().st_mtime_ns, target.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_what_was_removed_comes_back(head, tmp_path):
    target, _ = store(head, tmp_path)
    target.unlink()
    store(head, tmp_path)
    assert target.exists()


def test_store_writes_the_whole_or_nothing(head, tmp_path, monkeypatch):
    """A copy that breaks off leaves neither half a file nor a sidecar without one."""

    def half(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:100])
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr(store_module.shutil, 'copyfile', half)
    with pytest.raises(Exception, match='Input/output error'):
        store(head, tmp_path)
    assert list((tmp_path / 'out/sub-1/anat').iterdir()) == []


def test_image_appears_after_its_sidecar(head, tmp_path, monkeypatch):
    """A run that is killed between the two leaves no image, also where there was another one."""
    target, _ = store(head, tmp_path, sidecar={'Carried': True})

    def kill(path, text):
        raise MrRateError('killed')

    monkeypatch.setattr(store_module, 'write_text', kill)
    fail(Store(), tmp_path, in_file=head.t2w, target=str(target))
    assert [path.name for path in target.parent.iterdir()] == ['sub-1_T1w.json']


def test_store_in_a_place_that_takes_nothing(head, tmp_path):
    (tmp_path / 'out').write_text('a file')
    with pytest.raises((MrRateError, RuntimeError, OSError)):
        store(head, tmp_path)
    said = json.loads((tmp_path / 'work/node' / PROBLEM).read_text())
    assert 'destination' in said['message']


def test_inputs_that_may_be_left_out():
    assert optional(Deface().inputs.given) is None
    assert str(optional('/a')) == '/a'


@pytest.mark.parametrize('junk', [b'junk' * 50, b''])
def test_transform_that_is_none_is_named(junk, head, tmp_path):
    path = tmp_path / 'mine_xfm.mat'
    path.write_bytes(junk)
    inputs = {'image': head.t2w, 'like': head.t1w, 'transforms': [str(path)]}
    said = fail(Resample(), tmp_path, **inputs)
    assert said['message'].startswith('mine_xfm.mat: is no linear transform of ITK')
