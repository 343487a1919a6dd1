"""What a run computes: its options, the studies of a dataset, what is given, where results go."""

import dataclasses
import gc
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from foreign_bids import AXIAL, Series, make_dataset, write_series
from hdbet_weights import configure, edit, make_weights
from makers import make_nifti

pytest.importorskip('bids')
pytest.importorskip('nipype')

from nipype.interfaces.base import BaseInterfaceInputSpec, TraitedSpec, traits
from nipype.pipeline import engine as pe

from mrrate_bids.app import study as studies
from mrrate_bids.app.engine import Engine
from mrrate_bids.app.follower import Failure
from mrrate_bids.app.given import Given, parse_derivatives
from mrrate_bids.app.inputs import find_studies, read_filter
from mrrate_bids.app.ledger import Ledger
from mrrate_bids.app.options import DEFAULT_STEPS, EXTRACTORS, STEPS, Options
from mrrate_bids.app.places import Places
from mrrate_bids.app.plugin import LongestFirst
from mrrate_bids.app.run import ComputeRun, Scope
from mrrate_bids.app.slurm import Slurm
from mrrate_bids.app.study import Study, kind_of
from mrrate_bids.computing.brain_choice import Choice
from mrrate_bids.computing.presets import PRESETS, find_preset
from mrrate_bids.descriptions import describe_result
from mrrate_bids.errors import ResourceError, UsageError
from mrrate_bids.interfaces.base import Step
from mrrate_bids.naming import COMPUTED, KINDS
from mrrate_bids.problems import Problem
from mrrate_bids.selection import Shard
from mrrate_bids.sidecars import sidecar_path
from mrrate_bids.workflows.brain_mask import init_brain_mask_wf
from mrrate_bids.workflows.segment import init_segment_wf

MASK = '_space-orig_label-brain_desc-{}_mask.nii.gz'


@pytest.fixture(scope='module')
def shared(tmp_path_factory):
    """Return a dataset with sessions that no test may change."""
    return make_dataset(tmp_path_factory.mktemp('shared') / 'bids')


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    """Return a dataset without sessions that no test may change."""
    return make_dataset(tmp_path_factory.mktemp('plain') / 'bids', sessions=False)


def t1w(name='T1w', **sidecar):
    return Series(name, AXIAL, sidecar=sidecar)


def single(root, *series, subject='sub-01', session=''):
    """Return a dataset of one subject with these series."""
    root.mkdir(exist_ok=True)
    (root / 'dataset_description.json').write_text('{"Name": "One", "BIDSVersion": "1.8.0"}')
    for number, one in enumerate(series):
        write_series(root, subject, session, one, seed=number)
    return root


def messages(found):
    return [problem.message for problem in found.problems]


# Options


def test_steps_run_in_one_order():
    assert [step for step in STEPS if step in DEFAULT_STEPS] == list(DEFAULT_STEPS)
    assert 'seg' not in DEFAULT_STEPS  # its weights are under a licence of their own


@pytest.mark.parametrize('steps', [(), ('mask', 'segment')])
def test_steps_that_do_not_exist(steps):
    with pytest.raises(UsageError) as caught:
        Options(steps=steps)
    assert 'anatref' in caught.value.hint


def test_facts_are_what_results_depend_on():
    def facts(**change):
        return Options(**change).facts('coreg-image', defaced=True)

    usual = facts()
    for change in ({'seed': 1}, {'preset': 'fast'}, {'extractor': 'deepbet'}, {'buffer_mm': 3.0}):
        assert facts(**change) != usual
    for change in ({'steps': ('mask',)}, {'device': 'cpu'}, {'offline': True}):
        assert facts(**change) == usual


def test_weights_count_by_their_content(tmp_path, monkeypatch):
    def facts(folder, kind='brain-mask', **change):
        return Options(hdbet_weights=str(folder), **change).weights(kind)

    one = make_weights(tmp_path / 'one')
    usual = facts(one)
    assert facts(shutil.copytree(one, tmp_path / 'copy')) == usual
    assert facts(one, device='cuda:1') == usual
    assert str(tmp_path) not in str(usual)
    monkeypatch.setenv('MRRATE_BIDS_HDBET_WEIGHTS', str(one))
    assert facts('') == usual
    for name in ('fold_all/checkpoint_final.pth', 'plans.json'):
        shutil.copy(tmp_path / 'copy' / name, one / name)
        with (one / name).open('ab') as file:
            file.write(b' ')
        assert facts(one) != usual
        shutil.copy(tmp_path / 'copy' / name, one / name)
        assert facts(one) == usual
    assert facts(one, extractor='deepbet') == facts(tmp_path, extractor='deepbet')


def test_weights_of_the_segmentation_count_for_it_only(tmp_path):
    def facts(content, kind):
        (tmp_path / 'model.pt').write_bytes(content)
        return Options(nvseg_weights=str(tmp_path), extractor='deepbet').weights(kind)

    for kind in ('nvseg-brain', 'nvseg-body'):
        assert facts(b'a', kind) == facts(b'a', kind) != facts(b'b', kind)
    assert facts(b'a', 'brain-mask') == facts(b'b', 'brain-mask')


def test_weights_are_read_once_in_a_run(tmp_path, monkeypatch):
    opened, digest = [], hashlib.file_digest
    monkeypatch.setattr(
        hashlib, 'file_digest', lambda file, name: opened.append(file.name) or digest(file, name)
    )
    options = Options(hdbet_weights=str(make_weights(tmp_path / 'one')))
    for kind in ('brain-mask', 'defacing-mask', 'coreg-image'):
        options.weights(kind)
    assert len(opened) == 3


@pytest.mark.parametrize('kind', sorted({*COMPUTED, *KINDS} - {'image'}))
def test_every_kind_has_facts(kind):
    assert 'extractor' in Options().facts(kind, defaced=True)


def test_numbers_of_a_preset_count_and_not_its_name_only(monkeypatch):
    usual = Options().facts('coreg-transform', defaced=True)
    stage = find_preset('reference', 'coreg')[0]
    other = stage._replace(sampling=0.3)
    monkeypatch.setattr('mrrate_bids.app.options.find_preset', lambda name, step: (other,))
    assert Options().facts('coreg-transform', defaced=True) != usual


# Studies


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


@pytest.mark.parametrize('key', ['BodyPart', 'BodyPartExamined'])
@pytest.mark.parametrize('part', ['CSPINE', 'L-Spine', 'Neck'])
def test_spine_is_set_aside(key, part, tmp_path):
    root = single(tmp_path, t1w(BodyPart='HEAD'), Series('T2w', sidecar={key: part}))
    found = find_studies(root)
    assert [one.suffix for one in found.studies[0].series] == ['T1w']
    (problem,) = found.problems
    assert f'shows the {part.lower()}, not the head' in problem.message
    assert problem.file == 'sub-01/anat/sub-01_T2w.nii.gz'
    assert found.failed == set()


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


def test_packed_and_unpacked_image_of_one_name(tmp_path):
    root = single(tmp_path, t1w(), Series('T1w', AXIAL, packed=False))
    found = find_studies(root)
    assert [one.image.name for one in found.studies[0].series] == ['sub-01_T1w.nii']
    assert messages(found) == [
        'sub-01/anat/sub-01_T1w.nii.gz: is a second image of one name, packed and not; '
        'it was set aside'
    ]


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


@pytest.mark.parametrize('text', ['{', '[]', '{}', '{"bold": {}}', '{"t1w": 3}'])
def test_filter_file_that_filters_nothing(text, tmp_path):
    (tmp_path / 'filter.json').write_text(text)
    with pytest.raises(UsageError, match=r'filter\.json'):
        read_filter(tmp_path / 'filter.json')
    with pytest.raises(UsageError):
        read_filter(tmp_path / 'none.json')


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


# A study


def make_study(*names, subject='sub-01', session='ses-1'):
    folder = f'{subject}/{session}/anat' if session else f'{subject}/anat'
    stem = f'{subject}_{session}' if session else subject
    series = tuple(
        studies.Series(Path(f'/b/{stem}_{name}.nii.gz'), f'{folder}/{stem}_{name}.nii.gz')
        for name in names
    )
    return Study(subject, session, series, series[0])


def test_parts_of_a_name():
    study = make_study('acq-a+b_run-1_T1w', 'T2w')
    one, other = study.series
    assert (one.stem, one.suffix) == ('sub-01_ses-1_acq-a+b_run-1', 'T1w')
    assert (one.key, other.key) == ('acq_a_b_run_1_T1w', 'T2w')
    assert one.folder == 'sub-01/ses-1/anat'


@pytest.mark.parametrize('kind', [*KINDS, *COMPUTED])
def test_every_kind_has_a_path(kind):
    study = make_study('run-1_T1w')
    path = study.path(study.centre, kind_of(kind))
    assert path.startswith('sub-01/ses-1/anat/sub-01_ses-1_')
    assert ('run-1' in path) == (kind_of(kind).scope != 'session')


def test_files_of_a_session_bear_its_name():
    study = make_study('run-1_T1w', session='')
    path = study.path(study.centre, kind_of('anatref-image'))
    assert path == 'sub-01/anat/sub-01_desc-preproc_T1w.nii.gz'


# What is given


def place(root, name, content='x'):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def kinds_of(study):
    return [set(one.given) for one in study.series]


def test_our_datasets_are_found_by_their_name(tmp_path):
    inside = 'sub-01/ses-1/anat/sub-01_ses-1'
    place(tmp_path, f'{inside}{MASK.format("T1w")}')
    study = make_study('T1w', 'T2w')
    there = Given({'mrrate-defaced': tmp_path}).add_to(study)
    assert kinds_of(there) == [{'brain-mask'}, set()]
    assert there.centre is there.series[0]
    assert kinds_of(Given({'masks': tmp_path}).add_to(study)) == [set(), set()]


def test_every_kind_is_found_again(tmp_path):
    """What a run writes is what a later one looks for."""
    places = Places(tmp_path, Options())
    study = make_study('T1w', 'T2w')
    kinds = {*KINDS, *COMPUTED} - {'image', 'vista-seg', 'coreg-transform'}
    for kind in kinds:
        place(tmp_path, str(places.target(study, study.centre, kind).relative_to(tmp_path)))
    roots = {path.name: path for path in tmp_path.iterdir()}
    assert set(Given(roots).add_to(study).centre.given) == kinds


@pytest.mark.parametrize('space', [('MNI152NLin2009cSym', 1), ('MNI152NLin6Asym', 2)])
def test_atlas_files_of_another_template_are_not_taken(space, tmp_path):
    template, resolution = space
    options = Options(template=template, resolution=resolution)
    study = make_study('T1w')
    places = Places(tmp_path, options)
    path = places.target(study, study.centre, 'atlas-transform')
    place(path.parent, path.name)
    roots = {'mrrate-atlas': tmp_path / 'mrrate-atlas'}
    assert set(Given(roots, space=space).add_to(study).centre.given) == {'atlas-transform'}
    assert not Given(roots, space=('MNIOther', 1)).add_to(study).centre.given
    trusted = Given({}, lambda _: frozenset([path]), space=space)
    assert set(trusted.add_to(study).centre.given) == {'atlas-transform'}


def test_files_of_an_earlier_run(tmp_path):
    study = make_study('T1w')
    name = f'mrrate-defaced/sub-01/ses-1/anat/sub-01_ses-1{MASK.format("T1w")}'
    path = place(tmp_path, name)
    assert Given({}, lambda _: frozenset([path])).add_to(study).centre.given == {
        'brain-mask': path
    }
    wrong = place(tmp_path, name.replace('mrrate-defaced', 'other'))
    assert not Given({}, lambda _: frozenset([wrong])).add_to(study).centre.given


@pytest.mark.parametrize('foreign', [True, False])
def test_masks_of_other_pipelines(foreign, tmp_path):
    """The mask of the T1w, as fMRIPrep has it; not one in another space."""
    folder = tmp_path / 'sub-01/ses-1/anat'
    mask = place(folder, 'sub-01_ses-1_desc-brain_mask.nii.gz')
    place(folder, 'sub-01_ses-1_acq-x_space-MNI_desc-brain_mask.nii.gz')
    study = make_study('acq-a_T1w', 'acq-a_T2w')
    given = Given({'fmriprep': tmp_path}, foreign=foreign).add_to(study)
    assert given.series[0].given == ({'foreign-mask': mask} if foreign else {})
    assert not given.series[1].given
    mask.unlink()
    assert not Given({'fmriprep': tmp_path}, foreign=foreign).add_to(study).centre.given


@pytest.mark.parametrize(
    ('sidecar', 'carried'), [('{"Carried": true}', True), ('{}', False), ('', False), ('{', False)]
)
def test_mask_that_was_carried_over(sidecar, carried, tmp_path):
    name = f'sub-01/ses-1/anat/sub-01_ses-1{MASK.format("T1w")}'
    place(tmp_path, name)
    if sidecar:
        place(tmp_path, name.replace('.nii.gz', '.json'), sidecar)
    study = Given({'mrrate-defaced': tmp_path}).add_to(make_study('T1w'))
    assert study.centre.carried is carried


def test_derivatives_are_datasets_or_folders_of_them(tmp_path, monkeypatch):
    for name in ('all/mrrate-coreg', 'all/fmriprep/sub-01', 'all/logs', 'one', 'none'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'one/dataset_description.json').write_text('{}')
    place(tmp_path, 'all/file')
    one, several = tmp_path / 'one', tmp_path / 'all'
    assert parse_derivatives((f'mrrate-defaced={one}',)) == {'mrrate-defaced': one}
    assert parse_derivatives((str(one), str(one))) == {'one': one}
    assert parse_derivatives((str(several),)) == {
        'fmriprep': several / 'fmriprep',
        'mrrate-coreg': several / 'mrrate-coreg',
    }
    monkeypatch.chdir(tmp_path)
    assert parse_derivatives(('one', 'a=one')) == {'one': one, 'a': one}  # absolute
    assert parse_derivatives(('none',)) == {'none': tmp_path / 'none'}  # and is named as unused


@pytest.mark.parametrize('name', ['with space', 'a=b', 'é;$x'])
def test_derivatives_in_folders_of_any_name(name, tmp_path):
    (tmp_path / name / 'sub-01').mkdir(parents=True)
    path = tmp_path / name
    assert parse_derivatives((str(path), f'mine={path}')) == {name: path, 'mine': path}


def test_two_derivatives_of_one_name(tmp_path):
    for name in ('all/mrrate-coreg', 'more/mrrate-coreg'):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(UsageError, match='two datasets are called mrrate-coreg') as caught:
        parse_derivatives((str(tmp_path / 'all'), str(tmp_path / 'more/mrrate-coreg')))
    assert str(tmp_path / 'all/mrrate-coreg') in str(caught.value)


def test_derivatives_that_are_not_there(tmp_path):
    with pytest.raises(UsageError, match='there is no folder'):
        parse_derivatives((f'mrrate-defaced={tmp_path}/none',))


# Places


def test_targets_and_sidecars(tmp_path):
    study = make_study('T1w', 'T2w')
    places = Places(tmp_path, Options(preset='fast', seed=7, buffer_mm=5.0))
    moving = study.series[1]
    target = places.target(study, moving, 'coreg-transform')
    assert target == (
        tmp_path / 'mrrate-coreg/sub-01/ses-1/anat/sub-01_ses-1_from-T2w_to-T1w_mode-image_xfm.mat'
    )
    said = places.sidecar(study, moving, 'coreg-transform', {target})
    assert (said['Preset'], said['RandomSeed'], len(said['Parameters'])) == ('fast', 7, 2)
    assert said['FromFile'] == f'bids:raw:{moving.inside}'
    image = places.sidecar(study, moving, 'coreg-image', {target})
    assert image['Sources'] == [
        f'bids:raw:{moving.inside}',
        'bids::sub-01/ses-1/anat/sub-01_ses-1_from-T2w_to-T1w_mode-image_xfm.mat',
    ]
    assert places.sidecar(study, moving, 'coreg-image', set())['Sources'] == image['Sources'][:1]
    mask = places.sidecar(study, study.centre, 'defacing-mask', set())
    assert mask['Parameters'] == {'BufferMm': 5.0}


@pytest.mark.parametrize('preset', PRESETS)
def test_sidecars_of_both_registrations_tell_their_own_stages(preset, tmp_path):
    """With the reference preset only the one to the atlas begins with a coarse stage."""
    study = make_study('T1w', 'T2w')
    places = Places(tmp_path, Options(preset=preset))
    for series, step in ((study.series[1], 'coreg'), (study.centre, 'atlas')):
        said = places.sidecar(study, series, f'{step}-transform', set())['Parameters']
        assert said == [stage.describe() for stage in find_preset(preset, step)]
        assert ('SpacingMm' in said[0]) == ((preset, step) != ('reference', 'coreg'))


@pytest.mark.parametrize(
    ('extractor', 'words', 'carried'),
    [
        ('hd-bet', ['1 = brain (HD-BET)', 'found'] * 2, [False, False]),
        ('deepbet', ['1 = brain (deepbet)', 'found', '(deepbet)', 'carried'], [False, True]),
        ('derivatives', ['pipeline', 'taken over', 'pipeline', 'carried'], [False, True]),
    ],
)
def test_sidecar_of_a_mask_says_where_it_is_from(extractor, words, carried, tmp_path):
    study = make_study('T1w', 'T2w')
    places = Places(tmp_path, Options(extractor=extractor))
    said = [places.sidecar(study, one, 'brain-mask', set()) for one in study.series]
    assert [one['Carried'] for one in said] == carried
    text = ' '.join(one['Description'] for one in said)
    assert all(word in text for word in words)


def test_copies_of_a_mask_claim_no_tool_of_their_own(tmp_path):
    places = Places(tmp_path, Options(extractor='deepbet'))
    study = make_study('T1w', 'T2w')
    for kind in ('coreg-brain-mask', 'atlas-brain-mask'):
        said = places.sidecar(study, study.centre, kind, set())
        assert 'HD-BET' not in said['Description']


@pytest.mark.parametrize('extractor', EXTRACTORS)
def test_dataset_names_what_found_the_brains_and_versions(extractor, shared, tmp_path):
    folder = tmp_path / 'mrrate-defaced'
    folder.mkdir()
    describe_result(folder, folder.name, raw=shared, siblings=[], extractor=extractor)
    said = json.loads((folder / 'dataset_description.json').read_text())['GeneratedBy']
    tools = {one['Name']: one.get('Version') for one in said}
    finds = {'hd-bet': {'HD-BET'}, 'deepbet': {'deepbet'}, 'derivatives': set()}[extractor]
    assert finds == {'HD-BET', 'deepbet'} & set(tools)
    assert all(tools[name] for name in finds)


# The engine


class CountSpec(BaseInterfaceInputSpec):
    number = traits.Int(mandatory=True)
    fails = traits.Str()


class CountedSpec(TraitedSpec):
    number = traits.Int()


class Count(Step):
    """Add one, or fail."""

    input_spec, output_spec = CountSpec, CountedSpec

    def _compute(self, runtime):
        if self.inputs.fails == 'in words':
            raise UsageError('the voxels are wrong', hint='Look at them.')
        if self.inputs.fails == 'badly':
            raise ZeroDivisionError
        self._results['number'] = self.inputs.number + 1
        return runtime


def make_graph(name, **fails):
    """Return a graph of three nodes, one after the other."""
    workflow = pe.Workflow(name=name)
    nodes = [pe.Node(Count(), name=f'n{n}') for n in range(3)]
    nodes[0].inputs.number = 0
    for node in nodes:
        if node.name in fails:
            node.inputs.fails = fails[node.name]
    for one, other in itertools.pairwise(nodes):
        workflow.connect(one, 'number', other, 'number')
    return workflow


@pytest.mark.parametrize('processes', [1, 2])
def test_engine_tells_what_failed_and_goes_on(processes, tmp_path):
    graphs = [
        ('sub-01/ses-1', make_graph('sub_01_ses_1_wf')),
        ('sub-02', make_graph('sub_02_wf', n1='in words')),
        ('sub-03', make_graph('sub_03_wf', n0='badly')),
        ('sub-04', make_graph('sub_04_wf')),
    ]
    done = []
    engine = Engine(tmp_path / 'work', processes)
    failures = engine.run(graphs, watch=done.append)
    assert gc.get_freeze_count() == 0
    assert failures['sub-02'] == [Failure('the voxels are wrong', 'Look at them.')]
    ((message, hint),) = failures['sub-03']
    assert message.endswith('_wf.sub_03_wf.n0 failed unexpectedly')
    assert str(tmp_path / 'work/crash') in hint
    assert set(failures) == {'sub-02', 'sub-03'}
    # a bar that waited for the failed ones would never end
    assert sorted({progress.studies for progress in done} - {0}) == [1, 2, 3, 4]
    assert done[-1].all_steps == 12
    crashes = (tmp_path / 'work/crash').glob('*/crash-*.txt')
    assert sorted(path.parent.name for path in crashes) == ['sub-02', 'sub-03']


class Interrupt(Count):
    """Get what Ctrl-C sends, in the middle of the work."""

    def _compute(self, runtime):
        signal.raise_signal(signal.SIGINT)
        return super()._compute(runtime)


def test_ctrl_c_is_no_failure_of_a_node(tmp_path):
    """Nipype would go on with the other studies."""
    before, first, ran = signal.getsignal(signal.SIGINT), make_graph('sub_01_wf'), []
    node = pe.Node(Interrupt(number=0), name='n')
    first.add_nodes([node])
    graphs = [('sub-01', first), ('sub-02', make_graph('sub_02_wf'))]
    engine = Engine(tmp_path / 'work')
    with pytest.raises(KeyboardInterrupt):
        engine.run(graphs, watch=ran.append)
    assert not any(progress.studies for progress in ran)
    assert signal.getsignal(signal.SIGINT) is before
    assert gc.get_freeze_count() == 0


def test_engine_goes_on_from_what_is_there(tmp_path):
    """A failure of an earlier run is no failure of this one; what ended is not run again."""
    engine = Engine(tmp_path / 'work')
    graph = make_graph('sub_01_wf', n2='in words')
    assert 'sub-01' in engine.run([('sub-01', graph)], watch=lambda n: None)
    (first,) = (tmp_path / 'work').glob('mrrate_bids_*_wf/sub_01_wf/n0')
    before = {path.name: path.stat().st_mtime_ns for path in first.glob('result*')}
    done = []
    assert engine.run([('sub-01', make_graph('sub_01_wf'))], watch=done.append) == {}
    assert done[-1] == (1, 3, 3)
    assert before == {path.name: path.stat().st_mtime_ns for path in first.glob('result*')}


def test_failure_of_nipype_itself(tmp_path):
    engine = Engine(tmp_path, plugin={'plugin': 'NoSuchPlugin'})
    failures = engine.run([('sub-01', make_graph('sub_01_wf'))], watch=lambda n: None)
    ((message, _),) = failures['sub-01']
    assert message.startswith('Nipype failed: ')
    assert 'NoSuchPlugin' in message


def test_plugin_by_number_of_processes(tmp_path):
    follower = SimpleNamespace()
    assert Engine(tmp_path)._plugin(follower)['plugin'] == 'Linear'
    several = Engine(tmp_path, 3, 8.0)._plugin(follower)
    assert isinstance(several['plugin'], LongestFirst)
    asked = {'plugin': 'MultiProc', 'plugin_args': {'n_procs': 2}}
    named = Engine(tmp_path, 3, plugin=asked)._plugin(follower)['plugin']
    assert isinstance(named, LongestFirst)
    assert named.plugin_args['n_procs'] == 2
    assert several['plugin'].plugin_args['n_procs'] == 3
    assert several['plugin'].plugin_args['memory_gb'] == 8.0
    own = Engine(tmp_path, plugin={'plugin': 'SLURM', 'plugin_args': {'sbatch_args': '-p x'}})
    chosen = own._plugin(follower)['plugin']
    assert isinstance(chosen, Slurm)
    assert chosen.plugin_args == {'status_callback': follower, 'sbatch_args': '-p x'}
    other = Engine(tmp_path, plugin={'plugin': 'SGE', 'plugin_args': {'qsub_args': '-q x'}})
    assert other._plugin(follower)['plugin'] == 'SGE'


# A run


def compute(bids, out, **options):
    return ComputeRun(bids, out, scope=Scope(), options=Options(**options))


def test_output_is_not_the_dataset(shared):
    with pytest.raises(UsageError, match='is the dataset itself'):
        compute(shared, shared / '.')


@pytest.mark.parametrize('inside', ['results', 'sub-01', 'sourcedata'])
def test_output_does_not_lie_among_raw_files(inside, shared):
    with pytest.raises(UsageError, match='among the raw files'):
        compute(shared, shared / inside)
    compute(shared, shared / 'derivatives' / inside)


def test_folder_that_is_no_dataset(tmp_path):
    with pytest.raises(UsageError, match='has no dataset_description'):
        compute(tmp_path, tmp_path / 'out')


def test_weights_are_asked_for_only_where_they_are_needed(tmp_path, shared, monkeypatch):
    monkeypatch.delenv('MRRATE_BIDS_HDBET_WEIGHTS', raising=False)
    engine, none = Engine(tmp_path), str(tmp_path / 'none')
    for steps in (('mask',), ('deface',), ('anatref',)):
        run = compute(shared, tmp_path / 'out', steps=steps, hdbet_weights=none, device='cpu')
        graphs = [workflow for _, workflow, _ in run.pending()]
        with pytest.raises(ResourceError, match='HD-BET'):
            engine.check(run.options, graphs)
        engine.check(run.options, [])
    options = Options(steps=('seg',), nvseg_weights=none, device='cpu')
    with pytest.raises(ResourceError, match='none'):
        engine.check(options, [init_segment_wf(task='body')])


def _replace(name, content):
    """Return a function that overwrites a file of the weights."""
    return lambda folder: (folder / name).write_bytes(content)


def _no_patch_size(folder):
    configure(patch_size=None)(folder / 'plans.json')


def _no_orientation(folder):
    edit(image_reader_writer=None)(folder / 'plans.json')


def _wider(folder):
    plans = json.loads((folder / 'plans.json').read_text())
    architecture = plans['configurations']['3d_fullres']['architecture']
    architecture['arch_kwargs']['features_per_stage'] = [8, 16, 32]
    (folder / 'plans.json').write_text(json.dumps(plans))


@pytest.mark.parametrize(
    ('spoil', 'says'),
    [
        (_no_patch_size, "lacks 'patch_size'"),
        (_no_orientation, "lacks 'image_reader_writer'"),
        (_replace('fold_all/checkpoint_final.pth', b'<html>'), 'cannot be loaded'),
        (_wider, 'does not fit'),
    ],
)
def test_unusable_weights_of_hd_bet_end_the_run_before_it_begins(spoil, says, tmp_path, shared):
    weights = make_weights(tmp_path / 'weights')
    spoil(weights)
    options = {'hdbet_weights': str(weights), 'device': 'cpu'}
    run = compute(shared, tmp_path / 'out', steps=('mask',), **options)
    with pytest.raises(ResourceError, match=f'{weights}: .*{says}') as caught:
        run.execute(Engine(tmp_path / 'work'), watch=lambda *said: None)
    assert str(weights) in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ['weights']


@pytest.mark.parametrize('content', ['page', 'list', 'other network'])
def test_unusable_weights_of_the_segmentation_are_found_by_the_check(content, tmp_path):
    import torch

    path = tmp_path / 'model.pt'
    saved = {'list': [1, 2], 'other network': {'conv.weight': torch.zeros(3)}}
    if content == 'page':
        path.write_text('<html>')
    else:
        torch.save(saved[content], path)
    options = Options(steps=('seg',), nvseg_weights=str(tmp_path), device='cpu')
    with pytest.raises(ResourceError, match=f'{path}: holds no weights of NV-Segment-CTMR'):
        Engine(tmp_path).check(options, [init_segment_wf(task='body')])


@pytest.mark.parametrize(
    ('step', 'module', 'extra'),
    [
        ('anatref', 'ants', 'compute'),
        ('mask', 'nnunetv2', 'brain'),
        ('mask', 'torch', 'compute'),
        ('seg', 'monai', 'seg'),
        ('seg', 'einops', 'seg'),
    ],
)
def test_packages_that_a_run_needs_are_asked_for_first(
    step, module, extra, tmp_path, shared, monkeypatch
):
    run = compute(shared, tmp_path / 'out', steps=(step,), device='cpu')
    graphs = [workflow for _, workflow, _ in run.pending()]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ResourceError, match='not installed') as caught:
        Engine(tmp_path).check(run.options, graphs)
    assert caught.value.hint == f"pip install 'mrrate-bids[{extra}]'"
    Engine(tmp_path).check(run.options, [])


def _masks_of(tmp_path, weights, count=1):
    """Return graphs that find the brain in images of noise, with their labels."""
    graphs, choice = [], Choice('hd-bet', weights=str(weights), device='cpu')
    for number in range(count):
        path = tmp_path / f'{number}.nii.gz'
        if not path.exists():
            values = np.random.default_rng(number).integers(100, 900, (40, 40, 40), np.int16)
            nib.save(nib.Nifti1Image(values, np.diag([3.0, 3, 3, 1])), path)
        graph = init_brain_mask_wf(choice=choice, name=f'sub_{number}_wf')
        graph.inputs.inputnode.image = str(path)
        graphs.append((f'sub-{number}', graph))
    return graphs


@pytest.fixture
def coarse_weights(tmp_path):
    """Return weights for a grid of 3 mm, where a network is quick."""
    weights = make_weights(tmp_path / 'weights')
    configure(spacing=[3.0, 3.0, 3.0])(weights / 'plans.json')
    return weights


def test_each_worker_loads_the_network_once(tmp_path, coarse_weights, monkeypatch):
    from mrrate_bids.computing.hdbet import Extractor

    load = Extractor.load

    def count(*given, **more):
        with (tmp_path / 'loads').open('a') as file:
            file.write(f'{os.getpid()}\n')
        return load(*given, **more)

    monkeypatch.setattr(Extractor, 'load', count)
    graphs = _masks_of(tmp_path, coarse_weights, 6)
    engine = Engine(tmp_path / 'work', processes=2)
    options = Options(hdbet_weights=str(coarse_weights), device='cpu')
    engine.check(options, [graph for _, graph in graphs])
    assert engine.run(graphs, watch=lambda done: None) == {}
    workers = (tmp_path / 'loads').read_text().split()
    assert 1 <= len(workers) <= 2
    assert len(workers) == len(set(workers))
    assert str(os.getpid()) not in workers


def test_work_folder_does_not_remember_other_weights(tmp_path, coarse_weights):
    def found():
        engine = Engine(tmp_path / 'work')
        assert engine.run(_masks_of(tmp_path, coarse_weights), watch=lambda done: None) == {}
        (mask,) = (tmp_path / 'work').rglob('brain_mask.nii.gz')
        return mask.stat().st_mtime_ns, np.asarray(nib.load(mask).dataobj)

    first, second = found(), found()
    assert first[0] == second[0]
    others = make_weights(tmp_path / 'others', seed=1)
    checkpoint = 'fold_all/checkpoint_final.pth'
    shutil.copyfile(others / checkpoint, coarse_weights / checkpoint)
    third = found()
    assert (third[1] != first[1]).any()


def test_nothing_is_written_before_everything_is_there(tmp_path, shared):
    run = compute(shared, tmp_path / 'out', hdbet_weights=str(tmp_path), steps=('mask',))
    with pytest.raises(ResourceError):
        run.execute(Engine(tmp_path / 'work'), watch=lambda *said: None)
    assert list(tmp_path.iterdir()) == []


def test_studies_without_a_mask_are_refused(tmp_path, shared):
    scope = Scope(derivatives={'mrrate-defaced': tmp_path})
    options = Options(extractor='derivatives', steps=('mask',))
    run = ComputeRun(shared, tmp_path / 'out', scope=scope, options=options)
    assert run.found.studies == []
    assert len(run.found.failed) == 4
    assert messages(run.found)[-1].endswith('there is no brain mask of it in --derivatives')


def test_exported_datasets_in_the_output_are_used(tmp_path, plain):
    out = tmp_path / 'out'
    folder = out / 'mrrate-defaced/sub-02/anat'
    make_nifti(folder / f'sub-02_acq-mprage{MASK.format("T1w")}', dtype=np.uint8)
    run = compute(plain, out, steps=('mask',))
    assert not any(study.centre.given for study in run.found.studies)  # no dataset yet
    place(out, 'mrrate-defaced/dataset_description.json', json.dumps({'Name': 'x'}))
    run = compute(plain, out, extractor='derivatives', steps=('mask',))
    (study,) = run.found.studies
    assert study.label == 'sub-02'
    assert list(run.pending()) == []


@pytest.fixture
def ledger(tmp_path):
    return Ledger(Places(tmp_path / 'out', Options()))


def _real_study(root, *suffixes):
    """Return a study whose images exist."""
    images = []
    for suffix in suffixes:
        inside = f'sub-01/ses-1/anat/sub-01_ses-1_{suffix}.nii.gz'
        path = root / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(suffix.encode())
        images.append(studies.Series(path, inside))
    return Study('sub-01', 'ses-1', tuple(images), images[0])


def _computed(ledger, study, *kinds):
    """Return the targets of a run that wrote all of them."""
    places, targets = ledger._places, {}
    for series in study.series:
        for kind in (kind for kind in kinds if study.has(series, kind_of(kind))):
            path = places.target(study, series, kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('result')
            Path(sidecar_path(str(path))).write_text('{}')
            targets[path] = (kind, series.suffix)
    return targets


def test_what_was_computed_is_trusted(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w', 'T2w')
    targets = _computed(ledger, study, 'brain-mask', 'defacing-mask')
    assert ledger.trusted(study) == frozenset()
    assert ledger.record(study, targets, []).state == 'complete'
    assert ledger.trusted(study) == frozenset(targets)


def test_results_of_an_image_that_changed_are_not_trusted(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w', 'T2w')
    targets = _computed(ledger, study, 'brain-mask')
    ledger.record(study, targets, [])
    study.series[1].image.write_bytes(b'another image')
    mask = ledger._places.target(study, study.centre, 'brain-mask')
    assert ledger.trusted(study) == frozenset([mask])
    study.centre.image.write_bytes(b'another centre')  # on which everything hangs
    assert ledger.trusted(study) == frozenset()


def _with(tmp_path, **options):
    return Ledger(Places(tmp_path / 'out', Options(**options)))


def test_results_of_other_options_are_not_trusted_but_stay(ledger, tmp_path):
    """A run removes nothing that it does not compute anew; who asks as before gets it again."""
    study = _real_study(tmp_path / 'bids', 'T1w', 'T2w')
    targets = _computed(ledger, study, 'atlas-image', 'coreg-transform')
    ledger.record(study, targets, [])
    other = _with(tmp_path, seed=7)
    assert other.trusted(study) == frozenset()
    fresh = {path: pair for path, pair in targets.items() if pair[0] == 'atlas-image'}
    other.record(study, fresh, [])
    assert all(path.exists() for path in targets)
    assert other.trusted(study) == frozenset(fresh)
    assert ledger.trusted(study) == frozenset(targets) - frozenset(fresh)


@pytest.mark.parametrize(
    ('changed', 'stays'),
    [
        ({'seed': 7}, {'brain-mask', 'defacing-mask'}),
        ({'preset': 'fast'}, {'brain-mask', 'defacing-mask'}),
        ({'template': 'MNI152NLin6Asym'}, {'brain-mask', 'defacing-mask', 'coreg-transform'}),
        ({'buffer_mm': 3.0}, {'brain-mask', 'coreg-transform'}),
        ({'extractor': 'deepbet'}, set()),
        ({'offline': True}, {'brain-mask', 'defacing-mask', 'coreg-transform', 'atlas-image'}),
    ],
)
def test_a_result_depends_on_what_made_it_only(changed, stays, ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w', 'T2w')
    kinds = ('brain-mask', 'defacing-mask', 'coreg-transform', 'atlas-image')
    targets = _computed(ledger, study, *kinds)
    ledger.record(study, targets, [])
    trusted = _with(tmp_path, **changed).trusted(study)
    assert {targets[path][0] for path in trusted} == stays


def test_results_of_other_weights_are_not_trusted(tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    one, other = (make_weights(tmp_path / f'w{seed}', seed=seed) for seed in (0, 1))
    before = _with(tmp_path, hdbet_weights=str(one), device='cuda')
    targets = _computed(before, study, 'brain-mask')
    before.record(study, targets, [])
    moved = shutil.copytree(one, tmp_path / 'moved')
    shutil.copytree(other, one, dirs_exist_ok=True)
    assert _with(tmp_path, hdbet_weights=str(one), device='cuda').trusted(study) == frozenset()
    again = _with(tmp_path, hdbet_weights=str(moved), device='cpu')
    assert again.trusted(study) == frozenset(targets)


def test_masks_that_deepbet_carried_follow_from_registrations(tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    before = _with(tmp_path, extractor='deepbet')
    before.record(study, _computed(before, study, 'brain-mask'), [])
    assert _with(tmp_path, extractor='deepbet', seed=7).trusted(study) == frozenset()


def test_images_with_faces_are_not_taken_once_faces_go(tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    bare = _with(tmp_path, steps=('mask', 'coreg', 'anatref'))
    targets = _computed(bare, study, 'brain-mask', 'coreg-image', 'anatref-image')
    bare.record(study, targets, [])
    assert bare.trusted(study) == frozenset(targets)
    trusted = _with(tmp_path, steps=('mask', 'deface', 'coreg', 'anatref')).trusted(study)
    assert {targets[path][0] for path in trusted} == {'brain-mask'}


def test_defaced_images_are_taken_without_the_step_that_defaced_them(tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    first = _with(tmp_path, steps=('deface', 'coreg'))
    targets = _computed(first, study, 'defacing-mask', 'coreg-image')
    first.record(study, targets, [])
    assert _with(tmp_path, steps=('coreg',)).trusted(study) == frozenset(targets)


def test_results_of_an_image_that_is_no_more_go(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    targets = _computed(ledger, study, 'brain-mask', 'defacing-mask')
    ledger.record(study, targets, [])
    study.centre.image.write_bytes(b'another image')
    fresh = {path: pair for path, pair in targets.items() if pair[0] == 'brain-mask'}
    ledger.record(study, fresh, [])
    assert [path for path in targets if path.exists()] == list(fresh)


def test_result_without_its_sidecar_is_computed_again(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w', 'T2w')
    first, *others = targets = _computed(ledger, study, 'brain-mask')
    ledger.record(study, targets, [])
    Path(sidecar_path(str(first))).unlink()
    assert ledger.trusted(study) == frozenset(others)


def test_results_of_other_options_are_named(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    targets = _computed(ledger, study, 'brain-mask', 'atlas-image')
    ledger.record(study, targets, [])
    assert ledger.outdated(study) == []
    stale = [path for path, (kind, _) in targets.items() if kind == 'atlas-image']
    assert _with(tmp_path, seed=7).outdated(study) == stale


def test_work_folder_is_held_by_one_run(tmp_path):
    held = Engine(tmp_path / 'work').held()
    with held, pytest.raises(UsageError, match='another run'), Engine(tmp_path / 'work').held():
        pass
    with Engine(tmp_path / 'work').held():
        pass


def test_work_folder_that_cannot_be(tmp_path):
    (tmp_path / 'file').touch()
    for place in (tmp_path / 'file', tmp_path / 'file/in'):
        with pytest.raises(UsageError, match='cannot be a work folder'), Engine(place).held():
            pass


def test_what_was_edited_is_known(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    targets = _computed(ledger, study, 'brain-mask', 'defacing-mask')
    assert ledger.edited(study, targets) == []  # of a run that was interrupted
    ledger.record(study, targets, [])
    assert ledger.edited(study, targets) == []
    mask = next(iter(targets))
    mask.write_text('corrected by hand')
    assert ledger.edited(study, targets) == [mask]
    mask.unlink()
    assert ledger.edited(study, targets) == []
    ledger.forget(study, targets)  # a run begins, and is killed when it has written
    mask.write_text('something else')
    assert ledger.edited(study, targets) == []


def test_a_later_run_adds_to_what_is_there(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    first = _computed(ledger, study, 'brain-mask')
    ledger.record(study, first, [])
    second = _computed(ledger, study, 'defacing-mask')
    ledger.record(study, second, [])
    assert ledger.trusted(study) == frozenset([*first, *second])


def test_what_failed_is_forgotten_first(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    targets = _computed(ledger, study, 'brain-mask')
    ledger.forget(study, targets)
    problem = Problem('error', 'it failed')
    assert ledger.record(study, targets, [problem]).state == 'failed'
    assert ledger.trusted(study) == frozenset()


def test_results_are_taken_where_the_weights_are_not(tmp_path, shared):
    """One machine computes masks, another without weights goes on in the same folder."""
    out, weights = tmp_path / 'out', make_weights(tmp_path / 'weights')
    options = Options(hdbet_weights=str(weights), device='cpu')
    found = find_studies(shared)
    study = found.studies[0]
    there = Ledger(Places(out, options))
    target = Places(out, options).target(study, study.centre, 'brain-mask')
    target.parent.mkdir(parents=True)
    target.write_bytes(b'mask')
    Path(sidecar_path(str(target))).write_text('{}')
    there.record(study, {target: ('brain-mask', 'T1w')}, [], [])

    def trusts(folder):
        places = Places(out, dataclasses.replace(options, hdbet_weights=str(folder)))
        return Ledger(places).trusted(study) == {target}

    assert trusts(weights)
    assert trusts(tmp_path / 'nowhere')
    other = make_weights(tmp_path / 'other')
    edit(more=1)(other / 'plans.json')
    assert not trusts(other)


def test_what_a_session_has_once_hangs_on_its_centre(ledger, tmp_path):
    """Another image that changes takes nothing of it away."""
    study = _real_study(tmp_path / 'bids', 'T1w', 'T2w')
    targets = _computed(ledger, study, 'anatref-image')
    ledger.record(study, targets, [])
    (output,) = ledger.receipts.load('run', study.label).outputs
    assert output.series == study.centre.inside
    (moving,) = study.moving
    os.utime(moving.image, (1, 1))
    assert ledger.trusted(study) == frozenset(targets)
    ledger.record(study, {}, [])
    assert all(path.exists() for path in targets)
