"""A device is asked for by name; what is not there is told, not found out later."""

import sys

import pytest
import torch

from mrrate_bids.computing import devices
from mrrate_bids.computing.devices import pick_device, torch_threads, uses_gpu
from mrrate_bids.errors import ResourceError, UsageError


@pytest.fixture
def gpus(monkeypatch):
    """Let torch find as many GPUs as asked."""

    def there_are(count):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: bool(count))
        monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
        devices._finds_gpu.cache_clear()

    yield there_are
    devices._finds_gpu.cache_clear()


@pytest.mark.parametrize(
    ('count', 'asked', 'got'),
    [
        (0, 'auto', 'cpu'),
        (2, 'auto', 'cuda'),
        (2, 'cpu', 'cpu'),
        (1, 'cuda', 'cuda'),
        (1, 'cuda:0', 'cuda:0'),
        (2, 'cuda:1', 'cuda:1'),
    ],
)
def test_device(count, asked, got, gpus):
    gpus(count)
    assert pick_device(asked) == torch.device(got)


@pytest.mark.parametrize(
    ('count', 'asked', 'says', 'hint'),
    [
        (0, 'cuda', 'cuda: torch finds no GPU', 'cpu or auto'),
        (0, 'cuda:0', 'cuda:0: torch finds no GPU', 'driver'),
        (1, 'cuda:1', 'cuda:1: torch finds 1 GPU here', 'Use cuda or auto'),
        (2, 'cuda:2', 'cuda:2: torch finds 2 GPUs here', 'cuda:0 to cuda:1'),
        (2, 'cuda:999', 'cuda:999: torch finds 2 GPUs', 'cuda:0 to cuda:1'),
    ],
)
def test_absent_gpu(count, asked, says, hint, gpus):
    gpus(count)
    with pytest.raises(ResourceError, match=says) as caught:
        pick_device(asked)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    'asked', ['', 'gpu', 'CUDA', 'cuda1', 'cuda:', 'cuda:x', 'cuda:-1', 'cpu:0', 'mps']
)
def test_no_device(asked):
    with pytest.raises(UsageError, match='is no device') as caught:
        pick_device(asked)
    assert not isinstance(caught.value, ResourceError)
    assert 'cuda:N' in caught.value.hint


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch', None)
    with pytest.raises(ResourceError, match='torch cannot be imported') as caught:
        pick_device('cpu')
    assert 'mrrate-bids[compute]' in caught.value.hint


@pytest.mark.parametrize(
    ('count', 'asked', 'takes'),
    [
        (0, 'auto', False),
        (1, 'auto', True),
        (2, 'auto', True),
        (2, 'cpu', False),
        (1, 'cuda', True),
        (2, 'cuda:1', True),
    ],
)
def test_network_that_takes_a_gpu(count, asked, takes, gpus):
    gpus(count)
    assert uses_gpu(asked) is takes
    if takes:
        assert pick_device(asked).type == 'cuda'


def test_torch_is_asked_once_and_for_auto_only(gpus, monkeypatch):
    gpus(1)
    asked = []
    monkeypatch.setattr(devices, '_import_torch', lambda: asked.append('torch') or torch)
    assert [uses_gpu(name) for name in ('cpu', 'cuda', 'cuda:3')] == [False, True, True]
    assert asked == []
    assert [uses_gpu('auto') for _ in range(3)] == [True] * 3
    assert asked == ['torch']


def test_without_torch_no_gpu_is_taken(gpus, monkeypatch):
    gpus(1)
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert uses_gpu('auto') is False


def test_threads_for_a_while():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before
