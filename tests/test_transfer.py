"""Bytes reach the dataset unchanged, or not at all."""

import gzip
import os
import struct
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from makers import make_nifti, make_zip, nifti_bytes, patch

from mrrate_bids.archives import Member, Place, list_place
from mrrate_bids.errors import ArchiveError, DataError, DestinationError, ImageError
from mrrate_bids.naming import KINDS
from mrrate_bids.plan import Row
from mrrate_bids.transfer import Transfer

NAME = 'img/S_t1w-raw-axi.nii.gz'
TARGET = 'sub-1/ses-2/anat/a.nii.gz'
IMAGE = nifti_bytes((64, 64, 64))  # larger than a block of the copy


@pytest.fixture
def root(tmp_path):
    return tmp_path / 'bids'


def _row(member, *, action='copy', target=TARGET, twin='', kind='image'):
    return Row(KINDS[kind], 't1w-raw-axi', action, member, target, twin)


def _zip(tmp_path, data=IMAGE, method=zipfile.ZIP_STORED, name=NAME):
    path = make_zip(tmp_path / 'S.zip', {'S/other': b'x' * 99, f'S/{name}': data}, method=method)
    return list_place(Place(path, 'S', True)).members[1]


def _file(tmp_path, data=IMAGE, name=NAME):
    path = tmp_path / 'S' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Member(path, name, len(data))


def _left(root):
    return sorted(path.name for path in root.rglob('*') if path.is_file())


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize('data', [IMAGE, nifti_bytes((2, 2, 2)), nifti_bytes(version=2)])
def test_from_a_zip(tmp_path, root, method, data):
    done = Transfer(root).place(_row(_zip(tmp_path, data, method)))
    assert (root / TARGET).read_bytes() == data
    assert (done.size, done.crc) == (len(data), zlib.crc32(data))
    assert done.header.raw[:4] in (struct.pack('<i', 348), struct.pack('<i', 540))
    assert _left(root) == ['a.nii.gz']


def test_transform_has_no_header(tmp_path, root):
    member = _zip(tmp_path, b'any bytes', name='transform/M_coreg_a.mat')
    done = Transfer(root).place(_row(member, target='a.mat'))
    assert done.header is None
    assert (root / 'a.mat').read_bytes() == b'any bytes'


def test_one_transfer_places_many_files(tmp_path, root):
    transfer = Transfer(root)
    transfer.place(_row(_zip(tmp_path)))
    small = nifti_bytes((2, 2, 2), seed=3)
    (tmp_path / 'more').mkdir()
    transfer.place(_row(_zip(tmp_path / 'more', small), target='b.nii.gz'))
    assert (root / TARGET).read_bytes() == IMAGE
    assert (root / 'b.nii.gz').read_bytes() == small


def test_local_header_with_an_extra_field(tmp_path, root):
    path = tmp_path / 'S.zip'
    info = zipfile.ZipInfo(f'S/{NAME}')
    info.extra = struct.pack('<HH6s', 0xCAFE, 6, b'abcdef')
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr(info, IMAGE)
    Transfer(root).place(_row(list_place(Place(path, 'S', True)).members[0]))
    assert (root / TARGET).read_bytes() == IMAGE


@pytest.mark.filterwarnings('ignore:Duplicate name')
@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_of_two_members_of_one_name_the_first_is_taken_and_the_other_named(tmp_path, root, method):
    path = tmp_path / 'S.zip'
    images = [nifti_bytes(seed=1), nifti_bytes(seed=2)]
    with zipfile.ZipFile(path, 'w', method) as archive:
        for image in images:
            archive.writestr(f'S/{NAME}', image)
    listing = list_place(Place(path, 'S', True))
    (member,) = listing.members
    Transfer(root).place(_row(member))
    assert (root / TARGET).read_bytes() == images[0]
    ((name, reason),) = listing.refused
    assert name == f'S/{NAME}'
    assert 'another member of this name' in reason


def _fails(root, row, kind, message):
    with pytest.raises(kind, match=message):
        Transfer(root).place(row)
    assert not _left(root)


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize('where', [0.1, 0.5, 0.99])
def test_flipped_byte(tmp_path, root, method, where):
    member = _zip(tmp_path, method=method)
    size = member.size if member.packed < 0 else member.packed
    place = member.offset + 30 + len(f'S/{NAME}') + int(where * size)
    flipped = bytes([member.path.read_bytes()[place] ^ 0xFF])
    patch(member.path, place, flipped)
    _fails(root, _row(member), ArchiveError, 'CRC-32|damaged')


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_crc_that_differs_from_the_directory(tmp_path, root, method):
    member = _zip(tmp_path, method=method)
    _fails(root, _row(member._replace(crc=member.crc ^ 1)), ArchiveError, 'CRC-32 differs')


@pytest.mark.parametrize('by', [-1, 1, 30, 10**9])
def test_wrong_offset(tmp_path, root, by):
    member = _zip(tmp_path)
    wrong = member._replace(offset=member.offset + by)
    _fails(root, _row(wrong), ArchiveError, 'points to a place without a file')


def test_wrong_offset_of_a_deflated_member(tmp_path, root):
    member = _zip(tmp_path, method=zipfile.ZIP_DEFLATED)
    _fails(root, _row(member._replace(offset=1)), ArchiveError, 'cannot be read')


def test_offset_of_another_member(tmp_path, root):
    _fails(root, _row(_zip(tmp_path)._replace(offset=0)), ArchiveError, 'CRC-32 differs')


def test_zip_that_shrank_since_it_was_listed(tmp_path, root):
    member = _zip(tmp_path)
    os.truncate(member.path, member.offset + 5000)
    _fails(root, _row(member), ArchiveError, 'is truncated')


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_that_is_gone(tmp_path, root, method):
    member = _zip(tmp_path, method=method)
    member.path.unlink()
    _fails(root, _row(member), ArchiveError, 'cannot be read')


DAMAGED = {
    'empty': b'',
    'truncated': IMAGE[:-9],
    'not gzip': b'<html>',
    'not NIfTI': gzip.compress(bytes(1000)),
}


@pytest.mark.parametrize('message', DAMAGED)
@pytest.mark.parametrize('action', ['zip', 'deflated zip', 'copy', 'link', 'hardlink', 'symlink'])
def test_damaged_image_that_was_packed_like_this(tmp_path, root, action, message):
    data = DAMAGED[message]
    if action.endswith('zip'):
        method = zipfile.ZIP_STORED if action == 'zip' else zipfile.ZIP_DEFLATED
        row = _row(_zip(tmp_path, data, method))
    else:
        row = _row(_file(tmp_path, data), action=action)
    _fails(root, row, ImageError, f'{NAME}: is {message}')


@pytest.mark.parametrize('action', ['copy', 'link', 'hardlink', 'symlink'])
def test_empty_transform(tmp_path, root, action):
    row = _row(_file(tmp_path, b'', 'transform/M_coreg_a.mat'), action=action, target='a.mat')
    _fails(root, row, ImageError, 'is empty')


@pytest.mark.parametrize('action', ['copy', 'link', 'hardlink', 'symlink'])
def test_file_of_a_folder(tmp_path, root, action):
    member = _file(tmp_path)
    done = Transfer(root).place(_row(member, action=action))
    target = root / TARGET
    assert target.read_bytes() == IMAGE
    assert target.is_symlink() == (action == 'symlink')
    linked = target.stat().st_ino == member.path.stat().st_ino
    assert linked == (action != 'copy')
    assert done.size == len(IMAGE)
    assert done.crc == (zlib.crc32(IMAGE) if action == 'copy' else None)
    assert done.header.size == 64**3 + 352


@pytest.mark.parametrize('action', ['link', 'hardlink', 'symlink'])
def test_file_of_a_download_cache(tmp_path, root, action):
    """A cache links to the content; our link must not hang on its relative target."""
    member = _file(tmp_path)
    (tmp_path / 'blob').write_bytes(IMAGE)
    member.path.unlink()
    member.path.symlink_to('../../blob')
    Transfer(root).place(_row(member, action=action))
    assert (root / TARGET).read_bytes() == IMAGE
    assert (root / TARGET).is_symlink() == (action == 'symlink')


def test_symbolic_link_from_a_relative_source(tmp_path, root, monkeypatch):
    member = _file(tmp_path)
    monkeypatch.chdir(tmp_path)
    relative = member._replace(path=member.path.relative_to(tmp_path))
    Transfer(root).place(_row(relative, action='symlink'))
    monkeypatch.chdir('/')
    assert (root / TARGET).read_bytes() == IMAGE


@pytest.mark.parametrize('action', ['copy', 'link', 'hardlink', 'symlink'])
def test_file_that_is_gone(tmp_path, root, action):
    member = _file(tmp_path)
    member.path.unlink()
    _fails(root, _row(member, action=action), ArchiveError, 'cannot be read')


def test_file_that_shrank_since_it_was_listed(tmp_path, root):
    member = _file(tmp_path)
    os.truncate(member.path, 100)
    _fails(root, _row(member), ArchiveError, 'is truncated')


@pytest.mark.parametrize('action', ['copy', 'link', 'hardlink', 'symlink'])
def test_target_that_is_there_is_replaced(tmp_path, root, action):
    make_nifti(root / TARGET)
    Transfer(root).place(_row(_file(tmp_path), action=action))
    assert (root / TARGET).read_bytes() == IMAGE
    assert _left(root) == ['a.nii.gz']


def test_target_that_is_there_survives_a_failure(tmp_path, root):
    before = make_nifti(root / TARGET).read_bytes()
    with pytest.raises(DataError):
        Transfer(root).place(_row(_file(tmp_path, b'')))
    assert (root / TARGET).read_bytes() == before


@pytest.fixture
def elsewhere(tmp_path):
    """Return a folder on another filesystem."""
    memory = Path('/dev/shm')
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip('there is no second filesystem here')
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_link_becomes_a_copy_on_another_filesystem(tmp_path, elsewhere):
    done = Transfer(elsewhere).place(_row(_file(tmp_path), action='link'))
    assert (elsewhere / TARGET).read_bytes() == IMAGE
    assert done.crc == zlib.crc32(IMAGE)
    assert _left(elsewhere) == ['a.nii.gz']


def test_hard_link_that_was_asked_for_fails_on_another_filesystem(tmp_path, elsewhere):
    with pytest.raises(DestinationError, match='no hardlink to') as found:
        Transfer(elsewhere).place(_row(_file(tmp_path), action='hardlink'))
    assert '--link auto' in found.value.hint
    assert not _left(elsewhere)


def test_symbolic_link_to_another_filesystem(tmp_path, elsewhere):
    Transfer(elsewhere).place(_row(_file(tmp_path), action='symlink'))
    assert (elsewhere / TARGET).read_bytes() == IMAGE


def test_twin_shares_the_bytes(tmp_path, root):
    member = _zip(tmp_path)
    transfer = Transfer(root)
    transfer.place(_row(member))
    done = transfer.place(_row(member, target='b.nii.gz', twin=TARGET))
    assert (root / 'b.nii.gz').stat().st_ino == (root / TARGET).stat().st_ino
    assert (done.size, done.crc) == (member.size, member.crc)
    assert done.header.size == 64**3 + 352


def test_twin_that_is_not_there_is_copied(tmp_path, root):
    Transfer(root).place(_row(_zip(tmp_path), target='b.nii.gz', twin=TARGET))
    assert (root / 'b.nii.gz').read_bytes() == IMAGE


def test_discard(tmp_path, root):
    transfer, row = Transfer(root), _row(_file(tmp_path), action='symlink')
    transfer.discard(row)
    transfer.place(row)
    transfer.discard(row)
    assert not (root / TARGET).is_symlink()
    assert row.member.path.exists()


def test_destination_that_is_a_file(tmp_path, root):
    root.write_text('')
    for row in (_row(_zip(tmp_path)), _row(_file(tmp_path), action='link')):
        with pytest.raises(DestinationError, match='a file where a folder should be'):
            Transfer(root).place(row)
