"""Weights of NV-Segment-CTMR are looked for where they were named; nothing in them is run."""

import os

import pytest

from mrrate_bids.computing.vista3d_weights import (
    VARIABLE,
    find_weights,
    read_tensors,
    weight_files,
)
from mrrate_bids.errors import ResourceError


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    from vista3d_weights import make_weights

    return make_weights(tmp_path_factory.mktemp('weights') / 'models' / 'model.pt')


@pytest.mark.parametrize(
    'spoil',
    [
        lambda data: b'',
        lambda data: b'<html>Access to this model is restricted</html>',
        lambda data: data[: len(data) // 2],
        lambda data: bytes(1000),
    ],
    ids=['empty', 'page', 'truncated', 'zeros'],
)
def test_file_that_torch_cannot_read(spoil, weights, tmp_path):
    path = tmp_path / 'model.pt'
    path.write_bytes(spoil(weights.read_bytes()))
    for mapped in (True, False):
        with pytest.raises(ResourceError, match='torch cannot read it'):
            read_tensors(path, mapped=mapped)


def test_code_in_weights_is_not_run(tmp_path):
    import torch

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'sprung'),)

    torch.save({'model': Trap()}, tmp_path / 'model.pt')
    for mapped in (True, False):
        with pytest.raises(ResourceError, match='torch cannot read it'):
            read_tensors(tmp_path / 'model.pt', mapped=mapped)
    assert not (tmp_path / 'sprung').exists()


def test_no_table(tmp_path):
    import torch

    for saved in ([1, 2], torch.zeros(3)):
        torch.save(saved, tmp_path / 'model.pt')
        with pytest.raises(ResourceError, match='no table of tensors'):
            read_tensors(tmp_path / 'model.pt')


@pytest.mark.parametrize('place', ['', 'models', 'vista3d_pretrained_model'])
def test_weights_are_found(place, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    path = tmp_path / place / 'model.pt'
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert find_weights(path) == find_weights(tmp_path) == path
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert find_weights() == path


def test_weights_given_come_before_those_of_the_environment(tmp_path, monkeypatch):
    for name in ('a.pt', 'b.pt'):
        (tmp_path / name).touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / 'a.pt'))
    assert find_weights(tmp_path / 'b.pt') == tmp_path / 'b.pt'


def test_weights_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, '')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    own = tmp_path / 'cache/mrrate-bids/nvseg-ctmr'
    for path, why in (
        ('', f'{own}: does not exist'),
        (tmp_path, 'holds no model.pt'),
        (tmp_path / 'gone', 'does not exist'),
    ):
        with pytest.raises(ResourceError, match=why) as caught:
            find_weights(path)
        assert caught.value.exit_code == 2
        folder = path or own
        for words in (
            f'into {folder} with: ',
            'mrrate-bids resources fetch nvseg-ctmr --accept-license; ',
            'with --nvseg-weights',
            'licence',
        ):
            assert words in caught.value.hint
        assert (f'{VARIABLE}={folder} mrrate-bids' in caught.value.hint) == bool(path)


@pytest.mark.parametrize('place', ['', 'models/model.pt', 'vista3d_pretrained_model/model.pt'])
def test_remedy_is_for_what_was_named(place, tmp_path, monkeypatch):
    """Fetched weights lie below the folder of the hint, wherever the file was looked for."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / place))
    with pytest.raises(ResourceError) as caught:
        find_weights()
    assert f'into {tmp_path} with: ' in caught.value.hint
    assert f'has them in {VARIABLE}.' in caught.value.hint
    assert '--nvseg-weights' not in caught.value.hint


def test_file_that_decides_what_is_found(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert weight_files() == weight_files(tmp_path) == ()
    (tmp_path / 'model.pt').touch()
    assert weight_files(tmp_path) == (tmp_path / 'model.pt',)
