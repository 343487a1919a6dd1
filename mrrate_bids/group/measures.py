"""What the numbers in the sidecars are called: columns of the table, titles on the page.

>>> found = find_measure('coreg-transform', 'Sharpness')
>>> found.column, found.title, found.worse
('coreg_sharpness', 'Co-registration: sharpness', 'low')
>>> find_measure('new-kind', 'SNRTotal').column
'new_kind_snr_total'
"""

from dataclasses import dataclass
from functools import cache

from mrrate_bids.reports.known import find_known, find_step, known_keys, known_steps

__all__ = ['Measure', 'find_measure', 'in_order']


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
def find_measure(kind: str, key: str) -> Measure:
    """Return the measure of a file kind by its key in the sidecar; one nobody knows as well."""
    step, known = find_step(kind), find_known(key)
    return Measure(
        kind,
        key,
        column=f'{step.column}_{known.column}',
        step=step.title,
        name=known.title,
        worse=known.worse,
        units=known.units,
        description=known.description,
        least=known.least_spread,
    )


def in_order(measures: set[Measure]) -> list[Measure]:
    """Return measures step by step, as they are computed; those nobody knows at the end."""
    steps, keys = known_steps(), known_keys()

    def rank(names: list[str], name: str) -> int:
        return names.index(name) if name in names else len(names)

    return sorted(
        measures, key=lambda m: (rank(steps, m.kind), m.kind, rank(keys, m.key), m.column)
    )
