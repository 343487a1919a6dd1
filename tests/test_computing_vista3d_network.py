"""Weights of another network are found out before any image, and without reading them."""

import pytest

from mrrate_bids.computing.vista3d_network import check_weights, load_network
from mrrate_bids.errors import ResourceError

WIDTH = 'class_head.class_embeddings.weight'


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    from vista3d_weights import make_weights

    return make_weights(tmp_path_factory.mktemp('weights') / 'models' / 'model.pt')


def less(state):
    state.popitem()


def narrower(state):
    state[WIDTH] = state[WIDTH].new_zeros(512, 12)


def flat(state):
    state[WIDTH] = state[WIDTH].new_zeros(512)


def wider(state):
    state[WIDTH] = state[WIDTH].new_zeros(512, 16)


def foreign(state):
    tensor = state[WIDTH]
    state.clear()
    state['conv.weight'] = tensor


def untyped(state):
    state['epoch'] = 3


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        (less, 'not those of the network'),
        (wider, 'not those of the network'),
        (narrower, 'has no class_head'),
        (flat, 'has no class_head'),
        (foreign, 'has no class_head'),
        (untyped, 'no table of tensors'),
    ],
)
def test_tensors_of_something_else(change, why, weights, tmp_path):
    import torch

    state = torch.load(weights, weights_only=True)
    change(state)
    torch.save(state, tmp_path / 'model.pt')
    for use in (check_weights, load_network):
        with pytest.raises(ResourceError, match=why) as caught:
            use(tmp_path / 'model.pt')
        assert str(tmp_path / 'model.pt') in str(caught.value)
        assert f'={tmp_path} mrrate-bids resources fetch nvseg-ctmr' in caught.value.hint


def test_sound_weights_are_not_read(weights, monkeypatch):
    import torch

    opened, load = [], torch.load
    monkeypatch.setattr(torch, 'load', lambda *a, **b: opened.append(b['mmap']) or load(*a, **b))
    check_weights(weights.parents[1])
    assert opened == [True]


def test_without_monai(weights, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, 'monai.networks.nets.vista3d', None)
    with pytest.raises(ResourceError, match='MONAI is not installed') as caught:
        check_weights(weights)
    assert 'mrrate-bids[seg]' in caught.value.hint
