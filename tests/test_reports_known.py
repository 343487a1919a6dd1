"""The table of measures serves the pages of studies and that of all."""

import pytest

from mrrate_bids.naming import COMPUTED, KINDS
from mrrate_bids.reports.known import (
    describe_columns,
    find_known,
    find_step,
    known_keys,
    known_steps,
)


@pytest.mark.parametrize('key', sorted(known_keys()))
def test_key_has_words_for_both_pages(key):
    known = find_known(key)
    assert known.title
    assert known.digits is not None
    assert known.least_spread > 0
    assert known.worse in {'low', 'high', 'both'}


@pytest.mark.parametrize('kind', sorted(known_steps()))
def test_limits_are_those_of_keys_that_there_are(kind):
    limits = find_step(kind).limits
    assert kind in KINDS | COMPUTED
    assert limits.keys() <= set(known_keys())
    assert all(sides.keys() <= {'least', 'most'} for sides in limits.values())
    assert all(not find_known(k).percent or max(s.values()) <= 1 for k, s in limits.items())


def test_what_is_not_in_the_table_gets_names_of_its_own():
    known, step = find_known('SNRTotal'), find_step('new-kind')
    assert (known.title, known.column, known.digits) == ('snr total', 'snr_total', None)
    assert (step.title, step.column, step.limits) == ('New kind', 'new_kind', {})


def test_columns_without_a_measure_are_described():
    assert {'participant_id', 'state'} <= describe_columns().keys()
