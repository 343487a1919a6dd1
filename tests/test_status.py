"""``mrrate-bids status``: whole, partial, corrupt and absent, in every form and against others."""

import gzip
import json
import os
import shutil
import zipfile
from functools import partial

import hostile
import pytest
import sound_release
from bad_server import BadServer, serving
from click.testing import CliRunner
from hostile import CENTRE, FAR, GOOD, MOVING, VICTIM
from hub_server import hub
from said import Said

from mrrate_bids.cli import main
from mrrate_bids.naming import REPOSITORIES
from mrrate_bids.tables import format_tsv, read_tsv

EOCD = b'PK\x05\x06' + bytes(18)
LAYOUTS = ['extracted', 'merged', 'zip']
COREG, ATLAS = 'MR-RATE-coreg', 'MR-RATE-atlas'


@pytest.fixture(scope='module')
def sound():
    return sound_release.sound_studies()


@pytest.fixture
def victim(sound):
    return sound[1]


@pytest.fixture
def root(sound, tmp_path):
    return hostile.write_release(tmp_path / 'release', sound)


@pytest.fixture
def extracted(sound, tmp_path):
    return hostile.write_release(tmp_path / 'extracted', sound, layout='extracted')


class Shown(Said):
    """What the command said, with the table of studies that it wrote."""

    def __init__(self, root, *options, tsv=None):
        tsv = tsv or root.parent / 'status.tsv'
        super().__init__('status', root, '--tsv', tsv, *options)
        self.studies = {}
        if tsv.exists():
            rows = read_tsv(tsv)
            self.studies = {(row['study_uid'], row['repository']): row for row in rows}

    def cells(self, batch):
        """Return the cells of a batch: one for each repository, metadata, reports."""
        line = next(line for line in self.text.splitlines() if line.startswith(f'│ {batch} '))
        return [cell.strip() for cell in line.split('│')[2:-1]]


def assert_corrupt(shown, study, repository, reason):
    row = shown.studies[study, repository]
    assert row['state'] == 'corrupt'
    assert reason in row['reason']
    assert row['fetch_again'] == 'yes'
    others = {key for key in shown.studies if shown.studies[key]['state'] == 'corrupt'}
    assert others == {(study, repository)}
    assert shown.code == 3
    assert f'{study}: {repository}: ' in shown.text


@pytest.mark.parametrize('depth', ['--deep', '--quick'])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_whole_in_every_layout(sound, tmp_path, layout, depth):
    root = hostile.write_release(tmp_path / 'release', sound, layout=layout)
    shown = Shown(root, depth)
    form = 'zipped' if layout == 'zip' else 'extracted'
    assert shown.code == 0, shown.text
    assert shown.cells('batch00') == [f'all 2, {form}'] * 4 + ['here', 'here']
    assert shown.cells('all') == [f'all 3, {form}'] * 4 + ['', '']
    assert {row['state'] for row in shown.studies.values()} >= {'whole'}
    assert 'error' not in shown.text


def test_nothing_is_written_into_the_release(root):
    before = hostile.tree(root)
    Shown(root, '--deep')
    assert hostile.tree(root) == before


# What can be wrong with a zip. The function gets its path, the name of an image inside and data.


def empty(path, name, data):
    path.write_bytes(EOCD)


def zero_bytes(path, name, data):
    path.write_bytes(b'')


def cut(path, name, data):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_member(path, name, data, *, keep=-9):
    files = dict(data)
    files[name] = files[name][:keep]
    hostile.write_zip(path, files, prefix=f'{VICTIM}/')


def foreign(path, name, data):
    hostile.write_zip(path, {'readme.txt': b'hello'}, prefix='elsewhere/')


def escaping(path, name, data):
    hostile.write_zip(path, {**data, '../../evil': b'x'}, prefix=f'{VICTIM}/')


def folder(path, name, data):
    path.unlink()
    path.mkdir()


BROKEN_ZIPS = {
    'empty zip': (empty, 'is an empty zip (22 bytes)'),
    'no bytes': (zero_bytes, 'is truncated or no zip'),
    'cut zip': (cut, 'is truncated or no zip'),
    'cut member': (cut_member, 'is truncated'),
    'empty member': (partial(cut_member, keep=0), 'is empty'),
    'foreign zip': (foreign, 'does not lie in the folder'),
    'escaping member': (escaping, 'leads out of the study folder'),
    'folder called as a zip': (folder, 'cannot be read'),
}


@pytest.mark.parametrize('case', sorted(BROKEN_ZIPS))
@pytest.mark.parametrize('repository', [COREG, 'MR-RATE'])
def test_corrupt_zip(root, victim, case, repository):
    damage, reason = BROKEN_ZIPS[case]
    files = victim.files[repository]
    name = next(name for name in files if name.endswith(f'{MOVING}.nii.gz'))
    damage(victim.zip_of(root, repository), name, files)
    shown = Shown(root)
    assert_corrupt(shown, VICTIM, repository, reason)
    cell = shown.cells('batch00')[list(REPOSITORIES).index(repository)]
    assert cell == 'partial 1/2, zipped, 1 corrupt'


def flip(path, name):
    """Change a byte in the middle of a member."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    with path.open('r+b') as file:
        file.seek(info.header_offset + 30 + len(name) + info.file_size // 2)
        byte = file.read(1)[0] ^ 0x55
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte]))


@pytest.mark.parametrize('name', ['img', 'transform'])
def test_flipped_byte_is_found_with_deep_only(root, victim, name):
    repository = 'MR-RATE' if name == 'img' else ATLAS
    member = next(m for m in victim.files[repository] if m.startswith(f'{name}/'))
    flip(victim.zip_of(root, repository), f'{VICTIM}/{member}')
    assert Shown(root).code == 0
    assert_corrupt(Shown(root, '--deep'), VICTIM, repository, 'CRC-32 differs')


def test_gzip_damaged_inside_an_extracted_image_is_found_with_deep(extracted, victim):
    path = victim.folder_of(extracted) / victim.image(MOVING)
    data = bytearray(gzip.decompress(path.read_bytes()))
    packed = bytearray(gzip.compress(bytes(data), 1, mtime=0))
    packed[len(packed) // 2] ^= 0x55
    path.write_bytes(packed)
    assert Shown(extracted).code == 0
    assert_corrupt(Shown(extracted, '--deep'), VICTIM, 'MR-RATE', 'gzip')


def test_half_extracted_folder_next_to_its_zip(root, victim):
    hostile.write_files(victim.folder_of(root), victim.files['MR-RATE'])
    assert 'all 2, mixed' in Shown(root).cells('batch00')[0]
    (victim.folder_of(root) / victim.mask(MOVING)).unlink()
    shown = Shown(root)
    row = shown.studies[VICTIM, 'MR-RATE']
    assert (row['form'], row['state']) == ('mixed', 'partial')
    assert 'the extracted folder lacks' in row['reason']
    assert shown.cells('batch00')[0] == 'partial 1/2, mixed, 1 incomplete'
    assert 'Remove the folder, extract the zip again.' in shown.text
    path = victim.folder_of(root) / victim.image(CENTRE)
    path.write_bytes(path.read_bytes()[:-1])
    assert_corrupt(Shown(root), VICTIM, 'MR-RATE', 'extracted in another size')


@pytest.mark.parametrize(
    ('repository', 'name'),
    [
        ('MR-RATE', f'img/{VICTIM}_{MOVING}.nii.gz'),
        ('MR-RATE', f'seg/{VICTIM}_{MOVING}_defacing-mask.nii.gz'),
        (COREG, f'coreg_img/{VICTIM}_{CENTRE}.nii.gz'),
        (COREG, f'transform/M_coreg_{MOVING}.mat'),
        (ATLAS, f'atlas_img/{VICTIM}_atlas_{MOVING}.nii.gz'),
    ],
)
def test_file_that_the_metadata_promise_is_missed(extracted, victim, repository, name):
    (victim.folder_of(extracted, repository) / name).unlink()
    row = Shown(extracted).studies[VICTIM, repository]
    assert row['state'] == 'partial'
    assert row['reason'] == f'lacks {name.rpartition("/")[2]}'


def test_studies_without_masks_or_segmentations_are_whole(extracted, victim):
    shutil.rmtree(victim.folder_of(extracted, 'MR-RATE-nvseg-ctmr'))
    for mask in sorted((victim.folder_of(extracted) / 'seg').glob('*_defacing-mask*')):
        mask.unlink()
    shown = Shown(extracted)
    assert shown.studies[VICTIM, 'MR-RATE']['state'] == 'whole'
    assert shown.studies[VICTIM, 'MR-RATE-nvseg-ctmr']['state'] == 'absent'
    assert shown.code == 0


def test_empty_folder_is_no_study(extracted, victim):
    folder = victim.folder_of(extracted, COREG)
    shutil.rmtree(folder)
    folder.mkdir()
    assert_corrupt(Shown(extracted), VICTIM, COREG, 'holds no file')


def test_partial_absent_and_both_tables(root, victim):
    victim.zip_of(root, COREG).unlink()
    shutil.rmtree(root / ATLAS)
    (root / 'MR-RATE/reports/batch00_reports.csv').unlink()
    (root / 'MR-RATE/splits.csv').unlink()
    shown = Shown(root)
    assert shown.code == 0
    assert shown.cells('batch00')[1:3] == ['partial 1/2, zipped', 'none of 2']
    assert shown.cells('batch00')[-2:] == ['here', 'missing']
    assert 'splits.csv: missing, pathology_labels: here' in shown.text


def test_without_metadata_the_zips_are_judged_by_themselves(root, victim):
    shutil.rmtree(root / 'MR-RATE/metadata')
    empty(victim.zip_of(root, COREG), '', {})
    shown = Shown(root)
    assert shown.cells('batch00')[:2] == ['2 whole, zipped', '1 whole, zipped, 1 corrupt']
    assert shown.code == 3


def test_unreadable_table_stops_no_other_batch(root):
    (root / 'MR-RATE/metadata/batch00_metadata.csv').write_bytes(b'\xff\xfe')
    shown = Shown(root)
    assert shown.code == 3
    assert shown.cells('batch00')[-2] == 'unreadable'
    assert shown.cells('batch01')[0] == 'all 1, zipped'
    assert 'not UTF-8' in shown.text


def test_stranger_is_named(root, victim):
    stranger = victim.zip_of(root).with_name('STRANGERAA.zip')
    hostile.write_zip(stranger, {'img/x.nii.gz': b'x'}, prefix='STRANGERAA/')
    (stranger.parent / 'half.zip.part').write_bytes(b'')
    shown = Shown(root)
    assert '1 studies have no row in the metadata (STRANGERAA)' in shown.text
    assert 'half.zip.part is neither a zip nor a folder' in shown.text


@pytest.mark.parametrize('what', ['empty', 'file', 'gone'])
def test_no_release(tmp_path, what):
    path = tmp_path / what
    if what == 'empty':
        path.mkdir()
    elif what == 'file':
        path.write_text('x')
    shown = Shown(path)
    assert shown.code == 2
    assert str(path) in shown.errors
    assert not shown.studies


def test_batches_can_be_chosen(root):
    shown = Shown(root, '--batch', '1')
    assert {row['study_uid'] for row in shown.studies.values()} == {FAR}
    assert Shown(root, '--batch', '7').code == 2


def test_unreadable_folder_of_the_metadata(root, unprivileged):
    metadata = root / 'MR-RATE/metadata'
    with unprivileged(root.parent):
        metadata.chmod(0)
        shown = Shown(root)
        metadata.chmod(0o755)
    assert shown.code == 3
    assert shown.cells('batch00')[4] == 'unreadable'
    assert f'{metadata}/batch00_metadata.csv cannot be read' in shown.text


def test_unreadable_folder_of_a_batch(root, unprivileged):
    Shown(root)  # imports what it needs while that can still be read
    folder = root / COREG / 'mri/batch00'
    folder.chmod(0)
    with unprivileged(root.parent):
        shown = Shown(root)
    folder.chmod(0o755)
    assert shown.code == 3, shown.text
    assert f'{folder} cannot be read (Permission denied)' in shown.text
    assert shown.cells('batch01')[0] == 'all 1, zipped'


# Fix lists.


def write_list(tmp_path, content):
    path = tmp_path / 'fixes.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_repaired_studies_are_to_be_fetched_again(root, tmp_path):
    fixes = write_list(tmp_path, {'coreg': {'batch00': [VICTIM]}, 'atlas': {'batch01': [FAR]}})
    shown = Shown(root, '--fix-list', fixes)
    again = {key for key, row in shown.studies.items() if row['fetch_again']}
    assert again == {(VICTIM, COREG), (FAR, ATLAS)}
    assert shown.cells('batch00')[1] == 'all 2, zipped, 1 to fetch again'
    assert '2 to fetch again' in shown.text
    assert shown.code == 0


def test_repaired_study_that_is_proven_current_is_not(root, tmp_path):
    fixes = write_list(tmp_path, {'coreg': {'batch00': [VICTIM]}})
    copy = shutil.copytree(root, tmp_path / 'copy')
    shown = Shown(root, '--fix-list', fixes, '--remote', copy)
    assert shown.studies[VICTIM, COREG]['fetch_again'] == 'yes', 'its size proves nothing'
    shown = Shown(root, '--fix-list', fixes, '--remote', copy, '--deep')
    assert not shown.studies[VICTIM, COREG]['fetch_again']


def test_repaired_study_of_the_same_size_is_told(root, victim, tmp_path):
    fixes = write_list(tmp_path, {'coreg': {'batch00': [VICTIM]}})
    copy = shutil.copytree(root, tmp_path / 'copy')
    path = victim.zip_of(copy, COREG)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    shown = Shown(root, '--fix-list', fixes, '--remote', copy, '--deep')
    assert shown.studies[VICTIM, COREG]['fetch_again'] == 'yes'
    assert 'differs from the other copy (SHA-256)' in shown.studies[VICTIM, COREG]['reason']


def test_added_studies_are_to_be_fetched_where_they_lack(root, victim, tmp_path):
    fixes = write_list(tmp_path, {'batch00': [VICTIM, GOOD, 'NEWCOMERAA']})
    victim.zip_of(root, ATLAS).unlink()
    shown = Shown(root, '--fix-list', fixes)
    again = {key for key, row in shown.studies.items() if row['fetch_again']}
    assert again == {(VICTIM, ATLAS), ('NEWCOMERAA', COREG), ('NEWCOMERAA', ATLAS)}
    assert 'added to the release later' in shown.studies[VICTIM, ATLAS]['reason']


@pytest.mark.parametrize('name', ['metadata', 'reports'])
def test_table_that_may_have_been_cut_off(root, name):
    path = root / f'MR-RATE/{name}/batch00_{name}.csv'
    path.write_bytes(path.read_bytes().rstrip())
    shown = Shown(root, '--batch', '0')
    assert shown.code == 0
    assert f'{path} ends in the middle of a line' in shown.text
    assert 'ends in the middle' not in Shown(root, '--batch', '1').text


def test_listed_studies_of_batches_that_are_not_here_are_told(root, tmp_path):
    fixes = write_list(tmp_path, {'coreg': {'0': [VICTIM], 'batch77': ['A', 'B']}})
    shown = Shown(root, '--fix-list', fixes)
    assert '1 to fetch again' in shown.text
    assert '2 on the lists are of batches that are not here: batch77 (2).' in shown.text


@pytest.mark.parametrize(
    'content',
    [
        '',
        '[]',
        '{}',
        '{"batch00": 3}',
        '{"coreg": {"batch00": "X"}}',
        '{"x": {"batch00": []}}',
        '{"coreg": ["A"]}',
    ],
)
def test_no_fix_list(root, tmp_path, content):
    shown = Shown(root, '--fix-list', write_list(tmp_path, content))
    assert shown.code == 2
    assert 'fixes.json' in shown.errors


def test_fix_list_that_is_not_there(root, tmp_path):
    assert Shown(root, '--fix-list', tmp_path / 'gone.json').code == 2


# Another copy.


def test_other_copy_says_what_there_should_be(root, victim, tmp_path):
    copy = shutil.copytree(root, tmp_path / 'copy')
    victim.zip_of(copy, ATLAS).unlink()
    victim.zip_of(root, COREG).unlink()
    shown = Shown(root, '--remote', copy)
    assert shown.cells('batch00')[1:3] == [
        'partial 1/2, zipped',
        'all 1, zipped, 1 not listed',
    ]
    assert f'MR-RATE-atlas: 1 studies are not in the other copy ({VICTIM})' in shown.text
    assert 'Counted against the metadata' not in shown.text


@pytest.mark.parametrize('how', ['file', 'folder', 'table'])
def test_wrong_size(root, victim, tmp_path, how):
    copy = shutil.copytree(root, tmp_path / 'copy')
    with zipfile.ZipFile(victim.zip_of(copy, COREG), 'a') as archive:
        archive.writestr(f'{VICTIM}/coreg_img/more.txt', b'more')
    source = {'file': copy.as_uri(), 'folder': copy, 'table': tmp_path / 'index.tsv'}[how]
    if how == 'table':
        paths = [path for path in sorted(copy.rglob('*')) if path.is_file()]
        rows = [(p.relative_to(copy).as_posix(), str(p.stat().st_size)) for p in paths]
        source.write_text(format_tsv(('path', 'size'), rows))
    assert_corrupt(Shown(root, '--remote', source), VICTIM, COREG, 'wrong size')


def test_outdated_table(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / 'copy')
    with (copy / 'MR-RATE/reports/batch00_reports.csv').open('a') as file:
        file.write('more\n')
    assert Shown(root, '--remote', copy).cells('batch00')[-2:] == ['here', 'outdated']


def test_one_repository_is_compared_alone(root, victim, tmp_path):
    copy = shutil.copytree(root, tmp_path / 'copy')
    victim.zip_of(copy, COREG).unlink()
    shown = Shown(root, '--remote', copy / COREG)
    amounts = ['all 2, zipped', 'all 1, zipped, 1 not listed', 'all 2, zipped']
    assert shown.cells('batch00')[:3] == amounts


def test_extracted_copy_counts_studies(root, extracted):
    assert Shown(root, '--remote', extracted).cells('all')[0] == 'all 3, zipped'


def test_index_over_http(root, victim, tmp_path):
    copy = shutil.copytree(root, tmp_path / 'copy')
    cut_member(victim.zip_of(copy, COREG), f'transform/M_coreg_{MOVING}.mat', victim.files[COREG])
    with serving(BadServer(copy)) as server:
        assert_corrupt(Shown(root, '--remote', server.url), VICTIM, COREG, 'wrong size')
        server.log.clear()
        shown = Shown(root, '--remote', server.url, '--offline')
    assert shown.code == 2
    assert 'cannot be listed with --offline' in shown.errors
    assert not server.log


def test_hub_knows_sizes_and_digests(root, victim, tmp_path):
    """The client reads HF_ENDPOINT when it is imported, hence a process of its own."""
    shutil.copytree(root / COREG, tmp_path / 'hub' / COREG)
    flip(victim.zip_of(root, COREG), f'{VICTIM}/transform/M_coreg_{MOVING}.mat')
    url = 'hf://datasets/Forithmus/MR-RATE-coreg'
    with hub(tmp_path / 'hub') as server:
        environment = os.environ | {'HF_ENDPOINT': server.url, 'HF_HOME': str(tmp_path / 'hf')}
        run = partial(hostile.command, 'status', root, '--remote', url, env=environment)
        table = tmp_path / 'status.tsv'
        assert run('--tsv', table).code == 0
        assert run('--tsv', table, '--deep').code == 3
    rows = {(row['study_uid'], row['repository']): row for row in read_tsv(table)}
    assert 'differs from the other copy (SHA-256)' in rows[VICTIM, COREG]['reason']


def test_only_files_of_a_release_are_asked_for(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / 'copy')
    (copy / 'readme.txt').write_text('no table')
    with serving(BadServer(copy)) as server:
        assert Shown(root, '--remote', server.url).code == 0
    looked = [request.path for request in server.log if request.method == 'HEAD']
    assert (
        len(looked)
        == len(set(looked))
        == len(list(copy.rglob('*.zip'))) + len(list(copy.rglob('*.csv')))
    )
    assert {request.method for request in server.log} == {'GET', 'HEAD'}


def test_only_the_batches_that_are_asked_for_are_listed(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / 'copy')
    with serving(BadServer(copy)) as server:
        shown = Shown(root, '--remote', server.url, '--batch', '1')
    assert [name for name in ('batch00', 'batch01') if name in shown.text] == ['batch01']
    assert shown.cells('batch01')[0] == 'all 1, zipped'
    assert any('batch01/' in request.path for request in server.log)
    asked = [r.path for r in server.log if 'batch00/' in r.path or 'batch00_' in r.path]
    assert asked == []


def test_extracted_copy_over_http_counts_studies(root, extracted):
    with serving(BadServer(extracted)) as server:
        assert Shown(root, '--remote', server.url).cells('all')[0] == 'all 3, zipped'


def test_table_of_names_over_http(root, tmp_path):
    zips = sorted(root.rglob('*.zip'))
    rows = [[path.relative_to(root).as_posix(), str(path.stat().st_size)] for path in zips]
    (tmp_path / 'index.tsv').write_text(format_tsv(['path', 'size'], rows))
    with serving(BadServer(tmp_path)) as server:
        assert Shown(root, '--remote', f'{server.url}/index.tsv').code == 0
        gone = Shown(root, '--remote', f'{server.url}/gone.tsv')
    assert gone.code == 2
    assert 'gone.tsv cannot be read as a table' in gone.errors
    assert '404' in gone.errors


def test_server_that_refuses(root, tmp_path):
    with serving(BadServer(root)) as server:
        server.order('refuse', '/', times=99)
        shown = Shown(root, '--remote', server.url)
    assert shown.code == 2
    assert f'{server.url}/: the server answers 403' in shown.errors


@pytest.mark.parametrize(
    'source', ['gone', 'gone.tsv', 'hf+x://a', 'http://127.0.0.1:9/nobody', 'http://[bad', '']
)
def test_other_copy_that_cannot_be_listed(root, tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    shown = Shown(root, '--remote', source)
    assert shown.code == 2
    assert len(shown.errors.splitlines()) == 2, shown.errors


def test_table_of_another_form(root, tmp_path):
    (tmp_path / 'index.tsv').write_text('name\tbytes\na\t3\n')
    shown = Shown(root, '--remote', tmp_path / 'index.tsv')
    assert shown.code == 2
    assert 'cannot be read as a table' in shown.errors


def test_folder_without_release_is_no_other_copy(root, tmp_path):
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/x.txt').write_text('x')
    assert Shown(root, '--remote', tmp_path / 'other').code == 2


# What a download noted.


def test_zip_that_is_not_what_was_fetched(root, victim):
    for repository, digest in ((COREG, 'a' * 64), (ATLAS, 'not a digest')):
        path = victim.zip_of(root, repository)
        notes = root / repository / '.cache/huggingface/download'
        note = notes / f'{path.relative_to(root / repository)}.metadata'
        note.parent.mkdir(parents=True)
        note.write_text(f'{"d" * 40}\n{digest}\n1700000000.0\n')
    assert Shown(root).code == 0
    assert_corrupt(Shown(root, '--deep'), VICTIM, COREG, 'is not what was fetched')


def fetch(root, target, *options):
    done = CliRunner().invoke(main, ['fetch', str(root), str(target), *options])
    assert done.exit_code == 0, done.output
    return target


def test_part_that_was_fetched_lacks_nothing(root, tmp_path):
    """What nobody asked for is not missed; what was asked for is."""
    part = fetch(root, tmp_path / 'part', '--what', 'native', '--modality', 'FLAIR')
    shown = Shown(part)
    assert shown.code == 0, shown.text
    assert shown.cells('batch00')[:3] == ['all 1, extracted', 'none', 'none']
    (image,) = part.rglob(f'*{MOVING}.nii.gz')
    image.unlink()
    assert_corrupt(Shown(part), VICTIM, 'MR-RATE', 'holds no file')


def test_fetched_file_that_changed(root, tmp_path):
    part = fetch(root, tmp_path / 'part', '--what', 'native,coreg', '--study', VICTIM)
    image = part / f'MR-RATE/mri/batch00/{VICTIM}/img/{VICTIM}_{MOVING}.nii.gz'
    data = image.read_bytes()
    image.write_bytes(data + bytes(9))
    assert_corrupt(Shown(part), VICTIM, 'MR-RATE', 'were fetched: wrong size')
    image.write_bytes(data[:4] + bytes([data[4] ^ 1]) + data[5:])  # the time in the gzip header
    assert Shown(part).code == 0
    assert_corrupt(Shown(part, '--deep'), VICTIM, 'MR-RATE', 'CRC-32 differs')


def test_whole_zips_that_were_fetched_are_whole(root, tmp_path):
    whole = fetch(root, tmp_path / 'whole', '--batch', '01', '--whole-zips')
    shown = Shown(whole, '--deep')
    assert shown.code == 0, shown.text
    assert shown.cells('batch01')[0] == 'all 1, zipped'


def test_table_that_cannot_be_written(root, tmp_path):
    (tmp_path / 'file').write_text('x')
    shown = Shown(root, tsv=tmp_path / 'file/status.tsv')
    assert shown.code == 3
    assert 'file/status.tsv' in shown.errors


@pytest.mark.parametrize('remote', [False, True])
def test_studies_that_nothing_lists_are_not_counted_for_others(remote, root, victim, tmp_path):
    """One is missing and a stranger is there: that is not all."""
    options = ('--remote', shutil.copytree(root, tmp_path / 'copy')) if remote else ()
    files = victim.files['MR-RATE']
    named = {name.replace(VICTIM, 'STRANGERAA'): data for name, data in files.items()}
    victim.zip_of(root).unlink()
    stranger = victim.zip_of(root).with_name('STRANGERAA.zip')
    hostile.write_zip(stranger, named, prefix='STRANGERAA/')
    assert Shown(root, *options).cells('batch00')[0] == 'partial 1/2, zipped, 1 not listed'


def test_table_takes_the_place_of_no_other_file(root):
    splits = root / 'MR-RATE/splits.csv'
    before = splits.read_bytes()
    said = Said('status', root, '--tsv', splits)
    assert said.code == 3
    assert 'is another file, and would be lost' in said.errors
    assert splits.read_bytes() == before
    table = root.parent / 'status.tsv'
    assert Said('status', root, '--tsv', table).code == 0
    assert Said('status', root, '--tsv', table).code == 0


def test_other_copy_that_cannot_be_read_is_one_study_s_problem(
    root, victim, tmp_path, unprivileged
):
    copy = shutil.copytree(root, tmp_path / 'copy')
    with unprivileged(tmp_path):
        victim.zip_of(copy, COREG).chmod(0)
        shown = Shown(root, '--remote', copy, '--deep')
        victim.zip_of(copy, COREG).chmod(0o644)
    assert 'the other copy' in shown.studies[VICTIM, COREG]['reason']
    assert shown.studies[GOOD, COREG]['state'] == 'whole'
