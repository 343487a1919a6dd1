"""Where results go, and what their sidecars say."""

import json

import pytest
from app_studies import make_study

pytest.importorskip('bids')
pytest.importorskip('nipype')


from mrrate_bids.app.options import EXTRACTORS, Options
from mrrate_bids.app.places import Places
from mrrate_bids.computing.presets import PRESETS, find_preset
from mrrate_bids.descriptions import describe_result
from mrrate_bids.sidecars import inherited


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
    assert 'Quickshear' not in tools  # the program: ours does it, and perhaps nothing was defaced


@pytest.mark.parametrize('extractor', EXTRACTORS)
@pytest.mark.parametrize('kind', ['brain-mask', 'coreg-brain-mask', 'atlas-brain-mask'])
def test_no_mask_overrides_what_holds_for_all(kind, extractor, tmp_path):
    """The validator warns of a field that differs from the one at the root of the dataset."""
    study, places = make_study('T1w', 'T2w'), Places(tmp_path, Options(extractor=extractor))
    _, root, _ = inherited(kind, 'T1w')
    for series in study.series[: 2 if kind == 'brain-mask' else 1]:
        own = places.sidecar(study, series, kind, set())
        assert {k: v for k, v in own.items() if root.get(k, v) != v} == {}
    assert 'HD-BET' not in str(root)


@pytest.mark.parametrize('preset', PRESETS)
@pytest.mark.parametrize('kind', ['coreg-transform', 'atlas-transform'])
def test_no_transform_overrides_what_holds_for_all(kind, preset, tmp_path):
    """Presets differ in their parameters: those stand beside each transform."""
    study, places = make_study('T1w', 'T2w'), Places(tmp_path, Options(preset=preset))
    _, root, _ = inherited(kind, 'T1w')
    own = places.sidecar(study, study.series[kind == 'coreg-transform'], kind, set())
    assert {'Software', 'Preset', 'Parameters'} <= own.keys()
    assert root.keys().isdisjoint(own)
    assert 'sampling 0' not in str(root)
    assert 'ampling 0.2' in inherited(kind, 'T1w', released=True)[1]['Software']
