"""The numbers that judge the results of a study, each with its limit.

The numbers stand in the sidecars, the limits in ``templates/registration.toml`` and, where they
refuse nothing and only call for a look, in ``templates/measures.toml``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from mrrate_bids.computing.presets import find_limits, least_brain_ml, most_brain_ml
from mrrate_bids.reports.known import Known, find_known, find_step, known_keys

__all__ = ['Measure', 'compare_series', 'is_number', 'read_measures']

_USUAL_START = 'centres of mass'
_MOST = 1e100
"""With larger numbers, means and spreads overflow."""

_LONGEST = 40
"""Of what stands where a number should."""

_SIGNS = {'degree': '°'}


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of one result.

    Parameters
    ----------
    series, kind, key
        Path of the image inside the dataset, file kind, and key in the sidecar.
    value
        As it stands there; not all are numbers.
    least, most
        What it is judged by, in the unit of the file; ``None`` where there is no such limit.
    note
        Why it is worth a look, beside its limits.
    is_outdated
        Whether it judges a result that a run would compute anew.
    """

    series: str
    kind: str
    key: str
    value: Any
    least: float | None = None
    most: float | None = None
    note: str = ''
    is_outdated: bool = False

    @property
    def is_outlier(self) -> bool:
        """Whether it lies outside of its limits, or is worth a look for another reason."""
        if self.note:
            return True
        if not is_number(self.value):
            return False
        low = self.least is not None and self.value < self.least
        return low or (self.most is not None and self.value > self.most)

    @property
    def step(self) -> str:
        """What it judges, in words."""
        return find_step(self.kind).title

    @property
    def label(self) -> str:
        """What it is, in words."""
        title = self._known.title if self.is_known else self.key
        return title[:1].upper() + title[1:]

    @property
    def is_known(self) -> bool:
        """Whether the table has its key, so that its value should be a number."""
        return self.key in known_keys()

    @property
    def is_number(self) -> bool:
        """Whether its value is a number, as that of a known key should be."""
        return is_number(self.value)

    @property
    def text(self) -> str:
        """The value with its unit, or what stands there instead of a number."""
        if self.is_number:
            return self._format(self.value)
        said = str(self.value)
        said = said if len(said) <= _LONGEST else f'{said[: _LONGEST - 1]}…'
        return f'not a number: {said}' if self.is_known else said

    @property
    def limit(self) -> str:
        """What it is judged by, in words; empty where it is not."""
        if self.least is not None and self.most is not None:
            return f'{self._format(self.least, unit=False)} to {self._format(self.most)}'
        if self.least is not None:
            return f'at least {self._format(self.least)}'
        return '' if self.most is None else f'at most {self._format(self.most)}'

    @property
    def _known(self) -> Known:
        return find_known(self.key)

    def _format(self, value: float, *, unit: bool = True) -> str:
        known = self._known
        scaled = value * 100 if known.percent else value
        number = f'{scaled:g}' if known.digits is None else f'{scaled:,.{known.digits}f}'
        sign = '%' if known.percent else _SIGNS.get(known.units, known.units)
        if not sign or not unit:
            return number
        return f'{number}{sign}' if sign == '°' else f'{number} {sign}'


def is_number(value: Any) -> bool:
    """Tell whether JSON holds a number here that can be reckoned with.

    >>> [is_number(value) for value in (1, 2.5, True, '3', float('nan'), 10**400)]
    [True, True, False, False, False, False]
    """
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and abs(value) <= _MOST


def read_measures(
    series: str, kind: str, quality: dict[str, Any], *, is_outdated: bool = False
) -> list[Measure]:
    """Return the numbers of one result, in the order of the table; unknown ones stand last.

    Parameters
    ----------
    series, kind
        Path of the image inside the dataset, and file kind of the result.
    quality
        ``QualityControl`` of its sidecar.
    is_outdated
        Whether a run would compute the result anew.
    """
    start = quality.get('Start', _USUAL_START)
    known = [key for key in known_keys() if key in quality]
    others = sorted(quality.keys() - set(known) - {'Start'})
    found = [
        Measure(series, kind, key, quality[key], *_limits(kind, key)) for key in known + others
    ]
    if start != _USUAL_START:
        note = 'the usual start went astray, and others were tried'
        found.append(Measure(series, kind, 'Start', start, note=note))
    return [replace(one, is_outdated=is_outdated) for one in found]


def _limits(kind: str, key: str) -> tuple[float | None, float | None]:
    """Return the least and the most of a number, in the unit of the file."""
    least, most = (find_step(kind).limits.get(key, {}).get(side) for side in ('least', 'most'))
    step, _, what = kind.partition('-')
    if (kind, key) == ('brain-mask', 'BrainVolumeMl'):
        least, most = least_brain_ml(), most_brain_ml()
    if what == 'transform' and key == 'Sharpness':
        least = find_limits(step).sharpness
    if what == 'transform' and key.endswith('BrainDice'):
        least = find_limits(step).dice
    return least, most


def compare_series(measures: Iterable[Measure], *, apart: set[str]) -> list[Measure]:
    """Return the numbers of a study, with a note at those that stand out among its series.

    Parameters
    ----------
    measures
        Of all series.
    apart
        Series whose brain mask was not found in their own image and tells nothing new.
    """
    measures = list(measures)
    return [_noted(one, [o for o in measures if _are_alike(one, o, apart)]) for one in measures]


def _are_alike(one: Measure, other: Measure, apart: set[str]) -> bool:
    same = (one.kind, one.key) == (other.kind, other.key)
    return same and not {one.series, other.series} & apart and is_number(other.value)


def _noted(one: Measure, alike: list[Measure]) -> Measure:
    spread = find_known(one.key).spread
    if spread is None or len(alike) < 3 or not is_number(one.value):
        return one
    middle = median(other.value for other in alike)
    if middle and abs(one.value / middle - 1) > spread:
        share = abs(one.value / middle - 1)
        side = 'below' if one.value < middle else 'above'
        return replace(one, note=f'{share:.0%} {side} the median of the study')
    return one
