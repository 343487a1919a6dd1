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


def test_what_is_there_counts():
    assert list(Shares(50, 25, 25).deal(2, {'train': 10, 'val': 1})) == ['test', 'val']


@pytest.mark.parametrize(
    'text', ['', '90', '90,10', '50,50,50', 'a,b,c', '110,-5,-5', 'nan,0,100']
)
def test_no_shares(text):
    with pytest.raises(SelectionError, match='--split'):
        Shares.parse(text)
