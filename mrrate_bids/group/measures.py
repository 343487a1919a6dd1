"""What the numbers in the sidecars are called: columns of the table, titles on the page.

>>> found = find_measure('coreg-transform', 'Sharpness')
>>> found.column, found.title, found.worse
('coreg_sharpness', 'Co-registration: sharpness', 'low')
>>> find_measure('new-kind', 'SNRTotal').column
'new_kind_snr_total'
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from mrrate_bids.templates import read_toml

__all__ = ['Measure', 'describe_columns', 'find_measure', 'in_order']

_WORD = re.compile('[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+')


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """A number that judges a result; there is one object for each, as it is a key of many rows."""

    kind: str
    """File kind of the result."""

    key: str
    """Under ``QualityControl`` in its sidecar."""

    column: str
    step: str
    """What was computed, as a title."""

    name: str
    """The measure alone, as a title."""

    worse: str
    """Which values are suspicious: ``low``, ``high`` or ``both``."""

    units: str = ''
    description: str = ''
    least: float = 0.0
    """A spread below this one counts as this one."""

    @property
    def title(self) -> str:
        """Step and measure."""
        return f'{self.step}: {self.name}'


@cache
def _tables() -> Any:
    return read_toml('measures.toml')


@cache
def find_measure(kind: str, key: str) -> Measure:
    """Return the measure of a file kind by its key in the sidecar; one nobody knows as well."""
    step = _tables()['step'].get(kind, {})
    known = _tables()['measure'].get(key, {})
    name = _snake(key)
    return Measure(
        kind,
        key,
        column=f'{step.get("column", _snake(kind))}_{known.get("column", name)}',
        step=step.get('title', kind.replace('-', ' ').capitalize()),
        name=known.get('title', name.replace('_', ' ')),
        worse=known.get('worse', 'both'),
        units=known.get('units', ''),
        description=known.get('description', f'{key} of the quality control in the sidecar'),
        least=known.get('least', 0.0),
    )


def _snake(text: str) -> str:
    """Return a key as a column: words in small letters.

    >>> _snake('BrainVolumeMl'), _snake('atlas-transform'), _snake('SNRTotal'), _snake('!')
    ('brain_volume_ml', 'atlas_transform', 'snr_total', 'value')
    """
    return '_'.join(_WORD.findall(text)).lower() or 'value'


def in_order(measures: set[Measure]) -> list[Measure]:
    """Return measures step by step, as they are computed; those nobody knows at the end."""
    steps, keys = list(_tables()['step']), list(_tables()['measure'])

    def rank(names: list[str], name: str) -> int:
        return names.index(name) if name in names else len(names)

    return sorted(
        measures, key=lambda m: (rank(steps, m.kind), m.kind, rank(keys, m.key), m.column)
    )


def describe_columns() -> dict[str, dict[str, Any]]:
    """Return what a data dictionary says of the columns that hold no measure."""
    return dict(_tables()['column'])
