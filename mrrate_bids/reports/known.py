"""What is known of the numbers in the sidecars, of which ``templates/measures.toml`` is the table.

>>> find_known('Sharpness').title, find_known('SNRTotal').title
('sharpness', 'snr total')
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from mrrate_bids.templates import read_toml

__all__ = [
    'Known',
    'Step',
    'describe_columns',
    'find_known',
    'find_step',
    'known_keys',
    'known_steps',
]

_WORD = re.compile('[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+')


@dataclass(frozen=True, slots=True)
class Known:
    """A key under ``QualityControl``."""

    title: str
    column: str
    """How its column ends."""

    description: str
    units: str = ''
    digits: int | None = None
    """Behind the point; all that there are if ``None``."""

    percent: bool = False
    """Whether a part of 1 is shown as percent."""

    spread: float | None = None
    """From the median of a study, relative, beyond which it is worth a look."""

    worse: str = 'both'
    """Which values are suspicious among all studies: ``low``, ``high`` or ``both``."""

    least_spread: float = 0.0
    """A spread among all studies below this one counts as this one."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was computed, by file kind."""

    title: str
    column: str
    """How its columns begin."""

    limits: dict[str, dict[str, float]]
    """By key, ``least`` and ``most`` in the unit of the file: beyond is worth a look."""


@cache
def _tables() -> Any:
    return read_toml('measures.toml')


@cache
def find_known(key: str) -> Known:
    """Return what a key means; one that is not in the table gets names made of its own."""
    name = _snake(key)
    text = f'{key} of the quality control in the sidecar'
    facts = {'title': name.replace('_', ' '), 'column': name, 'description': text}
    return Known(**(facts | _tables()['measure'].get(key, {})))


@cache
def find_step(kind: str) -> Step:
    """Return what a file kind is called; one that is not in the table as well."""
    facts = {'title': kind.replace('-', ' ').capitalize(), 'column': _snake(kind), 'limits': {}}
    return Step(**(facts | _tables()['step'].get(kind, {})))


def known_keys() -> list[str]:
    """Return the keys of the table, in its order."""
    return list(_tables()['measure'])


def known_steps() -> list[str]:
    """Return the file kinds of the table, in the order of a run."""
    return list(_tables()['step'])


def describe_columns() -> dict[str, dict[str, Any]]:
    """Return what a data dictionary says of the columns that hold no measure."""
    return dict(_tables()['column'])


def _snake(text: str) -> str:
    """Return a key as a column: words in small letters.

    >>> _snake('BrainVolumeMl'), _snake('atlas-transform'), _snake('SNRTotal'), _snake('!')
    ('brain_volume_ml', 'atlas_transform', 'snr_total', 'value')
    """
    return '_'.join(_WORD.findall(text)).lower() or 'value'
