"""deepbet with its own weights, on a simulated head."""

import sys

import heads
import numpy as np
import pytest
import torch

from mrrate_bids.computing import brain
from mrrate_bids.computing.agreement import dice
from mrrate_bids.computing.brain import Choice, extract_brain
from mrrate_bids.computing.deepbet import DeepBet
from mrrate_bids.computing.scans import read_mask, read_scan
from mrrate_bids.errors import ImageError, ResourceError


@pytest.fixture(scope='module')
def network():
    return DeepBet.load(device='cpu')


@pytest.mark.parametrize(
    ('codes', 'spacing', 'tilt'),
    [('LAS', (2, 2, 2), heads.STILL), ('PSR', (3, 3, 6), heads.turned((10, 0, -15)))],
)
def test_brain_of_a_head_is_found(codes, spacing, tilt, network, tmp_path):
    taken = heads.scan(tmp_path, 't1w', codes=codes, spacing=spacing, tilt=tilt)
    mask = network.mask(taken.scan)
    assert (mask.shape, mask.dtype) == (taken.brain.shape, np.uint8)
    assert {*np.unique(mask)} == {0, 1}
    assert dice(mask, taken.brain) > 0.95


def test_by_name_and_on_disk_the_same_every_time(network, tmp_path):
    taken = heads.scan(tmp_path, 't1w', spacing=(4, 4, 4), codes='LIA')
    threads = torch.get_num_threads()
    choice = Choice('deepbet', device='cpu')
    quality = extract_brain(taken.image, tmp_path / 'out.nii.gz', choice=choice)
    brain._load.cache_clear()
    assert torch.get_num_threads() == threads
    written = read_mask(tmp_path / 'out.nii.gz', like=read_scan(taken.image)).values
    np.testing.assert_array_equal(written, network.mask(taken.scan))
    assert quality['BrainVolumeMl'] == pytest.approx(written.sum() * 0.064, abs=0.06)


@pytest.mark.parametrize(('asked', 'taken'), [('cuda:1', 'cuda:1'), ('auto', 'cuda')])
def test_networks_go_to_the_gpu_that_was_asked_for(asked, taken, network, monkeypatch):
    """As far as a machine without one can tell: torch finds two, and moves nothing."""
    moved = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.nn.Module, 'to', lambda self, to: moved.append(to) or self)
    DeepBet.load(device=asked)
    assert moved[-2:] == [torch.device(taken)] * 2


def grain(shape):
    """A body of a few voxels, which deepbet takes for no head."""
    values = np.zeros(shape)
    values[5:8, 5:8, 5:8] = 1
    return values


def test_no_brain_is_found(network, tmp_path):
    taken = heads.scan(tmp_path, 't1w', spacing=(6, 6, 6))
    scan = taken.scan._replace(values=grain(taken.brain.shape))
    with pytest.raises(ImageError, match=r'^t1w-LAS\.nii\.gz: deepbet finds no brain') as caught:
        network.mask(scan)
    assert '--derivatives' in caught.value.hint


class Answers:
    """A network that fails as deepbet's own functions do, or finds nothing."""

    def __init__(self, answer):
        self.answer = answer

    def run(self, image):
        if isinstance(self.answer, Exception):
            raise self.answer
        empty = type(image)(np.zeros(image.shape, np.uint8), image.affine)
        return image, empty, 0.0


@pytest.mark.parametrize(
    'answer',
    [
        AssertionError('Not enough foreground to calculate bounding box'),
        ValueError('attempt to get argmax of an empty sequence'),
        None,
    ],
)
def test_every_way_to_find_nothing(answer, tmp_path):
    taken = heads.scan(tmp_path, 't1w', spacing=(6, 6, 6))
    with pytest.raises(ImageError, match='deepbet finds no brain'):
        DeepBet(Answers(answer)).mask(taken.scan)


def test_package_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, 'deepbet.bet', None)
    with pytest.raises(ResourceError, match='deepbet is not installed') as caught:
        DeepBet.load(device='cpu')
    assert 'mrrate-bids[compute]' in caught.value.hint


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_device_that_is_not_there():
    with pytest.raises(ResourceError, match='torch finds no GPU here'):
        DeepBet.load(device='cuda')
