"""Conditions on columns of text."""

import numpy as np
import pandas as pd
import pytest

from mrrate_bids.errors import SelectionError
from mrrate_bids.expressions import Expression, typed

CELLS = {
    'n': ['1', '2.5', '', '1e1'],
    'word': ['a', 'b', 'a', ''],
    'yes': ['True', 'False', 'True', 'False'],
    'patient_uid': ['007', '7', '07', '7'],
    'age': ['037Y', '006M', '', '91'],
    'modality': ['T2-FLAIR', 'FLAIR', 'T1w', ''],
    'two words': ['x', 'y', 'x', 'y'],
}


def column(name):
    return pd.Series(CELLS[name], dtype='category')


@pytest.mark.parametrize(
    ('text', 'rows'),
    [
        ('n > 1', [1, 3]),
        ('n == 1 or word == "b"', [0, 1]),
        ('yes', [0, 2]),
        ('not yes', [1, 3]),
        ("patient_uid == '7'", [1, 3]),
        ('age < 40', [0, 1]),
        ("modality == 'FLAIR'", [0, 1]),
        ("`two words` == 'x' and n < 2", [0]),
        ("word.str.contains('a')", [0, 2]),
        ("word in ['b', '']", [1, 3]),
        ("word == ''", [3]),
        ("word >= 'b'", [1]),
    ],
)
def test_rows_that_a_condition_holds_for(text, rows):
    assert list(np.flatnonzero(Expression(text).evaluate(column))) == rows


@pytest.mark.parametrize(
    'text', ['', 'n >', 'n = 1', 'n', 'word > 3', 'n.nothing', '1 + 1', '[', '@x == 1']
)
def test_what_is_no_condition(text):
    with pytest.raises(SelectionError, match='--where'):
        Expression(text).evaluate(column)


def test_unknown_column_is_told_with_the_nearest():
    with pytest.raises(SelectionError, match="'wrd'") as caught:
        Expression("wrd == 'a'").check(CELLS)
    assert 'word' in caught.value.hint


def test_column_is_a_number_only_when_every_cell_is():
    assert typed(column('n'), 'n').dtype == float
    assert typed(column('word'), 'word').dtype == object
    assert typed(pd.Series(['1', 'x'], dtype='category'), 'c').dtype == object
