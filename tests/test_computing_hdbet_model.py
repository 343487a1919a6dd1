"""Weights that cannot be HD-BET's are found out before any image, and without reading them."""

import shutil
import sys
from pathlib import Path

import pytest
from hdbet_weights import configure, edit, make_weights

from mrrate_bids.computing.hdbet_model import check_weights, load_model
from mrrate_bids.computing.hdbet_weights import CHECKPOINT, find_weights
from mrrate_bids.errors import ResourceError


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp('hdbet') / 'weights')


@pytest.fixture
def copy(weights, tmp_path):
    """Return weights that a test may spoil."""
    return Path(shutil.copytree(weights, tmp_path / 'weights'))


def save(make):
    def write(path):
        import torch

        torch.save(make(torch), path)

    return write


def resave(**changes):
    """Return a function that changes keys of the checkpoint."""

    def change(path):
        import torch

        torch.save({**torch.load(path, weights_only=False), **changes}, path)

    return change


MISFITS = {
    'no checkpoint': (CHECKPOINT, lambda p: p.write_bytes(b'<html>'), 'cannot be loaded'),
    'empty': (CHECKPOINT, lambda p: p.write_bytes(b''), 'cannot be loaded'),
    'cut': (CHECKPOINT, lambda p: p.write_bytes(p.read_bytes()[:9999]), 'cannot be loaded'),
    'a tensor': (CHECKPOINT, save(lambda torch: torch.ones(2)), "lacks 'network_weights'"),
    'other keys': (CHECKPOINT, save(lambda torch: {'state_dict': {}}), "lacks 'network_weights'"),
    'no arguments': (CHECKPOINT, resave(init_args=None), "lacks 'init_args'"),
    'other configuration': (CHECKPOINT, resave(init_args={'configuration': '2d'}), 'does not fit'),
    'other weights': (CHECKPOINT, resave(network_weights={}), 'does not fit'),
    'no weights': (CHECKPOINT, resave(network_weights=7), 'does not fit'),
    'three labels': (
        'dataset.json',
        edit(labels={'background': 0, 'brain': 1, 'skull': 2}),
        'does not fit',
    ),
    'two channels': ('dataset.json', edit(channel_names={'0': 'a', '1': 'b'}), 'does not fit'),
    'other reader': ('plans.json', edit(image_reader_writer='Tiff3DIO'), "reader 'Tiff3DIO'"),
    'lacks an architecture': ('plans.json', configure(architecture=None), 'does not fit'),
    'lacks a configuration': ('plans.json', edit(configurations={}), 'does not fit'),
    **{
        f'lacks {key}': ('plans.json', configure(**{key: None}), key)
        for key in (
            'normalization_schemes',
            'patch_size',
            'preprocessor_name',
            'resampling_fn_data',
            'resampling_fn_probabilities_kwargs',
            'spacing',
            'use_mask_for_norm',
        )
    },
    'another preprocessor': (
        'plans.json',
        configure(preprocessor_name='Other'),
        'names no preprocessor_class',
    ),
    'another resampling': (
        'plans.json',
        configure(resampling_fn_data='other'),
        'no usable resampling_fn_data',
    ),
    'labels of another kind': ('dataset.json', edit(labels=[0, 1]), 'does not fit'),
}


@pytest.mark.parametrize('fault', MISFITS)
def test_weights_that_do_not_fit(fault, copy):
    name, spoil, says = MISFITS[fault]
    spoil(copy / name)
    assert find_weights(copy) == copy
    said = []
    for use in (check_weights, load_model):
        with pytest.raises(ResourceError, match=f'{copy}: .*{says}') as caught:
            use(copy)
        assert '\n' not in str(caught.value)
        assert str(copy) in caught.value.hint
        said.append(str(caught.value))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ('changes', 'says'),
    [
        ({'patch_size': [32, 32]}, 'for slices'),
        ({'previous_stage': '3d_lowres'}, 'second stage of a cascade'),
        ({'normalization_schemes': ['ZScoreNormalization'] * 2}, 'several images at once'),
    ],
)
def test_models_of_another_kind(changes, says, copy):
    configure(**changes)(copy / 'plans.json')
    if 'previous_stage' in changes:  # a cascade takes one more channel, the first stage's mask
        import torch

        checkpoint = torch.load(copy / CHECKPOINT, weights_only=False)
        kernel = 'encoder.stages.0.0.convs.0.conv.weight'
        for key, value in checkpoint['network_weights'].items():
            if value.ndim == 5 and value.shape[1] == 1:
                checkpoint['network_weights'][key] = value.repeat(1, 2, 1, 1, 1)
        assert checkpoint['network_weights'][kernel].shape[1] == 2
        torch.save(checkpoint, copy / CHECKPOINT)
    with pytest.raises(ResourceError, match=says):
        check_weights(copy)


def test_without_nnunet(weights, monkeypatch):
    for name in list(sys.modules):
        if name.partition('.')[0] == 'nnunetv2':
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'nnunetv2', None)
    with pytest.raises(ResourceError, match='HD-BET cannot be used') as caught:
        check_weights(weights)
    assert 'mrrate-bids[brain]' in caught.value.hint


def test_sound_weights_are_not_read(weights, monkeypatch):
    import torch

    opened, load = [], torch.load
    monkeypatch.setattr(torch, 'load', lambda *a, **b: opened.append(b['mmap']) or load(*a, **b))
    before = torch.random.get_rng_state()
    check_weights(weights)
    assert opened == [True]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_network_has_the_tensors_of_the_file(weights):
    import torch

    network = load_model(weights).network
    stored = torch.load(weights / CHECKPOINT, weights_only=False)['network_weights']
    assert all(torch.equal(tensor, stored[name]) for name, tensor in network.state_dict().items())
    assert not any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))
