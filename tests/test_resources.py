"""``mrrate-bids resources``: against a server on this machine, with files of the true format."""

import hashlib
import json
import os
import re
import shlex
import shutil
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path

import hostile
import nibabel as nib
import numpy as np
import pytest
from hdbet_weights import DATASET, make_plans
from resource_server import MODEL_COMMIT, resources
from said import Said

from mrrate_bids.cli.resources import NAMES
from mrrate_bids.computing import hdbet_weights, template, vista3d_weights
from mrrate_bids.errors import ResourceError
from mrrate_bids.fetching.client import HttpSettings
from mrrate_bids.fetching.remote import RemoteFile
from mrrate_bids.resources import File, fetch, read_resources, state_of, verify

ARCHIVE = 'records/14445620/files/release_v1.5.0.zip'
MODEL = f'nvidia/NV-Segment-CTMR/resolve/{MODEL_COMMIT}/vista3d_pretrained_model/model.pt'
WEIGHTS = {
    'dataset.json': json.dumps(DATASET).encode(),
    'plans.json': json.dumps(make_plans()).encode(),
    'fold_all/checkpoint_final.pth': np.random.default_rng(1).bytes(900_000),
}
RESOURCES = sorted(read_resources())


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Give every cache a place of its own."""
    for variable in [r.variable for r in read_resources().values()]:
        monkeypatch.delenv(variable, raising=False)
    for variable in ('MRRATE_BIDS_MIRROR', 'MRRATE_BIDS_OFFLINE', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(variable, raising=False)
    for variable in ('http_proxy', 'HTTP_PROXY'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    return tmp_path / 'home'


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Wait hundredths of a second where a user would wait for seconds."""
    monkeypatch.setattr(
        'mrrate_bids.resources.download._SETTINGS', HttpSettings(tries=3, pause=0.01)
    )
    defaults = RemoteFile.__init__.__kwdefaults__ | {'pause': 0.01}
    monkeypatch.setattr(RemoteFile.__init__, '__kwdefaults__', defaults)


@pytest.fixture
def hub(tmp_path):
    write_archive(tmp_path / 'served' / ARCHIVE, WEIGHTS)
    model = tmp_path / 'served' / MODEL
    model.parent.mkdir(parents=True)
    model.write_bytes(np.random.default_rng(2).bytes(200_000))
    with resources(tmp_path / 'served') as hub:
        yield hub


def write_archive(path, files, *, prefix=''):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in files.items():
            archive.writestr(prefix + name, data)
    return path


class Run(Said):
    """What the command said."""

    def __init__(self, *arguments):
        super().__init__('resources', *arguments)


# Agreement with what commands look for.


def test_names_of_the_command_line_are_those_of_the_table():
    assert list(NAMES) == list(read_resources())


def test_places_are_those_that_commands_look_in(home):
    resources = read_resources()
    assert resources['hd-bet'].variable == hdbet_weights.ENVIRONMENT
    assert resources['hd-bet'].file[2].path == hdbet_weights.CHECKPOINT
    assert {file.path for file in resources['hd-bet'].file[:2]} == set(hdbet_weights._KEYS)
    assert resources['nvseg-ctmr'].variable == vista3d_weights.VARIABLE
    (model,) = resources['nvseg-ctmr'].file
    assert {model.path, *model.also} == set(vista3d_weights._PLACES)
    assert resources['MNI152NLin2009cSym'].template == template.DEFAULT


def test_address_is_that_of_hd_bet():
    paths = pytest.importorskip('HD_BET.paths')
    resource = read_resources()['hd-bet']
    assert paths.ZENODO_DOWNLOAD_URL.partition('?')[0] == resource.archive
    assert Path(paths.folder_with_parameter_files).parts[-2:] == Path(resource.folder).parts[-2:]


def test_fetched_weights_are_found(hub, home):
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 0
    assert hdbet_weights.find_weights() == home / 'hd-bet_params/release_2.0.0'


def obey(caught, variable, hub, monkeypatch):
    """Run the command of a hint, as a shell would, and return the folder that it names."""
    (command,) = re.findall(r'with: (.*?)(?: \(.*?\))?; or name', caught.value.hint)
    words = shlex.split(command)
    named = dict(word.split('=', 1) for word in words if '=' in word)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    words = words[words.index('resources') + 1 :]
    assert Run(*words, '--mirror', hub.url).code == 0
    return named.get(variable)


@pytest.mark.parametrize('place', ['', "O'Brien's weights"])
def test_remedies_fetch_what_is_missing(place, hub, tmp_path, monkeypatch):
    pytest.importorskip('huggingface_hub')
    folder = str(tmp_path / place) if place else ''
    for kind, variable in (
        (hdbet_weights, hdbet_weights.ENVIRONMENT),
        (vista3d_weights, vista3d_weights.VARIABLE),
    ):
        with pytest.raises(ResourceError) as caught:
            kind.find_weights(folder)
        assert obey(caught, variable, hub, monkeypatch) == (folder or None)
        assert kind.find_weights(folder)
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize('place', ['junk.bin', 'a/model.pt', 'a/x.pth', 'junk.bin/a'])
@pytest.mark.parametrize('kind', [hdbet_weights, vista3d_weights])
def test_remedy_for_what_is_no_folder(kind, place, hub, tmp_path, monkeypatch):
    """Its command fetches into a folder, and says that this folder is to be named."""
    pytest.importorskip('huggingface_hub')
    variable = getattr(kind, 'ENVIRONMENT', None) or kind.VARIABLE
    (tmp_path / 'junk.bin').write_bytes(b'junk')
    with pytest.raises(ResourceError) as caught:
        found = kind.find_weights(tmp_path / place)
        kind.read_tensors(found)  # of a file that is there
    folder = obey(caught, variable, hub, monkeypatch)
    assert f'into {folder} with: ' in caught.value.hint
    assert '(and name that folder with --' in caught.value.hint
    assert Path(folder) == tmp_path / ('a' if place.startswith('a/') else '')
    assert kind.find_weights(folder)


def test_remedy_for_spoilt_weights_fetches_them_anew(hub, home, monkeypatch):
    Run('fetch', 'hd-bet', '--mirror', hub.url)
    path = home / 'hd-bet_params/release_2.0.0/plans.json'
    path.write_text('[1]')
    with pytest.raises(ResourceError, match='holds no JSON') as caught:
        hdbet_weights.find_weights()
    assert 'remove its plans.json first' in caught.value.hint
    path.unlink()
    obey(caught, '', hub, monkeypatch)
    assert hdbet_weights.find_weights()


def test_fetched_weights_run(tmp_path, hub):
    pytest.importorskip('nnunetv2')
    from hdbet_weights import make_weights

    made = make_weights(tmp_path / 'made')
    files = {name: (made / name).read_bytes() for name in WEIGHTS}
    write_archive(tmp_path / 'served' / ARCHIVE, files)
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 0
    from mrrate_bids.computing.hdbet import Extractor

    Extractor.load(hdbet_weights.find_weights(), device='cpu')


# HD-BET, a zip of Zenodo.


def test_list_before_and_after(hub):
    before = Run()
    assert before.text.count('absent') == 3
    assert 'unknown' in before.text
    assert Run('list').text == before.text
    Run('fetch', 'hd-bet', '--mirror', hub.url)
    after = Run('list', '--offline')
    digest = hashlib.sha256(WEIGHTS['fold_all/checkpoint_final.pth']).hexdigest()
    assert f'sha256 {digest} (recorded)' in after.text
    assert after.text.count('absent') == 2
    for resource in read_resources().values():
        assert resource.licence in after.text
        assert f'{resource.home} ({resource.variable}' in after.text


def test_fetch_records_what_verify_compares(hub, home):
    done = Run('fetch', 'hd-bet', '--mirror', hub.url)
    folder = home / 'hd-bet_params/release_2.0.0'
    assert {name: (folder / name).read_bytes() for name in WEIGHTS} == WEIGHTS
    assert not list(folder.glob('.*release*'))
    entries = tomllib.loads((folder / 'resources.lock').read_text())['file']
    assert {entry['path']: entry['sha256'] for entry in entries} == {
        name: hashlib.sha256(data).hexdigest() for name, data in WEIGHTS.items()
    }
    assert {entry['source'] for entry in entries} == {f'{hub.url}/{ARCHIVE}'}
    assert entries[0]['sha256'] in done.text
    verified = Run('verify')
    assert verified.code == 0
    assert verified.text.count('equal to what was recorded') == 3


def test_fetch_again_asks_nothing(hub):
    Run('fetch', 'hd-bet', '--mirror', hub.url)
    hub.log.clear()
    for options in ([], ['--offline']):
        done = Run('fetch', 'hd-bet', '--mirror', hub.url, *options)
        assert (done.code, hub.log) == (0, [])
        assert 'there already' in done.text


def test_verify_names_what_changed(hub, home):
    Run('fetch', 'hd-bet', '--mirror', hub.url)
    path = home / 'hd-bet_params/release_2.0.0/fold_all/checkpoint_final.pth'
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    done = Run('verify', 'hd-bet')
    assert done.code == 3
    assert f'{path}: DIFFERS: its SHA-256 is not that of' in done.text
    assert Run('verify', '--record').code == 3, 'what differs was blessed'
    offline = Run('fetch', 'hd-bet', '--offline')
    assert offline.code == 2
    assert 'its SHA-256 is not that of' in offline.errors
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 0
    assert Run('verify').code == 0
    assert path.with_name(f'{path.name}.differs').read_bytes() == bytes(data)
    path.unlink()
    assert Run('verify').code == 3
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 0
    assert Run('verify').code == 0


def test_files_put_there_by_hand_are_recorded_on_demand(home):
    folder = home / 'hd-bet_params/release_2.0.0'
    hostile.write_files(folder, WEIGHTS)
    done = Run('verify', 'hd-bet')
    assert (done.code, done.text.count('nothing to compare with')) == (0, 3)
    assert not (folder / 'resources.lock').exists()
    assert Run('verify', 'hd-bet', '--record').text.count('equal to what was recorded') == 3
    assert Run('verify').code == 0


def test_record_travels_with_the_folder(hub, home, tmp_path, monkeypatch):
    Run('fetch', 'hd-bet', '--mirror', hub.url)
    shutil.move(home / 'hd-bet_params/release_2.0.0', tmp_path / 'elsewhere')
    monkeypatch.setenv(hdbet_weights.ENVIRONMENT, str(tmp_path / 'elsewhere'))
    assert Run('verify').text.count('equal to what was recorded') == 3
    (tmp_path / 'elsewhere/plans.json').write_bytes(b'{}')
    assert Run('verify').code == 3


def break_off(hub, home):
    """Let a fetch end before the archive is there; return what is there of it."""
    hub.order('cut', ARCHIVE, times=6)
    done = Run('fetch', 'hd-bet', '--mirror', hub.url)
    assert done.code == 3
    assert 'the connection broke' in done.errors
    assert 'it goes on where it stopped' in done.errors
    (part,) = (home / 'hd-bet_params/release_2.0.0').glob('*.fetch')
    hub.log.clear()
    return part


def test_connection_that_breaks_is_taken_up_again(hub, home):
    hub.order('cut', ARCHIVE, times=3)
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 0
    path = home / 'hd-bet_params/release_2.0.0/fold_all/checkpoint_final.pth'
    assert path.read_bytes() == WEIGHTS['fold_all/checkpoint_final.pth']
    assert len([r for r in hub.asked(ARCHIVE) if r.method == 'GET']) == 4


def test_fetch_that_broke_off_goes_on(hub, home):
    part = break_off(hub, home)
    folder, count = part.parent, part.stat().st_size
    assert count > 500_000
    assert not (folder / 'plans.json').exists()
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 0
    asked = [request.range for request in hub.asked(ARCHIVE) if request.method == 'GET']
    size = (hub.root / ARCHIVE).stat().st_size
    assert asked == [f'bytes={count}-{size - 1}']
    assert (folder / 'fold_all/checkpoint_final.pth').read_bytes() == WEIGHTS[
        'fold_all/checkpoint_final.pth'
    ]


def test_file_that_changed_meanwhile_is_fetched_from_the_start(hub, home):
    break_off(hub, home)
    newer = WEIGHTS | {'fold_all/checkpoint_final.pth': np.random.default_rng(3).bytes(250_000)}
    write_archive(hub.root / ARCHIVE, newer)
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 0
    path = home / 'hd-bet_params/release_2.0.0/fold_all/checkpoint_final.pth'
    assert path.read_bytes() == newer['fold_all/checkpoint_final.pth']


def test_more_than_the_server_has_is_thrown_away(hub, home):
    break_off(hub, home).write_bytes(bytes(1_000_000))
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 2  # the size tells
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 0


def test_server_without_ranges(hub, home):
    break_off(hub, home)
    hub.order('no-range', ARCHIVE, times=9)
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 0
    assert hdbet_weights.find_weights()


def test_wrong_checksum_is_thrown_away(hub, home):
    hub.checksums['release_v1.5.0.zip'] = '0' * 32
    done = Run('fetch', 'hd-bet', '--mirror', hub.url)
    assert done.code == 2
    assert f'instead of {"0" * 32}; it was thrown away' in done.errors
    assert not (home / 'hd-bet_params/release_2.0.0').exists()


@pytest.mark.parametrize('what', ['not a zip', 'lacks a file', 'damaged'])
def test_archive_that_is_none(hub, home, what):
    path = hub.root / ARCHIVE
    if what == 'not a zip':
        path.write_bytes(b'<html>sorry</html>')
    elif what == 'lacks a file':
        write_archive(path, {'plans.json': b'{}'})
    else:
        data = bytearray(path.read_bytes())
        data[200_000] ^= 0x55
        path.write_bytes(data)
    done = Run('fetch', 'hd-bet', '--mirror', hub.url)
    assert done.code == 2
    assert len(done.errors.splitlines()) == 2
    assert state_of(read_resources()['hd-bet']) != 'here'
    write_archive(path, WEIGHTS)
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 0


def test_archive_whose_bytes_are_damaged(hub, home):
    """Nobody tells its MD5, and the directory is sound."""
    path = hub.root / ARCHIVE
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name in WEIGHTS:
            archive.writestr(name, b'abcdefgh' * 5000 + os.urandom(9))
    data = bytearray(path.read_bytes())
    begin = data.index(b'dataset.json') + len('dataset.json')
    data[begin : begin + 20] = bytes(20 * [255])
    path.write_bytes(data)
    hub.order('gone', '/api/records/14445620', times=9)
    done = Run('fetch', 'hd-bet', '--mirror', hub.url)
    assert done.code == 2
    assert 'what arrived is no sound zip' in done.errors
    assert not list(home.rglob('*.zip'))


def test_members_that_lead_out_are_not_unpacked(hub, home):
    files = WEIGHTS | {'../../../evil': b'x', '/evil': b'x'}
    write_archive(hub.root / ARCHIVE, files)
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 0
    assert not list(home.parent.rglob('evil'))


def test_archive_with_a_folder_on_top(hub, home):
    write_archive(hub.root / ARCHIVE, WEIGHTS, prefix='release_2.0.0/')
    assert Run('fetch', 'hd-bet', '--mirror', hub.url).code == 0
    assert hdbet_weights.find_weights()


TRIES = 'the client of the Hub tries for half a minute'


@pytest.mark.parametrize(('fault', 'status'), [('refuse', 403), ('gone', 404), ('error', 500)])
@pytest.mark.parametrize('name', ['hd-bet', 'nvseg-ctmr'])
def test_server_that_refuses(hub, name, fault, status):
    if (name, fault) == ('nvseg-ctmr', 'error'):
        pytest.skip(TRIES)
    hub.order(fault, '', times=99, methods=('GET', 'HEAD'))
    done = Run('fetch', name, '--mirror', hub.url, '--accept-license')
    assert done.code == (3 if fault == 'error' else 2)
    assert str(status) in done.errors


@pytest.mark.parametrize('mirror', ['http://127.0.0.1:9', 'ftp://x', 'nonsense'])
@pytest.mark.parametrize('name', ['hd-bet', 'nvseg-ctmr'])
def test_server_that_is_not_there(home, name, mirror, monkeypatch):
    http = pytest.importorskip('huggingface_hub.utils._http')
    monkeypatch.setattr(http.time, 'sleep', lambda seconds: None)
    done = Run('fetch', name, '--mirror', mirror, '--accept-license')
    assert done.code == (3 if '127.0.0.1' in mirror else 2)
    assert ('Run the same command again' in done.errors) == ('127.0.0.1' in mirror)
    assert 'Error: ' in done.errors
    assert not (home / 'hd-bet_params/release_2.0.0').exists()


def test_folder_that_cannot_be_written(hub, home, unprivileged):
    Run('fetch', 'hd-bet', '--mirror', hub.url)  # imports what it needs
    shutil.rmtree(home)
    home.mkdir()
    with unprivileged(home.parent):
        home.chmod(0o555)
        done = Run('fetch', 'hd-bet', '--mirror', hub.url)
        home.chmod(0o755)
    assert done.code == 3
    assert 'cannot be written (Permission denied)' in done.errors


@pytest.mark.parametrize('name', RESOURCES)
@pytest.mark.parametrize('mirror', ['nope', 'ftp://h', 'http://', 'http://[::1'])
def test_mirror_that_is_no_address(name, mirror, home):
    done = Run('fetch', name, '--mirror', mirror, '--accept-license')
    assert done.code == 2
    assert f'{mirror} is no address of a web server' in done.errors
    assert not home.exists()


def test_file_in_the_place_of_templateflow(tmp_path):
    """TemplateFlow reads its variables when it is imported: in a process of its own."""
    import subprocess
    import sys

    (tmp_path / 'file').touch()
    command = ['resources', 'fetch', 'MNI152NLin2009cSym', '--mirror', 'http://127.0.0.1:9']
    done = subprocess.run(
        [sys.executable, '-m', 'mrrate_bids', *command],
        env=os.environ | {'TEMPLATEFLOW_HOME': str(tmp_path / 'file')},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert 'TemplateFlow cannot set up its folder' in done.stderr
    assert 'unexpected' not in done.stderr


def test_file_in_the_place_of_the_folder(hub, home, monkeypatch):
    home.mkdir()
    (home / 'file').write_text('x')
    monkeypatch.setenv(hdbet_weights.ENVIRONMENT, str(home / 'file/weights'))
    done = Run('fetch', 'hd-bet', '--mirror', hub.url)
    assert done.code == 3
    assert 'cannot be written' in done.errors


def test_record_that_is_none(hub, home):
    Run('fetch', 'hd-bet', '--mirror', hub.url)
    lock = home / 'hd-bet_params/release_2.0.0/resources.lock'
    for text in ('= oops', 'file = 3', '[[file]]\nx = 1'):
        lock.write_text(text)
        for command in ('list', 'verify'):
            done = Run(command)
            assert done.code == 2
            assert 'cannot be read as a record' in done.errors


# Without network.


@pytest.mark.parametrize('name', RESOURCES)
def test_offline_says_how_to_get_it(name, home, monkeypatch):
    monkeypatch.setenv('MRRATE_BIDS_OFFLINE', '1')
    done = Run('fetch', name)
    assert done.code == 2
    assert f'{name} is not on this machine' in done.errors
    assert f'mrrate-bids resources fetch {name}' in done.errors
    assert read_resources()[name].variable in done.errors


@pytest.mark.parametrize('words', [('--offline', 'fetch'), ('fetch', '--offline')])
def test_offline_may_stand_before_the_command_or_after_it(words, hub):
    command, *rest = words
    done = Run(command, *rest, 'hd-bet', '--mirror', hub.url)
    assert done.code == 2
    assert 'is not on this machine' in done.errors
    assert not hub.log


def test_nothing_asks_the_network(monkeypatch):
    import socket

    def forbidden(*arguments):
        raise AssertionError('the network was asked')

    monkeypatch.setattr(socket.socket, 'connect', forbidden)
    for arguments in ([], ['list'], ['verify'], ['verify', '--record']):
        assert Run(*arguments).code == 0


def test_verify_of_what_is_absent():
    done = Run('verify')
    assert done.code == 0
    assert 'Nothing is here to be verified' in done.text
    done = Run('verify', 'hd-bet')
    assert (done.code, done.text.count(': absent')) == (3, 3)
    assert Run('verify', 'nobody').code == 2
    assert Run('fetch').code == 2


# NV-Segment-CTMR, of the Hugging Face Hub.


def test_licence_must_be_accepted(hub):
    done = Run('fetch', 'nvseg-ctmr', '--mirror', hub.url)
    assert done.code == 2
    assert 'NVIDIA OneWay Noncommercial License' in done.errors
    assert '--accept-license' in done.errors
    assert not hub.log


def test_weights_of_the_hub(hub, home):
    pytest.importorskip('huggingface_hub')
    done = Run('fetch', 'nvseg-ctmr', '--mirror', hub.url, '--accept-license')
    assert done.code == 0, done.errors
    folder = home / '.cache/mrrate-bids/nvseg-ctmr'
    path = folder / 'vista3d_pretrained_model/model.pt'
    assert path.read_bytes() == (hub.root / MODEL).read_bytes()
    assert vista3d_weights.find_weights() == vista3d_weights.find_weights(folder) == path
    assert vista3d_weights.weight_files() == (path,)
    assert Run('verify', 'nvseg-ctmr').code == 0
    path.write_bytes(b'x')
    assert Run('verify', 'nvseg-ctmr').code == 3


def test_weights_of_the_hub_go_on_where_they_broke_off(hub, home):
    """The client writes 10 MiB at a time, and goes on by itself."""
    pytest.importorskip('huggingface_hub')
    (hub.root / MODEL).write_bytes(np.random.default_rng(4).bytes(25 << 20))
    hub.order('cut', MODEL)
    done = Run('fetch', 'nvseg-ctmr', '--mirror', hub.url, '--accept-license')
    assert done.code == 0, done.errors
    assert any(request.range.startswith(f'bytes={10 << 20}-') for request in hub.log)
    path = home / '.cache/mrrate-bids/nvseg-ctmr/vista3d_pretrained_model/model.pt'
    assert path.read_bytes() == (hub.root / MODEL).read_bytes()


@pytest.mark.parametrize('place', ['model.pt', 'models/model.pt'])
def test_list_tells_what_was_recorded_of_a_file_in_another_place(place, tmp_path, monkeypatch):
    monkeypatch.setenv(vista3d_weights.VARIABLE, str(tmp_path))
    hostile.write_files(tmp_path, {place: b'weights'})
    Run('verify', 'nvseg-ctmr', '--record')
    assert f'sha256 {hashlib.sha256(b"weights").hexdigest()} (recorded)' in Run('list').text


def test_weights_that_lie_as_a_file(tmp_path, monkeypatch):
    path = tmp_path / 'weights/other.pt'
    hostile.write_files(path.parent, {path.name: b'weights'})
    monkeypatch.setenv(vista3d_weights.VARIABLE, str(path))
    assert Run('verify', 'nvseg-ctmr', '--record').code == 0
    assert vista3d_weights.find_weights() == read_resources()['nvseg-ctmr'].find(
        read_resources()['nvseg-ctmr'].file[0]
    )
    path.write_bytes(b'tampered')
    assert Run('verify', 'nvseg-ctmr').code == 3


# The template.


def published(path):
    """Return a file with what would be published of it."""
    data = path.read_bytes()
    return len(data), hashlib.md5(data).hexdigest()


def write_template(folder):
    """Write images on the grid of the template, as they would be published."""
    affine = nib.affines.from_matvec(np.eye(3), (-96, -132, -78))
    resource = read_resources()['MNI152NLin2009cSym']
    files = []
    for number, file in enumerate(resource.file):
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.full((193, 229, 193), number, np.uint8), affine), path)
        size, md5 = published(path)
        files.append(File(file.path, size, md5))
    return replace(resource, file=tuple(files))


def test_template_that_was_published_is_known(home, monkeypatch):
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(home / 'tf'))
    resource = write_template(home / 'tf')
    assert [verdict.state for verdict in verify(resource)] == ['published', 'published']
    assert state_of(resource) == 'here'
    assert fetch(resource, offline=True) is None
    (home / 'tf' / resource.file[0].path).write_bytes(b'')  # TemplateFlow: yet to be fetched
    assert state_of(resource) == 'partial'
    assert [verdict.state for verdict in verify(resource)] == ['absent', 'published']


def test_stand_in_is_not_the_template(home, monkeypatch):
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(home / 'tf'))
    write_template(home / 'tf')
    assert 'wrong size' in Run().text
    done = Run('verify')
    assert done.code == 3
    assert 'bytes instead of 4,589,929' in done.text


FETCH = """
import json, sys, warnings
warnings.simplefilter('ignore')
sys.path.insert(0, sys.argv[1])
from test_resources import read_resources, File, replace
from mrrate_bids.resources import fetch
from mrrate_bids.errors import MrRateError
resource = read_resources()['MNI152NLin2009cSym']
files = tuple(File(*entry) for entry in json.loads(sys.argv[3]))
try:
    entries = fetch(replace(resource, file=files), mirror=sys.argv[2])
    print(json.dumps([entry.path for entry in entries]))
except MrRateError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


@pytest.fixture
def ask_templateflow(tmp_path):
    """TemplateFlow reads its variables when it is imported: in a process of its own."""
    import subprocess
    import sys

    def ask(mirror, files):
        facts = json.dumps([(file.path, file.size, file.md5) for file in files])
        done = subprocess.run(
            [sys.executable, '-c', FETCH, str(Path(__file__).parent), mirror, facts],
            env=os.environ | {'TEMPLATEFLOW_HOME': str(tmp_path / 'tf')},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return ask


def test_template_is_fetched_by_its_client(tmp_path, ask_templateflow):
    resource = write_template(tmp_path / 's3')
    with resources(tmp_path / 's3') as hub:
        assert ask_templateflow(hub.url, resource.file) == [file.path for file in resource.file]
    assert (tmp_path / 'tf/resources.lock').exists()
    for file in resource.file:
        assert published(tmp_path / 'tf' / file.path) == (file.size, file.md5)


def test_template_whose_server_is_not_there(tmp_path, ask_templateflow):
    resource = write_template(tmp_path / 's3')
    kind, text = ask_templateflow('http://127.0.0.1:9', resource.file)
    assert (kind, 'cannot be fetched' in text) == ('NetworkError', True)


def test_template_that_arrives_wrong_is_thrown_away(tmp_path, ask_templateflow):
    resource = write_template(tmp_path / 's3')
    image, mask = resource.file
    with resources(tmp_path / 's3') as hub:
        kind, text = ask_templateflow(hub.url, [replace(image, md5='0' * 32), mask])
        assert (kind, 'not what was published' in text) == ('ResourceError', True)
        assert not (tmp_path / 'tf' / image.path).stat().st_size
        assert ask_templateflow(hub.url, resource.file)[0] == image.path


def test_template_that_is_no_image_does_not_stay(tmp_path, ask_templateflow):
    """Of the right size: the client keeps it, and so would the next command."""
    resource = write_template(tmp_path / 's3')
    image = tmp_path / 's3' / resource.file[0].path
    sound = image.read_bytes()
    image.write_bytes(bytes(len(sound)))
    with resources(tmp_path / 's3') as hub:
        kind, _ = ask_templateflow(hub.url, resource.file)
        assert kind == 'ResourceError'
        assert not (tmp_path / 'tf' / resource.file[0].path).stat().st_size
        image.write_bytes(sound)
        assert ask_templateflow(hub.url, resource.file)[0] == resource.file[0].path


def test_fetch_refuses_in_python_too(tmp_path):
    with pytest.raises(ResourceError, match='licence of its own'):
        fetch(read_resources()['nvseg-ctmr'])


def test_mirror_is_not_told_who_asks(hub, home, monkeypatch):
    monkeypatch.setenv('HF_TOKEN', 'hf_secret')
    assert Run('fetch', 'nvseg-ctmr', '--mirror', hub.url, '--accept-license').code == 0
    assert hub.log
    assert {request.token for request in hub.log} == {''}
