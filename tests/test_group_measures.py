"""Numbers of the sidecars have a column, a title and a bad side."""

import re
from importlib.resources import files

import pytest

from mrrate_bids.group.measures import find_measure, in_order
from mrrate_bids.naming import COMPUTED, KINDS
from mrrate_bids.reports.known import describe_columns
from mrrate_bids.templates import read_toml

TABLES = read_toml('measures.toml')
STEPS, KEYS = sorted(TABLES['step']), sorted(TABLES['measure'])


@pytest.mark.parametrize('kind', STEPS)
def test_step_is_a_file_kind(kind):
    assert kind in KINDS | COMPUTED


@pytest.mark.parametrize('key', KEYS)
def test_measure_is_written_by_the_package_and_described(key):
    sources = [path for path in files('mrrate_bids.computing').iterdir() if path.suffix == '.py']
    assert any(f"'{key}'" in path.read_text(encoding='utf-8') for path in sources)
    found = find_measure('coreg-transform', key)
    assert found.worse in {'low', 'high', 'both'}
    assert found.least > 0
    assert found.description[0].isupper()
    assert not found.description.endswith('.')


@pytest.mark.parametrize('kind', STEPS)
def test_columns_of_a_step_differ(kind):
    keys = [key for key in KEYS if not (key == 'BrainDice' and kind == 'atlas-transform')]
    if kind != 'atlas-transform':
        keys.remove('AtlasBrainDice')
    columns = [find_measure(kind, key).column for key in keys]
    assert len(set(columns)) == len(columns)
    assert all(re.fullmatch('[a-z0-9_]+', column) for column in columns)
    assert not set(columns) & set(describe_columns())


def test_number_that_nobody_knows_gets_names_of_its_own():
    found = find_measure('some-kind', 'SignalToNoise')
    assert found.column == 'some_kind_signal_to_noise'
    assert found.title == 'Some kind: signal to noise'
    assert (found.worse, found.least) == ('both', 0)
    assert find_measure('some-kind', 'SignalToNoise') is found


def test_order_is_that_of_the_steps():
    unknown = find_measure('zzz', 'Odd')
    late, early = find_measure('coreg-transform', 'Sharpness'), find_measure('brain-mask', 'New')
    first = find_measure('brain-mask', 'BrainVolumeMl')
    assert in_order({unknown, late, early, first}) == [first, early, late, unknown]
