"""Named sets of parameters, and the least quality of a result.

The numbers stand in ``templates/registration.toml``.
"""

from functools import cache
from typing import Any, NamedTuple

from mrrate_bids.errors import UsageError
from mrrate_bids.templates import read_toml

__all__ = [
    'BUFFER_MM',
    'PRESETS',
    'RIGID',
    'SEED',
    'Limits',
    'Preset',
    'Stage',
    'coarse_spacing',
    'coarse_stage',
    'find_limits',
    'find_preset',
    'least_brain_kept',
    'least_brain_ml',
    'least_given_sharpness',
    'least_head_removed',
    'most_brain_ml',
    'start_turns',
]

PRESETS = ('reference', 'fast')

RIGID = 'Rigid[0.25]'
"""The transform of all presets, and the step of its optimiser, as antsRegistration has it."""

SEED = 42
"""Of all registrations; MR-RATE has this one, too."""

BUFFER_MM = 8.0
"""Of Quickshear. Ten voxels of 1 mm straight down, as published, are about as much across the
plane."""


class Stage(NamedTuple):
    """Parameters of one call of antsRegistration; lists run from the coarsest level to the finest.

    The metric is Mattes' mutual information.
    """

    sampling: float
    """Fraction of the voxels of the virtual domain, on a regular grid."""

    iterations: tuple[int, ...]
    shrink: tuple[int, ...]
    smoothing: tuple[int, ...]
    """In voxels."""

    bins: int = 32
    spacing_mm: float | None = None
    """To which both images are brought first; their own if ``None``."""

    margin_mm: float | None = None
    """Around the brain of the fixed image, where the metric is sampled; everywhere if ``None``."""

    def describe(self) -> dict[str, Any]:
        """Return the parameters as a sidecar names them."""
        facts = {
            'Transform': RIGID,
            'Metric': 'Mattes',
            'Bins': self.bins,
            'SamplingStrategy': 'regular',
            'SamplingFraction': self.sampling,
            'Iterations': list(self.iterations),
            'ShrinkFactors': list(self.shrink),
            'SmoothingSigmasVoxels': list(self.smoothing),
            'SpacingMm': self.spacing_mm,
            'BrainMarginMm': self.margin_mm,
        }
        return {name: fact for name, fact in facts.items() if fact is not None}


Preset = tuple[Stage, ...]


class Limits(NamedTuple):
    """Least values of a registration that is passed on."""

    sharpness: float
    dice: float


@cache
def _table() -> Any:
    return read_toml('registration.toml')


def find_preset(name: str, step: str) -> Preset:
    """Return the preset of that name, for the registrations of *step*, ``coreg`` or ``atlas``.

    Raises
    ------
    UsageError
        When there is none.
    """
    rows = _table()['preset']
    if name not in rows:
        raise UsageError(
            f'there is no registration preset {name!r}', hint=f'Use one of: {", ".join(rows)}.'
        )
    before = (coarse_stage(),) if step in rows[name]['coarse_first'] else ()
    return before + tuple(_stage(row) for row in rows[name]['stages'])


def coarse_stage() -> Stage:
    """Return what finds roughly where a head lies, in a second."""
    return _stage(_table()['coarse'])


def coarse_spacing() -> float:
    """Return the spacing in mm of the coarse stage."""
    return float(_table()['coarse']['spacing_mm'])


def _stage(row: dict[str, Any]) -> Stage:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    return Stage(**fields)


def find_limits(step: str) -> Limits:
    """Return the least quality of the registrations of *step*, ``coreg`` or ``atlas``."""
    return Limits(**_table()['quality'][step])


def least_given_sharpness() -> float:
    """Return the sharpness below which a transform of the user is refused."""
    return float(_table()['given']['least_sharpness'])


def start_turns() -> list[tuple[float, float, float]]:
    """Return turns in degrees to start from when a registration went astray."""
    return [(x, y, z) for x, y, z in _table()['starts']['turns']]


def least_brain_ml() -> float:
    """Return the volume in mL below which a brain mask is none of a head."""
    return float(_table()['brain']['least_ml'])


def most_brain_ml() -> float:
    """Return the volume in mL above which a brain mask holds more than a brain."""
    return float(_table()['brain']['most_ml'])


def least_brain_kept() -> float:
    """Return the part of the brain that a given defacing mask must keep."""
    return float(_table()['defacing']['least_brain_kept'])


def least_head_removed() -> float:
    """Return the part of the head that a given defacing mask must take away."""
    return float(_table()['defacing']['least_head_removed'])
