"""What a zip or a folder of a study holds, and what is refused."""

import os
import struct
import zipfile

import pytest
from makers import make_zip, patch

from mrrate_bids.archives import Member, Place, data_offset, list_place
from mrrate_bids.errors import ArchiveError

FILES = {'S/img/a.nii.gz': b'first', 'S/seg/b.nii.gz': b'second' * 50, 'S/İ.txt': b'x'}


def _list(path, *, study='S', zipped=True):
    return list_place(Place(path, study, zipped))


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_a_zip(tmp_path, method):
    path = make_zip(tmp_path / 'S.zip', {'S/': b'', **FILES}, method=method)
    listing = _list(path)
    assert not listing.refused
    infos = {i.filename: i for i in zipfile.ZipFile(path).infolist()}
    for member, (name, data) in zip(listing.members, FILES.items(), strict=True):
        info = infos[name]
        stored = method == zipfile.ZIP_STORED
        packed = -1 if stored else info.compress_size
        assert member == Member(
            path, name.removeprefix('S/'), len(data), info.header_offset, info.CRC, packed
        )


@pytest.mark.parametrize('comment', [b'', b'a comment'])
@pytest.mark.parametrize('extra', [b'', struct.pack('<HH4s', 0xCAFE, 4, b'abcd')])
def test_stored_members_are_found_at_their_offset(tmp_path, extra, comment):
    path = tmp_path / 'S.zip'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.comment = comment
        for name, data in FILES.items():
            info = zipfile.ZipInfo(name)
            info.extra = extra
            archive.writestr(info, data)
    raw = path.read_bytes()
    for member, data in zip(_list(path).members, FILES.values(), strict=True):
        start = data_offset(raw[member.offset :][:30], member.offset, name='x')
        assert raw[start : start + member.size] == data


@pytest.mark.parametrize('header', [b'', b'PK\x03\x04', b'\0' * 30, b'PK\x01\x02' + b'\0' * 26])
def test_no_local_header(header):
    with pytest.raises(ArchiveError, match=r'a\.nii\.gz: the zip directory points'):
        data_offset(header, 0, name='a.nii.gz')


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', 'truncated or no zip'),
        (b'PK\x05\x06' + b'\0' * 18, r'an empty zip \(22 bytes\)'),
        (b'<html>not found</html>' * 9, 'truncated or no zip'),
    ],
)
def test_no_zip(tmp_path, data, message):
    path = tmp_path / 'S.zip'
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=message):
        _list(path)


@pytest.mark.parametrize('keep', [1, 4, 29, 30, 60, 0.25, 0.5, 0.75, -100, -22, -10, -1])
def test_truncated_zip(tmp_path, keep):
    path = make_zip(tmp_path / 'S.zip', FILES)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(ArchiveError, match=r'S\.zip'):
        _list(path)


def test_zip_with_its_middle_missing(tmp_path):
    path = make_zip(tmp_path / 'S.zip', FILES)
    data = path.read_bytes()
    path.write_bytes(data[:40] + data[80:])
    with pytest.raises(ArchiveError, match=r'S\.zip'):
        _list(path)


@pytest.mark.parametrize('zipped', [True, False])
def test_place_that_is_gone(tmp_path, zipped):
    with pytest.raises(ArchiveError, match='cannot be read'):
        _list(tmp_path / 'gone', zipped=zipped)


def test_folder_in_the_place_of_a_zip_and_the_other_way_round(tmp_path):
    with pytest.raises(ArchiveError, match='cannot be read'):
        _list(tmp_path)
    (tmp_path / 'S').write_bytes(b'')
    with pytest.raises(ArchiveError, match='cannot be read'):
        _list(tmp_path / 'S', zipped=False)


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('S/../../etc/a', 'out of the study folder'),
        ('../a', 'out of the study folder'),
        ('/S/a', 'out of the study folder'),
        ('S/..', 'out of the study folder'),
        ('S\\..\\a', 'out of the study folder'),
        ('T/img/a.nii.gz', 'not lie in the folder S/'),
        ('img/a.nii.gz', 'not lie in the folder S/'),
        ('SS/a', 'not lie in the folder S/'),
    ],
)
def test_path_that_is_refused(tmp_path, name, reason):
    path = make_zip(tmp_path / 'S.zip', {name: b'bad', 'S/img/good': b'good'})
    listing = _list(path)
    assert [member.name for member in listing.members] == ['img/good']
    ((refused, why),) = listing.refused
    assert refused == name
    assert reason in why


def test_dots_inside_a_name_are_allowed(tmp_path):
    path = make_zip(tmp_path / 'S.zip', {'S/img/a..b.nii.gz': b'good'})
    assert [member.name for member in _list(path).members] == ['img/a..b.nii.gz']


def test_symbolic_link_in_a_zip_is_refused(tmp_path):
    path = tmp_path / 'S.zip'
    info = zipfile.ZipInfo('S/img/a.nii.gz')
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr(info, '/etc/passwd')
    assert _list(path).refused == [('S/img/a.nii.gz', 'it is a symbolic link')]


@pytest.mark.parametrize('method', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(tmp_path, method):
    path = make_zip(tmp_path / 'S.zip', {'S/a': b'x'}, method=method)
    assert 'compression method' in _list(path).refused[0][1]


def _directory(path):
    """Return where the central directory of a zip begins."""
    with zipfile.ZipFile(path) as archive:
        return archive.start_dir


@pytest.mark.parametrize(
    ('method', 'field', 'value', 'reason'),
    [
        (zipfile.ZIP_STORED, 8, struct.pack('<H', 1), 'encrypted'),
        (zipfile.ZIP_STORED, 24, struct.pack('<I', 4), 'sizes contradict'),
        (zipfile.ZIP_DEFLATED, 24, struct.pack('<I', 1 << 30), 'a bomb'),
        (zipfile.ZIP_DEFLATED, 24, struct.pack('<I', (1 << 26) + 1), 'a bomb'),
    ],
)
def test_directory_that_lies_is_refused(tmp_path, method, field, value, reason):
    path = make_zip(tmp_path / 'S.zip', {'S/a': b'12345'}, method=method)
    patch(path, _directory(path) + field, value)
    listing = _list(path)
    assert not listing.members
    assert reason in listing.refused[0][1]


def test_wild_ratio_of_a_small_file_is_allowed(tmp_path):
    path = make_zip(tmp_path / 'S.zip', {'S/a': bytes(1 << 20)}, method=zipfile.ZIP_DEFLATED)
    assert _list(path).members[0].size == 1 << 20


def test_overlapping_members_are_refused(tmp_path):
    path = make_zip(tmp_path / 'S.zip', {'S/a': b'same', 'S/b': b'same'})
    second = path.read_bytes().index(b'PK\x01\x02', _directory(path) + 4)
    patch(path, second + 42, struct.pack('<I', 0))
    with pytest.raises(ArchiveError, match='overlaps'):
        _list(path)


def test_member_that_reaches_into_the_directory_is_refused(tmp_path):
    path = make_zip(tmp_path / 'S.zip', {'S/a': b'same'})
    size = struct.pack('<I', 40)
    patch(path, _directory(path) + 20, size + size)
    with pytest.raises(ArchiveError, match='overlaps'):
        _list(path)


def test_far_too_many_members_are_refused(tmp_path):
    path = make_zip(tmp_path / 'S.zip', {f'S/{n}': b'' for n in range(10_001)})
    with pytest.raises(ArchiveError, match='10,001 members'):
        _list(path)


@pytest.fixture
def folder(tmp_path):
    for name in ('img/b.nii.gz', 'img/a.nii.gz', 'seg/c.nii.gz', 'img/.hidden', 'img/x/deep'):
        path = tmp_path / 'S' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / 'S'


def test_members_of_a_folder(folder):
    listing = _list(folder, zipped=False)
    assert [(m.name, m.size) for m in listing.members] == [
        ('img/a.nii.gz', 12),
        ('img/b.nii.gz', 12),
        ('seg/c.nii.gz', 12),
    ]
    assert [m.path for m in listing.members] == [folder / m.name for m in listing.members]
    assert all((m.offset, m.crc, m.packed) == (-1, None, -1) for m in listing.members)
    assert not listing.refused


def test_links_in_a_folder(folder):
    """A download cache keeps the content elsewhere and links to it."""
    (folder.parent / 'blob').write_bytes(b'content')
    (folder / 'img/link.nii.gz').symlink_to('../../blob')
    (folder / 'img/broken.nii.gz').symlink_to('gone')
    listing = _list(folder, zipped=False)
    assert ('img/link.nii.gz', 7) in [(m.name, m.size) for m in listing.members]
    ((name, reason),) = listing.refused
    assert name == 'img/broken.nii.gz'
    assert 'cannot be read' in reason


@pytest.mark.parametrize('inside', [(), ('img',), ('img/.hidden',)])
def test_folder_without_files(tmp_path, inside):
    folder = tmp_path / 'S'
    folder.mkdir()
    for name in inside:
        (folder / name).mkdir(parents=True)
    with pytest.raises(ArchiveError, match='holds no file'):
        _list(folder, zipped=False)


def test_files_beside_the_folders_of_a_study_are_listed(folder):
    (folder / 'a.nii.gz').write_bytes(b'')
    assert 'a.nii.gz' in [m.name for m in _list(folder, zipped=False).members]


def test_folder_or_device_where_a_file_should_be(folder):
    (folder / 'img/d.nii.gz').mkdir()
    os.mkfifo(folder / 'img/e.nii.gz')
    refused = _list(folder, zipped=False).refused
    assert [name for name, _ in refused] == ['img/d.nii.gz', 'img/e.nii.gz']
