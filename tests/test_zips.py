from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest

from mrrate_bids import zips
from mrrate_bids.errors import ArchiveError, DestinationError


def test_members_are_stored_sorted_below_the_study(tmp_path):
    source = tmp_path / 'mask'
    source.write_bytes(b'mask')
    target = tmp_path / 'mri' / 'batch00' / 'AB.zip'
    zips.write_study_zip(target, 'AB', {'seg/m.nii.gz': source, 'img/i.nii.gz': b'image'})
    with ZipFile(target) as archive:
        infos = archive.infolist()
        assert [i.filename for i in infos] == ['AB/img/i.nii.gz', 'AB/seg/m.nii.gz']
        assert {i.compress_type for i in infos} == {ZIP_STORED}
        assert {i.date_time for i in infos} == {(1980, 1, 1, 0, 0, 0)}
        assert {i.external_attr >> 16 for i in infos} == {0o100644}
        assert archive.read('AB/seg/m.nii.gz') == b'mask'
    assert [path.name for path in target.parent.iterdir()] == ['AB.zip']


def test_order_of_members_does_not_change_the_bytes(tmp_path):
    members = {'b': b'1', 'a': b'2', 'c/d': b'3'}
    zips.write_study_zip(tmp_path / 'x.zip', 'AB', members)
    zips.write_study_zip(tmp_path / 'y.zip', 'AB', dict(reversed(members.items())))
    assert (tmp_path / 'x.zip').read_bytes() == (tmp_path / 'y.zip').read_bytes()


@pytest.mark.parametrize('name', ['../x', '/x', 'a//b', 'a/./b', ''])
def test_a_path_outside_the_study_is_refused(tmp_path, name):
    with pytest.raises(ArchiveError):
        zips.write_study_zip(tmp_path / 'x.zip', 'AB', {name: b''})
    assert list(tmp_path.iterdir()) == []


def test_a_study_without_files_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match='without files'):
        zips.write_study_zip(tmp_path / 'x.zip', 'AB', {})


def test_what_reads_back_differently_replaces_nothing(tmp_path, monkeypatch):
    target = tmp_path / 'x.zip'
    zips.write_study_zip(target, 'AB', {'a': b'good'})
    before = target.read_bytes()
    write = zips._write

    def damage(draft, study_uid, members):
        write(draft, study_uid, members)
        path = Path(draft)
        path.write_bytes(path.read_bytes().replace(b'new content', b'New content'))

    monkeypatch.setattr(zips, '_write', damage)
    with pytest.raises(ArchiveError, match='AB/a'):
        zips.write_study_zip(target, 'AB', {'a': b'new content'})
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / 'mri').write_bytes(b'')
    with pytest.raises(DestinationError):
        zips.write_study_zip(tmp_path / 'mri' / 'x.zip', 'AB', {'a': b''})
