"""Fetching from a Hub: revisions, listings in pages, gates, files that are elsewhere."""

import json
import shutil

import hostile
import pytest
from fetches import assert_nothing_half_written, fetch, images, large, published
from hostile import VICTIM
from hub_server import COMMIT, hub
from round_trip import tables

from mrrate_bids.errors import SourceError
from mrrate_bids.fetching.source import parse_hub

SOURCE = 'hf://datasets/Forithmus/MR-RATE'
EVERYTHING = 'native,masks,coreg,atlas,seg,tables'


@pytest.fixture
def server(source, monkeypatch, tmp_path):
    monkeypatch.setenv('HF_HOME', str(tmp_path / 'hf'))
    monkeypatch.delenv('HF_TOKEN', raising=False)
    with hub(source) as server:
        monkeypatch.setenv('HF_ENDPOINT', server.url)
        yield server


def test_everything(server, source, studies, tmp_path):
    done = fetch(SOURCE, tmp_path / 'part', '--what', EVERYTHING)
    assert done.code == 0, done.output
    assert images(tmp_path / 'part') == published(studies)
    assert tables(tmp_path / 'part') == tables(source)
    assert_nothing_half_written(tmp_path / 'part')


def test_one_series_straight_to_bids(server, tmp_path):
    words = ('--modality', 'FLAIR', '--what', 'native', '--to-bids', tmp_path / 'bids')
    done = fetch(SOURCE, tmp_path / 'tables', *words)
    assert done.code == 0, done.output
    names = [path.name for path in (tmp_path / 'bids').rglob('*.nii.gz')]
    assert names == [f'sub-22_ses-{VICTIM}_acq-axi_run-01_FLAIR.nii.gz']


def test_whole_zips(server, source, tmp_path):
    done = fetch(SOURCE, tmp_path / 'part', '--what', EVERYTHING, '--whole-zips')
    assert done.code == 0, done.output
    for path in source.rglob('*.zip'):
        same = (tmp_path / 'part' / path.relative_to(source)).read_bytes() == path.read_bytes()
        assert same, path


def test_second_run_asks_for_no_file(server, tmp_path):
    fetch(SOURCE, tmp_path / 'part', '--what', EVERYTHING)
    before, begun = hostile.stamps(tmp_path / 'part'), len(server.log)
    assert fetch(SOURCE, tmp_path / 'part', '--what', EVERYTHING).code == 0
    assert hostile.stamps(tmp_path / 'part') == before
    assert all(request.path.startswith('/api/') for request in server.log[begun:])


def test_listing_in_pages(server, source, studies, tmp_path):
    for number in range(2 * 3 + 1):
        study = hostile.Study(
            f'MORE{"ABCDEFG"[number]}AAAAA', f'9{number}', series=('t1w-raw-axi',)
        )
        study.files = {'MR-RATE': study.files['MR-RATE']}
        studies.append(study)
    hostile.write_release(source, studies)
    assert fetch(SOURCE, tmp_path / 'part', '--batch', '00').code == 0
    found = images(tmp_path / 'part')
    kinds = ['image', 'brain-mask', 'defacing-mask']
    here = [study for study in studies if study.batch == 'batch00']
    assert found == published(here, kinds=kinds)


def test_only_the_folders_that_are_needed_are_listed(server, tmp_path):
    fetch(SOURCE, tmp_path / 'part', '--batch', '01', '--what', 'native')
    listed = [request.path for request in server.log if '/tree/' in request.path]
    assert not [path for path in listed if 'batch00' in path or 'coreg' in path]


def test_busy_hub(server, source, studies, tmp_path):
    server.order('busy', '/mri/batch00', times=2)
    server.order('busy', '/metadata', times=1)
    server.order('busy', '.zip', times=2)
    done = fetch(SOURCE, tmp_path / 'part')
    assert done.code == 0, done.output
    assert len(images(tmp_path / 'part')) == 15


def test_address_that_no_longer_holds(server, studies, tmp_path):
    server.lives = 1
    assert fetch(SOURCE, tmp_path / 'part', '--what', EVERYTHING).code == 0
    assert images(tmp_path / 'part') == published(studies)


def test_gated_repository(server, tmp_path, studies):
    server.gated.add('MR-RATE')
    for options in ((), ('--token', 'hf_other')):
        done = fetch(SOURCE, tmp_path / 'part', *options)
        assert done.code == 2
        assert 'is restricted' in done.output
        assert f'{server.url}/datasets/Forithmus/MR-RATE' in done.output
        assert 'hf auth login' in done.output
        assert images(tmp_path / 'part') == {}
    done = fetch(SOURCE, tmp_path / 'part', '--token', 'hf_good')
    assert done.code == 0, done.output
    assert len(images(tmp_path / 'part')) == 15


def test_gate_of_another_repository_is_the_one_that_is_named(server, tmp_path):
    server.gated.add('MR-RATE-coreg')
    done = fetch(SOURCE, tmp_path / 'part', '--what', 'native,coreg')
    assert done.code == 2
    assert f'{server.url}/datasets/Forithmus/MR-RATE-coreg in a browser' in done.output


@pytest.mark.parametrize('endpoint', ['foo', 'ftp://foo', 'https://'])
def test_endpoint_that_is_none(endpoint, tmp_path, monkeypatch):
    monkeypatch.setenv('HF_ENDPOINT', endpoint)
    done = fetch(SOURCE, tmp_path / 'part')
    assert done.code == 2
    assert f'HF_ENDPOINT: {endpoint.rstrip("/")} is no address' in done.output


@pytest.mark.parametrize(
    ('revision', 'said'),
    [
        ('MR-RATE-cored=v1', "'MR-RATE-cored' is no repository of a release"),
        ('coreg=v1', 'There are MR-RATE, MR-RATE-coreg, '),
        ('=v1', "'' is no repository"),
        ('MR-RATE-coreg=', 'names none'),
    ],
)
def test_revision_of_no_repository(revision, said, server, tmp_path):
    done = fetch(SOURCE, tmp_path / 'part', '--what', 'coreg', '--revision', revision)
    assert done.code == 2
    assert said in done.output
    assert not server.log


def test_token_of_who_is_logged_in(server, tmp_path, monkeypatch):
    server.gated.add('MR-RATE')
    monkeypatch.setenv('HF_TOKEN', 'hf_good')
    assert fetch(SOURCE, tmp_path / 'part').code == 0
    (tmp_path / 'token').write_text('hf_good\n')
    monkeypatch.delenv('HF_TOKEN')
    token = ('--token', f'@{tmp_path}/token')
    assert fetch(SOURCE, tmp_path / 'other', *token).code == 0


def test_token_is_kept_from_where_large_files_are(server, tmp_path):
    assert fetch(SOURCE, tmp_path / 'part', '--token', 'hf_good').code == 0
    handed = [request for request in server.log if request.path.endswith('.zip')]
    assert {request.token for request in handed if request.status != 302} == {''}


@pytest.mark.parametrize(
    ('address', 'said'),
    [
        ('hf://datasets/Forithmus/NOTHING', 'there is no such dataset'),
        ('hf://datasets/Forithmus/MR-RATE@v7', 'has no revision v7'),
        ('hf://Forithmus/MR-RATE', 'Write hf://datasets/OWNER/NAME'),
        ('hf://datasets/Forithmus', 'Write hf://datasets/OWNER/NAME'),
        ('hf://datasets/Forithmus/MR-RATE-coreg', 'has no metadata'),
    ],
)
def test_no_release_at_the_hub(address, said, server, tmp_path):
    done = fetch(address, tmp_path / 'part')
    assert done.code == 2
    assert said in done.output


def test_revision_is_pinned_and_kept(server, tmp_path):
    server.revisions.add('v1')
    assert fetch(SOURCE, tmp_path / 'part', '--revision', 'v1', '--what', 'native,seg').code == 0
    said = json.loads((tmp_path / 'part/.mrrate-bids/fetch/source.json').read_text())
    assert said['repositories'] == {
        'MR-RATE': [SOURCE, COMMIT],
        'MR-RATE-nvseg-ctmr': [f'{SOURCE}-nvseg-ctmr', COMMIT],
    }
    resolved = [request.path for request in server.log if '/resolve/' in request.path]
    assert resolved
    assert all(f'/resolve/{COMMIT}/' in path for path in resolved)


def test_revision_of_one_repository(server, tmp_path):
    server.revisions.add('v1')
    options = ('--what', 'native,coreg', '--revision', 'MR-RATE-coreg=v1')
    assert fetch(SOURCE, tmp_path / 'part', *options).code == 0
    asked = [request.path for request in server.log if '/revision/' in request.path]
    assert {path.split('/')[4]: path.rpartition('/')[2] for path in asked} == {
        'MR-RATE-coreg': 'v1'
    }
    done = fetch(SOURCE, tmp_path / 'part', '--what', 'coreg', '--revision', 'MR-RATE-coreg=v2')
    assert done.code == 2
    assert 'MR-RATE-coreg has no revision v2' in done.output


def test_repositories_of_a_copy_under_another_name(source, monkeypatch, tmp_path):
    other = tmp_path / 'other'
    for path in source.iterdir():
        shutil.copytree(path, other / path.name.replace('MR-RATE', 'brains'))
    monkeypatch.setenv('HF_HOME', str(tmp_path / 'hf'))
    with hub(other, owner='me') as server:
        monkeypatch.setenv('HF_ENDPOINT', server.url)
        done = fetch('hf://datasets/me/brains', tmp_path / 'part', '--what', 'native,coreg')
    assert done.code == 0, done.output
    assert {path.split('/')[0] for path in images(tmp_path / 'part')} == {
        'MR-RATE',
        'MR-RATE-coreg',
    }


def test_damaged_table_is_told_by_its_digest(server, tmp_path):
    server.order('corrupt', 'splits.csv', times=-1)
    done = fetch(SOURCE, tmp_path / 'part')
    assert done.code == 3
    assert 'splits.csv: its git digest is not the published one' in done.output
    assert not (tmp_path / 'part/MR-RATE/splits.csv').exists()
    server.orders.clear()
    server.order('corrupt', 'splits.csv', times=1)
    assert fetch(SOURCE, tmp_path / 'part').code == 0


def test_offline(server, tmp_path):
    part = tmp_path / 'part'
    for what in ('native', 'tables'):
        done = fetch(SOURCE, part, '--offline', '--what', what)
        assert done.code == 3
        assert f'nothing of a release was fetched into {part} yet' in done.output
    assert fetch(SOURCE, part, '--split', 'val').code == 0
    begun = len(server.log)
    assert fetch(SOURCE, part, '--split', 'val', '--offline').code == 0
    assert fetch(SOURCE, part, '--what', 'tables', '--offline').code == 0
    done = fetch(SOURCE, part, '--offline')
    assert done.code == 3
    assert '2 studies are not here, or not all of them' in done.output
    assert len(server.log) == begun


def test_zip_is_compared_with_the_digest_of_the_hub(server, source, studies, tmp_path):
    part = tmp_path / 'part'
    assert fetch(SOURCE, part, '--whole-zips').code == 0
    path = studies[1].zip_of(part)
    data = path.read_bytes()
    end = data.rindex(b'PK\x05\x06')
    path.write_bytes(data[: end + 4] + b'\x01' + data[end + 5 :])  # the number of a disk
    assert fetch(SOURCE, part, '--whole-zips', '--verify').code == 0
    assert path.read_bytes() == data


def test_offline_by_the_variable(server, source, tmp_path, monkeypatch):
    monkeypatch.setenv('MRRATE_BIDS_OFFLINE', '1')
    assert fetch(SOURCE, tmp_path / 'part').code == 3
    done = fetch(SOURCE, tmp_path / 'part', '--to-bids', tmp_path / 'bids')
    assert done.code == 2
    assert 'mrrate-bids export' in done.output
    assert not server.log
    bids = ('--to-bids', tmp_path / 'bids')  # from a disk nothing of a network is needed
    assert fetch(source, tmp_path / 'part', *bids).code == 0


@pytest.mark.parametrize('layout', [(), ('--whole-zips',)])
def test_offline_can_read_what_is_here(layout, server, tmp_path):
    part = tmp_path / 'part'
    fetch(SOURCE, part, *layout)
    assert fetch(SOURCE, part, '--offline', '--verify').code == 0
    path = next((part / 'MR-RATE/mri').rglob('*.zip' if layout else '*.nii.gz'))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert fetch(SOURCE, part, '--offline').code == 0
    done = fetch(SOURCE, part, '--offline', '--verify')
    assert done.code == 3
    assert '1 studies are not here' in done.output


def test_hub_that_is_not_to_be_asked(server, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    done = fetch(SOURCE, tmp_path / 'part')
    assert done.code == 2
    assert 'HF_HUB_OFFLINE is set' in done.output


def test_hub_that_nobody_answers_at(tmp_path, monkeypatch):
    monkeypatch.setenv('HF_ENDPOINT', 'http://127.0.0.1:9')
    import huggingface_hub.utils._http as http

    monkeypatch.setattr(http.time, 'sleep', lambda seconds: None)
    done = fetch(SOURCE, tmp_path / 'part')
    assert done.code == 3
    assert 'http://127.0.0.1:9 cannot be reached' in done.output


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('hf://datasets/a/b', ('a/b', '')),
        ('hf://datasets/a/b/', ('a/b', '')),
        ('hf://datasets/a/b@refs%2Fpr%2F1', ('a/b', 'refs/pr/1')),
    ],
)
def test_address_of_the_hub(text, expected):
    assert parse_hub(text) == expected


@pytest.mark.parametrize('text', ['hf://', 'hf://a/b', 'hf://datasets/a', 'hf://datasets/a/b/c'])
def test_no_address_of_the_hub(text):
    with pytest.raises(SourceError):
        parse_hub(text)


@pytest.mark.parametrize('times', [1, -1])
def test_address_that_was_signed_is_told_to_nobody(times, server, source, studies, tmp_path):
    """Where it fails the Hub is asked for another one."""
    (study,) = [study for study in studies if study.uid == VICTIM]
    study.files['MR-RATE'][study.image()] = large(1, side=96)
    hostile.write_zip(study.zip_of(source), study.files['MR-RATE'], prefix=f'{VICTIM}/')
    server.lives = 9
    server.order('bad', f'/{VICTIM}.zip', times=times, after=2)
    done = fetch(SOURCE, tmp_path / 'part', '--what', 'native')
    assert done.code == (0 if times == 1 else 3), done.output
    told = [path.read_text() for path in (tmp_path / 'part/.mrrate-bids').rglob('*.*s*')]
    assert told
    assert not [text for text in [done.output, *told] if 'ticket' in text]
