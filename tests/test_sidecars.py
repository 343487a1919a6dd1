"""How a metadata row reads in BIDS."""

from decimal import Decimal

import jsonschema
import pytest
from bidsschematools.schema import load_schema
from hypothesis import example, given
from hypothesis import strategies as st

from mrrate_bids.naming import COMPUTED, KINDS
from mrrate_bids.sidecars import (
    AGE_LIMIT,
    SHOWN,
    bids_uri,
    cap_age,
    derived_sidecar,
    image_sidecar,
    inherited,
    read_cell,
    reads_as_contrast,
    sidecar_path,
    years,
)
from mrrate_bids.templates import read_text, read_toml

SCHEMA = load_schema()
COLUMNS = read_toml('sidecars.toml')['column']
NUMBERS = [name for name, rule in COLUMNS.items() if rule['type'] == 'number']
TEXTS = [name for name, rule in COLUMNS.items() if rule['type'] == 'string']


def _check(key, value):
    """Check a value against the definition of its key in the BIDS schema."""
    definition = SCHEMA.objects.metadata[key].to_dict()
    # The schema writes 'unit' where JSON Schema has nothing to say.
    jsonschema.validate(value, definition)


@pytest.mark.parametrize('column', NUMBERS)
@pytest.mark.parametrize('cell', ['1', '0.5', '15.97', '180.0', '1e2', '359.999'])
def test_number_is_what_bids_wants(column, cell):
    key, value = read_cell(column, cell)
    _check(key, value)
    unit = SCHEMA.objects.metadata[key].to_dict()
    unit = unit.get('unit') or unit.get('anyOf', [{}])[0].get('unit', '')
    assert (unit == 's') == column.endswith('_ms')
    assert value == float(Decimal(cell) / (1000 if unit == 's' else 1))


@pytest.mark.parametrize('column', TEXTS)
def test_text_is_what_bids_wants(column):
    for cell in COLUMNS[column].get('values', ['SE', 'İ "x"', '0']):
        key, value = read_cell(column, cell)
        assert value == cell
        _check(key, value)


@pytest.mark.parametrize('column', COLUMNS)
def test_key_is_a_term_of_bids(column):
    assert COLUMNS[column]['key'] in SCHEMA.objects.metadata


BAD_NUMBERS = [
    '',
    '0',
    '0.0',
    '-0.0',
    '-1',
    'nan',
    'NaN',
    'sNaN',
    'inf',
    '-inf',
    'x',
    'n/a',
    '[1]',
]
BAD_NUMBERS += ['1e400', '1e-400', '1e9999999', '1e-9999999', '1,5', '1 2', '\n']


@pytest.mark.parametrize('column', NUMBERS)
@pytest.mark.parametrize('cell', BAD_NUMBERS)
def test_cell_that_is_no_number_for_bids_is_not_read(column, cell):
    assert read_cell(column, cell) is None


@pytest.mark.parametrize(
    ('column', 'cell'),
    [
        ('FlipAngle', '361'),
        ('FlipAngle', '360.0001'),
        ('MRAcquisitionType', 'n/a'),
        ('MRAcquisitionType', '2d'),
        ('Manufacturer', ''),
        ('NoSuchColumn', '1'),
    ],
)
def test_cell_that_is_not_read(column, cell):
    assert read_cell(column, cell) is None


def test_flip_angle_at_its_limit():
    assert read_cell('FlipAngle', '360') == ('FlipAngle', 360)


@given(st.decimals('0.001', 100_000, places=3))
@example(Decimal('15.97'))
@example(Decimal('2.300'))
def test_milliseconds_to_seconds_and_back(milliseconds):
    _, seconds = read_cell('TE_ms', str(milliseconds))
    assert Decimal(repr(seconds)) * 1000 == milliseconds
    assert seconds == float(milliseconds / 1000)


@given(st.text())
def test_any_cell_is_read_or_left(text):
    for column in ('TE_ms', 'FlipAngle'):
        pair = read_cell(column, text)
        if pair:
            _check(*pair)
    assert years(text) is None or years(text) >= 0


@pytest.mark.parametrize(
    ('text', 'age'),
    [
        ('037Y', 37),
        ('006M', 0.5),
        ('026W', 0.5),
        ('073D', 0.2),
        ('37', 37),
        ('37.5', 37.5),
        (' 37 y ', 37),
        ('000Y', 0),
        ('', None),
        ('Y', None),
        ('-1', None),
        ('1e2', None),
        ('37Y6M', None),
        ('nan', None),
        ('٣', None),
    ],
)
def test_years(text, age):
    assert years(text) == age


@pytest.mark.parametrize(
    ('text', 'capped'),
    [
        ('089Y', '089Y'),
        ('090Y', '089Y'),
        ('120y', '089Y'),
        ('89', '89'),
        ('89.5', '89'),
        ('95.0', '89'),
        ('1200M', '89'),
        ('006M', '006M'),
        ('', ''),
        ('unknown', ''),
    ],
)
def test_cap_age(text, capped):
    assert cap_age(text) == capped
    assert years(cap_age(text)) is None or years(cap_age(text)) <= AGE_LIMIT


HEADER = ['study_uid', 'TE_ms', "Patient'sAge", 'FlipAngle', 'x']
CELLS = ['S', '15.970', '091Y', '0.0', '']


def test_sidecar_of_an_image_has_the_cells_as_they_stand():
    assert image_sidecar(HEADER, CELLS, contrast=False, cap=False) == {
        'EchoTime': 0.01597,
        'MRRATE': {
            'study_uid': 'S',
            'TE_ms': '15.970',
            "Patient'sAge": '091Y',
            'FlipAngle': '0.0',
        },
    }


def test_sidecar_with_contrast_and_capped_age():
    sidecar = image_sidecar(HEADER, CELLS, contrast=True, cap=True)
    _check('ContrastBolusIngredient', sidecar['ContrastBolusIngredient'])
    assert sidecar['MRRATE']["Patient'sAge"] == '089Y'


@pytest.mark.parametrize(
    ('cell', 'contrast'),
    [('True', True), ('true', True), (' 1 ', True), ('yes', True)]
    + [(cell, False) for cell in ('', 'False', '0', 'no', 'n/a', 'nan')],
)
def test_reads_as_contrast(cell, contrast):
    assert reads_as_contrast(cell) is contrast


@pytest.mark.parametrize('name', [n for n in KINDS if n != 'image'])
@pytest.mark.parametrize('suffix', ['T1w', 'angio'])
def test_inherited_values_are_what_bids_wants(name, suffix):
    file, content, labels = inherited(name, suffix)
    is_transform = file.endswith('_xfm.json')
    for key, value in content.items():
        if not is_transform:
            _check(key, value)
    if not is_transform:
        enum = ['Brain', 'Lesion', 'Face', 'ROI']
        assert ('Type' in content) == ('mask' in file and 'defacemask' not in file)
        assert content.get('Type', 'Brain') in enum
        needs = not file.endswith(('_mask.json', '_dseg.json'))
        assert ('SkullStripped' in content) == needs
    assert ('Resolution' in content) == ('_res-1' in KINDS[name].bids)
    assert bool(labels) == file.endswith('_dseg.json')
    if labels:
        assert read_text(labels).startswith('index\tname\n')


# The centre is a T1w, and only it has the transform to the atlas.
PAIRS = [(n, 'T1w') for n in KINDS if n != 'image']
PAIRS += [(n, 'T2starw') for n, kind in KINDS.items() if n != 'image' and kind.scope != 'centre']


@pytest.mark.parametrize(('name', 'suffix'), PAIRS)
def test_inherited_file_applies_to_the_files_of_its_kind(name, suffix):
    """The inheritance principle: the same suffix, and no entity that the file lacks."""
    file = inherited(name, suffix)[0]
    *entities, end = file.removesuffix('.json').split('_')
    name = KINDS[name].bids.format(X=suffix).strip('_').partition('.')[0]
    *own, own_end = name.split('_')
    assert end == own_end
    assert set(entities) <= set(own)


def test_raw_images_inherit_nothing():
    with pytest.raises(KeyError):
        inherited('image', 'T1w')


@pytest.mark.parametrize(
    ('path', 'dataset', 'uri'),
    [
        ('sub-1/a.nii.gz', 'mrrate-coreg', 'bids:raw:sub-1/a.nii.gz'),
        ('derivatives/mrrate-coreg/sub-1/a', 'mrrate-coreg', 'bids::sub-1/a'),
        ('derivatives/mrrate-atlas/sub-1/a', 'mrrate-coreg', 'bids:atlas:sub-1/a'),
    ],
)
def test_bids_uri(path, dataset, uri):
    assert bids_uri(path, dataset=dataset) == uri


def _find(*present):
    def find(kind, series):
        folder = (KINDS | COMPUTED)[kind].folder
        return f'{folder}{kind}/{series}' if (kind, series) in present else None

    return find


def test_sources_of_a_derivative():
    find = _find(('image', 'm'), ('image', 'c'), ('coreg-transform', 'm'))
    assert derived_sidecar(KINDS['coreg-image'], 'm', 'c', find) == {
        'Sources': ['bids:raw:image/m', 'bids::coreg-transform/m'],
        'SpatialReference': 'bids:raw:image/c',
    }


def test_source_is_the_defaced_image_where_there_is_one():
    find = _find(('image', 'm'), ('defaced-image', 'm'), ('image', 'c'))
    said = derived_sidecar(KINDS['coreg-image'], 'm', 'c', find)
    assert said['Sources'] == ['bids:defaced:defaced-image/m']


def test_spatial_reference_is_the_first_that_exists():
    find = _find(('coreg-image', 'c'))
    sidecar = derived_sidecar(KINDS['coreg-image'], 'm', 'c', find)
    assert sidecar == {'SpatialReference': 'bids::coreg-image/c'}


def test_references_to_what_is_not_there_are_left_out():
    for kind in KINDS.values():
        assert derived_sidecar(kind, 'm', 'c', _find()) == {}


def test_a_source_is_named_once():
    sidecar = derived_sidecar(KINDS['coreg-transform'], 'c', 'c', _find(('image', 'c')))
    assert sidecar['Sources'] == ['bids:raw:image/c']


def test_rules_speak_of_kinds_that_exist():
    tables = read_toml('sidecars.toml')
    derived = (KINDS.keys() | COMPUTED.keys()) - {'image'}
    assert tables['spatial_reference'].keys() <= derived
    assert tables['inherited'].keys() == derived
    assert tables['sources'].keys() == derived | {'carried-mask', 'derived-mask'}
    for names in [*tables['sources'].values(), *tables['spatial_reference'].values()]:
        assert {name.partition('@')[0] for name in names} <= KINDS.keys() | {SHOWN}


@pytest.mark.parametrize(
    ('path', 'sidecar'),
    [
        ('a/b_T1w.nii.gz', 'a/b_T1w.json'),
        ('a.b/c_T1w.nii', 'a.b/c_T1w.json'),
        ('a/b_xfm.mat', 'a/b_xfm.json'),
    ],
)
def test_sidecar_path(path, sidecar):
    assert sidecar_path(path) == sidecar
