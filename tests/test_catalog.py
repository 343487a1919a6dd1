"""A release on disk in every shape it comes in."""

import os
import shutil

import pytest
from makers import make_release, make_table, make_zip

from mrrate_bids.archives import list_place
from mrrate_bids.catalog import open_release
from mrrate_bids.errors import SourceError
from mrrate_bids.naming import KINDS

STUDIES = [
    {
        'batch': 'batch00',
        'patient': '007',
        'study': 'AAAAAAAAAA',
        'series': ['t1w-raw-sag', 't2w-raw-axi'],
        'split': 'train',
        'report': 'first,\nline "two"',
        'labels': {'Gliosis': '1'},
    },
    {'batch': 'batch00', 'patient': '8', 'study': 'BBBBBBBBBB', 'series': ['t1w-raw-axi']},
    {'batch': 'batch01', 'patient': '007', 'study': 'CCCCCCCCCC', 'series': ['t1w-raw-axi']},
]


def _studies(release):
    return [study for name in release.batches for study in release.read_batch(name).studies]


def _problems(release):
    found = [p for name in release.batches for p in release.read_batch(name).problems]
    return found + release.problems


@pytest.mark.parametrize('zipped', [True, False], ids=['zips', 'folders'])
@pytest.mark.parametrize('merged', [True, False], ids=['merged', 'side by side'])
def test_release(tmp_path, zipped, merged):
    make_release(tmp_path, STUDIES, zipped=zipped, merged=merged)
    release = open_release(tmp_path)
    assert release.batches == ['batch00', 'batch01']
    assert not _problems(release)
    studies = _studies(release)
    assert [(s.batch, s.patient, s.study, len(s.rows)) for s in studies] == [
        ('batch00', '007', 'AAAAAAAAAA', 2),
        ('batch00', '8', 'BBBBBBBBBB', 1),
        ('batch01', '007', 'CCCCCCCCCC', 1),
    ]
    for study in studies:
        assert len(study.places) == (1 if merged and not zipped else 5)
        assert {place.zipped for place in study.places} == {zipped}
        assert {place.study for place in study.places} == {study.study}
        members = [m.name for place in study.places for m in list_place(place).members]
        expected = sum(
            kind.belongs_to(centre=row is study.rows[0])
            for kind in KINDS.values()
            for row in study.rows
        )
        assert len(set(members)) == len(members) == expected


def test_facts_of_a_study(tmp_path):
    make_release(tmp_path, STUDIES)
    first, second, _ = _studies(open_release(tmp_path))
    assert first.fact('reports', 'report') == 'first,\nline "two"'
    assert first.fact('splits', 'split') == 'train'
    assert first.fact('labels mrrate_labels', 'Gliosis') == '1'
    assert [first.fact('splits', 'gone'), first.fact('gone', 'x'), second.facts] == ['', '', {}]
    assert first.cell(first.rows[0], 'TE_ms') == '15.97'
    assert first.cell(first.rows[0], 'gone') == ''


def test_zips_are_preferred_to_folders(tmp_path):
    make_release(tmp_path, STUDIES[:1], zipped=False)
    make_release(tmp_path, STUDIES[:1], zipped=True)
    (study,) = _studies(open_release(tmp_path))
    assert [place.zipped for place in study.places] == [True] * 5 + [False] * 5


def test_some_studies_zipped_and_some_extracted(tmp_path):
    make_release(tmp_path, STUDIES)
    folder = tmp_path / 'MR-RATE/mri/batch00'
    shutil.unpack_archive(folder / 'BBBBBBBBBB.zip', folder)
    (folder / 'BBBBBBBBBB.zip').unlink()
    studies = {s.study: s for s in _studies(open_release(tmp_path))}
    native = [p for p in studies['BBBBBBBBBB'].places if p.path.parent == folder]
    assert [place.zipped for place in native] == [False]
    assert all(place.zipped for place in studies['AAAAAAAAAA'].places)


@pytest.mark.parametrize('name', ['MR-RATE', 'datasets--Forithmus--MR-RATE', 'İ b', 'x'])
def test_one_repository_of_any_name(tmp_path, name):
    make_release(tmp_path / 'all', STUDIES)
    native = tmp_path / name
    (tmp_path / 'all/MR-RATE').rename(native)
    for source in (native, tmp_path):
        studies = _studies(open_release(source))
        assert [len(study.places) for study in studies] == [1, 1, 1]


def test_repositories_of_any_name_side_by_side(tmp_path):
    make_release(tmp_path, STUDIES)
    for number, folder in enumerate(sorted(tmp_path.iterdir(), reverse=True)):
        folder.rename(tmp_path / f'{number}-snapshot')
    assert [len(study.places) for study in _studies(open_release(tmp_path))] == [5, 5, 5]


def test_repositories_that_are_links(tmp_path):
    make_release(tmp_path / 'real', STUDIES)
    (tmp_path / 'links').mkdir()
    for folder in (tmp_path / 'real').iterdir():
        (tmp_path / 'links' / folder.name).symlink_to(folder, target_is_directory=True)
    assert [len(s.places) for s in _studies(open_release(tmp_path / 'links'))] == [5, 5, 5]


def test_metadata_alone(tmp_path):
    make_release(tmp_path, STUDIES)
    shutil.rmtree(tmp_path / 'MR-RATE/mri')
    studies = _studies(open_release(tmp_path / 'MR-RATE'))
    assert [study.places for study in studies] == [[], [], []]


@pytest.mark.parametrize('name', ['.DS_Store', '.cache', '.AAAAAAAAAA.zip.part'])
def test_hidden_entries_belong_to_the_system(tmp_path, name):
    make_release(tmp_path, STUDIES)
    (tmp_path / 'MR-RATE/mri' / name).mkdir()
    (tmp_path / 'MR-RATE/mri/batch00' / name).mkdir()
    (tmp_path / name).mkdir()
    release = open_release(tmp_path)
    assert release.batches == ['batch00', 'batch01']
    assert not _problems(release)


def test_entry_that_is_no_place_is_named(tmp_path):
    make_release(tmp_path, STUDIES)
    (tmp_path / 'MR-RATE/mri/batch00/AAAAAAAAAA.zip.incomplete').write_bytes(b'')
    ((problem),) = _problems(open_release(tmp_path))
    assert problem.severity == 'warning'
    assert 'AAAAAAAAAA.zip.incomplete' in problem.message


def test_patient_with_studies_in_several_batches(tmp_path):
    make_release(tmp_path, STUDIES)
    batches = {s.batch for s in _studies(open_release(tmp_path)) if s.patient == '007'}
    assert batches == {'batch00', 'batch01'}


def test_no_folder(tmp_path):
    with pytest.raises(SourceError, match='gone is not a folder'):
        open_release(tmp_path / 'gone')
    (tmp_path / 'file').write_text('')
    with pytest.raises(SourceError, match='file is not a folder'):
        open_release(tmp_path / 'file')


def test_no_release(tmp_path):
    (tmp_path / 'a/b').mkdir(parents=True)
    with pytest.raises(SourceError, match='holds no MR-RATE repository'):
        open_release(tmp_path)


def test_images_without_metadata(tmp_path):
    make_release(tmp_path, STUDIES)
    shutil.rmtree(tmp_path / 'MR-RATE/metadata')
    with pytest.raises(SourceError, match='has images but no metadata') as found:
        open_release(tmp_path)
    assert 'Fetch the metadata' in found.value.hint


def test_batch_without_metadata(tmp_path):
    make_release(tmp_path, STUDIES)
    (tmp_path / 'MR-RATE/metadata/batch01_metadata.csv').unlink()
    release = open_release(tmp_path)
    assert release.batches == ['batch00', 'batch01']
    batch = release.read_batch('batch01')
    assert not batch.studies
    assert 'batch01_metadata.csv is missing: 1 studies' in batch.problems[0].message


def test_study_without_a_row(tmp_path):
    make_release(tmp_path, STUDIES)
    make_zip(tmp_path / 'MR-RATE-coreg/mri/batch01/DDDDDDDDDD_coreg.zip', {'a': b''})
    ((problem),) = _problems(open_release(tmp_path))
    assert (problem.study, problem.batch) == ('DDDDDDDDDD', 'batch01')
    assert 'DDDDDDDDDD_coreg.zip has no row in the metadata' in problem.message


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('\xff', 'not UTF-8'),
        ('study_uid,patient_uid\n', 'lacks the column series_id, is_center_modality'),
        ('"', 'lacks the column'),
        ('', 'lacks the column'),
    ],
)
def test_metadata_that_cannot_be_read(tmp_path, text, message):
    make_release(tmp_path, STUDIES)
    path = tmp_path / 'MR-RATE/metadata/batch00_metadata.csv'
    path.write_bytes(text.encode('latin-1'))
    release = open_release(tmp_path)
    batch = release.read_batch('batch00')
    assert not batch.studies
    assert message in batch.problems[0].message
    assert batch.problems[0].batch == 'batch00'
    assert len(release.read_batch('batch01').studies) == 1


@pytest.mark.parametrize(
    'table',
    ['reports/batch00_reports.csv', 'pathology_labels/mrrate_labels.csv', 'splits.csv'],
)
def test_other_table_that_cannot_be_read(tmp_path, table):
    make_release(tmp_path, STUDIES)
    path = tmp_path / 'MR-RATE' / table
    path.write_bytes(b'study_uid\n\xff\n')
    release = open_release(tmp_path)
    assert len(_studies(release)) == 3
    release = open_release(tmp_path)
    ((problem),) = _problems(release)
    assert table in problem.message
    assert problem.file == str(path)


@pytest.mark.parametrize(
    'table',
    ['reports/batch00_reports.csv', 'pathology_labels/mrrate_labels.csv', 'splits.csv'],
)
def test_table_that_is_missing_is_no_defect(tmp_path, table):
    make_release(tmp_path, STUDIES)
    (tmp_path / 'MR-RATE' / table).unlink()
    release = open_release(tmp_path)
    assert len(_studies(release)[0].facts) == 2
    assert not _problems(release)


def test_ragged_rows_are_named_and_left_out(tmp_path):
    make_release(tmp_path, STUDIES)
    path = tmp_path / 'MR-RATE/metadata/batch00_metadata.csv'
    path.write_text(path.read_text() + 'a,b\n')
    batch = open_release(tmp_path).read_batch('batch00')
    assert len(batch.studies) == 2
    assert 'data row 4 has 2 cells, the header has 11' in batch.problems[0].message


@pytest.mark.parametrize('table', ['reports/batch00_reports.csv', 'splits.csv'])
def test_study_with_two_records_in_a_table(tmp_path, table):
    make_release(tmp_path, STUDIES)
    path = tmp_path / 'MR-RATE' / table
    header, *rows = path.read_text().split('\n', 1)
    path.write_text('\n'.join([header, *rows]) + rows[0])
    release = open_release(tmp_path)
    assert release.read_batch('batch00').studies[0].facts
    release = open_release(tmp_path)
    ((problem),) = _problems(release)
    assert 'data rows 1, 2 speak of the same study' in problem.message
    assert problem.study == 'AAAAAAAAAA'


def test_columns_of_all_tables(tmp_path):
    make_release(tmp_path, STUDIES)
    quoted = tmp_path / 'MR-RATE/metadata/batch02_metadata.csv'
    quoted.write_bytes(b'\xef\xbb\xbf"study_uid","Odd, ""name"""\r\n')
    (tmp_path / 'MR-RATE/metadata/batch03_metadata.csv').write_bytes(b'\xff\n')
    columns = open_release(tmp_path).columns()
    assert {'TE_ms', "Patient'sAge", 'Odd, "name"', 'Gliosis', 'split', 'report'} <= set(columns)
    assert len(columns) == len(set(columns))
    assert not any('\ufeff' in column for column in columns)


def test_columns_differ_between_batches(tmp_path):
    make_release(tmp_path, STUDIES)
    path = tmp_path / 'MR-RATE/metadata/batch01_metadata.csv'
    row = {'study_uid': 'C', 'patient_uid': '1', 'series_id': 'x', 'is_center_modality': ''}
    make_table(path, [row | {'new': 'n'}])
    first, _, last = _studies(open_release(tmp_path))
    assert [last.cell(last.rows[0], name) for name in ('new', 'TE_ms')] == ['n', '']
    assert first.cell(first.rows[0], 'new') == ''


@pytest.mark.skipif(not os.geteuid(), reason='root may read anything')
def test_folder_that_may_not_be_read(tmp_path):
    make_release(tmp_path, STUDIES)
    folder = tmp_path / 'MR-RATE/mri/batch00'
    folder.chmod(0)
    try:
        with pytest.raises(SourceError, match='cannot be read'):
            open_release(tmp_path).read_batch('batch00')
    finally:
        folder.chmod(0o700)
