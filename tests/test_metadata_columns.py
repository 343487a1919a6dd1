"""Columns of the metadata: their order, and cells that read as the field they came from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrrate_bids.metadata_columns import column_order, first_columns, format_age, verbatim_cell
from mrrate_bids.sidecars import column_keys, read_cell, years
from mrrate_bids.templates import read_toml

RULES = read_toml('sidecars.toml')['column']
NUMBERS = [column for column, rule in RULES.items() if rule['type'] == 'number']
TEXTS = [c for c, rule in RULES.items() if rule['type'] == 'string' and 'values' not in rule]


@given(st.sampled_from(NUMBERS), st.floats(1e-5, 300) | st.integers(1, 300))
def test_number_reads_as_what_it_was(column, value):
    key, read = read_cell(column, verbatim_cell(column, value))
    assert key == column_keys()[column]
    assert abs(read - value) <= 1e-12 * value


@given(st.sampled_from(NUMBERS), st.decimals(1, 99999, places=3))
def test_milliseconds_have_no_noise(column, cell):
    text = f'{cell.normalize():f}'
    read = read_cell(column, text)
    if read:
        assert verbatim_cell(column, read[1]) == text


@given(st.sampled_from(TEXTS), st.text(min_size=1))
def test_text_stays_as_it_is(column, value):
    assert read_cell(column, verbatim_cell(column, value)) == (column_keys()[column], value)


def test_lists_are_joined_as_dicom_joins_them():
    assert verbatim_cell('ScanningSequence', ['SE', 'IR']) == 'SE\\IR'


@pytest.mark.parametrize('value', ['', 'n/a', float('nan'), float('inf'), True, None, ['x', 1]])
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
