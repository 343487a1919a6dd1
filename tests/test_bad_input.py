"""A release with every defect there can be: named, set aside, and nothing else suffers."""

import gzip
import os
import re
import shutil
import stat
import struct
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import hostile
import pytest
from hostile import CENTRE, FAR, GOOD, MOVING, VICTIM, Study, export, volume

OTHERS = {GOOD: '11', FAR: '33'}
NOTHING = r'$^'
RAW = r'^sub-22/.*\.nii\.gz|mrrate-defaced'
NEEDS_CENTRE = r'mrrate-coreg|mrrate-atlas|nvsegctmrbrain'
IMAGE_AND_MASKS = r'^sub-22.*_{0}\.nii|mrrate-defaced.*-{0}_|nvsegctmr.*desc-{0}_'
FLAIR = IMAGE_AND_MASKS.format('FLAIR')
EOCD = b'PK\x05\x06' + bytes(18)


@dataclass
class Case:
    """A defect of the victim: how it is made, what is said of it, what cannot be exported."""

    name: str
    make: Callable[[Path, Study], object]
    says: tuple[str, ...]
    lost: str = NOTHING
    code: int = 3


@pytest.fixture(scope='module')
def clean(tmp_path_factory):
    """Export the release in which nothing is wrong."""
    root = tmp_path_factory.mktemp('clean')
    source = hostile.write_release(root / 'release', hostile.three_studies())
    done = export(source, root / 'bids')
    assert done.code == 0, done.output
    assert not hostile.problems(root / 'bids')
    return root / 'bids'


# What can be done to a release.


def rezip(study: Study, root: Path, repository: str = 'MR-RATE', **options) -> Path:
    path = study.zip_of(root, repository)
    hostile.write_zip(path, study.files[repository], prefix=f'{study.uid}/', **options)
    return path


def replace(name: Callable[[Study], str], data: bytes, repository: str = 'MR-RATE'):
    """Return a defect: one member of the zip has other bytes."""

    def make(root, study):
        assert name(study) in study.files[repository]
        study.files[repository][name(study)] = data
        rezip(study, root, repository)

    return make


def without(name: Callable[[Study], str]):
    def make(root, study):
        del study.files['MR-RATE'][name(study)]
        rezip(study, root)

    return make


def with_member(name: str, *, prefix: str = '', mode: int = 0o100644, data: bytes = b'evil'):
    """Return a defect: the zip has one more member."""

    def make(root, study):
        with zipfile.ZipFile(study.zip_of(root), 'a') as archive:
            info = zipfile.ZipInfo('x')
            info.filename = prefix.format(study=study.uid) + name.format(study=study.uid)
            info.external_attr = mode << 16
            info.create_system = 3
            archive.writestr(info, data)

    return make


def with_directory(change: Callable[[list[zipfile.ZipInfo]], None], **options):
    """Return a defect: the directory of the zip says something else than the zip holds."""

    def make(root, study):
        path = rezip(study, root, **options)
        with zipfile.ZipFile(path, 'a') as archive:
            archive._didModify = True
            change(archive.filelist)

    return make


def with_rows(change: Callable[[Study], object]):
    def make(root, study):
        change(study)
        studies = [s for s in hostile.three_studies() if s.uid != study.uid]
        hostile.write_tables(root, [studies[0], study, studies[1]])

    return make


def extract(root: Path, study: Study) -> Path:
    """Replace the zip of the native repository by a folder."""
    study.zip_of(root).unlink()
    hostile.write_files(study.folder_of(root), study.files['MR-RATE'])
    return study.folder_of(root)


def extracted(change: Callable[[Path, Study], object]):
    return lambda root, study: change(extract(root, study), study)


def cut(root: Path, study: Study) -> None:
    path = study.zip_of(root)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_inside(root: Path, study: Study) -> None:
    """Take bytes out of the last image; the directory at the end stays."""
    path = study.zip_of(root)
    data = path.read_bytes()
    place = data.rindex(b'PK\x01\x02', 0, data.index(b'PK\x01\x02') + 4) - 500
    path.write_bytes(data[: place - 300] + data[place:])


def flip(root: Path, study: Study, *, name: str | None = None) -> None:
    """Change one byte in the middle of the image of the moving series."""
    path = study.zip_of(root)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f'{study.uid}/{name or study.image(MOVING)}')
    with path.open('r+b') as file:
        file.seek(info.header_offset + 30 + len(info.filename) + info.compress_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x55]))


def flip_deflated(root: Path, study: Study) -> None:
    rezip(study, root, method=zipfile.ZIP_DEFLATED)
    flip(root, study)


def overlap(infos: list[zipfile.ZipInfo]) -> None:
    for first, second in pairwise(infos):
        second.header_offset = first.header_offset


def longer(infos: list[zipfile.ZipInfo]) -> None:
    infos[0].compress_size += 1000
    infos[0].file_size += 1000


def encrypted(infos: list[zipfile.ZipInfo]) -> None:
    next(i for i in infos if MOVING in i.filename and '/img/' in i.filename).flag_bits |= 1


def patched(infos: list[zipfile.ZipInfo]) -> None:
    """Claim features of the zip format that nobody implements."""
    next(i for i in infos if MOVING in i.filename and '/img/' in i.filename).flag_bits |= 0x60


def contradiction(infos: list[zipfile.ZipInfo]) -> None:
    next(i for i in infos if MOVING in i.filename and '/img/' in i.filename).file_size -= 7


def ratio_bomb(root: Path, study: Study) -> None:
    study.files['MR-RATE'][study.image(MOVING)] = bytes(80 << 20)
    rezip(study, root, method=zipfile.ZIP_DEFLATED)


def header(offset: int, form: str, *values: float) -> bytes:
    """Return an image of which one field of the header is wrong."""
    data = bytearray(gzip.decompress(volume(77)))
    struct.pack_into(form, data, offset, *values)
    return gzip.compress(bytes(data), mtime=0)


def quaternion() -> bytes:
    """Return an image whose place in space is written as a quaternion that is none."""
    data = bytearray(gzip.decompress(volume(77)))
    struct.pack_into('<2h', data, 252, 1, 0)
    struct.pack_into('<3f', data, 256, 5.0, 5.0, 5.0)
    return gzip.compress(bytes(data), mtime=0)


def duplicate(*, te: str):
    def make(study):
        study.rows.append(study.rows[1] | {'TE_ms': te})

    return with_rows(make)


def mark_centres(*marks: str):
    def make(study):
        for row, mark in zip(study.rows, marks, strict=True):
            row['is_center_modality'] = mark

    return with_rows(make)


def half_extracted(folder: Path, study: Study) -> None:
    """The copy stopped in the middle of one image; another file was not begun."""
    path = folder / study.image(MOVING)
    path.write_bytes(path.read_bytes()[:1000])
    (folder / study.mask(CENTRE)).unlink()
    (folder / 'img' / f'.{path.name}.Xy12').write_bytes(b'rsync was here')


def no_images(folder: Path, study: Study) -> None:
    shutil.rmtree(folder / 'img')


def empty_folder(folder: Path, study: Study) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def make_folder(folder: Path, study: Study) -> None:
    (folder / study.image(MOVING)).unlink()
    (folder / study.image(MOVING)).mkdir()


def dangle(folder: Path, study: Study) -> None:
    (folder / study.image(MOVING)).unlink()
    (folder / study.image(MOVING)).symlink_to('gone.nii.gz')


def link_to_folder(folder: Path, study: Study) -> None:
    (folder / study.image(MOVING)).unlink()
    (folder / study.image(MOVING)).symlink_to(folder)


def loop(folder: Path, study: Study) -> None:
    (folder / study.image(MOVING)).unlink()
    (folder / study.image(MOVING)).symlink_to(folder / study.image(MOVING))


def dangling_zip(root: Path, study: Study) -> None:
    study.zip_of(root).unlink()
    study.zip_of(root).symlink_to('gone.zip')


def folder_zip(root: Path, study: Study) -> None:
    study.zip_of(root).unlink()
    study.zip_of(root).mkdir()


CASES = [
    Case('empty zip', lambda r, s: s.zip_of(r).write_bytes(EOCD), ('is an empty zip',), RAW),
    Case('zero bytes', lambda r, s: s.zip_of(r).write_bytes(b''), ('truncated or no zip',), RAW),
    Case('no zip', lambda r, s: s.zip_of(r).write_bytes(b'<html>'), ('or no zip',), RAW),
    Case('cut in the middle', cut, ('is truncated or no zip',), RAW),
    Case('cut inside, directory intact', cut_inside, ('truncated',), RAW),
    Case('folder named as a zip', folder_zip, (f'{VICTIM}.zip',), RAW),
    Case('link to no zip', dangling_zip, (f'{VICTIM}.zip',), RAW),
    *(
        Case(
            f'image cut at {end}',
            replace(lambda s: s.image(MOVING), volume(2)[:end]),
            (text,),
            FLAIR,
        )
        for end, text in [
            (-100, 'truncated'),
            (2000, 'truncated'),
            (200, 'truncated'),
            (10, 'NIfTI'),
            (1, 'not gzip'),
            (0, 'is empty'),
        ]
    ),
    Case('image is text', replace(lambda s: s.image(MOVING), b'oops'), ('not gzip',), FLAIR),
    Case(
        'mask cut',
        replace(lambda s: s.mask(MOVING), volume(3)[:-100]),
        (f'{VICTIM}_{MOVING}_brain-mask.nii.gz', 'truncated'),
        r'mrrate-defaced.*desc-FLAIR_mask',
    ),
    Case(
        'mask of another shape',
        replace(lambda s: s.mask(MOVING), volume(3, side=12)),
        (f'{VICTIM}_{MOVING}_brain-mask.nii.gz', 'another grid'),
        r'mrrate-defaced.*desc-FLAIR_mask',
    ),
    Case(
        'mask at another place',
        replace(lambda s: s.mask(MOVING), volume(3, shift=1.0)),
        (f'{VICTIM}_{MOVING}_brain-mask.nii.gz', 'another grid'),
        r'mrrate-defaced.*desc-FLAIR_mask',
    ),
    Case(
        'mask at no place',
        replace(lambda s: s.mask(MOVING), quaternion()),
        (f'{VICTIM}_{MOVING}_brain-mask.nii.gz',),
        r'mrrate-defaced.*desc-FLAIR_mask',
    ),
    *(
        Case(
            f'header: {what}', replace(lambda s: s.image(MOVING), data), ('makes no sense',), FLAIR
        )
        for what, data in {
            'no number where voxels begin': header(108, '<f', float('nan')),
            'voxels begin at infinity': header(108, '<f', float('inf')),
            'eight dimensions': header(40, '<h', 8),
            'no voxels': header(42, '<h', 0),
            'negative shape': header(42, '<h', -16),
            'no bits': header(72, '<h', 0),
        }.items()
    ),
    Case(
        'header: more voxels',
        replace(lambda s: s.image(MOVING), header(42, '<h', 17)),
        ('truncated',),
        FLAIR,
    ),
    Case(
        'centre image cut',
        replace(lambda s: s.image(), volume(2)[:-100]),
        (f'{VICTIM}_{CENTRE}.nii.gz', 'truncated'),
        IMAGE_AND_MASKS.format('T1w'),
    ),
    Case('CRC differs', flip, (f'{VICTIM}_{MOVING}.nii.gz', 'CRC-32 differs'), FLAIR),
    Case('CRC differs, deflated', flip_deflated, (f'{VICTIM}_{MOVING}.nii.gz', 'damaged'), FLAIR),
    Case('row without file', without(lambda s: s.image(MOVING)), ('is missing',), FLAIR),
    Case(
        'row without mask',
        without(lambda s: s.mask(MOVING)),
        ('is missing', f'{VICTIM}_{MOVING}_brain-mask.nii.gz'),
        r'mrrate-defaced.*desc-FLAIR_mask',
    ),
    Case(
        'file without row',
        with_member('img/{study}_t2w-raw-axi.nii.gz', prefix='{study}/', data=volume(9)),
        (f'{VICTIM}_t2w-raw-axi.nii.gz has no row in the metadata',),
    ),
    Case('no centre', mark_centres('False', 'False', ''), ('no centre series',), NEEDS_CENTRE),
    Case('two centres', mark_centres('True', 'True', 'False'), ('2 centre series',), NEEDS_CENTRE),
    Case('equal rows', duplicate(te='15.97'), ('2 equal rows', MOVING)),
    Case('rows that differ', duplicate(te='16'), ('2 rows', 'differ', MOVING), r'FLAIR|flair'),
    Case(
        'series_id of no release',
        with_rows(lambda s: s.rows.append(s.rows[1] | {'series_id': '../../../etc/passwd'})),
        ("series_id '../../../etc/passwd'",),
    ),
    *(
        Case(
            f'member {name}',
            with_member(name, prefix=prefix),
            (f'{name.format(study=VICTIM)} was refused',),
        )
        for prefix, name in [
            ('{study}/', '../../../../evil.nii.gz'),
            ('{study}/', 'img/../../../evil.nii.gz'),
            ('', '../evil.nii.gz'),
            ('', '/tmp/evil.nii.gz'),
            ('', '//evil.nii.gz'),
            ('', 'C:\\evil.nii.gz'),
            ('{study}/', 'img\\..\\..\\evil.nii.gz'),
            ('', 'OTHERSTUDY/img/evil.nii.gz'),
        ]
    ),
    Case(
        'symlink in a zip',
        with_member('img/evil', prefix='{study}/', mode=stat.S_IFLNK | 0o777, data=b'/etc/passwd'),
        ('img/evil', 'symbolic link'),
    ),
    Case('ratio bomb', ratio_bomb, (f'{VICTIM}_{MOVING}.nii.gz', 'a bomb'), FLAIR),
    Case('members that overlap', with_directory(overlap), ('overlaps',), RAW),
    Case('member longer than the zip says', with_directory(longer), ('overlaps',), RAW),
    Case('encrypted member', with_directory(encrypted), ('is encrypted',), FLAIR),
    Case('sizes that contradict', with_directory(contradiction), ('contradict',), FLAIR),
    Case(
        'features nobody has',
        with_directory(patched, method=zipfile.ZIP_DEFLATED),
        (f'{VICTIM}_{MOVING}.nii.gz',),
        FLAIR,
    ),
    Case(
        'another compression',
        lambda r, s: rezip(s, r, method=zipfile.ZIP_BZIP2),
        ('compression method 12',),
        RAW,
    ),
    Case(
        'half-extracted',
        extracted(half_extracted),
        (f'{VICTIM}_{MOVING}.nii.gz', f'{VICTIM}_{CENTRE}_brain-mask.nii.gz is missing'),
        rf'{FLAIR}|mrrate-defaced.*desc-T1w_mask',
    ),
    Case('extracted without images', extracted(no_images), ('is missing',), rf'{RAW}|space-orig'),
    Case('extracted, nothing in it', extracted(empty_folder), (f'{VICTIM}',), RAW),
    Case(
        'folder as a file', extracted(make_folder), (f'{VICTIM}_{MOVING}.nii.gz', 'folder'), FLAIR
    ),
    Case('dangling link', extracted(dangle), (f'{VICTIM}_{MOVING}.nii.gz', 'cannot be'), FLAIR),
    Case('link to a folder', extracted(link_to_folder), (f'{VICTIM}_{MOVING}.nii.gz',), FLAIR),
    Case('link to itself', extracted(loop), (f'{VICTIM}_{MOVING}.nii.gz',), FLAIR),
    Case(
        'transform of zero bytes',
        replace(lambda s: f'transform/M_coreg_{MOVING}.mat', b'', 'MR-RATE-coreg'),
        (f'M_coreg_{MOVING}.mat', 'is empty'),
        r'mrrate-coreg.*from-FLAIR_to-T1w',
    ),
    Case(
        'moving image off the grid of the centre',
        replace(
            lambda s: f'coreg_img/{VICTIM}_coreg_{MOVING}.nii.gz',
            volume(9, side=12),
            'MR-RATE-coreg',
        ),
        (f'{VICTIM}_coreg_{MOVING}.nii.gz', 'another grid'),
        r'mrrate-coreg.*space-T1w_FLAIR',
    ),
    Case(
        'centre of the co-registered space cut',
        replace(lambda s: f'coreg_img/{VICTIM}_{CENTRE}.nii.gz', volume(9)[:-9], 'MR-RATE-coreg'),
        (f'coreg_img/{VICTIM}_{CENTRE}.nii.gz', 'truncated'),
        r'mrrate-coreg.*space-T1w_',
    ),
    Case(
        'zip cut next to a whole folder',
        lambda r, s: (cut(r, s), hostile.write_files(s.folder_of(r), s.files['MR-RATE'])),
        ('is truncated or no zip',),
    ),
    Case(
        'patient in two splits',
        lambda r, s: two_splits(r),
        ('the splits', 'train', 'val'),
    ),
    Case(
        'half-extracted next to the zip',
        lambda r, s: (
            hostile.write_files(s.folder_of(r), s.files['MR-RATE']),
            half_extracted(s.folder_of(r), s),
        ),
        (),
        code=0,
    ),
    *(
        Case(
            f'unknown file {name}', with_member(name, prefix='{study}/'), (name, 'warning'), code=0
        )
        for name in (
            'README.txt',
            'img/notes.txt',
            'img/x/y.nii.gz',
            f'img/{GOOD}_{CENTRE}.nii.gz',
        )
    ),
    *(
        Case(
            f'unknown file {name} on disk',
            extracted(lambda f, s, n=name: hostile.write_files(f, {n: b'?'})),
            (name, 'warning'),
            code=0,
        )
        for name in ('README.txt', 'img/notes.txt')
    ),
    Case(
        'unknown file next to the zips',
        lambda r, s: s.zip_of(r).with_suffix('.zip.part').write_bytes(b'?'),
        (f'{VICTIM}.zip.part', 'warning'),
        code=0,
    ),
    Case(
        'hidden files',
        lambda r, s: (
            s.zip_of(r).with_name('.cache').mkdir(),
            s.zip_of(r).with_name(f'.{VICTIM}.zip.x1').write_bytes(b'?'),
        ),
        (),
        code=0,
    ),
]


def two_splits(root: Path) -> None:
    """Give the victim a second study, in another split."""
    studies = hostile.three_studies()
    second = Study('SECONDBBBB', '22', seed=5, split='train', date='20210101')
    hostile.write_release(root, [*studies[:2], second, studies[2]])


@pytest.fixture
def broken(tmp_path):
    """Return a function that makes a release with one defect."""

    def make(case: Case) -> Path:
        studies = hostile.three_studies()
        source = hostile.write_release(tmp_path / 'release', studies)
        case.make(source, studies[1])
        return source

    return make


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.name)
def test_defect_is_named_and_costs_nothing_else(case, broken, clean, tmp_path):
    source, target = broken(case), tmp_path / 'bids'
    done = export(source, target)
    assert done.code == case.code, done.output
    expected = case.code == 3
    found = hostile.problems(target)
    assert any(problem['severity'] == 'error' for problem in found) == expected
    about = [p for p in found if {VICTIM, 'SECONDBBBB'} & {p['study'], Path(p['file']).stem[:10]}]
    text = ' '.join(' '.join(problem.values()) for problem in about)
    for say in case.says:
        assert say in text, text
        assert say in done.output
    assert not case.says or VICTIM in done.output

    for patient in OTHERS.values():
        assert hostile.data_of(target, patient) == hostile.data_of(clean, patient)
    promised = {w for w in hostile.data_of(clean, '22') if w.endswith(('.nii.gz', '.mat'))}
    have = {w for w in hostile.data_of(target, '22') if w.endswith(('.nii.gz', '.mat'))}
    lost = {where for where in promised if re.search(case.lost, where)}
    assert bool(lost) == (case.lost != NOTHING)
    assert {w for w in have if VICTIM in w} == promised - lost
    now, then = hostile.data_of(target, '22'), hostile.data_of(clean, '22')
    assert {where: now[where] for where in have & promised}.items() <= then.items()

    assert not [path for path in tmp_path.rglob('*') if 'evil' in path.name]
    assert not Path('/tmp/evil.nii.gz').exists()
    hostile.assert_sound(target)
    hostile.assert_settled(source, target, done)


def test_files_of_a_series_whose_rows_differ_are_not_called_strays(broken, tmp_path):
    case = next(case for case in CASES if case.name == 'rows that differ')
    done = export(broken(case), tmp_path / 'bids')
    assert done.output.count('error') == 1
    assert 'has no row' not in done.output


def test_installed_command_says_the_same(broken, tmp_path):
    case = next(case for case in CASES if case.name == 'cut in the middle')
    done = hostile.command('export', broken(case), tmp_path / 'bids')
    assert done.code == 3
    (line,) = [line for line in done.output.splitlines() if f'{VICTIM}.zip' in line]
    assert line.startswith(f'error batch00 {VICTIM}: ')
    assert line.endswith(
        'is truncated or no zip (File is not a zip file) → Fetch it again from the release.'
    )
    assert 'Exporting batch01: 1/1 studies' in done.output


@pytest.mark.parametrize('where', ['zip', 'file', 'link'])
def test_pipe_does_not_make_it_wait(where, tmp_path):
    """Opening a named pipe that nobody writes to never ends."""
    studies = hostile.three_studies()
    source = hostile.write_release(tmp_path / 'release', studies)
    victim = studies[1]
    if where == 'zip':
        path = victim.zip_of(source)
    else:
        path = extract(source, victim) / victim.image(MOVING)
    path.unlink()
    os.mkfifo(path if where != 'link' else tmp_path / 'pipe')
    if where == 'link':
        path.symlink_to(tmp_path / 'pipe')
    done = hostile.command('export', source, tmp_path / 'bids', '--link', 'copy', timeout=20)
    assert done.code == 3
    assert any(
        path.name in f'{p["message"]} {p["file"]}' for p in hostile.problems(tmp_path / 'bids')
    )


# Tables.


def first_header(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old.encode(), new.encode(), 1)


def edited(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to('../annex/gone.csv')


UNREADABLE = {
    'not UTF-8': (edited(lambda data: data[:-8] + b'\xff\xfe' + data[-8:]), 'not UTF-8'),
    'UTF-16': (edited(lambda data: data.decode().encode('utf-16')), 'not UTF-8'),
    'unclosed quote': (edited(lambda data: data + b'Z,"'), 'is never closed'),
    'empty': (edited(lambda data: b''), 'lacks the column'),
    'pointer of a large file': (edited(lambda data: b'version https://lfs\noid 1\n'), 'lacks'),
    'a folder': (as_folder, 'cannot be read'),
    'a link to nothing': (as_dangling_link, 'cannot be read'),
    'renamed column': (
        edited(first_header('study_uid', 'StudyUID')),
        'lacks the column study_uid',
    ),
}
METADATA_ONLY = {
    'no centre column': (
        edited(first_header('is_center_modality', 'centre')),
        'is_center_modality',
    ),
    'no series column': (
        edited(first_header('series_id', 'series')),
        'lacks the column series_id',
    ),
    'no patient column': (
        edited(first_header('patient_uid', 'p')),
        'lacks the column patient_uid',
    ),
    'repeated column': (edited(first_header('TE_ms', 'study_uid')), 'study_uid more than once'),
}


@pytest.mark.parametrize('defect', [*UNREADABLE, *METADATA_ONLY])
def test_unreadable_metadata_cost_one_batch(defect, clean, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    make, says = (UNREADABLE | METADATA_ONLY)[defect]
    make(source / 'MR-RATE/metadata/batch00_metadata.csv')
    done = export(source, tmp_path / 'bids')
    assert done.code == 3
    (problem,) = [p for p in hostile.problems(tmp_path / 'bids') if says in p['message']]
    assert problem['batch'] == 'batch00'
    assert 'metadata/batch00_metadata.csv' in problem['message']
    assert f'{says}' in done.output
    assert hostile.data_of(tmp_path / 'bids', '33') == hostile.data_of(clean, '33')
    assert not [where for where in hostile.tree(tmp_path / 'bids') if 'sub-11' in where]
    hostile.assert_sound(tmp_path / 'bids')
    hostile.assert_settled(source, tmp_path / 'bids', done)


@pytest.mark.parametrize('defect', UNREADABLE)
@pytest.mark.parametrize(
    'table', ['splits.csv', 'pathology_labels/mrrate_labels.csv', 'reports/batch00_reports.csv']
)
def test_unreadable_table_costs_no_image(table, defect, clean, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    make, says = UNREADABLE[defect]
    make(source / 'MR-RATE' / table)
    done = export(source, tmp_path / 'bids')
    assert done.code == 3
    (problem,) = hostile.problems(tmp_path / 'bids')
    assert table in problem['message']
    assert says in problem['message']
    assert says in done.output
    for patient in ('11', '22', '33'):
        theirs = hostile.data_of(tmp_path / 'bids', patient)
        assert theirs.keys() == hostile.data_of(clean, patient).keys()
    hostile.assert_settled(source, tmp_path / 'bids', done)


@pytest.mark.parametrize(
    ('row', 'cells'), [('{},too much', 13), ('22,VICTIMBBBB,flair-raw-axi', 3)]
)
def test_ragged_row_costs_its_series(row, cells, clean, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    path = source / 'MR-RATE/metadata/batch00_metadata.csv'
    lines = path.read_text().split('\n')
    lines[3] = row.format(lines[3])
    assert MOVING in path.read_text().split('\n')[3]
    path.write_text('\n'.join(lines))
    done = export(source, tmp_path / 'bids')
    assert done.code == 3
    says = f'metadata/batch00_metadata.csv: data row 3 has {cells} cells, the header has 12'
    assert says in done.output
    assert f'{VICTIM}_{MOVING}.nii.gz has no row in the metadata' in done.output
    for patient in OTHERS.values():
        assert hostile.data_of(tmp_path / 'bids', patient) == hostile.data_of(clean, patient)
    lost = hostile.data_of(clean, '22').keys() - hostile.data_of(tmp_path / 'bids', '22').keys()
    assert lost
    assert all('FLAIR' in where for where in lost)
    hostile.assert_settled(source, tmp_path / 'bids', done)


@pytest.mark.parametrize('what', ['reordered', 'byte order mark', 'quoted', 'renamed', 'CRLF'])
def test_table_that_looks_different_is_read(what, clean, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    for path in (source / 'MR-RATE').rglob('*.csv'):
        lines = [line.split(',') for line in path.read_text().split('\n')]
        if what == 'reordered' and path.stem.endswith('_metadata'):
            lines = [line[::-1] for line in lines]
        if what == 'renamed':
            lines[0] = [{'TE_ms': 'EchoTime (ms)'}.get(name, name) for name in lines[0]]
        if what == 'quoted' and path.stem.endswith('_metadata'):
            lines = [[f'"{cell}"' for cell in line] for line in lines[:-1]] + [['']]
        text = '\n'.join(map(','.join, lines))
        text = text.replace('\n', '\r\n') if what == 'CRLF' else text
        path.write_bytes((b'\xef\xbb\xbf' if what == 'byte order mark' else b'') + text.encode())
    done = export(source, tmp_path / 'bids', '--where', '`FieldStrength_T` < 3')
    assert done.code == 0, done.output
    for patient in ('11', '22', '33'):
        new, old = (hostile.data_of(root, patient) for root in (tmp_path / 'bids', clean))
        assert new.keys() == old.keys()
        changed = {where for where in new if new[where] != old[where]}
        assert all(where.endswith('.json') for where in changed)
        assert bool(changed) == (what in {'reordered', 'renamed'})


@pytest.mark.parametrize(
    'table', ['splits.csv', 'pathology_labels/mrrate_labels.csv', 'reports/batch00_reports.csv']
)
def test_study_that_stands_twice_in_a_table(table, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    path = source / 'MR-RATE' / table
    with path.open('a') as file:
        file.write(f'00,22,{VICTIM},train\n' if table == 'splits.csv' else f'{VICTIM},0\n')
    done = export(source, tmp_path / 'bids')
    assert done.code == 3
    (problem,) = hostile.problems(tmp_path / 'bids')
    assert problem['study'] == VICTIM
    assert f'{table}: data rows' in problem['message']
    participants = (tmp_path / 'bids/participants.tsv').read_text()
    assert 'sub-22\t22\t42\tF\tval' in participants


# Identifiers.


@pytest.mark.parametrize(
    ('column', 'uid', 'label'),
    [
        ('patient', '../../x', 'sub-+2E+2E+2F+2E+2E+2Fx'),
        ('patient', '/etc/x', 'sub-+2Fetc+2Fx'),
        ('patient', 'ab-cd_ü', 'sub-ab+2Dcd+5F+C3+BC'),
        ('patient', 'a\nb', 'sub-a+0Ab'),
        ('patient', ' 7', 'sub-+207'),
        ('uid', '../../x', 'ses-+2E+2E+2F+2E+2E+2Fx'),
        ('uid', '/etc/x', 'ses-+2Fetc+2Fx'),
        ('uid', 'ab-cd_ü', 'ses-ab+2Dcd+5F+C3+BC'),
        ('uid', 'a.nii b', 'ses-a+2Enii+20b'),
    ],
)
def test_odd_identifier_is_encoded(column, uid, label, clean, tmp_path):
    odd = Study(**{'uid': VICTIM, 'patient': '22', 'seed': 2, 'split': 'val', column: uid})
    has_files = '/' not in odd.uid
    if not has_files:
        odd.files = {}
    good, _, far = hostile.three_studies()
    source = hostile.write_release(tmp_path / 'a/b/release', [good, odd, far])
    target = tmp_path / 'a/b/bids'
    done = export(source, target)
    assert done.code == 0, done.output
    (problem,) = hostile.problems(target)
    assert problem['severity'] == 'warning'
    assert problem['study'] == uid or column == 'patient'
    assert f'is written as {label}' in problem['message']
    assert label in done.output
    made = [where for where in hostile.tree(target) if label in where and '.nii.gz' in where]
    assert len(made) == (23 if has_files else 0)
    assert sorted(path.name for path in (tmp_path / 'a/b').iterdir()) == ['bids', 'release']
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a']
    for patient in OTHERS.values():
        assert hostile.data_of(target, patient) == hostile.data_of(clean, patient)
    hostile.assert_sound(target)
    hostile.assert_settled(source, target, done)


def rows_of(column: str, uid: str) -> Callable[[list[Study]], object]:
    def make(studies):
        for row in studies[1].rows:
            row[column] = uid

    return make


def another_batch(studies: list[Study]) -> None:
    studies.append(Study(VICTIM, '22', 'batch01', seed=7, split='val'))


def another_case(studies: list[Study]) -> None:
    studies.append(Study(VICTIM.lower(), '44', 'batch01', seed=7))


def another_patient(studies: list[Study]) -> None:
    studies[1] = Study(VICTIM, 'ab', seed=2)
    studies.append(Study('OTHERDDDDD', 'AB', 'batch01', seed=7))


IDENTITIES = {
    'no study_uid': (rows_of('study_uid', ''), 'study_uid is empty in data rows 2, 3, 4', '22'),
    'no patient_uid': (
        rows_of('patient_uid', ''),
        'patient_uid is empty in data rows 2, 3, 4',
        '22',
    ),
    'in two batches': (another_batch, 'it has rows in batch00 as well', ''),
    'studies alike but for case': (another_case, 'differs from ses-VICTIMBBBB by case only', '44'),
    'patients alike but for case': (another_patient, 'differs from sub-ab by case only', 'AB'),
    'of two patients': (
        lambda studies: studies[1].rows[2].update(patient_uid='23'),
        'it belongs to several patients: 22, 23',
        '22',
    ),
}


@pytest.mark.parametrize('defect', IDENTITIES)
def test_identifier_that_is_not_one(defect, clean, tmp_path):
    studies = hostile.three_studies()
    make, says, lost = IDENTITIES[defect]
    make(studies)
    source = hostile.write_release(tmp_path / 'release', studies)
    target = tmp_path / 'bids'
    done = export(source, target)
    assert done.code == 3
    assert says in done.output
    assert any(says in p['message'] and p['batch'] for p in hostile.problems(target))
    for patient in OTHERS.values():
        assert hostile.data_of(target, patient) == hostile.data_of(clean, patient)
    if lost:
        assert not hostile.data_of(target, lost)
    else:
        assert hostile.data_of(target, '22') == hostile.data_of(clean, '22')
    hostile.assert_sound(target)
    hostile.assert_settled(source, target, done)


def test_study_in_two_batches_exported_batch_by_batch(clean, tmp_path):
    """The second batch is another run, which must know what the first one did."""
    studies = hostile.three_studies()
    another_batch(studies)
    source = hostile.write_release(tmp_path / 'release', studies)
    assert export(source, tmp_path / 'bids', '--batch', '00').code == 0
    before = hostile.data_of(tmp_path / 'bids', '22')
    done = export(source, tmp_path / 'bids', '--batch', '01')
    assert done.code == 3
    assert 'it has rows in batch00 as well' in done.output
    assert hostile.data_of(tmp_path / 'bids', '22') == before
    assert (tmp_path / 'bids/sourcedata/mrrate/studies.tsv').read_text().count(VICTIM) == 1


def test_identifiers_alike_but_for_case_fit_into_datasets_of_their_own(tmp_path):
    studies = hostile.three_studies()
    another_patient(studies)
    source = hostile.write_release(tmp_path / 'release', studies)
    for patient in ('ab', 'AB'):
        done = export(source, tmp_path / patient, '--patient', patient)
        assert done.code == 0, done.output
        assert hostile.data_of(tmp_path / patient, patient)
    done = export(source, tmp_path / 'ab', '--patient', 'AB')
    assert done.code == 3
    assert not hostile.data_of(tmp_path / 'ab', 'AB')


@pytest.mark.parametrize('column', ['uid', 'patient'])
def test_identifier_too_long_for_a_file_name(column, clean, tmp_path):
    long = Study(**{'uid': VICTIM, 'patient': '22', 'seed': 2, column: 'A' * 215})
    good, _, far = hostile.three_studies()
    source = hostile.write_release(tmp_path / 'release', [good, far])
    for repository, members in long.files.items():
        hostile.write_files(long.folder_of(source, repository), dict(list(members.items())[:1]))
    hostile.write_tables(source, [good, long, far])
    target = tmp_path / 'bids'
    done = export(source, target)
    assert done.code == 3
    assert 'the name is too long' in done.output
    assert any(p['study'] == long.uid for p in hostile.problems(target))
    for patient in OTHERS.values():
        assert hostile.data_of(target, patient) == hostile.data_of(clean, patient)
    hostile.assert_sound(target)
    hostile.assert_settled(source, target, done)


def test_names_that_no_terminal_can_show(tmp_path):
    studies = hostile.three_studies()
    source = hostile.write_release(tmp_path / 'release', studies)
    stray = os.fsencode(studies[1].zip_of(source).parent) + b'/\xff\xfe.zip'
    Path(os.fsdecode(stray)).write_bytes(EOCD)
    with_member('img/\x1b[31mred', prefix='{study}/')(source, studies[1])
    done = hostile.command('export', source, tmp_path / 'bids')
    assert done.code == 3
    assert '\x1b' not in done.output
    assert '\\x1b[31mred is no file of a release' in done.output
    assert '\\udcff\\udcfe.zip has no row in the metadata' in done.output
    assert len(hostile.problems(tmp_path / 'bids')) == 2
    hostile.assert_settled(source, tmp_path / 'bids', done)


def test_loops_and_strays_above_the_studies(clean, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    for folder in (source, source / 'MR-RATE/mri', source / 'MR-RATE/mri/batch00'):
        (folder / 'loop').symlink_to('loop')
        (folder / 'notes.txt').write_text('?')
    done = export(source, tmp_path / 'bids')
    assert done.code == 0, done.output
    assert {p['message'].split()[0] for p in hostile.problems(tmp_path / 'bids')} == {
        'loop',
        'notes.txt',
    }
    for patient in ('11', '22', '33'):
        assert hostile.data_of(tmp_path / 'bids', patient) == hostile.data_of(clean, patient)


# Destinations.


@pytest.mark.parametrize('size', [20, 60, 140, 250, 400, 560])
def test_full_destination(size, disk, clean, tmp_path):
    """Wherever it fills up, what is there is whole, and the run goes on when there is room."""
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    target = disk(f'size={size}k')
    done = export(source, target / 'bids')
    assert done.code == 3
    assert 'the destination is full' in done.output
    assert f'{target}/bids/' in done.output
    assert 'Make room' in done.output
    hostile.assert_sound(target / 'bids')
    subprocess.run(['mount', '-o', 'remount,size=8m', target], check=True)
    assert export(source, target / 'bids').code == 0
    assert hostile.tree(target / 'bids') == hostile.tree(clean) | {
        where: digest
        for where, digest in hostile.tree(target / 'bids').items()
        if '/receipts/' in where and digest != 'folder'
    }


def test_destination_without_room_for_names(disk, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    done = export(source, disk('size=8m,nr_inodes=60') / 'bids')
    assert done.code == 3
    assert 'the destination is full' in done.output
    hostile.assert_sound(tmp_path / 'disk/bids')


@pytest.mark.parametrize('begun', [False, True])
def test_read_only_destination(begun, disk, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    target = disk('size=8m')
    if begun:
        assert export(source, target / 'bids').code == 0
    before = hostile.tree(target)
    subprocess.run(['mount', '-o', 'remount,ro', target], check=True)
    done = export(source, target / 'bids')
    assert done.code == 3
    assert 'ead-only' in done.output
    assert 'Make room or choose another folder' in done.output
    assert hostile.tree(target) == before


@pytest.mark.parametrize(
    'place',
    ['release', 'release/bids', 'release/MR-RATE/mri/bids', 'release/MR-RATE', 'link/bids'],
)
def test_destination_inside_the_source(place, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    (tmp_path / 'link').symlink_to('release/MR-RATE')
    before = hostile.tree(tmp_path)
    done = export(source, tmp_path / place)
    assert done.code == 3
    assert 'lies inside the release' in done.output
    assert 'Choose a folder next to it' in done.output
    assert hostile.tree(tmp_path) == before


def test_destination_inside_a_repository_that_is_a_link(tmp_path):
    hostile.write_release(tmp_path / 'store', hostile.three_studies())
    (tmp_path / 'release').mkdir()
    for path in (tmp_path / 'store').iterdir():
        (tmp_path / 'release' / path.name).symlink_to(path)
    done = export(tmp_path / 'release', tmp_path / 'store/MR-RATE/mri/bids')
    assert done.code == 3
    assert 'lies inside the release' in done.output
    assert not (tmp_path / 'store/MR-RATE/mri/bids').exists()
    assert export(tmp_path / 'release', tmp_path / 'bids').code == 0


@pytest.mark.parametrize(
    ('place', 'says'),
    [
        ('bids', 'has a file where a folder should be'),
        ('bids/below', 'has a file where a folder should be'),
        ('dangling', 'dangling/sourcedata: the destination cannot be made'),
    ],
)
def test_file_where_the_destination_should_be(place, says, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    (tmp_path / 'bids').write_text('precious')
    (tmp_path / 'dangling').symlink_to('nowhere')
    done = export(source, tmp_path / place)
    assert done.code == 3
    assert says in done.output
    assert (tmp_path / 'bids').read_text() == 'precious'


@pytest.mark.parametrize('place', ['participants.tsv', 'sourcedata/mrrate/studies.tsv', 'image'])
def test_folder_where_a_file_should_be(place, tmp_path):
    studies = hostile.three_studies()
    source = hostile.write_release(tmp_path / 'release', studies)
    image = f'sub-22/ses-{VICTIM}/anat/sub-22_ses-{VICTIM}_acq-axi_run-01_T1w.nii.gz'
    folder = tmp_path / 'bids' / place.replace('image', image)
    (folder / 'mine').mkdir(parents=True)
    (tmp_path / 'bids/sourcedata/mrrate').mkdir(parents=True, exist_ok=True)
    done = export(source, tmp_path / 'bids')
    assert done.code == 3
    assert f'{folder}: the destination has a folder where a file should be' in done.output
    shutil.rmtree(folder)
    assert export(source, tmp_path / 'bids').code == 0
    hostile.assert_sound(tmp_path / 'bids')


def test_destination_is_the_current_folder(clean, tmp_path, monkeypatch):
    hostile.write_release(tmp_path / 'release', hostile.three_studies())
    (tmp_path / 'bids').mkdir()
    monkeypatch.chdir(tmp_path / 'bids')
    assert export(Path('../release'), Path()).code == 0
    for patient in ('11', '22', '33'):
        assert hostile.data_of(tmp_path / 'bids', patient) == hostile.data_of(clean, patient)
    assert hostile.tree(tmp_path / 'bids').keys() == hostile.tree(clean).keys()


# Commands that cannot work.


def no_metadata(source: Path) -> None:
    shutil.rmtree(source / 'MR-RATE/metadata')


def nothing_in_it(source: Path) -> None:
    shutil.rmtree(source)
    source.mkdir()


def only_a_file(source: Path) -> None:
    shutil.rmtree(source)
    source.write_text('?')


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        (shutil.rmtree, 'is not a folder'),
        (nothing_in_it, 'holds no MR-RATE repository'),
        (only_a_file, 'is not a folder'),
        (no_metadata, 'has images but no metadata/batchXX_metadata.csv'),
    ],
)
@pytest.mark.parametrize('options', [(), ('--dry-run',)])
def test_unusable_source(change, says, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    change(source)
    before = hostile.tree(tmp_path)
    done = export(source, tmp_path / 'bids', *options)
    assert done.code == 2
    assert says in done.output
    assert str(source) in done.output
    assert hostile.tree(tmp_path) == before


@pytest.mark.parametrize(
    ('options', 'says'),
    [
        ('--where|age >', '--where'),
        ('--where|Age > 3', "no column 'Age'"),
        ('--where|age', 'no condition'),
        ('--where|modality > 3', 'cannot be evaluated'),
        ('--where|FieldStrength_T >= 3 and', '--where'),
        ('--where|age = 3', '--where'),
        ('--where|@age > 3', '--where'),
        ('--where|only_far > 2', 'cannot be evaluated'),
        ('--shard|0/3', 'no shard'),
        ('--shard|4/3', 'no shard'),
        ('--shard|1', 'no shard'),
        ('--shard|a/b', 'no shard'),
        ('--shard|-1/3', 'no shard'),
        ('--shard|1/0', 'no shard'),
        ('--batch|07', 'no batch 07'),
        ('--batch|00,nope', 'no batch nope'),
        ('--study|NOPE', 'no study_uid NOPE'),
        (f'--study|{GOOD},{FAR}|--batch|00', f'no study_uid {FAR}'),
        ('--patient|11,99', 'no patient_uid 99'),
        ('--split|valid', "'valid' is none of train, val, test"),
        ('--modality|T1w,CT', "'CT' is none of"),
        ('--plane|axial', "'axial' is none of"),
        ('--include|everything', "'everything' is none of"),
        ('--link|move', "'move' is not one of"),
        ('--age-cap|90', "'90' is not one of"),
        ('--jobs|0', '0 is not in the range'),
        ('--jobs|many', "'many' is not a valid integer"),
        ('--overwrite', 'No such option'),
    ],
)
def test_option_that_makes_no_sense(options, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studies = hostile.three_studies()
    source = hostile.write_release(tmp_path / 'release', studies)
    add_column(source, 'only_far')
    before = hostile.tree(tmp_path)
    for more in ((), ('--dry-run',)):
        done = export(source, tmp_path / 'bids', *options.split('|'), *more)
        assert done.code == 2, done.output
        assert says in done.output
        assert hostile.tree(tmp_path) == before


def add_column(source: Path, name: str) -> None:
    """Add a column that holds numbers in one batch and text in the other."""
    for batch, cell in (('batch00', '1'), ('batch01', 'n/a')):
        path = source / f'MR-RATE/metadata/{batch}_metadata.csv'
        head, *rows = path.read_text().splitlines()
        path.write_text('\n'.join([f'{head},{name}', *(f'{row},{cell}' for row in rows), '']))


@pytest.mark.parametrize('plan', ['.', 'release', 'release/MR-RATE/splits.csv/plan.tsv'])
def test_plan_that_cannot_be_written(plan, tmp_path, monkeypatch):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    monkeypatch.chdir(tmp_path)
    done = export(source, tmp_path / 'bids', '--dry-run', '--plan-file', plan)
    assert done.code == 3
    assert 'the plan cannot be written' in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ['release']
