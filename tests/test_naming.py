"""The naming table is a bijection, and its BIDS side is legal BIDS."""

import itertools
import re

import pytest
from bidsschematools.schema import load_schema
from hypothesis import example, given
from hypothesis import strategies as st

from mrrate_bids import naming
from mrrate_bids.errors import NamingError
from mrrate_bids.naming import (
    COMPUTED,
    INCLUDES,
    KINDS,
    PLANES,
    REPOSITORIES,
    BidsFile,
    SeriesName,
    StudyName,
    bids_path,
    decode_label,
    encode_label,
    member_path,
    parse_bids_path,
    parse_member,
)
from mrrate_bids.templates import read_text, read_toml

MODALITIES = ('t1w', 't2w', 'flair', 'swi', 'mra')
ROLES = ('raw', 'der')
STUDY = StudyName('10482', '2END5JBWVA')
SCHEMA = load_schema()

series_names = st.builds(
    SeriesName,
    st.sampled_from(MODALITIES),
    st.sampled_from(ROLES),
    st.sampled_from(sorted(PLANES)),
    st.integers(1, 200),
)
kinds = st.sampled_from(list(KINDS.values()))
NASTY = ('..', '../x', '/', 'a/b', '-', 'a_ses-b', '+', '+2D', ' ', 'ğüşİ', '💡', 'e\u0301', '\n')
NASTY += ('{series}', '{study}', 'a_coreg', 't1w-raw-axi', 'x_t1w-raw-axi', '\x00', '007', '٣')
uids = st.text(min_size=1) | st.sampled_from(NASTY) | st.from_regex('[A-Z2-7]{10}', fullmatch=True)


def _all_series(repeats=(1, 2, 9, 10, 99, 100)):
    names = itertools.product(MODALITIES, ROLES, PLANES, repeats)
    return [SeriesName(*name) for name in names]


def _entities(path):
    """Return the entities of a file name, its suffix and its extension."""
    stem, dot, extension = path.rpartition('/')[2].partition('.')
    *pairs, suffix = stem.split('_')
    return [tuple(pair.split('-', 1)) for pair in pairs], suffix, dot + extension


@given(uids, uids, series_names, kinds, st.booleans())
@example('..', '{series}', SeriesName('swi', 'der', 'obl', 10), KINDS['coreg-image'], True)
def test_bids_path_and_back(patient, study, series, kind, contrast):
    name = StudyName(patient, study)
    path = bids_path(name, series, kind, contrast=contrast)
    assert parse_bids_path(path) == BidsFile(name, series, kind, contrast)
    assert re.fullmatch(r'(derivatives/[a-z-]+/)?sub-[^/_-]+/ses-[^/_-]+/anat/[^/]+', path)


@given(uids, series_names, kinds, st.booleans())
@example('{series}', SeriesName('t1w', 'raw', 'axi'), KINDS['image'], True)
@example('a\nb', SeriesName('t1w', 'raw', 'axi'), KINDS['image'], True)
@example('A_coreg', SeriesName('t1w', 'raw', 'axi'), KINDS['coreg-image'], True)
def test_member_path_and_back(study, series, kind, centre):
    if not kind.belongs_to(centre=centre):
        centre = not centre
    path = member_path(study, series, kind, centre=centre)
    found = parse_member(study, path)
    assert (found.series, found.kind) == (series, kind)
    assert found.centre in (None, centre)
    assert member_path(study, str(series), kind, centre=centre) == path


@pytest.mark.parametrize('contrasts', [(False,), (True,), (False, True)])
def test_no_two_files_share_a_bids_path(contrasts):
    series = _all_series()
    paths = {
        bids_path(STUDY, s, kind, contrast=contrast)
        for s, kind, contrast in itertools.product(series, KINDS.values(), contrasts)
    }
    assert len(paths) == len(series) * len(KINDS) * len(contrasts)
    assert len({path.casefold() for path in paths}) == len(paths)


def test_no_two_files_share_a_path_in_a_study_folder():
    files = {}
    for series, kind in itertools.product(_all_series(), KINDS.values()):
        for centre in (False, True):
            if kind.belongs_to(centre=centre):
                path = member_path('2END5JBWVA', series, kind, centre=centre)
                assert files.setdefault(path, (series, kind)) == (series, kind)
    assert len(files) == len(_all_series()) * (len(KINDS) + 1)


def test_coreg_image_tells_the_centre_from_a_moving_series():
    series, kind = SeriesName('t1w', 'raw', 'sag'), KINDS['coreg-image']
    paths = [member_path('S', series, kind, centre=centre) for centre in (False, True)]
    assert [parse_member('S', path).centre for path in paths] == [False, True]
    assert paths == ['coreg_img/S_coreg_t1w-raw-sag.nii.gz', 'coreg_img/S_t1w-raw-sag.nii.gz']


@pytest.mark.parametrize('kind', KINDS.values(), ids=lambda kind: kind.name)
def test_scope_of_a_kind(kind):
    belongs = [kind.belongs_to(centre=centre) for centre in (True, False)]
    expected = {'each': [True, True], 'centre': [True, False], 'moving': [False, True]}
    assert belongs == expected[kind.scope]
    assert kind.include in INCLUDES
    assert kind.repository in REPOSITORIES
    assert kind.grid in {'', *KINDS}


def test_import_leaves_the_table_as_it_is():
    assert read_toml('naming.toml') == naming._TABLE


SIDECARS, TEXTS = read_toml('sidecars.toml'), read_toml('datasets.toml')


def test_what_a_new_kind_needs_is_there_for_every_kind():
    derived = {kind.name for kind in (*KINDS.values(), *COMPUTED.values()) if kind.dataset}
    assert SIDECARS['inherited'].keys() == derived
    assert SIDECARS['sources'].keys() == derived | {'carried-mask', 'derived-mask'}
    assert SIDECARS['spatial_reference'].keys() <= derived
    origins = {text.partition('@')[0] for s in SIDECARS['sources'].values() for text in s}
    assert origins <= KINDS.keys() | {'shown'}
    datasets = {kind.dataset or 'raw' for kind in (*KINDS.values(), *COMPUTED.values())}
    tables = {name for name, facts in TEXTS.items() if isinstance(facts, dict)}
    assert tables == datasets | {'extractors', 'packages'}


def test_head_of_the_table_says_what_a_new_kind_needs():
    head = read_text('naming.toml').partition('\n\n')[0]
    assert 'sidecars.toml' in head
    assert 'datasets.toml' in head


LEGAL = [kind for kind in KINDS.values() if not kind.bids.endswith('.mat')]


@pytest.mark.parametrize('kind', LEGAL, ids=lambda kind: kind.name)
@pytest.mark.parametrize('modality', MODALITIES)
@pytest.mark.parametrize('role', ROLES)
@pytest.mark.parametrize('contrast', [False, True])
def test_bids_name_is_legal(kind, modality, role, contrast):
    series = SeriesName(modality, role, 'obl', 12)
    path = bids_path(StudyName('a-b', 'é'), series, kind, contrast=contrast)
    pairs, suffix, extension = _entities(path)
    by_name = {entity.name: key for key, entity in SCHEMA.objects.entities.items()}
    keys = [by_name[name] for name, _ in pairs]
    order = list(SCHEMA.rules.entities)
    assert keys == sorted(keys, key=order.index)
    assert len(set(keys)) == len(keys)
    for key, (_, value) in zip(keys, pairs, strict=True):
        pattern = SCHEMA.objects.formats[SCHEMA.objects.entities[key].format].pattern
        assert re.fullmatch(pattern, value), (key, value)
    files = SCHEMA.rules.files
    rules = files.deriv.imaging.values() if kind.dataset else files.raw.anat.values()
    datatype = path.split('/')[-2]
    assert any(
        suffix in rule.suffixes
        and extension in rule.extensions
        and datatype in rule.datatypes
        and set(keys) <= set(rule.entities)
        and {key for key, need in rule.entities.items() if need == 'required'} <= set(keys)
        for rule in rules
    ), path


@pytest.mark.parametrize('kind', KINDS.values(), ids=lambda kind: kind.name)
def test_table_keeps_the_suffix_of_the_series_in_every_name(kind):
    names = {bids_path(STUDY, SeriesName(m, 'raw', 'axi'), kind) for m in MODALITIES}
    assert len(names) == len(MODALITIES)


@pytest.mark.parametrize(
    ('series_id', 'expected'),
    [
        ('t1w-raw-axi', ('t1w', 'raw', 'axi', 1)),
        ('t2w-raw-sag-2', ('t2w', 'raw', 'sag', 2)),
        ('flair-der-cor-10', ('flair', 'der', 'cor', 10)),
        ('mra-raw-obl-19', ('mra', 'raw', 'obl', 19)),
        ('swi-raw-axi-100', ('swi', 'raw', 'axi', 100)),
    ],
)
def test_series_id_and_back(series_id, expected):
    name = SeriesName.parse(series_id)
    assert (name.modality, name.role, name.plane, name.repeat) == expected
    assert str(name) == series_id


@given(series_names)
def test_series_name_and_back(name):
    assert SeriesName.parse(str(name)) == name


@pytest.mark.parametrize(
    'series_id',
    [
        't1w-raw-axi-1',
        't1w-raw-axi-0',
        't1w-raw-axi-02',
        't1w-raw-axi--2',
        't1w-raw-axi-',
        't1w-raw-axi-2x',
        't1w-raw-axi\n',
        ' t1w-raw-axi',
        't1w-raw-axi-٢',
        't1w-raw-tra',
        't1w-axi',
        'dwi-raw-axi',
        't1w-xyz-axi',
        'T1w-raw-axi',
        't1w-raw-axi-' + '9' * 5000,
        '',
    ],
)
def test_series_id_that_is_refused(series_id):
    with pytest.raises(NamingError):
        SeriesName.parse(series_id)


@given(st.text(min_size=1) | st.sampled_from(NASTY))
@example('\ud800')
@example('\ud800\udc00')
def test_label_and_back(text):
    label = encode_label(text)
    assert re.fullmatch(SCHEMA.objects.formats.label.pattern, label)
    assert decode_label(label) == text


@given(st.text(alphabet='0123456789ABCDEFabcf+ğ', max_size=9))
@example('+C0+AF')
def test_label_is_decoded_only_when_it_is_the_one_spelling(label):
    try:
        text = decode_label(label)
    except NamingError:
        return
    assert encode_label(text) == label


@pytest.mark.parametrize(
    'label', ['', '+', '+2', '+2d', '+41', '+FF', '+C3', 'a+2Dé', 'a-b', 'a_b', '+c3+a9', '++']
)
def test_label_that_is_refused(label):
    with pytest.raises(NamingError):
        decode_label(label)


def test_real_identifiers_stay_as_they_are():
    assert [encode_label(uid) for uid in ('2END5JBWVA', '10482', '007')] == [
        '2END5JBWVA',
        '10482',
        '007',
    ]
    with pytest.raises(NamingError, match='empty'):
        encode_label('')


RAW = 'sub-1/ses-2/anat/sub-1_ses-2_acq-axi_run-01_T1w.nii.gz'
DEFACED = 'derivatives/mrrate-defaced/'


@pytest.mark.parametrize(
    'path',
    [
        RAW.replace('run-01', 'run-1'),
        RAW.replace('run-01', 'run-00'),
        RAW.replace('run-01', 'run-001'),
        RAW.replace('run-01', 'run-' + '9' * 5000),
        RAW.replace('_ses-2_', '_ses-3_'),
        RAW.replace('sub-1_', 'sub-2_'),
        RAW.replace('acq-axi', 'acq-tra'),
        RAW.replace('T1w', 'PDw'),
        RAW.replace('T1w', 'T2starw'),
        RAW.replace('_run', '_rec-SWI_run'),
        RAW.replace('_run', '_ce-iodine_run'),
        RAW.replace('anat', 'func'),
        RAW.replace('.nii.gz', '.nii'),
        RAW.replace('.nii.gz', '.json'),
        RAW.replace('sub-1', 'sub-+FF'),
        RAW.replace('sub-1', 'sub-+31'),
        RAW + '\n',
        './' + RAW,
        DEFACED + RAW,
        DEFACED.replace('defaced', 'other') + RAW,
        RAW.replace('_T1w', '_space-orig_label-brain_desc-T1w_mask'),
        '',
    ],
)
def test_bids_path_that_is_refused(path):
    assert parse_bids_path(RAW).series == SeriesName('t1w', 'raw', 'axi')
    with pytest.raises(NamingError):
        parse_bids_path(path)


@pytest.mark.parametrize(
    'path',
    [
        'img/T_t1w-raw-axi.nii.gz',
        'img/S_t1w-raw-axi-1.nii.gz',
        'img/S_t1w-raw-axi.nii',
        'img/S_t1w-raw-axi.nii.gz.part',
        'seg/S_t1w-raw-axi.nii.gz',
        'x/img/S_t1w-raw-axi.nii.gz',
        'img/../img/S_t1w-raw-axi.nii.gz',
        'transform/M_other_t1w-raw-axi.mat',
        'img/S_t1w-raw-axi.nii.gz\n',
        '',
    ],
)
def test_member_path_that_is_refused(path):
    assert parse_member('S', 'img/S_t1w-raw-axi.nii.gz').kind.name == 'image'
    with pytest.raises(NamingError):
        parse_member('S', path)


STEMS = [
    'sub-1_ses-1_acq-a_ce-gd_rec-b_run-1',
    'sub-1_run-1_echo-1_part-mag',
    'sub-1_acq-a_echo-2_flip-1_inv-1_mt-on_part-mag_chunk-3',
    'sub-1_hemi-L',
]


@pytest.mark.parametrize('stem', STEMS)
@pytest.mark.parametrize('kind', sorted(naming.KINDS | naming.COMPUTED))
def test_entities_of_results_stand_as_bids_has_them(kind, stem):
    """Whatever entities the raw image has; those of transforms BIDS leaves open."""
    row = (naming.KINDS | naming.COMPUTED)[kind]
    if not row.dataset or row.scope == 'session':
        return
    order = [SCHEMA.objects.entities[name].name for name in SCHEMA.rules.entities]
    name = naming.derived_name(row, stem, 'T1w')
    entities = [part.partition('-')[0] for part in name.split('_')[:-1]]
    known = [entity for entity in entities if entity in order]
    assert known == sorted(known, key=order.index)
    assert {*stem.split('_')} < {*name.split('_')}
