"""The index answers as the tables say, whatever was indexed, and is renewed when they change."""

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import foreign_bids
import hostile
import pandas as pd
import pytest
from hostile import CENTRE, FAR, GOOD, MOVING, VICTIM
from hypothesis import given
from hypothesis import strategies as st

from mrrate_bids.catalog import open_release
from mrrate_bids.errors import DestinationError, SelectionError, UsageError
from mrrate_bids.index import Index, Query, answer
from mrrate_bids.index.shorthand import lengthen, shorten
from mrrate_bids.selection import Selection, select

CONDITIONS = [
    "modality == 'FLAIR'",
    'age > 40 and TE_ms < 16',
    "split in ['val', 'test']",
    "report.str.contains('VICTIM')",
    'Gliosis == 1 and FieldStrength_T >= 1.5',
    "patient == '11' or study == 'FARCCCCCCC'",
    "`Patient'sSex` != 'F'",
    'is_center_modality',
    "batch == 'batch01'",
]


def found(root, where='', **more):
    """Return the pairs of study and series that an index finds."""
    index = Index(root)
    index.renew()
    frame = answer(index, Query(where, **more)).frame
    return set(zip(frame['study_uid'], frame['series_id'], strict=True))


def exported_by(source, selection):
    """Return the pairs of study and series that an export would take."""
    release = open_release(source)
    return {
        (study.study, series)
        for name in filter(selection.has_batch, release.batches)
        for study, listed in select(release.read_batch(name), selection)
        for series in listed
    }


@pytest.fixture
def bids(source, tmp_path):
    assert hostile.export(source, tmp_path / 'bids').code == 0
    return tmp_path / 'bids'


@pytest.mark.parametrize('where', CONDITIONS)
def test_release_and_dataset_answer_as_an_export_would(where, source, bids):
    expected = exported_by(source, Selection(where=where))
    assert found(source, where) == found(bids, where) == expected
    assert expected or 'Sex' in where


@pytest.mark.parametrize(
    'selection',
    [
        Selection(studies=(VICTIM,), planes=('axi',)),
        Selection(modalities=('FLAIR',)),
        Selection(batches=('1',)),
        Selection(splits=('train',), patients=('11', '22')),
    ],
)
def test_short_options_mean_what_they_mean_to_an_export(selection, source, bids):
    expected = exported_by(source, selection)
    assert expected
    assert found(source, selection=selection) == found(bids, selection=selection) == expected


def test_short_options_of_series_that_somebody_else_named(tmp_path):
    root = foreign_bids.make_dataset(tmp_path / 'data')
    flair = found(root, selection=Selection(modalities=('FLAIR',)))
    assert flair == {('sub-01/ses-1', 'FLAIR')}


def test_image_that_went_from_a_dataset(bids):
    assert (VICTIM, MOVING) in found(bids)
    for path in bids.rglob(f'*{VICTIM}*FLAIR*'):
        path.unlink()
    assert (VICTIM, MOVING) not in found(bids)


def test_file_whose_series_has_no_row_is_told(source):
    path = source / 'MR-RATE/metadata/batch00_metadata.csv'
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(''.join(line for line in lines if MOVING not in line))
    assert (VICTIM, MOVING) in found(source)


@pytest.mark.parametrize('layout', ['zip', 'extracted', 'merged'])
def test_every_file_has_a_row_that_leads_to_it(layout, studies, tmp_path):
    root = hostile.write_release(tmp_path / 'release', studies, layout=layout)
    index = Index(root)
    index.renew()
    frame = answer(index, Query()).table
    assert len(frame) == sum(len(files) for study in studies for files in study.files.values())
    for path, member in zip(frame['path'], frame['member'], strict=True):
        assert (root / path).is_file()
        assert bool(member) == (layout == 'zip')


def test_dataset_of_somebody_else(tmp_path):
    root = foreign_bids.make_dataset(tmp_path / 'data')
    assert len(found(root, "modality == 'T1w' and EchoTime > 0")) == 5
    assert found(root, "age == 21 and suffix == 'FLAIR'") == {('sub-01/ses-1', 'FLAIR')}
    assert len(found(root, "group == 'control'")) == 10


def test_only_what_changed_is_indexed_again(source):
    index = Index(source)
    index.renew()
    parts = sorted((source / '.mrrate-bids/index').glob('*.parquet'))
    before = [path.stat().st_mtime_ns for path in parts]
    time.sleep(0.01)
    path = source / 'MR-RATE/metadata/batch01_metadata.csv'
    path.write_text(path.read_text().replace('15.97', '99.5'))
    assert found(source, 'TE_ms == 99.5') == {(FAR, CENTRE)}
    after = [path.stat().st_mtime_ns for path in parts]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False]


@pytest.mark.parametrize('layout', ['extracted', 'merged'])
def test_file_that_went_from_an_extracted_release(layout, studies, tmp_path):
    root = hostile.write_release(tmp_path / 'release', studies, layout=layout)
    assert (VICTIM, MOVING) in found(root, kinds=('image',))
    next(root.rglob(studies[1].image(MOVING))).unlink()
    assert (VICTIM, MOVING) not in found(root, kinds=('image',))
    hostile.write_files(studies[1].folder_of(root), studies[1].files['MR-RATE'])
    assert (VICTIM, MOVING) in found(root, kinds=('image',))


def test_studies_that_came_and_went(source, studies):
    assert (VICTIM, MOVING) in found(source)
    for repository in studies[1].files:
        studies[1].zip_of(source, repository).unlink()
    assert VICTIM not in {study for study, _ in found(source)}
    shutil.rmtree(source / 'MR-RATE/metadata')
    (source / 'MR-RATE/metadata').mkdir()
    for batch in ('batch00',):
        rows = studies[0].rows
        hostile.write_csv(
            source / f'MR-RATE/metadata/{batch}_metadata.csv', hostile.METADATA, rows
        )
    assert {study for study, _ in found(source)} == {GOOD}


@pytest.mark.parametrize('damage', ['parquet', 'manifest', 'gone'])
def test_damaged_index_is_made_anew(damage, source):
    expected = found(source)
    home = source / '.mrrate-bids/index'
    if damage == 'manifest':
        (home / 'manifest.json').write_text('{"format": ')
    for path in home.glob('*.parquet'):
        if damage == 'parquet':
            path.write_bytes(b'garbage')
        elif damage == 'gone':
            path.unlink()
    assert found(source) == expected


def test_bit_that_flips_on_the_disk_never_changes_an_answer(source):
    def told():
        index = Index(source)
        index.renew()
        return answer(index, Query()).table

    expected, path = told(), source / '.mrrate-bids/index/batch00.parquet'
    for part in range(1, 40):
        data, state = bytearray(path.read_bytes()), path.stat()
        end = len(data) - int.from_bytes(data[-8:-4], 'little')  # of the cells
        data[end * part // 40] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        pd.testing.assert_frame_equal(told(), expected)


@pytest.fixture
def read_only(source):
    """Make a release read-only, for root as well; it is indexed before."""
    if os.geteuid():
        pytest.skip('mounting takes root')
    found(source)
    path = source / 'MR-RATE/metadata/batch01_metadata.csv'
    path.write_text(path.read_text().replace('15.97', '99.5'))
    mount = [['mount', '--bind', source, source], ['mount', '-o', 'remount,ro,bind', source]]
    if subprocess.run(mount[0], capture_output=True, check=False).returncode:
        pytest.skip('nothing can be mounted here')
    subprocess.run(mount[1], check=True)
    yield source
    subprocess.run(['umount', source], check=True)


def test_old_index_that_cannot_be_renewed_gives_way_to_the_cache(read_only, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert found(read_only, 'TE_ms == 99.5') == {(FAR, CENTRE)}
    parts = sorted((tmp_path / 'cache').rglob('*.parquet'))
    stamps = [path.stat().st_mtime_ns for path in parts]
    assert len(found(read_only)) == 5
    assert [path.stat().st_mtime_ns for path in parts] == stamps
    monkeypatch.setenv('XDG_CACHE_HOME', str(read_only))
    with pytest.raises(DestinationError, match='written neither'):
        found(read_only)


def test_runs_at_the_same_time_all_answer(source):
    command = [sys.executable, '-m', 'mrrate_bids', 'select', str(source)]

    def ask(_):
        done = subprocess.run(command, capture_output=True, check=False)
        return done.returncode, done.stdout

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert len(found(source)) == 5


def test_folder_that_cannot_be_written_is_indexed_in_the_cache(source, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    (source / '.mrrate-bids').write_text('in the way')
    before = hostile.tree(source)
    assert (GOOD, CENTRE) in found(source)
    assert hostile.tree(source) == before
    assert list((tmp_path / 'cache').rglob('*.parquet'))


def test_index_of_a_copy_is_its_own(source, tmp_path):
    found(source)
    copy = shutil.copytree(source, tmp_path / 'copy')
    manifest = copy / '.mrrate-bids/index/manifest.json'
    assert json.loads(manifest.read_text())['root'] == str(source)
    assert found(copy) == found(source)
    assert json.loads(manifest.read_text())['root'] == str(copy)


def problems_of(root):
    """Index a folder; return the problems and how many images there are."""
    index = Index(root)
    index.renew()
    return index.problems, len(answer(index, Query(kinds=('image',))).frame)


def test_damaged_zip_is_named_each_time_and_read_again_once_it_is_mended(source, studies):
    path, part = studies[1].zip_of(source), source / '.mrrate-bids/index/batch00.parquet'
    whole = path.read_bytes()
    path.write_bytes(b'PK')
    (problem,), images = problems_of(source)
    assert (problem.study, images) == (VICTIM, 2)
    before = part.stat().st_mtime_ns
    assert problems_of(source) == ([problem], 2)
    assert part.stat().st_mtime_ns == before
    path.write_bytes(whole)
    assert problems_of(source) == ([], 5)


@pytest.mark.parametrize(
    'table', ['splits.csv', 'pathology_labels/mrrate_labels.csv', 'reports/batch00_reports.csv']
)
def test_damaged_table_is_named_once_and_the_rest_is_found(table, source):
    (source / 'MR-RATE' / table).write_bytes(b'\xff\xfe')
    for _ in range(2):
        (problem,), images = problems_of(source)
        assert table in problem.message
        assert images == 5


def test_damaged_table_and_sidecar_of_a_dataset_are_named(bids):
    (bids / 'participants.tsv').write_text('participant_id\tsex\nsub-11\n')
    next(bids.glob(f'sub-*/ses-{GOOD}/anat/*_T1w.json')).write_text('{')
    for _ in range(2):
        found_problems, images = problems_of(bids)
        assert len(found_problems) == 2
        assert images == 5


def test_session_that_was_removed_or_told_otherwise(bids):
    assert (VICTIM, MOVING) in found(bids)
    for folder in bids.rglob(f'ses-{VICTIM}'):
        shutil.rmtree(folder)
    assert VICTIM not in {study for study, _ in found(bids)}
    (sessions,) = bids.glob('sub-11/*_sessions.tsv')
    sessions.write_text(sessions.read_text().replace('train', 'test'))
    assert found(bids, "split == 'train'") == set()


def test_derivative_dataset_is_no_place_to_begin(bids):
    with pytest.raises(UsageError, match='is a derivative dataset'):
        found(bids / 'derivatives/mrrate-coreg')


def test_release_without_files_has_nothing_to_find(source):
    for folder in source.glob('*/mri'):
        shutil.rmtree(folder)
    assert found(source, selection=Selection(splits=('val',))) == set()


def test_several_releases_are_named(source):
    shutil.copytree(source / 'MR-RATE', source / 'MR-RATE-2')
    with pytest.raises(UsageError, match='several releases'):
        found(source)


def test_index_is_seen_by_no_other_command(release, copied, tmp_path):
    root = shutil.copytree(release, tmp_path / 'release')
    for place in (root, copied):
        assert found(place)
        assert hostile.command('validate', place).code == 0
    assert hostile.export(root, copied).code == 0


def test_parquet_of_a_unit_has_a_row_per_file_with_every_column(source):
    found(source)
    frame = pd.read_parquet(source / '.mrrate-bids/index/batch00.parquet')
    assert len(frame) == 38
    row = frame[(frame['study_uid'] == VICTIM) & (frame['kind'] == 'brain-mask')].iloc[0]
    assert (row['TE_ms'], row['split'], row['Gliosis']) == ('15.97', 'val', '1')
    assert row['report'].startswith('Head of')


@pytest.mark.parametrize('name', ['empty', 'nowhere'])
def test_what_is_neither_release_nor_dataset_stays_as_it_is(name, tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UsageError, match='neither a release nor a BIDS dataset'):
        found(tmp_path / name)
    assert [path.name for path in tmp_path.rglob('*')] == ['empty']


@given(st.text(alphabet='abps/-7'), st.text(alphabet='abps7'), st.text(alphabet='abps7'))
def test_shorthand_gives_every_path_back(path, study, patient):
    assert lengthen(shorten(path, study, patient), study, patient) == path


def test_unknown_column(source):
    index = Index(source)
    index.renew()
    with pytest.raises(SelectionError, match='TE_m') as caught:
        answer(index, Query('TE_m > 3'))
    assert 'TE_ms' in caught.value.hint
    with pytest.raises(SelectionError, match='--columns'):
        answer(index, Query(columns=('nothing',)))
