"""Which numbers lie far from the others of their kind.

A number is compared with those of the same measure and modality. Its robust z-score is its
distance from their median, divided by 1.4826 times the median of all such distances (MAD): a
standard deviation where they are normal, which does not give way to the outliers themselves. Where
a measure has a bad side, only that side counts.

Sources: Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers, ASQC (3.5 as the limit);
Leys et al. 2013, J Exp Soc Psychol 49:764.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.group.measures import Measure
from mrrate_bids.group.rows import Row

__all__ = ['LIMIT', 'Scores', 'find_scores', 'robust_z', 'worst']

LIMIT = 3.5
"""Scores above are outliers."""

_FEWEST = 10
"""Fewer numbers have no usual spread."""

_NORMAL = 1.4826
"""From the MAD to the standard deviation of a normal distribution."""

Scores = dict[Measure, float]
"""Of an image: robust z-scores, positive where it is worse than the median."""


def robust_z(values: NDArray[np.float64], *, least: float = 0.0) -> NDArray[np.float64]:
    """Return the robust z-scores of numbers; all are 0 where there is no spread.

    Parameters
    ----------
    values
        The numbers.
    least
        A spread below this one counts as this one.

    >>> robust_z(np.array([1.0, 2.0, 3.0, 4.0, 10.0])).round(2)
    array([-1.35, -0.67,  0.  ,  0.67,  4.72])
    """
    away = values - np.median(values)
    spread = max(_NORMAL * float(np.median(np.abs(away))), least)
    return away / spread if spread else np.zeros_like(away)


def find_scores(rows: Sequence[Row]) -> list[Scores]:
    """Return the scores of every image, in the order of *rows*."""
    places: dict[tuple[Measure, str], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        suffix = row.suffix
        for measure in row.numbers:
            places[measure, suffix].append(place)
    scores: list[Scores] = [{} for _ in rows]
    for (measure, _), where in places.items():
        if len(where) >= _FEWEST:
            values = np.array([rows[place].numbers[measure] for place in where])
            z = _worse(robust_z(values, least=measure.least), measure.worse)
            for place, score in zip(where, z.round(2).tolist(), strict=True):
                scores[place][measure] = score
    return scores


def _worse(z: NDArray[np.float64], side: str) -> NDArray[np.float64]:
    """Turn scores so that more is worse."""
    return np.abs(z) if side == 'both' else -z if side == 'low' else z


def worst(scores: Scores) -> tuple[float, Measure] | None:
    """Return the largest score and its measure; ``None`` where nothing was compared."""
    if not scores:
        return None
    measure = max(scores, key=lambda one: (scores[one], one.column))
    return scores[measure], measure
