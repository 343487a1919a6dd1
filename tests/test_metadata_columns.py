"""Columns of the metadata: their order, and cells that read as the field they came from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrrate_bids.metadata_columns import column_order, first_columns, format_age, verbatim_cell
from mrrate_bids.sidecars import column_keys, read_cell, years
from mrrate_bids.templates import read_toml

RULES = read_toml('sidecars.toml')['column']
NUMBERS = [column for column, rule in RULES.items() if rule['type'] == 'number']
TEXTS = [column for column, rule in RULES.items() if rule['type'] == 'string']


@pytest.mark.parametrize('column', NUMBERS)
@given(data=st.data())
def test_number_reads_as_what_it_was(column, data):
    most = RULES[column].get('most', 1e300)
    value = data.draw(st.floats(1e-300, most) | st.integers(1, int(most)).map(float))
    assert read_cell(column, verbatim_cell(column, value)) == (column_keys()[column], value)


@given(st.sampled_from(NUMBERS), st.decimals(1, 99999, places=3))
def test_milliseconds_have_no_noise(column, cell):
    text = f'{cell.normalize():f}'
    read = read_cell(column, text)
    if read:
        assert verbatim_cell(column, read[1]) == text


def test_every_column_is_a_number_or_a_text():
    assert sorted(NUMBERS + TEXTS) == sorted(column_keys())


@pytest.mark.parametrize('column', TEXTS)
@given(data=st.data())
def test_text_stays_as_it_is(column, data):
    known = RULES[column].get('values')
    value = data.draw(st.sampled_from(known) if known else st.text(min_size=1))
    assert read_cell(column, verbatim_cell(column, value)) == (column_keys()[column], value)


def test_lists_are_joined_as_dicom_joins_them():
    assert verbatim_cell('ScanningSequence', ['SE', 'IR']) == 'SE\\IR'


@pytest.mark.parametrize(
    'value',
    ['', 'n/a', float('nan'), float('inf'), True, None, ['x', 1], [], '1e99999999', '1e-99999999'],
)
def test_what_is_no_number_gives_no_cell(value):
    assert verbatim_cell('TE_ms', value) == ''


@given(st.permutations([*first_columns(), 'alpha', 'zeta']))
def test_order_of_columns(names):
    assert column_order(names) == [*first_columns(), 'alpha', 'zeta']


@given(st.floats(0, 89))
def test_age_reads_as_the_age(age):
    assert abs(years(format_age(age)) - age) < (0.1 if age < 1 else 1)


def test_age_above_the_limit():
    assert format_age(89.9) == format_age(104) == '089Y'
