"""Images that somebody else named become series of a release."""

import numpy as np
import pytest
from foreign_bids import AXIAL, SAGITTAL, SHAPE
from makers import make_nifti

from mrrate_bids.acceptance import Rules
from mrrate_bids.foreign import READABLE, Image, modality_of, read_series
from mrrate_bids.inheritance import split_name
from mrrate_bids.naming import SeriesName


@pytest.fixture
def read(tmp_path):
    """Return a function that makes images and reads them."""

    def read(*images, rules=(), taken=()):
        made = []
        for name, sidecar, *more in images:
            path = make_nifti(
                tmp_path / f'sub-1_{name}', SHAPE, more[0] if more else AXIAL, np.uint16
            )
            made.append(Image(path, path.name, f'sub-1/anat/{path.name}', sidecar))
        return read_series(made, rules=Rules.parse(rules), age=30, taken=taken)

    return read


@pytest.mark.parametrize(
    ('name', 'modality'),
    [
        ('T1w', 't1w'), ('acq-flair_T1w', 't1w'), ('T2w', 't2w'), ('acq-axFLAIR_T2w', 'flair'),
        ('FLAIR', 'flair'), ('angio', 'mra'), ('T2starw', ''), ('rec-SWI_T2starw', 'swi'),
        ('acq-3Dswi_T2starw', 'swi'), ('swi', 'swi'), ('SWI', 'swi'), ('PDw', ''), ('UNIT1', ''),
        ('inplaneT1', ''), ('bold', ''),
    ],
)  # fmt: skip
def test_modality(name, modality):
    entities, suffix = split_name(f'sub-1_{name}.nii.gz')
    assert modality_of(suffix, entities) == modality


def test_order_is_that_of_series_numbers_then_names(read):
    found = read(
        ('acq-b_T1w.nii.gz', {}),
        ('acq-a_T1w.nii.gz', {}),
        ('acq-z_T1w.nii.gz', {'SeriesNumber': '2'}),
        ('acq-y_T1w.nii.gz', {'SeriesNumber': 10}),
    )
    order = [one.image.name.partition('-')[2][2:7] for one in found.series]
    assert order == ['acq-z', 'acq-y', 'acq-a', 'acq-b']
    assert [str(one.name) for one in found.series] == [
        't1w-raw-axi', 't1w-raw-axi-2', 't1w-raw-axi-3', 't1w-raw-axi-4',
    ]  # fmt: skip
    assert found.centre == SeriesName('t1w', 'raw', 'axi')
    assert [one.cells.get('SeriesNumber', '') for one in found.series] == ['2.0', '10.0', '', '']


def test_numbers_in_names_are_numbers(read):
    found = read(*[(f'run-{run}_T1w.nii.gz', {}) for run in (10, 2, 1)])
    assert [one.image.name for one in found.series] == [
        f'sub-1_run-{run}_T1w.nii.gz' for run in (1, 2, 10)
    ]


@pytest.mark.parametrize(
    ('contrast', 'centre'),
    [({}, 'run-1'), ({'SeriesNumber': 1}, 'ce-gd')],
)
def test_contrast_comes_last_where_nothing_tells_the_order(contrast, centre, read):
    found = read(('ce-gd_run-1_T1w.nii.gz', contrast), ('run-1_T1w.nii.gz', {}))
    (first,) = [one.image.name for one in found.series if one.name == found.centre]
    assert first.startswith(f'sub-1_{centre}_')


def test_time_of_acquisition_orders_what_has_no_number(tmp_path):
    made = []
    for name, time in (('acq-a', ''), ('acq-b', '1925-01-01T12:00:00'), ('acq-c', '1925-01-01')):
        path = make_nifti(tmp_path / f'sub-1_{name}_T2w.nii.gz', SHAPE, AXIAL)
        made.append(Image(path, path.name, path.name, {}, time))
    found = read_series(made, rules=Rules(), age=30)
    assert [one.image for one in found.series] == [made[0], made[2], made[1]]


@pytest.mark.parametrize('number', ['x', None, [1], {}, float('inf'), float('nan'), 10**400])
def test_series_number_that_is_none(number, read):
    (series,) = read(('T1w.nii.gz', {'SeriesNumber': number})).series
    assert 'SeriesNumber' not in series.cells


def test_centre_is_the_earliest_t1w(read):
    found = read(
        ('T2w.nii.gz', {'SeriesNumber': 1}),
        ('ce-gd_T1w.nii.gz', {'SeriesNumber': 3}),
        ('T1w.nii.gz', {'SeriesNumber': 2}, SAGITTAL),
    )
    assert str(found.centre) == 't1w-raw-sag'
    assert read(('T2w.nii.gz', {})).centre is None


def test_names_that_are_taken_are_left_alone(read):
    taken = [SeriesName('t1w', 'raw', 'axi'), SeriesName('t1w', 'raw', 'axi', 3)]
    found = read(('acq-a_T1w.nii.gz', {}), ('acq-b_T1w.nii.gz', {}), taken=taken)
    assert [one.name.repeat for one in found.series] == [2, 4]


def test_planes_are_numbered_apart(read):
    found = read(('acq-a_T1w.nii.gz', {}), ('acq-b_T1w.nii.gz', {}, SAGITTAL))
    assert [str(one.name) for one in found.series] == ['t1w-raw-axi', 't1w-raw-sag']


@pytest.mark.parametrize(
    ('name', 'sidecar', 'rule'),
    [
        ('part-phase_T1w.nii.gz', {}, 'part'),
        ('echo-2_T1w.nii.gz', {}, 'echo'),
        ('PDw.nii.gz', {}, 'modalities'),
        ('part-real_T1w.nii.gz', {}, 'part'),
        ('echo-10_T1w.nii.gz', {}, 'echo'),
        ('T1w.nii.gz', {'ImageType': ['derived']}, 'derived'),
        ('T1w.nii.gz', {'ImageType': ['DERIVED', 'SECONDARY']}, 'derived'),
        ('T1w.nii.gz', {'ImageType': 'DERIVED\\PRIMARY'}, 'derived'),
    ],
)
def test_rejected(name, sidecar, rule, read):
    found = read((name, sidecar))
    assert [reject.rule for reject in found.rejected] == [rule]
    assert not found.series
    assert found.centre is None


@pytest.mark.parametrize(
    'name', ['part-mag_T1w.nii.gz', 'echo-1_T1w.nii.gz', 'echo-01_T1w.nii.gz']
)
def test_accepted(name, read):
    assert len(read((name, {'ImageType': ['ORIGINAL']})).series) == 1


def test_second_file_of_a_name(read):
    found = read(('T1w.nii.gz', {}), ('T1w.nii', {}))
    assert len(found.series) == 1
    assert [reject.rule for reject in found.rejected] == ['duplicate']


@pytest.mark.parametrize(('setting', 'accepted'), [('derived=yes', 1), ('derived=no', 0)])
def test_derived_images_can_be_accepted(setting, accepted, read):
    found = read(('T1w.nii.gz', {'ImageType': ['DERIVED']}), rules=[setting])
    assert [one.cells['is_derived'] for one in found.series] == ['True'] * accepted


def test_unreadable(read, tmp_path):
    path = tmp_path / 'sub-1_T1w.nii.gz'
    path.write_bytes(b'no image')
    found = read_series([Image(path, path.name, path.name)], rules=Rules(), age=30)
    assert [reject.rule for reject in found.rejected] == [READABLE]
    assert 'gzip' in found.rejected[0].value


@pytest.mark.parametrize(
    ('name', 'sidecar', 'contrast'),
    [
        ('T1w.nii.gz', {}, False),
        ('ce-gadolinium_T1w.nii.gz', {}, True),
        ('ce-none_T1w.nii.gz', {}, False),
        ('T1w.nii.gz', {'ContrastBolusIngredient': 'GADOLINIUM'}, True),
        ('T1w.nii.gz', {'ContrastBolusIngredient': 'NONE'}, False),
        ('T1w.nii.gz', {'ContrastBolusIngredient': None}, False),
        ('T1w.nii.gz', {'ContrastBolusAgent': 'Gadovist'}, True),
    ],
)
def test_contrast(name, sidecar, contrast, read):
    (series,) = read((name, sidecar)).series
    assert series.cells.get('contrast_enhanced', '') == ('True' if contrast else '')


def test_cells_are_those_of_the_release(read):
    sidecar = {
        'EchoTime': 0.01597,
        'InversionTime': 0.9,
        'StationName': 'MR1',
        'BodyPart': 'BRAIN',
    }
    (series,) = read(('T1w.nii.gz', sidecar)).series
    assert series.cells == {
        'series_id': 't1w-raw-axi',
        'classified_modality': 'T1w',
        'is_derived': 'False',
        'acquisition_plane': 'AXIAL',
        'is_localizer': 'False',
        'is_subtraction': 'False',
        'classification_rule': 'BIDS: suffix T1w',
        'array_shape': '[18, 18, 16]',
        'array_spacing_mm': '[8.0, 8.0, 12.0]',
        'array_fov_mm': '[144.0, 144.0, 192.0]',
        'TE_ms': '15.97',
        'TI_ms': '900',
        'body_part': 'BRAIN',
    }
