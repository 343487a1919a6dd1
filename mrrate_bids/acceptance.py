"""Which series a release accepts, and why it does not accept the others.

>>> rules = Rules.parse(['min_age=0'])
>>> facts = Facts((256, 256, 20), (230.0, 230.0, 60.0), 'AXIAL', 'MRA', derived=False, age=None)
>>> [str(objection) for objection in rules.objections(facts)]
['min_fov_mm: 60 mm (at least 140)']

Source: the MR-RATE dataset guide, "What modalities and series are included?"; the defaults are
data, in ``templates/acceptance.toml``.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

from mrrate_bids.errors import SelectionError
from mrrate_bids.templates import read_toml

__all__ = ['Facts', 'Objection', 'Rules']

_YES, _NO = {'yes', 'true', '1'}, {'no', 'false', '0'}


@cache
def _table() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = read_toml('acceptance.toml')
    return table


class Objection(NamedTuple):
    """The rule that keeps a series out, its value there, and what would be accepted."""

    rule: str
    value: str
    limit: str

    def __str__(self) -> str:
        return f'{self.rule}: {self.value} ({self.limit})'


class Facts(NamedTuple):
    """What the rules ask of a series."""

    shape: tuple[int, ...]
    """Voxels along each axis."""

    fov: tuple[float, ...]
    """Field of view along each axis in mm."""

    plane: str
    modality: str
    derived: bool
    age: float | None
    """In years; ``None`` when it is not known."""


def _default(name: str) -> Any:
    value = _table()[name]['value']
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules; what is left out is as MR-RATE has it."""

    min_age: float = _default('min_age')
    min_shape: int = _default('min_shape')
    min_fov_mm: float = _default('min_fov_mm')
    max_fov_mm: float = _default('max_fov_mm')
    planes: tuple[str, ...] = _default('planes')
    modalities: tuple[str, ...] = _default('modalities')
    derived: bool = _default('derived')

    @classmethod
    def parse(cls, settings: Iterable[str]) -> 'Rules':
        """Read settings of the form ``NAME=VALUE`` over the defaults.

        Raises
        ------
        SelectionError
            When there is no such rule, or the value is none for it.
        """
        rules = cls()
        for setting in settings:
            name, equals, text = (part.strip() for part in setting.partition('='))
            if name in _table() and not equals:
                raise _refusal(name, text, 'a value')
            if name not in _table():
                near = difflib.get_close_matches(name, _table(), n=1)
                known = ', '.join(f'{rule}={value}' for rule, value, _ in cls.describe())
                raise SelectionError(
                    f'--rule: {setting!r} is no rule' + (f'; {near[0]}?' if near else ''),
                    hint=f'The rules and their values are {known}.',
                )
            rules = replace(rules, **{name: _read(name, text)})
        return rules

    @staticmethod
    def describe() -> Iterator[tuple[str, str, str]]:
        """Yield name, default and meaning of every rule."""
        for name, rule in _table().items():
            yield name, _spelt(_default(name)), rule['meaning']

    def objections(self, facts: Facts) -> list[Objection]:
        """Return what the rules have against a series; nothing when it is accepted."""
        return [
            Objection(name, value, limit)
            for name, holds, value, limit in (*self._sizes(facts), *self._kinds(facts))
            if not holds
        ]

    def _sizes(self, facts: Facts) -> Iterator[tuple[str, bool, str, str]]:
        smallest, least, most = min(facts.shape), min(facts.fov), max(facts.fov)
        voxels = f'{smallest} voxels'
        yield 'min_shape', smallest >= self.min_shape, voxels, f'at least {self.min_shape}'
        low, high = f'at least {self.min_fov_mm:g}', f'at most {self.max_fov_mm:g}'
        yield 'min_fov_mm', least >= self.min_fov_mm, f'{least:g} mm', low
        yield 'max_fov_mm', most <= self.max_fov_mm, f'{most:g} mm', high

    def _kinds(self, facts: Facts) -> Iterator[tuple[str, bool, str, str]]:
        yield 'planes', facts.plane in self.planes, facts.plane, ', '.join(self.planes)
        known = ', '.join(self.modalities)
        yield 'modalities', facts.modality in self.modalities, facts.modality, known
        yield 'derived', self.derived or not facts.derived, 'derived', 'original images only'
        age = 'unknown' if facts.age is None else f'{facts.age:g} years'
        old_enough = not self.min_age if facts.age is None else facts.age >= self.min_age
        yield 'min_age', old_enough, age, f'at least {self.min_age:g}'


def _read(name: str, text: str) -> Any:
    default = _default(name)
    if isinstance(default, tuple):
        known = {choice.lower(): choice for choice in default}
        chosen = [part.strip().lower() for part in text.split(',') if part.strip()]
        if chosen and all(part in known for part in chosen):
            return tuple(known[part] for part in chosen)
        raise _refusal(name, text, f'some of {", ".join(default)}')
    if isinstance(default, bool):
        if text.lower() in _YES | _NO:
            return text.lower() in _YES
        raise _refusal(name, text, 'yes or no')
    try:
        value = type(default)(text)
    except ValueError:
        value = -1
    if not 0 <= value < float('inf'):
        raise _refusal(name, text, 'a number that is not negative')
    return value


def _spelt(value: Any) -> str:
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return ','.join(value) if isinstance(value, tuple) else str(value)


def _refusal(name: str, text: str, wanted: str) -> SelectionError:
    return SelectionError(f'--rule {name}: {text!r} is not {wanted}', hint=f'Write {name}=VALUE.')
