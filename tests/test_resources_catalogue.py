"""Where resources lie, and the command that fetches them there."""

import re
from pathlib import Path

import pytest

from mrrate_bids.resources.catalogue import read_resources

RESOURCES = read_resources()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for variable in (*(r.variable for r in RESOURCES.values()), 'XDG_CACHE_HOME'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    return tmp_path


@pytest.mark.parametrize('name', sorted(RESOURCES))
def test_variable_names_another_folder(name, home, monkeypatch):
    resource = RESOURCES[name]
    assert resource.home == resource.usual
    assert resource.usual.is_relative_to(home)
    monkeypatch.setenv(resource.variable, '~/own')
    assert resource.home == home / 'own'
    assert resource.usual != resource.home


def test_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert RESOURCES['nvseg-ctmr'].home == tmp_path / 'cache/mrrate-bids/nvseg-ctmr'
    assert RESOURCES['MNI152NLin2009cSym'].home == tmp_path / 'cache/templateflow'


def test_variable_may_name_the_file(tmp_path, monkeypatch):
    resource, path = RESOURCES['nvseg-ctmr'], tmp_path / 'folder/other.pt'
    path.parent.mkdir()
    path.touch()
    monkeypatch.setenv(resource.variable, str(path))
    assert resource.home == path.parent
    assert resource.find(resource.file[0]) == path


def test_file_is_found_in_other_places(home):
    resource = RESOURCES['nvseg-ctmr']
    (model,) = resource.file
    assert resource.find(model) == resource.home / model.path
    for place in model.also:
        path = resource.home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        assert resource.find(model) == path
        path.unlink()


def test_command_is_for_a_folder(tmp_path, monkeypatch):
    resource = RESOURCES['hd-bet']
    plain = 'mrrate-bids resources fetch hd-bet'
    assert resource.command() == resource.command(resource.home) == plain
    odd = tmp_path / "O'Brien's"
    assert re.fullmatch(f"{resource.variable}='.*' {plain}", resource.command(odd))
    monkeypatch.setenv(resource.variable, str(odd))
    assert resource.command(odd) == plain
    assert RESOURCES['nvseg-ctmr'].command().endswith('nvseg-ctmr --accept-license')


def test_digests_have_their_lengths():
    for file in (file for resource in RESOURCES.values() for file in resource.file):
        assert len(file.md5) in (0, 32)
        assert len(file.sha256) in (0, 64)
        assert not Path(file.path).is_absolute()
