"""A member reads the same wherever it lies, and ends where it ends."""

import io
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import make_zip, nifti_bytes, patch

from mrrate_bids.archives import Place, list_place
from mrrate_bids.errors import ArchiveError, ImageError
from mrrate_bids.members import crc_of, opened, peek_member

DATA = nifti_bytes()
NAME = 'img/a.nii.gz'


def member_of(tmp_path, kind, data=DATA):
    """Return a member between two others, in a zip or on its own."""
    files = {'img/0': b'before' * 9, NAME: data, 'img/z': b'behind' * 9}
    if kind == 'folder':
        for name, content in files.items():
            (tmp_path / 'S' / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / 'S' / name).write_bytes(content)
        place = Place(tmp_path / 'S', 'S', False)
    else:
        method = zipfile.ZIP_STORED if kind == 'stored' else zipfile.ZIP_DEFLATED
        inside = {f'S/{name}': content for name, content in files.items()}
        place = Place(make_zip(tmp_path / 'S.zip', inside, method=method), 'S', True)
    (member,) = [m for m in list_place(place).members if m.name == NAME]
    return member


@pytest.fixture(params=['stored', 'deflated', 'folder'])
def kind(request):
    return request.param


def test_whole_content(tmp_path, kind):
    with opened(member_of(tmp_path, kind)) as file:
        assert file.read() == DATA
        assert file.read(1) == b''


@given(st.lists(st.tuples(st.integers(-20, 500), st.sampled_from([0, 1, 2]), st.integers(0, 99))))
def test_moves_like_a_file_of_its_own(tmp_path_factory, moves):
    reference = io.BytesIO(DATA)
    with opened(member_of(tmp_path_factory.mktemp('moves'), 'stored')) as file:
        for offset, whence, count in moves:
            origin = {0: 0, 1: reference.tell(), 2: len(DATA)}[whence]
            if origin + offset < 0:
                continue
            assert file.seek(offset, whence) == reference.seek(offset, whence)
            assert file.read(count) == reference.read(count)


def test_crc(tmp_path, kind):
    member = member_of(tmp_path, kind)
    assert crc_of(member) == zlib.crc32(DATA)
    assert member.crc in (None, zlib.crc32(DATA))


def test_header(tmp_path, kind):
    assert peek_member(member_of(tmp_path, kind)).size == 416


def test_truncated_image(tmp_path, kind):
    with pytest.raises(ImageError, match=rf'{NAME}: is truncated'):
        peek_member(member_of(tmp_path, kind, DATA[:-9]))


def test_file_that_is_gone(tmp_path):
    member = member_of(tmp_path, 'folder')
    member.path.unlink()
    with pytest.raises(ArchiveError, match='cannot be read'):
        crc_of(member)


def test_deflated_member_that_was_changed(tmp_path):
    member = member_of(tmp_path, 'deflated')
    patch(member.path, member.offset + 30 + len(f'S/{NAME}') + 30, b'\x00\xff\x00')
    with pytest.raises(ArchiveError, match=rf'{NAME}: damaged in .*S\.zip'):
        crc_of(member)


def test_directory_that_points_elsewhere(tmp_path):
    member = member_of(tmp_path, 'stored')
    with pytest.raises(ArchiveError, match='a place without a file'):
        crc_of(member._replace(offset=3))
