"""Splits are filled by what each lacks most."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrrate_bids.errors import SelectionError
from mrrate_bids.shares import Shares


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 300))
def test_shares_are_met_within_a_patient(one, two, count):
    train, val = sorted((one, two))
    shares = Shares(train, val - train, 100 - val)
    dealt = Counter(shares.deal(count, {}))
    for name in ('train', 'val', 'test'):
        assert abs(dealt[name] - count * getattr(shares, name) / 100) <= 1


@given(st.integers(0, 60), st.integers(0, 60))
def test_dealing_twice_is_dealing_once(first, second):
    once = list(Shares().deal(first + second, {}))
    assert list(Shares().deal(second, Counter(once[:first]))) == once[first:]


@pytest.mark.parametrize('text', ['100,0,0', ' 33.3, 33.3 ,33.4', '0,0,100'])
def test_splits_that_get_nothing_stay_empty(text):
    shares = Shares.parse(text)
    dealt = Counter(shares.deal(50, {}))
    assert {name for name in ('train', 'val', 'test') if getattr(shares, name)} == dealt.keys()


def test_what_is_there_counts():
    assert list(Shares(50, 25, 25).deal(2, {'train': 10, 'val': 1})) == ['test', 'val']


@pytest.mark.parametrize(
    'text', ['', '90', '90,10', '50,50,50', 'a,b,c', '110,-5,-5', 'nan,0,100']
)
def test_no_shares(text):
    with pytest.raises(SelectionError, match='--split'):
        Shares.parse(text)
