"""The studies of a dataset: which there are, their series, and their centre."""

import json
import re
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest
import small_bids
from app_studies import messages, single, t1w
from foreign_bids import Series, make_dataset
from makers import make_nifti

pytest.importorskip('bids')
pytest.importorskip('nipype')


from mrrate_bids.app import inputs
from mrrate_bids.app.inputs import find_studies, read_filter
from mrrate_bids.errors import UsageError
from mrrate_bids.selection import Shard


def test_studies_with_sessions(shared):
    found = find_studies(shared)
    assert messages(found) == []
    labels = [study.label for study in found.studies]
    assert labels == ['sub-01/ses-1', 'sub-02/ses-1', 'sub-02/ses-2', 'sub-03/ses-1']
    first = found.studies[0]
    assert (first.subject, first.session, first.key) == ('sub-01', 'ses-1', 'sub_01_ses_1')
    assert len(first.series) == 7
    assert len(first.moving) == 6
    assert first.centre not in first.moving


def test_two_sessions_are_two_studies(shared):
    found = find_studies(shared, participants=['02'])
    assert [len(study.series) for study in found.studies] == [1, 1]
    assert {study.series[0].folder for study in found.studies} == {
        'sub-02/ses-1/anat',
        'sub-02/ses-2/anat',
    }


def test_studies_without_sessions(plain):
    found = find_studies(plain)
    assert [study.label for study in found.studies] == ['sub-01', 'sub-02', 'sub-03']
    assert found.studies[0].centre.inside == 'sub-01/anat/sub-01_acq-mprage_T1w.nii.gz'
    assert found.studies[0].session == ''


@pytest.mark.parametrize('label', ['01', 'sub-01'])
@pytest.mark.parametrize('session', ['1', 'ses-1'])
def test_labels_with_or_without_prefix(label, session, shared):
    found = find_studies(shared, participants=[label], sessions=[session])
    assert [study.label for study in found.studies] == ['sub-01/ses-1']


def test_session_that_only_some_have(shared):
    found = find_studies(shared, sessions=['2'])
    assert [study.label for study in found.studies] == ['sub-02/ses-2']


def test_unknown_participant(shared):
    with pytest.raises(UsageError, match="has no participant '9'") as caught:
        find_studies(shared, participants=['01', '9'])
    assert caught.value.hint == 'It has 01, 02, 03.'


def test_unknown_session(shared, plain):
    with pytest.raises(UsageError, match="has no session '9'") as caught:
        find_studies(shared, sessions=['9'])
    assert caught.value.hint == 'It has 1, 2.'
    with pytest.raises(UsageError) as caught:
        find_studies(plain, sessions=['1'])
    assert caught.value.hint == 'It has none.'


def test_many_participants_are_not_all_named(tmp_path):
    for number in range(12):
        (tmp_path / f'sub-{number:02d}').mkdir()
    (tmp_path / 'dataset_description.json').write_text('{}')
    with pytest.raises(UsageError) as caught:
        find_studies(tmp_path, participants=['x'])
    assert caught.value.hint == 'It has 00, 01, 02, 03, 04, 05, 06, 07 ….'


def test_folder_without_subjects(tmp_path):
    (tmp_path / 'dataset_description.json').write_text('{}')
    with pytest.raises(UsageError, match='has no folder sub-'):
        find_studies(tmp_path)


@pytest.mark.parametrize('text', ['{', '[]'])
def test_description_that_is_broken(text, tmp_path):
    single(tmp_path, t1w())
    (tmp_path / 'dataset_description.json').write_text(text)
    with pytest.raises(UsageError, match='dataset_description'):
        find_studies(tmp_path)


def test_derivatives_inside_are_not_studies(tmp_path):
    root = make_dataset(tmp_path / 'bids', subjects=1, sessions=False)
    shutil.copytree(root / 'sub-01', root / 'derivatives/other/sub-01')
    shutil.copytree(root / 'sub-01', root / 'sourcedata/sub-01')
    (study,) = find_studies(root).studies
    assert len(study.series) == 7


@pytest.mark.parametrize(
    ('numbers', 'centre'),
    [
        ((9, 3), 'acq-b_T1w'),
        ((3, 9), 'acq-a_T1w'),
        ((None, 4), 'acq-b_T1w'),
        ((2, 2), 'acq-a_T1w'),
    ],
)
def test_centre_is_the_earliest_t1w(numbers, centre, tmp_path):
    said = [{} if n is None else {'SeriesNumber': n} for n in numbers]
    root = single(
        tmp_path, t1w('acq-a_T1w', **said[0]), t1w('acq-b_T1w', **said[1]), Series('FLAIR')
    )
    (study,) = find_studies(root).studies
    assert study.centre.image.name == f'sub-01_{centre}.nii.gz'


def test_centre_is_one_that_a_release_accepts(tmp_path):
    """A derived T1w comes first, and is no centre while there is an original one."""
    derived = t1w('acq-a_T1w', SeriesNumber=1, ImageType=['DERIVED'])
    root = single(tmp_path, derived, t1w('acq-b_T1w', SeriesNumber=2))
    (study,) = find_studies(root).studies
    assert study.centre.image.name == 'sub-01_acq-b_T1w.nii.gz'


def test_centre_where_a_release_accepts_none(tmp_path):
    root = single(tmp_path, t1w(SeriesNumber=1, ImageType=['DERIVED']))
    (study,) = find_studies(root).studies
    assert study.centre.suffix == 'T1w'


def test_no_t1w(tmp_path):
    root = single(tmp_path, Series('T2w'))
    single(tmp_path, t1w(), subject='sub-02')
    found = find_studies(root)
    assert [study.label for study in found.studies] == ['sub-02']
    assert messages(found) == ['has no T1w that can be the centre']
    assert found.failed == {'sub-01'}
    assert '--participant-label' in found.problems[0].remedy


def test_body_part_is_inherited(tmp_path):
    root = single(tmp_path, t1w(), Series('T2w', sidecar=None))
    (root / 'T2w.json').write_text('{"BodyPart": "SPINE"}')
    assert len(find_studies(root).problems) == 1


def test_sidecar_that_is_broken(tmp_path):
    root = single(tmp_path, t1w(), Series('T2w'))
    (root / 'sub-01/anat/sub-01_T2w.json').write_text('{')
    found = find_studies(root)
    assert [one.suffix for one in found.studies[0].series] == ['T1w']
    assert 'sub-01_T2w.json: is not readable as JSON' in messages(found)[0]


def test_other_files_are_no_series(tmp_path):
    root = single(tmp_path, t1w())
    for name in ('anat/sub-01_T1map.nii.gz', 'dwi/sub-01_dwi.nii.gz', 'func/sub-01_T1w.nii.gz'):
        make_nifti(root / 'sub-01' / name)
    assert len(find_studies(root).studies[0].series) == 1


def test_filter_file(tmp_path, shared):
    path = tmp_path / 'filter.json'
    path.write_text('{"t1w": {"acquisition": "mprage", "ceagent": null}, "bold": {"task": "x"}}')
    filters = read_filter(path)
    assert filters == {'t1w': {'acquisition': 'mprage', 'ceagent': None}}
    path.write_text('{"t2w": {"run": 2}, "t2starw": {"acquisition": "none"}}')
    (study,) = find_studies(shared, participants=['01'], filters=read_filter(path)).studies
    names = [one.image.name.partition('_ses-1_')[2] for one in study.series]
    assert 'run-2_T2w.nii.gz' in names
    assert not {'run-1_T2w.nii', 'acq-swi_T2starw.nii.gz'} & set(names)


@pytest.mark.parametrize('text', ['{', '[]', '{"T1": {}}', '{"t1w": 3}'])
def test_filter_file_that_is_none(text, tmp_path):
    (tmp_path / 'filter.json').write_text(text)
    with pytest.raises(UsageError, match=r'filter\.json'):
        read_filter(tmp_path / 'filter.json')
    with pytest.raises(UsageError):
        read_filter(tmp_path / 'none.json')


@pytest.mark.parametrize('text', ['{}', '{"bold": {"task": "rest"}, "fmap": {}}'])
def test_filter_file_of_other_apps_filters_nothing(text, tmp_path):
    (tmp_path / 'filter.json').write_text(text)
    assert read_filter(tmp_path / 'filter.json') == {}


def test_filter_for_any_value(tmp_path):
    small_bids.make_bids(tmp_path)
    every = [study.label for study in find_studies(tmp_path).studies]
    asked = {'t1w': {'session': '*', 'subject': '*', 'datatype': 'anat'}}
    assert [study.label for study in find_studies(tmp_path, filters=asked).studies] == every
    with pytest.raises(UsageError, match='the filter of t1w matches no image'):
        find_studies(tmp_path, filters={'t1w': {'run': '*'}})


def test_filter_that_leaves_nothing(shared):
    nothing = {
        suffix: {'acquisition': 'none'}
        for suffix in ('t1w', 't2w', 'flair', 't2starw', 'angio', 'pdw', 'swi')
    }
    with pytest.raises(UsageError, match='no anatomical image of what was asked for'):
        find_studies(shared, filters=nothing)
    with pytest.raises(UsageError, match='the filter of t1w matches no image'):
        find_studies(shared, filters={'t1w': {'acquisition': 'none'}})


def test_session_without_images(tmp_path):
    root = single(tmp_path, t1w(), session='ses-1')
    make_nifti(root / 'sub-01/ses-2/dwi/sub-01_ses-2_dwi.nii.gz')
    with pytest.raises(UsageError, match='no anatomical image of what was asked for') as caught:
        find_studies(root, participants=['01'], sessions=['2'])
    assert '--session-label' in caught.value.hint


@pytest.mark.parametrize('entity', ['acq', 'extra', 'Acquisition'])
def test_filter_with_an_entity_that_is_none(entity, shared):
    with pytest.raises(UsageError, match=f"the filter of t1w names '{entity}'") as caught:
        find_studies(shared, filters={'t1w': {entity: 'x'}})
    for known in ('acquisition', 'ceagent', 'reconstruction', 'run'):
        assert known in re.findall(r'\w+', caught.value.hint)


@pytest.mark.parametrize('value', [{'a': 1}, [[1]], [{}]])
def test_filter_with_a_value_that_is_none(value, tmp_path):
    (tmp_path / 'filter.json').write_text(json.dumps({'t1w': {'run': value}}))
    with pytest.raises(UsageError, match=r'filter\.json'):
        read_filter(tmp_path / 'filter.json')


@pytest.mark.parametrize(
    ('wanted', 'labels'),
    [
        ('01', ['sub-01']),
        ('sub-02', ['sub-02']),
        (['01', '02'], ['sub-01', 'sub-02']),
        (None, []),
        (1, []),
    ],
)
def test_filter_by_subject(wanted, labels, tmp_path):
    root = single(tmp_path, t1w(), Series('T2w'))
    single(tmp_path, t1w(), subject='sub-02')
    filters = {'t1w': {'subject': wanted}, 't2w': {'acquisition': 'none'}}
    if labels:
        found = find_studies(root, filters=filters)
        assert [study.label for study in found.studies] == labels
    else:
        with pytest.raises(UsageError, match='no anatomical image of what was asked for'):
            find_studies(root, filters=filters)


@pytest.mark.parametrize(
    ('entity', 'value'), [('extension', None), ('run', 10**30), ('acquisition', '\ud800')]
)
def test_filter_with_a_value_that_pybids_cannot_take(entity, value, tmp_path):
    root = single(tmp_path, t1w('run-1_T1w'))
    with pytest.raises(UsageError, match='what the filter of t1w says') as caught:
        find_studies(root, filters={'t1w': {entity: value}})
    assert '--bids-filter-file' in caught.value.hint


@pytest.mark.parametrize('wanted', ['1', ['1', '7'], None])
def test_filter_by_session(wanted, shared, plain):
    found = find_studies(plain if wanted is None else shared, filters={'t1w': {'session': wanted}})
    assert {study.session for study in found.studies} == {'' if wanted is None else 'ses-1'}


@pytest.mark.parametrize('index', [False, True])
def test_studies_are_the_same_when_few_subjects_are_looked_at_a_time(
    shared, tmp_path, monkeypatch, index
):
    whole = find_studies(shared)
    assert len({study.subject for study in whole.studies}) > 1
    monkeypatch.setattr(inputs, '_PART', 1)
    assert find_studies(shared, database=tmp_path / 'index' if index else None) == whole


def test_index_of_another_dataset(tmp_path):
    for name in ('one', 'other'):
        small_bids.make_bids(tmp_path / name)
    find_studies(tmp_path / 'one', database=tmp_path / 'index')
    with pytest.raises(UsageError, match=r'is the index of .*one'):
        find_studies(tmp_path / 'other', database=tmp_path / 'index')


def test_index_that_was_being_made_is_made_anew(tmp_path, monkeypatch):
    """And another run, at the same time, waits until it is whole."""
    bids, index = make_dataset(tmp_path / 'bids', subjects=2, sessions=False), tmp_path / 'index'
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr('bids.layout.index.BIDSLayoutIndexer.__call__', _interrupt)
        find_studies(bids, database=index)
    assert not (index / 'layout_index.sqlite').exists()
    assert list(index.iterdir()) != []
    with ThreadPoolExecutor(2) as pool:
        find = partial(find_studies, bids, database=index)
        parts = [pool.submit(find, shard=Shard(n, 2)) for n in (1, 2)]
    found = [study.label for part in parts for study in part.result().studies]
    assert found == ['sub-01', 'sub-02']
    assert sorted(path.name for path in index.iterdir()) == ['.lock', 'layout_index.sqlite']


def _interrupt(*_):
    raise KeyboardInterrupt


def test_index_that_is_not_whole(tmp_path):
    """As another program leaves it that was killed."""
    bids, index = make_dataset(tmp_path / 'bids', subjects=1, sessions=False), tmp_path / 'index'
    find_studies(bids, database=index)
    with closing(sqlite3.connect(index / 'layout_index.sqlite')) as database, database:
        database.execute('DELETE FROM layout_info')
    with pytest.raises(UsageError, match=f'{index}: cannot be used as an index') as caught:
        find_studies(bids, database=index)
    assert '--bids-database-dir' in caught.value.hint


def test_label_that_is_named_twice_is_in_one_part(tmp_path):
    bids = make_dataset(tmp_path / 'bids', subjects=2, sessions=False)
    twice = ['01', 'sub-01', '02']
    parts = [find_studies(bids, participants=twice, shard=Shard(n, 2)).studies for n in (1, 2)]
    assert [[study.label for study in part] for part in parts] == [['sub-01'], ['sub-02']]


def test_session_that_participants_lack_is_told_of_them(shared):
    with pytest.raises(UsageError, match=r"^sub-01 has no session '2'$") as caught:
        find_studies(shared, participants=['01'], sessions=['2'])
    assert caught.value.hint == 'It has 1.'


def test_participants_that_an_index_lacks_are_named(tmp_path):
    """An index is of the time at which it was made."""
    bids, index = make_dataset(tmp_path / 'bids', subjects=2, sessions=False), tmp_path / 'index'
    (bids / 'sub-empty').mkdir()
    assert messages(find_studies(bids, database=index)) == []
    shutil.copytree(bids / 'sub-02', bids / 'sub-03')
    for path in (bids / 'sub-03').rglob('*_*'):
        path.rename(path.with_name(path.name.replace('sub-02', 'sub-03')))
    found = find_studies(bids, database=index)
    assert [study.label for study in found.studies] == ['sub-01', 'sub-02']
    (problem,) = found.problems
    assert problem.severity == 'warning'
    assert problem.message == f'{index}: lacks sub-03, added since; nothing of that is computed'
    assert 'Remove that folder' in problem.remedy
    assert messages(find_studies(bids, participants=['02'], database=index)) == []
    with pytest.raises(UsageError, match=f'{index}: lacks sub-03') as caught:
        find_studies(bids, participants=['03'], database=index)
    assert '--bids-database-dir' in caught.value.hint
    assert len(find_studies(bids).studies) == 3


@pytest.mark.parametrize('count', [1, 2, 3, 5])
def test_parts_share_the_participants(count, shared):
    """Sessions of one stay together; a part may be empty."""
    parts = [find_studies(shared, shard=Shard(n, count)).studies for n in range(1, count + 1)]
    labels = [study.label for part in parts for study in part]
    assert sorted(labels) == [study.label for study in find_studies(shared).studies]
    people = [{study.subject for study in part} for part in parts]
    assert sum(map(len, people)) == 3


def test_part_has_what_was_asked_for_or_nothing(shared):
    """What only another part has is no mistake; what none has is one."""
    parts = [find_studies(shared, sessions=['2'], shard=Shard(n, 3)).studies for n in (1, 2, 3)]
    assert [len(part) for part in parts] == [0, 1, 0]
    with pytest.raises(UsageError, match="has no session '9'") as caught:
        find_studies(shared, sessions=['9'], shard=Shard(1, 3))
    assert caught.value.hint == 'It has 1, 2.'
    with pytest.raises(UsageError, match="has no participant '9'"):
        find_studies(shared, participants=['9'], shard=Shard(2, 3))
