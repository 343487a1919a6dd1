import io
import zipfile

import fsspec
import pytest
from makers import make_nifti

from mrrate_bids.archives import Place, list_place
from mrrate_bids.errors import ArchiveError
from mrrate_bids.naming import KINDS
from mrrate_bids.plan import Row
from mrrate_bids.sources import name_of, open_source, state_of
from mrrate_bids.transfer import Transfer

URL = 'memory://release/2END5JBWVA.zip'


@pytest.fixture(params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def remote_zip(request, tmp_path):
    """Put a study into a filesystem that is no folder; return its image."""
    image = make_nifti(tmp_path / 'image.nii.gz').read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', request.param) as archive:
        archive.writestr('2END5JBWVA/img/2END5JBWVA_t1w-raw-axi.nii.gz', image)
    with fsspec.open(URL, 'wb') as file:
        file.write(buffer.getvalue())
    yield image
    fsspec.filesystem('memory').rm('/release', recursive=True)


def test_member_of_a_remote_zip_is_copied_by_its_range(remote_zip, tmp_path):
    (member,) = list_place(Place(URL, '2END5JBWVA', True)).members
    action = 'copy' if member.packed < 0 else 'inflate'
    row = Row(KINDS['image'], 't1w-raw-axi', action, member, 'sub-1/image.nii.gz')
    done = Transfer(tmp_path / 'bids').place(row)
    assert (tmp_path / 'bids/sub-1/image.nii.gz').read_bytes() == remote_zip
    assert done.crc == member.crc


def test_missing_remote_zip_is_named():
    with pytest.raises(ArchiveError, match=r'gone\.zip'):
        list_place(Place('memory://release/gone.zip', 'X', True))


def test_state_changes_with_the_file(tmp_path, remote_zip):
    path = tmp_path / 'a'
    path.write_bytes(b'1')
    before = state_of(path)
    path.write_bytes(b'12')
    assert state_of(path) != before
    assert state_of(URL)[0] == open_source(URL).seek(0, 2)


def test_a_folder_is_no_source(tmp_path):
    with pytest.raises(OSError, match='no file'):
        open_source(tmp_path)


def test_name_of_a_location(tmp_path):
    assert name_of('https://host/a/b.zip') == name_of(tmp_path / 'b.zip') == 'b.zip'
