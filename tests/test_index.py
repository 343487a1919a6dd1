"""The index answers as the tables say, whatever was indexed, and is renewed when they change."""

import json
import shutil
import time

import foreign_bids
import hostile
import pandas as pd
import pytest
from hostile import CENTRE, FAR, GOOD, MOVING, VICTIM

from mrrate_bids.catalog import open_release
from mrrate_bids.errors import SelectionError, UsageError
from mrrate_bids.index import Index, Query, answer
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


@pytest.fixture
def bids(source, tmp_path):
    assert hostile.export(source, tmp_path / 'bids').code == 0
    return tmp_path / 'bids'


@pytest.mark.parametrize('where', CONDITIONS)
def test_release_and_dataset_answer_as_an_export_would(where, source, bids):
    release = open_release(source)
    expected = {
        (study.study, series)
        for name in release.batches
        for study, listed in select(release.read_batch(name), Selection(where=where))
        for series in listed
    }
    assert found(source, where) == found(bids, where) == expected
    assert expected or 'Sex' in where


@pytest.mark.parametrize(
    ('selection', 'expected'),
    [
        (Selection(studies=(VICTIM,), planes=('axi',)), 3),
        (Selection(modalities=('FLAIR',)), 1),
        (Selection(batches=('1',)), 1),
        (Selection(splits=('train',), patients=('11', '22')), 1),
    ],
)
def test_short_options(selection, expected, source):
    assert len(found(source, selection=selection)) == expected


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


def test_damaged_zip_is_named_and_the_rest_is_found(source, studies):
    studies[1].zip_of(source).write_bytes(b'PK')
    index = Index(source)
    index.renew()
    assert [p.study for p in index.problems] == [VICTIM]
    assert len(answer(index, Query(kinds=('image',))).frame) == 2


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


def test_what_is_neither_release_nor_dataset(tmp_path):
    with pytest.raises(UsageError, match='neither a release nor a BIDS dataset'):
        Index(tmp_path).renew()


def test_unknown_column(source):
    index = Index(source)
    index.renew()
    with pytest.raises(SelectionError, match='TE_m') as caught:
        answer(index, Query('TE_m > 3'))
    assert 'TE_ms' in caught.value.hint
    with pytest.raises(SelectionError, match='--columns'):
        answer(index, Query(columns=('nothing',)))
