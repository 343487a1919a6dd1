"""What is asked of a run, checked before anything is computed."""

from dataclasses import dataclass
from typing import Any

from mrrate_bids.computing.presets import BUFFER_MM
from mrrate_bids.errors import UsageError
from mrrate_bids.naming import ATLAS

__all__ = ['DEFAULT_STEPS', 'EXTRACTORS', 'STEPS', 'Options']

STEPS = ('mask', 'deface', 'coreg', 'atlas', 'seg', 'anatref')
"""In the order in which they run."""

DEFAULT_STEPS = ('mask', 'deface', 'coreg', 'atlas', 'anatref')
"""Segmentation needs weights that each user gets under a licence of their own."""

EXTRACTORS = ('hd-bet', 'deepbet', 'derivatives')


@dataclass(frozen=True, slots=True)
class Options:
    """How derivatives are computed."""

    steps: tuple[str, ...] = DEFAULT_STEPS
    extractor: str = 'hd-bet'
    preset: str = 'reference'
    template: str = ATLAS
    resolution: int = 1
    buffer_mm: float = BUFFER_MM
    """Of Quickshear."""

    seed: int = 42
    threads: int = 1
    """Of one node; with 1 the same input gives the same bytes."""

    device: str = 'auto'
    hdbet_weights: str = ''
    nvseg_weights: str = ''
    offline: bool = False
    """Whether the network must not be asked for templates."""

    def __post_init__(self) -> None:
        unknown = [step for step in self.steps if step not in STEPS]
        if unknown or not self.steps:
            raise UsageError(
                f'there is no step {unknown[0]!r}' if unknown else 'no step was asked for',
                hint=f'The steps are {", ".join(STEPS)}.',
            )

    def facts(self) -> dict[str, Any]:
        """Return what results depend on, except for the steps."""
        names = ('extractor', 'preset', 'template', 'resolution', 'buffer_mm', 'seed', 'threads')
        return {name: getattr(self, name) for name in names}
