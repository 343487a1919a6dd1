"""A part of a release, fetched from a server that behaves."""

import json
import shutil
import subprocess

import hostile
import pytest
from bad_server import served
from fetches import (
    MOVING,
    assert_nothing_half_written,
    fetch,
    images,
    published,
    twenty_studies,
    write_release,
)
from hostile import CENTRE, FAR, GOOD, VICTIM, command
from round_trip import content, tables

from mrrate_bids.cli.fetch import _WHAT
from mrrate_bids.naming import KINDS
from mrrate_bids.tables import read_tsv

EVERYTHING = ','.join([*_WHAT, 'tables'])


@pytest.fixture
def server(source):
    yield from served(source)


def test_everything_is_what_an_extracted_download_is(server, source, studies, tmp_path):
    done = fetch(server.url, tmp_path / 'part', '--what', EVERYTHING)
    assert done.code == 0, done.output
    assert images(tmp_path / 'part') == published(studies)
    assert tables(tmp_path / 'part') == tables(source)
    assert_nothing_half_written(tmp_path / 'part')


@pytest.mark.parametrize('what', sorted(_WHAT))
def test_one_kind(what, server, studies, tmp_path):
    assert fetch(server.url, tmp_path / 'part', '--what', what).code == 0
    kinds = [name for name, kind in KINDS.items() if kind.include == _WHAT[what]]
    assert images(tmp_path / 'part') == published(studies, kinds=kinds)
    asked = {request.path.split('/')[1] for request in server.asked()}
    assert asked <= {KINDS[kind].repository for kind in kinds}


@pytest.mark.parametrize(
    'options',
    [
        ('--split', 'val', '--modality', 'FLAIR'),
        ('--where', "split == 'val' and modality == 'FLAIR' and plane == 'AXIAL'"),
        ('--study', VICTIM, '--plane', 'axi', '--modality', 'FLAIR'),
    ],
)
def test_one_series(options, server, studies, tmp_path):
    done = fetch(server.url, tmp_path / 'part', '--what', 'native', *options)
    assert done.code == 0, done.output
    found = images(tmp_path / 'part')
    assert found == published(studies, kinds=['image'], series=[MOVING], split='val')
    assert len(found) == 1


def test_space_comes_with_the_centre_that_defines_it(server, studies, tmp_path):
    assert fetch(server.url, tmp_path / 'part', '--what', 'coreg', '--modality', 'SWI').code == 0
    names = [path.rpartition('/')[2] for path in images(tmp_path / 'part')]
    assert f'{VICTIM}_{CENTRE}.nii.gz' in names
    assert f'{VICTIM}_coreg_{MOVING}.nii.gz' not in names


def test_bytes_on_the_wire_are_those_that_are_wanted(tmp_path):
    studies = twenty_studies()
    root = write_release(tmp_path / 'release', studies)
    for server in served(root):
        options = ('--what', 'native,tables', '--split', 'val', '--modality', 'FLAIR')
        done = fetch(server.url, tmp_path / 'part', *options)
        assert done.code == 0, done.output
        wanted = published(studies, kinds=['image'], series=[MOVING], split='val')
        assert len(wanted) == 4
        assert images(tmp_path / 'part') == wanted
        needed = sum(map(len, wanted.values())) + sum(map(len, tables(root).values()))
        assert server.sent <= 1.05 * needed
        assert len(server.asked()) == 3 * len(wanted)  # HEAD, the directory, the image
        assert len(server.connections) <= 4


def test_neighbours_come_with_one_request(server, studies, tmp_path):
    assert fetch(server.url, tmp_path / 'part', '--what', EVERYTHING, '--study', VICTIM).code == 0
    per_zip = {}
    for request in server.asked():
        per_zip.setdefault(request.path, []).append(request.range)
    assert len(per_zip) == 4
    assert all(len(ranges) <= 3 for ranges in per_zip.values()), per_zip


@pytest.mark.parametrize('where', ['', '/MR-RATE', '/MR-RATE/'])
def test_address_of_the_release_or_of_its_repository(where, server, studies, tmp_path):
    done = fetch(server.url + where, tmp_path / 'part', '--what', 'native,coreg')
    assert done.code == 0, done.output
    assert len(images(tmp_path / 'part')) == 5 + 13


@pytest.mark.parametrize('scheme', ['', 'file://'])
def test_folder(scheme, source, studies, tmp_path):
    assert fetch(f'{scheme}{source}', tmp_path / 'part', '--what', EVERYTHING).code == 0
    assert images(tmp_path / 'part') == published(studies)


def test_extracted_folder(studies, tmp_path):
    root = hostile.write_release(tmp_path / 'release', studies, layout='extracted')
    assert fetch(root, tmp_path / 'part', '--what', EVERYTHING).code == 0
    assert images(tmp_path / 'part') == published(studies)


def test_filesystem_of_fsspec(source, studies, tmp_path):
    import fsspec

    memory = fsspec.filesystem('memory')
    memory.put(str(source), '/fetched', recursive=True)
    try:
        done = fetch('memory://fetched', tmp_path / 'part', '--what', EVERYTHING)
        assert done.code == 0, done.output
        assert images(tmp_path / 'part') == published(studies)
    finally:
        memory.rm('/fetched', recursive=True)


@pytest.mark.parametrize('cache', ['filecache', 'simplecache'])
def test_filesystem_that_lists_no_sizes(cache, server, studies, tmp_path):
    done = fetch(f'{cache}::{server.url}/', tmp_path / 'part', '--what', EVERYTHING)
    assert done.code == 0, done.output
    assert images(tmp_path / 'part') == published(studies)


def test_second_run_fetches_nothing(server, tmp_path):
    fetch(server.url, tmp_path / 'part', '--what', EVERYTHING)
    before, begun = hostile.stamps(tmp_path / 'part'), len(server.log)
    done = fetch(server.url, tmp_path / 'part', '--what', EVERYTHING)
    assert done.code == 0
    assert hostile.stamps(tmp_path / 'part') == before
    later = server.log[begun:]
    assert all(request.method == 'HEAD' or request.path.endswith('/') for request in later)


def test_more_is_added_to_what_is_here(server, studies, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part, '--what', 'native', '--modality', 'FLAIR')
    first = hostile.stamps(part / 'MR-RATE/mri')
    assert fetch(server.url, part, '--what', EVERYTHING).code == 0
    assert images(part) == published(studies)
    assert first.items() <= hostile.stamps(part / 'MR-RATE/mri').items()


NARROWER = ('--what', 'native')


def test_less_that_is_asked_for_takes_nothing_away(server, studies, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part, '--what', 'native,masks,coreg', '--modality', 'T1w')
    first = hostile.stamps(part / 'MR-RATE/mri')
    assert fetch(server.url, part, *NARROWER).code == 0
    assert first.items() <= hostile.stamps(part / 'MR-RATE/mri').items()
    assert {path.split('/')[4] for path in images(part)} >= {'img', 'seg'}
    assert fetch(server.url, part, '--what', 'native,masks,coreg').code == 0
    kinds = [name for name, kind in KINDS.items() if kind.include in {'raw', 'defaced', 'coreg'}]
    assert images(part) == published(studies, kinds=kinds)


def test_less_of_a_zip_that_changed_renews_all_that_is_here(server, source, studies, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part)
    study = studies[1]
    study.files['MR-RATE'][study.mask()] = hostile.volume(999)
    hostile.write_zip(study.zip_of(source), study.files['MR-RATE'], prefix=f'{study.uid}/')
    assert fetch(server.url, part, *NARROWER).code == 0
    assert images(part) == published(studies, kinds=['image', 'brain-mask', 'defacing-mask'])


def test_less_that_is_asked_for_leaves_whole_zips(server, source, studies, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part, '--whole-zips')
    before = hostile.stamps(part / 'MR-RATE/mri')
    done = fetch(server.url, part, '--what', 'native,coreg', '--modality', 'FLAIR')
    assert done.code == 0, done.output
    assert hostile.stamps(part / 'MR-RATE/mri') == before
    assert list(part.glob('MR-RATE-coreg/mri/*/*/*/*_coreg_*'))
    study = studies[1]
    study.files['MR-RATE'][study.mask()] = hostile.volume(999)
    hostile.write_zip(study.zip_of(source), study.files['MR-RATE'], prefix=f'{study.uid}/')
    assert fetch(server.url, part, *NARROWER).code == 0
    assert study.zip_of(part).read_bytes() == study.zip_of(source).read_bytes()
    assert not study.zip_of(part).with_suffix('').exists()


@pytest.mark.parametrize('lost', ['MR-RATE/', 'MR-RATE-coreg/'])
def test_what_is_lost_comes_back_whatever_was_fetched_since(lost, server, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part, '--what', 'native,masks,coreg')
    before = images(part)
    for path in (path for path in before if path.startswith(lost) and 'mask' in path):
        (part / path).unlink()
    assert images(part) != before
    fetch(server.url, part, *NARROWER)
    assert fetch(server.url, part, '--what', 'native,masks,coreg').code == 0
    assert images(part) == before


def test_defect_of_another_repository_is_told_again(server, source, studies, tmp_path):
    part, study = tmp_path / 'part', studies[1]
    files = study.files['MR-RATE-coreg']
    name = next(name for name in files if 'img' in name and f'coreg_{MOVING}' in name)
    files[name] = b''
    hostile.write_release(source, studies)
    both = ('--what', 'native,coreg')
    assert fetch(server.url, part, *both).code == 3
    assert fetch(server.url, part, '--what', 'native,masks').code == 0
    done = fetch(server.url, part, *both)
    assert done.code == 3
    assert f'{name}: is empty' in done.output


def _flip(path):
    """Change a byte in the middle of a file that keeps its size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize('layout', [(), ('--whole-zips',)])
def test_file_that_is_damaged_at_its_size(layout, server, source, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part, *layout)
    before = images(part)
    spoilt = part / sorted(before)[-1]
    _flip(spoilt)
    others = {
        k: v for k, v in hostile.stamps(part).items() if 'mri/' in k and spoilt.name not in k
    }
    done = hostile.command('status', part, '--deep', '--tsv', tmp_path / 's.tsv')
    assert done.code == 3
    assert 'mrrate-bids fetch … --verify' in done.output
    assert fetch(server.url, part, *layout).code == 0
    assert images(part) != before
    done = fetch(server.url, part, *layout, '--verify')
    assert done.code == 0, done.output
    assert images(part) == before
    assert others.items() <= hostile.stamps(part).items()
    assert hostile.command('status', part, '--deep', '--tsv', tmp_path / 's.tsv').code == 0


@pytest.mark.parametrize('layout', [(), ('--whole-zips',)])
def test_nothing_is_fetched_of_what_is_sound(layout, server, tmp_path):
    fetch(server.url, tmp_path / 'part', *layout)
    before, begun = hostile.stamps(tmp_path / 'part/MR-RATE/mri'), len(server.log)
    assert fetch(server.url, tmp_path / 'part', *layout, '--verify').code == 0
    assert hostile.stamps(tmp_path / 'part/MR-RATE/mri') == before
    assert not [r for r in server.log[begun:] if r.method == 'GET' and r.path.endswith('.zip')]


def test_table_that_is_damaged_at_its_size(server, source, tmp_path):
    import os

    part = tmp_path / 'part'
    fetch(server.url, part)
    path = part / 'MR-RATE/splits.csv'
    before = path.stat()
    _flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    fetch(server.url, part)
    assert tables(part) != tables(source)
    assert fetch(server.url, part, '--verify').code == 0
    assert tables(part) == tables(source)


def test_zip_takes_no_place_of_a_file_that_was_edited(server, source, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part, '--what', 'native')
    edited, *others = sorted(part.rglob(f'{VICTIM}*.nii.gz'))
    _flip(edited)
    mine = edited.read_bytes()
    done = fetch(server.url, part, '--what', 'native', '--whole-zips')
    assert done.code == 3
    assert f'{edited}: is not what was fetched' in done.output
    assert edited.read_bytes() == mine
    assert all(path.exists() for path in others)
    assert (part / f'MR-RATE/mri/batch00/{GOOD}.zip').exists()
    edited.rename(tmp_path / 'mine')
    assert fetch(server.url, part, '--what', 'native', '--whole-zips').code == 0
    assert not list(part.rglob('*.nii.gz'))


def test_bids_have_their_own_check(server, tmp_path):
    done = fetch(server.url, tmp_path / 'part', '--to-bids', tmp_path / 'bids', '--verify')
    assert done.code == 2
    assert 'mrrate-bids validate' in done.output


def test_record_of_tables_that_is_no_record(server, source, tmp_path):
    fetch(server.url, tmp_path / 'part', '--what', 'tables')
    (tmp_path / 'part/.mrrate-bids/fetch/tables.json').write_text('[]')
    assert fetch(server.url, tmp_path / 'part', '--what', 'tables').code == 0
    assert tables(tmp_path / 'part') == tables(source)


def test_zip_that_changed_is_fetched_again(server, source, studies, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part, '--what', EVERYTHING)
    before = hostile.stamps(part)
    study = studies[1]
    study.files['MR-RATE'][study.image()] = hostile.volume(999)
    hostile.write_zip(study.zip_of(source), study.files['MR-RATE'], prefix=f'{study.uid}/')
    assert fetch(server.url, part, '--what', EVERYTHING).code == 0
    expected = published(studies)
    assert images(part)[f'MR-RATE/mri/batch00/{VICTIM}/{study.image()}'] == hostile.volume(999)
    assert images(part) == expected
    changed = {k for k, v in hostile.stamps(part).items() if before.get(k) != v and 'mri/' in k}
    assert len([path for path in changed if path.endswith('.gz')]) == 1


def test_file_that_is_lost_or_damaged_is_fetched_again(server, studies, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part)
    lost, short = sorted(part.rglob('*.nii.gz'))[:2]
    lost.unlink()
    short.write_bytes(b'short')
    assert fetch(server.url, part).code == 0
    assert images(part) == published(studies, kinds=['image', 'brain-mask', 'defacing-mask'])


def test_table_that_changed_is_fetched_again(server, source, tmp_path):
    fetch(server.url, tmp_path / 'part')
    path = source / 'MR-RATE/splits.csv'
    path.write_text(path.read_text().replace('val', 'test'))
    assert fetch(server.url, tmp_path / 'part').code == 0
    assert tables(tmp_path / 'part') == tables(source)


def test_whole_zips_are_the_published_ones(server, source, tmp_path):
    done = fetch(server.url, tmp_path / 'part', '--what', EVERYTHING, '--whole-zips')
    assert done.code == 0, done.output
    assert content(tmp_path / 'part') == content(source)
    for path in source.rglob('*.zip'):
        same = (tmp_path / 'part' / path.relative_to(source)).read_bytes() == path.read_bytes()
        assert same, path
    assert_nothing_half_written(tmp_path / 'part')
    begun = len(server.log)
    assert fetch(server.url, tmp_path / 'part', '--what', EVERYTHING).code == 0
    assert not [r for r in server.log[begun:] if r.method == 'GET' and r.path.endswith('.zip')]


def test_whole_zip_takes_the_place_of_a_part_of_it(server, source, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part, '--modality', 'FLAIR')
    assert (part / f'MR-RATE/mri/batch00/{VICTIM}').is_dir()
    assert fetch(server.url, part, '--whole-zips', '--modality', 'FLAIR').code == 0
    assert [path.name for path in (part / 'MR-RATE/mri/batch00').iterdir()] == [f'{VICTIM}.zip']


@pytest.mark.parametrize('layout', [(), ('--whole-zips',)])
def test_release_is_read_as_one(layout, server, source, tmp_path):
    import sound_release

    hostile.write_release(source, sound_release.sound_studies())
    part, bids = tmp_path / 'part', tmp_path / 'bids'
    options = ('--what', 'native,masks', '--modality', 'FLAIR', *layout)
    assert fetch(server.url, part, *options).code == 0
    assert hostile.command('validate', part).code == 0
    assert hostile.export(part, bids).code == 0
    names = [path.name for path in bids.rglob('*_FLAIR.nii.gz')]
    assert len(names) == 1
    assert hostile.problems(bids) == []


def test_file_that_was_fetched_and_is_gone_is_missed(server, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part, '--what', 'native,masks')
    next(part.rglob(f'{VICTIM}_{MOVING}.nii.gz')).unlink()
    done = hostile.export(part, tmp_path / 'bids')
    assert done.code == 3
    assert f'{VICTIM}_{MOVING}.nii.gz is missing' in done.output


def test_study_that_others_put_there_must_be_whole(server, source, studies, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part, '--study', VICTIM)
    study = studies[0]
    del study.files['MR-RATE'][study.mask()]
    hostile.write_zip(study.zip_of(part), study.files['MR-RATE'], prefix=f'{study.uid}/')
    done = hostile.export(part, tmp_path / 'bids')
    assert done.code == 3
    assert f'{study.mask()} is missing' in done.output


def test_straight_to_bids(server, source, tmp_path):
    bids, peer = tmp_path / 'bids', tmp_path / 'peer'
    done = fetch(server.url, tmp_path / 'tables', '--what', EVERYTHING, '--to-bids', bids)
    assert done.code == 0, done.output
    assert hostile.export(source, peer).code == 0
    ours, theirs = hostile.tree(bids), hostile.tree(peer)
    assert ours.keys() == theirs.keys()
    differing = {path for path in ours if ours[path] != theirs[path]}
    assert all('receipts/' in path for path in differing)
    assert hostile.links(bids) == hostile.links(peer)
    assert images(tmp_path / 'tables') == {}
    assert not list(tmp_path.glob('tables/**/*.zip'))


def test_straight_to_bids_goes_on(server, tmp_path):
    words = (tmp_path / 'tables', '--to-bids', tmp_path / 'bids')
    fetch(server.url, *words, '--modality', 'FLAIR')
    assert fetch(server.url, *words).code == 0
    before, begun = hostile.stamps(tmp_path / 'bids'), len(server.log)
    assert fetch(server.url, *words).code == 0
    assert hostile.stamps(tmp_path / 'bids') == before
    assert not [r for r in server.log[begun:] if r.method == 'GET' and r.path.endswith('.zip')]


def test_batches_of_the_selection_are_the_only_ones_whose_tables_come(server, tmp_path):
    assert fetch(server.url, tmp_path / 'part', '--batch', '01').code == 0
    assert {path.rpartition('/')[2] for path in tables(tmp_path / 'part')} == {
        'batch01_metadata.csv',
        'batch01_reports.csv',
        'mrrate_labels.csv',
        'splits.csv',
    }
    assert {path.split('/')[3] for path in images(tmp_path / 'part')} == {FAR}


def test_reports_are_left_out_where_nobody_wants_them(server, tmp_path):
    assert fetch(server.url, tmp_path / 'part', '--what', 'native').code == 0
    assert not (tmp_path / 'part/MR-RATE/reports').exists()
    assert fetch(server.url, tmp_path / 'part', '--what', 'tables').code == 0
    assert (tmp_path / 'part/MR-RATE/reports').exists()


def test_shards_are_parts_of_the_whole(server, studies, tmp_path):
    parts = []
    for number in (1, 2):
        share = ('--shard', f'{number}/2')
        assert fetch(server.url, tmp_path / 'part', *share).code == 0
        assert fetch(server.url, tmp_path / f'alone{number}', *share).code == 0
        parts.append(images(tmp_path / f'alone{number}'))
    kinds = ['image', 'brain-mask', 'defacing-mask']
    assert images(tmp_path / 'part') == published(studies, kinds=kinds) == parts[0] | parts[1]
    assert all(parts)
    assert not parts[0].keys() & parts[1].keys()


def test_dry_run_tells_bytes_and_writes_nothing(server, studies, tmp_path):
    plan = tmp_path / 'plan.tsv'
    options = ('--what', 'native,coreg', '--dry-run', '--plan-file', plan)
    done = fetch(server.url, tmp_path / 'part', *options)
    assert done.code == 0, done.output
    assert not (tmp_path / 'part').exists()
    assert 'MR-RATE-coreg' in done.output
    rows = read_tsv(plan)
    kinds = [name for name, kind in KINDS.items() if kind.include in {'raw', 'coreg'}]
    expected = {path: len(data) for path, data in published(studies, kinds=kinds).items()}
    assert {row['target']: int(row['size']) for row in rows} == expected


def test_state_of_the_source_is_kept(server, tmp_path):
    fetch(server.url, tmp_path / 'part')
    said = json.loads((tmp_path / 'part/.mrrate-bids/fetch/source.json').read_text())
    assert said['source'] == server.url
    assert said['repositories']['MR-RATE'][0] == f'{server.url}/MR-RATE'


def test_studies_and_problems_are_told_in_tables(server, tmp_path):
    fetch(server.url, tmp_path / 'part')
    rows = read_tsv(tmp_path / 'part/.mrrate-bids/fetch/studies.tsv')
    assert {row['study_uid']: row['files'] for row in rows} == {GOOD: '3', VICTIM: '9', FAR: '3'}
    assert {row['state'] for row in rows} == {'complete'}
    assert read_tsv(tmp_path / 'part/.mrrate-bids/fetch/problems.tsv') == []


def test_study_without_a_zip_at_the_source(server, source, studies, tmp_path):
    studies[2].zip_of(source).unlink()
    done = fetch(server.url, tmp_path / 'part')
    assert done.code == 0
    assert {path.split('/')[3] for path in images(tmp_path / 'part')} == {GOOD, VICTIM}


def test_published_defects_are_named_and_set_aside(server, source, studies, tmp_path):
    empty, short = studies[0], studies[1]
    empty.zip_of(source).write_bytes(b'PK\x05\x06' + bytes(18))
    short.files['MR-RATE'][short.image()] = hostile.volume(5)[:-100]
    hostile.write_zip(short.zip_of(source), short.files['MR-RATE'], prefix=f'{short.uid}/')
    done = fetch(server.url, tmp_path / 'part')
    assert done.code == 3
    assert f'{GOOD}.zip: is an empty zip' in done.output
    assert f'{short.image()}: the gzip stream' in done.output or 'truncated' in done.output
    found = images(tmp_path / 'part')
    assert f'MR-RATE/mri/batch00/{VICTIM}/{short.image()}' not in found
    assert len(found) == 8 + 3


def test_deflated_zip(server, source, studies, tmp_path):
    import zipfile

    for study in studies:
        members = study.files['MR-RATE']
        path, prefix = study.zip_of(source), f'{study.uid}/'
        hostile.write_zip(path, members, prefix=prefix, method=zipfile.ZIP_DEFLATED)
    assert fetch(server.url, tmp_path / 'part', '--what', 'native').code == 0
    assert images(tmp_path / 'part') == published(studies, kinds=['image'])


def test_rate_is_limited(server, source, tmp_path):
    import time

    size = sum(path.stat().st_size for path in (source / 'MR-RATE').rglob('*') if path.is_file())
    assert size > 10_000
    begun = time.monotonic()
    assert fetch(server.url, tmp_path / 'part', '--limit-rate', '0.02').code == 0
    assert time.monotonic() - begun >= 0.9 * server.sent / 20_000


def test_destination_that_cannot_be_written(server, tmp_path):
    (tmp_path / 'part').write_text('a file')
    done = fetch(server.url, tmp_path / 'part')
    assert done.code == 3
    assert 'has a file where a folder should be' in done.output


def test_no_folder_may_be_read_outside_the_repository(server, source, tmp_path):
    """A page that lists a folder may link to anywhere."""
    page = b'<a href="/etc/passwd">x</a><a href="../../up.zip">y</a><a href="a%2Fb.zip">z</a>'
    from mrrate_bids.fetching.client import HttpClient, HttpSettings
    from mrrate_bids.fetching.listing import HttpStore
    from mrrate_bids.fetching.rate import Rate

    client = HttpClient(server.url, Rate(), jobs=1, settings=HttpSettings())
    store = HttpStore(client, server.url, spool=tmp_path)
    found = [entry.name for entry in store._entries(page, f'{server.url}/mri/')]
    assert found == []


@pytest.mark.parametrize('where', ['', 'inside'])
def test_release_is_not_fetched_into_itself(where, source, tmp_path):
    before = hostile.stamps(source)
    done = fetch(source, source / where)
    assert done.code == 3
    assert 'lies inside the release' in done.output
    assert hostile.stamps(source) == before


def test_destination_that_is_a_repository(server, source, tmp_path):
    done = fetch(server.url, source / 'MR-RATE')
    assert done.code == 3
    assert 'Give the folder that holds it' in done.output


def test_destination_that_is_full(server, studies, disk):
    target = disk('size=60k') / 'part'
    for options in ((), ('--whole-zips',)):
        done = fetch(server.url, target, *options)
        assert done.code == 3
        assert 'is full' in done.output or 'No space left' in done.output
        assert 'Make room' in done.output
        assert not list(target.rglob('*.part'))
    subprocess.run(['mount', '-o', 'remount,size=64m', str(target.parent)], check=True)
    assert fetch(server.url, target, '--what', EVERYTHING).code == 0
    assert images(target) == published(studies)


@pytest.mark.parametrize('before', ['native', 'native,masks', 'masks', 'native,masks,coreg'])
def test_zips_take_the_place_of_files_whatever_was_asked_for(before, server, source, tmp_path):
    part = tmp_path / 'part'
    assert fetch(server.url, part, '--what', before).code == 0
    assert fetch(server.url, part, '--what', before, '--whole-zips').code == 0
    for path in part.rglob('*.zip'):
        assert path.read_bytes() == (source / path.relative_to(part)).read_bytes()
    homes = {KINDS[kind].repository for kind in KINDS if KINDS[kind].include in before}
    homes |= {'MR-RATE'} | ({'MR-RATE-coreg'} if 'coreg' in before else set())
    for home in homes:
        zips = {path.name for path in (source / home).rglob('*.zip')}
        assert {path.name for path in (part / home).rglob('*.zip')} == zips
    assert not list(part.rglob('*.nii.gz'))


def test_revisions_of_other_repositories_stay_noted(server, tmp_path):
    part = tmp_path / 'part'
    fetch(server.url, part, '--what', 'native,coreg')
    fetch(server.url, part, '--what', 'native')
    noted = json.loads((part / '.mrrate-bids/fetch/source.json').read_text())
    assert set(noted['repositories']) == {'MR-RATE', 'MR-RATE-coreg'}


@pytest.mark.parametrize(
    ('source_at', 'words'),
    [
        ('MR-RATE', ('.',)),
        ('.', ('.',)),
        ('.', ('sub',)),
        ('.', ('../part', '--to-bids', 'bids')),
        ('MR-RATE', ('../part', '--to-bids', 'MR-RATE/bids')),
    ],
)
def test_nothing_is_written_into_what_is_read(source_at, words, source, studies, monkeypatch):
    monkeypatch.chdir(source)
    before = hostile.tree(source)
    done = fetch(source / source_at, *words)
    assert done.code in {2, 3}, done.output
    assert 'lies inside the release' in done.output or 'is a repository' in done.output
    assert hostile.tree(source) == before


@pytest.mark.parametrize('inside', ['', 'MR-RATE'])
def test_release_in_an_archive(inside, source, studies, tmp_path):
    archive = shutil.make_archive(str(tmp_path / 'all'), 'zip', source / inside)
    done = fetch(f'zip://::file://{archive}', tmp_path / 'part', '--what', 'native')
    assert done.code == 0, done.output
    assert images(tmp_path / 'part') == published(studies, kinds=['image'])


@pytest.mark.parametrize('options', [(), ('--whole-zips',)])
@pytest.mark.parametrize('damage', [None, 'cut', 'byte'])
def test_zips_that_somebody_put_here_stay(damage, options, server, source, studies, tmp_path):
    """As the download script of the publishers leaves them."""
    part = shutil.copytree(source, tmp_path / 'part')
    study = studies[1]
    spoilt = study.zip_of(part)
    content = bytearray(spoilt.read_bytes())
    if damage:
        content[content.find(study.files['MR-RATE'][study.image()]) + 100] ^= 1
        spoilt.write_bytes(content[:-50] if damage == 'cut' else content)
    before = hostile.stamps(part / 'MR-RATE/mri')
    done = fetch(server.url, part, '--what', 'native', *options)
    now = hostile.stamps(part / 'MR-RATE/mri')
    inside = spoilt.relative_to(part / 'MR-RATE/mri').as_posix()
    if damage and not options:  # readers would take it, whatever lay beside it
        assert done.code == 3
        assert f'{spoilt}: is damaged' in done.output
        assert now == before
        return
    assert done.code == 0, done.output
    assert now.keys() == before.keys()
    assert {path for path in now if now[path] != before[path]} == ({inside} if damage else set())
    for path in source.rglob('*.zip'):
        assert (part / path.relative_to(source)).read_bytes() == path.read_bytes()
    moved = sum(request.sent for request in server.asked() if request.sent > 8192)
    assert moved == 0 or damage
    told = command('status', part, '--tsv', tmp_path / 'status.tsv').output
    assert 'partial' not in told
    assert 'mixed' not in told


@pytest.mark.parametrize('options', [(), ('--whole-zips',)])
def test_zip_that_somebody_has_changed_is_not_lost(options, server, source, studies, tmp_path):
    part = shutil.copytree(source, tmp_path / 'part')
    study = studies[1]
    hostile.write_zip(
        study.zip_of(part), study.files['MR-RATE'] | {'notes.txt': b'mine'}, prefix=f'{study.uid}/'
    )
    before = study.zip_of(part).read_bytes()
    done = fetch(server.url, part, '--what', 'native', *options)
    assert study.zip_of(part).read_bytes() == before
    assert done.code == 3
    assert 'is not the published zip' in done.output
    assert not list(part.rglob('*.nii.gz'))


@pytest.mark.parametrize('where', ['bids', 'bids/inside'])
def test_tables_do_not_go_into_a_dataset(where, server, tmp_path):
    fetch(server.url, tmp_path / 'tables', '--to-bids', tmp_path / 'bids')
    for options in ((), ('--to-bids', tmp_path / 'bids')):
        if options or where == 'bids':
            done = fetch(server.url, tmp_path / where, *options)
            assert done.code == 3
            assert 'is, or lies in, a BIDS dataset' in done.output


@pytest.mark.parametrize(
    'source',
    [
        'ftp://me:secret@127.0.0.1:1/rel',
        'simplecache::ftp://me:secret@127.0.0.1:1/rel',
        'simplecache::http://me:secret@127.0.0.1:1/rel',
        'simplecache::http://127.0.0.1:1/rel?token=secret',
    ],
)
def test_password_is_told_to_nobody(source, tmp_path):
    done = fetch(source, tmp_path / 'part')
    assert done.code in {2, 3}
    assert 'secret' not in done.output


def test_query_is_refused_and_not_shown(server, tmp_path):
    done = fetch(f'{server.url}?token=secret', tmp_path / 'part')
    assert done.code == 2
    assert 'holds a query' in done.output
    assert 'secret' not in done.output


@pytest.mark.parametrize('before', ['file://', 'file://localhost', 'FILE://', ''])
def test_folder_by_its_address(before, source, studies, tmp_path):
    assert fetch(f'{before}{source}', tmp_path / 'part', '--what', 'native').code == 0
    assert images(tmp_path / 'part') == published(studies, kinds=['image'])


def test_plan_takes_the_place_of_no_other_file(server, source, tmp_path):
    splits = shutil.copy(source / 'MR-RATE/splits.csv', tmp_path / 'splits.csv')
    before = splits.read_bytes()
    done = fetch(server.url, tmp_path / 'part', '--dry-run', '--plan-file', splits)
    assert done.code == 3
    assert 'is another file' in done.output
    assert splits.read_bytes() == before
