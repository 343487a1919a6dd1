"""Weights of HD-BET are looked for in three places; what is wrong with them is told at once."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hdbet_weights import edit, make_weights

from mrrate_bids.computing.hdbet_weights import (
    CHECKPOINT,
    ENVIRONMENT,
    find_weights,
    read_checkpoint,
    weight_files,
)
from mrrate_bids.errors import ResourceError


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp('hdbet') / 'weights')


@pytest.fixture
def copy(weights, tmp_path):
    """Return weights that a test may spoil."""
    return Path(shutil.copytree(weights, tmp_path / 'weights'))


def test_where_weights_are_looked_for(weights, tmp_path, monkeypatch):
    own = shutil.copytree(weights, tmp_path / 'hd-bet_params/release_2.0.0')
    named = shutil.copytree(weights, tmp_path / 'named')
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    assert find_weights() == own
    monkeypatch.setenv(ENVIRONMENT, '~/named')
    assert find_weights() == named
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
        find_weights()
    assert 'with: mrrate-bids resources fetch hd-bet; ' in caught.value.hint
    assert '--hdbet-weights' in caught.value.hint
    assert caught.value.exit_code == 2


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
    assert 'mrrate-bids resources fetch hd-bet' in caught.value.hint
    assert str(copy) in caught.value.hint


def hint_of(folder):
    with pytest.raises(ResourceError) as caught:
        find_weights(folder)
    return caught.value.hint


def test_remedy_is_for_the_folder_that_was_named(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    own, named = tmp_path / 'hd-bet_params/release_2.0.0', tmp_path / 'named'
    assert f'into {own} with' in hint_of('')
    assert ENVIRONMENT not in hint_of('')
    assert f'into {named} with' in hint_of(named)
    assert f'{ENVIRONMENT}={named} mrrate-bids resources fetch' in hint_of(named)
    assert str(own) not in hint_of(named)
    assert hint_of(named).endswith('with --hdbet-weights.')
    monkeypatch.setenv(ENVIRONMENT, str(named))
    assert hint_of('') == hint_of(named)
    assert hint_of(named).endswith(f'in {ENVIRONMENT}.')
    assert hint_of(tmp_path / 'other').endswith('with --hdbet-weights.')


@pytest.mark.parametrize('there', [True, False])
def test_remedy_where_the_checkpoint_was_named(there, tmp_path, monkeypatch):
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    path = tmp_path / CHECKPOINT
    if there:
        path.parent.mkdir()
        path.touch()
        with pytest.raises(ResourceError, match=f'{path} is a file'):
            find_weights(path)
    assert f'into {tmp_path} with: ' in hint_of(path)
    assert '(and name that folder with --hdbet-weights); or' in hint_of(path)


def test_remedy_tells_what_is_in_the_way(copy):
    (copy / 'plans.json').write_text('[1]')
    assert 'remove its plans.json first' in hint_of(copy)
    (copy / 'plans.json').unlink()
    assert 'remove' not in hint_of(copy)


def test_files_that_decide_what_is_found(copy):
    files = weight_files(copy)
    assert {path.name for path in files} == {
        'dataset.json',
        'plans.json',
        'checkpoint_final.pth',
    }
    assert all(path.is_file() for path in files)
    (copy / CHECKPOINT).unlink()
    assert weight_files(copy) == ()


@pytest.mark.parametrize('archive', [True, False])
def test_tensors_may_stay_on_the_disk(archive, copy):
    import torch

    if not archive:  # as torch wrote files before 1.6
        content = torch.load(copy / CHECKPOINT, weights_only=False)
        torch.save(content, copy / CHECKPOINT, _use_new_zipfile_serialization=False)
    there, mapped = read_checkpoint(copy), read_checkpoint(copy, mapped=True)
    for name, tensor in there['network_weights'].items():
        assert torch.equal(mapped['network_weights'][name], tensor)
