"""An outlier is far from the median of its like, to the bad side."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrrate_bids.group.measures import find_measure
from mrrate_bids.group.outliers import LIMIT, find_scores, robust_z, worst
from mrrate_bids.group.rows import Row

SHARP = find_measure('coreg-transform', 'Sharpness')
COVERED = find_measure('coreg-transform', 'BrainCovered')
VOLUME = find_measure('brain-mask', 'BrainVolumeMl')
SHIFT = find_measure('coreg-transform', 'TranslationMm')


def rows(measure, *values, suffix='T2w'):
    return [Row('s', 'complete', image=f'a_{suffix}.nii', numbers={measure: v}) for v in values]


def scores(measure, *values):
    return [one.get(measure) for one in find_scores(rows(measure, *values))]


def test_robust_z_of_normal_numbers_is_the_usual_one():
    values = np.random.default_rng(0).normal(5, 2, 100_000)
    z = robust_z(values)
    assert np.allclose(z, (values - 5) / 2, atol=0.05)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(1e3, 1e12))
def test_an_outlier_does_not_hide_itself(values, far):
    values = [*values, *values, *values, 2e6 + far]
    assert np.argmax(robust_z(np.array(values), least=1e-3)) == len(values) - 1


def test_no_spread():
    assert robust_z(np.array([2.0, 2.0, 2.0, 9.0])).tolist() == [0, 0, 0, 0]
    assert robust_z(np.array([2.0, 2.0, 2.0, 9.0]), least=2).tolist() == [0, 0, 0, 3.5]


@pytest.mark.parametrize(
    ('measure', 'usual', 'low', 'high'),
    [(SHARP, 4.5, True, False), (SHIFT, 20.0, False, True), (VOLUME, 1200.0, True, True)],
    ids=lambda value: getattr(value, 'column', ''),
)
def test_only_the_bad_side_counts(measure, usual, low, high):
    around = np.linspace(usual - measure.least, usual + measure.least, 21)
    step = 20 * measure.least
    found = scores(measure, *around, usual - step, usual + step)
    assert (found[-2] > LIMIT, found[-1] > LIMIT) == (low, high)
    assert max(found[:-2]) < LIMIT


def test_what_is_nearly_the_same_everywhere_is_no_outlier():
    found = scores(COVERED, *[1.0] * 20, 0.99, 0.7)
    assert found[-2] < LIMIT < found[-1]


def test_few_numbers_are_not_compared():
    assert set(scores(SHARP, *[4.5] * 8, 1.0)) == {None}
    assert scores(SHARP, *[4.5] * 9, 1.0)[-1] > LIMIT


def test_modalities_are_compared_apart():
    some, others = rows(SHARP, *[4.5] * 20), rows(SHARP, *[1.0] * 20, suffix='FLAIR')
    assert all(one[SHARP] == 0 for one in find_scores([*some, *others]))


def test_worst():
    assert worst({}) is None
    assert worst({SHARP: 1.0, SHIFT: 2.0, VOLUME: -3.0}) == (2.0, SHIFT)
    assert find_scores([]) == []
    assert find_scores([Row('s', 'failed')]) == [{}]
