"""What a release accepts, at the bounds of every rule."""

import pytest

from mrrate_bids.acceptance import Facts, Rules
from mrrate_bids.errors import SelectionError

GOOD = Facts((16, 16, 16), (140.0, 350.0, 200.0), 'AXIAL', 'T1w', derived=False, age=13)


def rules_against(facts, *settings):
    return [objection.rule for objection in Rules.parse(settings).objections(facts)]


def test_bounds_are_accepted():
    assert rules_against(GOOD) == []


@pytest.mark.parametrize(
    ('change', 'rule', 'value'),
    [
        ({'age': 12.9}, 'min_age', '12.9 years'),
        ({'age': None}, 'min_age', 'unknown'),
        ({'shape': (16, 15, 16)}, 'min_shape', '15 voxels'),
        ({'fov': (139.9, 200.0, 200.0)}, 'min_fov_mm', '139.9 mm'),
        ({'fov': (140.0, 350.1, 200.0)}, 'max_fov_mm', '350.1 mm'),
        ({'plane': 'UNKNOWN'}, 'planes', 'UNKNOWN'),
        ({'modality': 'PDw'}, 'modalities', 'PDw'),
        ({'derived': True}, 'derived', 'derived'),
    ],
)
def test_every_rule_names_itself_and_the_value(change, rule, value):
    (objection,) = Rules().objections(GOOD._replace(**change))
    assert (objection.rule, objection.value) == (rule, value)
    assert str(objection).startswith(f'{rule}: {value} (')


def test_first_objection_is_to_the_size():
    bad = Facts((1, 1, 1), (1.0, 900.0, 1.0), 'UNKNOWN', 'PDw', derived=True, age=None)
    assert rules_against(bad) == [
        'min_shape', 'min_fov_mm', 'max_fov_mm', 'planes', 'modalities', 'derived', 'min_age',
    ]  # fmt: skip


@pytest.mark.parametrize('age', [None, 0, 0.5])
def test_age_is_not_asked_for_where_any_will_do(age):
    assert rules_against(GOOD._replace(age=age), 'min_age=0') == []
    assert rules_against(GOOD._replace(age=age), 'min_age=1') == ['min_age']


@pytest.mark.parametrize('bad', [float('nan'), float('-inf')])
def test_field_of_view_that_is_no_number_is_refused(bad):
    assert rules_against(GOOD._replace(fov=(bad, bad, bad)))


def test_rules_can_be_set():
    old = GOOD._replace(age=None, derived=True, shape=(4, 4, 4), fov=(9.0, 9.0, 900.0))
    settings = ('min_age=0', 'derived=yes', 'min_shape=4', 'min_fov_mm=9', 'max_fov_mm=900')
    assert rules_against(old, *settings) == []
    assert rules_against(GOOD, 'planes=sagittal,coronal') == ['planes']
    assert rules_against(GOOD, 'modalities=FLAIR') == ['modalities']


@pytest.mark.parametrize(
    'setting',
    (
        '|min_age|min_agee=3|min_age=old|min_age=-1|min_age=nan|min_shape=1.5|derived=perhaps'
        '|planes=|planes=DIAGONAL|max_fov_mm=inf'
    ).split('|'),
)
def test_setting_that_makes_no_sense(setting):
    with pytest.raises(SelectionError, match='--rule'):
        Rules.parse([setting])


def test_rule_without_a_value():
    with pytest.raises(SelectionError, match="--rule min_age: '' is not a value"):
        Rules.parse(['min_age'])


def test_every_rule_is_described():
    described = {name: value for name, value, meaning in Rules.describe() if meaning}
    assert list(described) == list(Rules.__dataclass_fields__)
    assert described['min_fov_mm'] == '140.0'
    assert described['derived'] == 'no'
