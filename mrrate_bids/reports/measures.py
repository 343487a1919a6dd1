"""The numbers that judge the results of a study, each with its limit.

The numbers stand in the sidecars, the limits in ``templates/registration.toml`` and, where they
refuse nothing and only call for a look, in ``templates/report_measures.toml``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from statistics import median
from typing import Any

from mrrate_bids.computing.presets import find_limits, least_brain_ml, most_brain_ml
from mrrate_bids.templates import read_toml

__all__ = ['STEPS', 'Measure', 'compare_series', 'is_number', 'read_measures']

_USUAL_START = 'centres of mass'
STEPS = {
    'brain-mask': 'Brain mask',
    'defacing-mask': 'Defacing',
    'coreg-transform': 'Co-registration',
    'atlas-transform': 'Atlas registration',
    'nvseg-brain': 'Segmentation of the brain',
    'nvseg-body': 'Segmentation of the body',
}
"""What is judged, in words, by file kind and in the order of a run."""


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
    """

    series: str
    kind: str
    key: str
    value: Any
    least: float | None = None
    most: float | None = None
    note: str = ''

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
        return STEPS.get(self.kind, self.kind)

    @property
    def label(self) -> str:
        """What it is, in words."""
        return str(_words(self.kind, self.key).get('label', self.key))

    @property
    def text(self) -> str:
        """The value with its unit."""
        return self._format(self.value) if is_number(self.value) else str(self.value)

    @property
    def limit(self) -> str:
        """What it is judged by, in words; empty where it is not."""
        if self.least is not None and self.most is not None:
            return f'{self._format(self.least, unit=False)} to {self._format(self.most)}'
        if self.least is not None:
            return f'at least {self._format(self.least)}'
        return '' if self.most is None else f'at most {self._format(self.most)}'

    def _format(self, value: float, *, unit: bool = True) -> str:
        words = _words(self.kind, self.key)
        digits = words.get('digits')
        scaled = value * words.get('scale', 1)
        number = f'{scaled:g}' if digits is None else f'{scaled:,.{digits}f}'
        sign = words.get('unit', '') if unit else ''
        return f'{number}{sign}' if sign in {'', '°'} else f'{number} {sign}'


def is_number(value: Any) -> bool:
    """Tell whether JSON holds a number here, and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@cache
def _table() -> Any:
    return read_toml('report_measures.toml')


def _words(kind: str, key: str) -> dict[str, Any]:
    return dict(_table().get(kind, {}).get(key, {}))


def read_measures(series: str, kind: str, quality: dict[str, Any]) -> list[Measure]:
    """Return the numbers of one result, in the order of the table; unknown ones stand last.

    Parameters
    ----------
    series, kind
        Path of the image inside the dataset, and file kind of the result.
    quality
        ``QualityControl`` of its sidecar.
    """
    start = quality.get('Start', _USUAL_START)
    known = [key for key in _table().get(kind, {}) if key in quality]
    others = sorted(quality.keys() - set(known) - {'Start'})
    found = [
        Measure(series, kind, key, quality[key], *_limits(kind, key)) for key in known + others
    ]
    if start != _USUAL_START:
        note = 'the usual start went astray, and others were tried'
        found.append(Measure(series, kind, 'Start', start, note=note))
    return found


def _limits(kind: str, key: str) -> tuple[float | None, float | None]:
    """Return the least and the most of a number, in the unit of the file."""
    words = _words(kind, key)
    scale = words.get('scale', 1)
    least, most = (None if key not in words else words[key] / scale for key in ('least', 'most'))
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
    spread = _words(one.kind, one.key).get('spread')
    if spread is None or len(alike) < 3:
        return one
    middle = median(other.value for other in alike)
    if middle and abs(one.value / middle - 1) > spread:
        share = abs(one.value / middle - 1)
        side = 'below' if one.value < middle else 'above'
        note = f'{share:.0%} {side} the median of the study'
        return replace(one, note=note)
    return one
