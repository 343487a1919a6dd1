"""What is asked of a run, checked before anything is computed."""

import itertools
from dataclasses import dataclass, field
from typing import Any

from mrrate_bids.computing import brain_choice, hdbet_weights, vista3d_weights
from mrrate_bids.computing.brain_choice import HD_BET
from mrrate_bids.computing.devices import read_device
from mrrate_bids.computing.digests import Digests
from mrrate_bids.computing.presets import BUFFER_MM, SEED, find_preset
from mrrate_bids.errors import UsageError
from mrrate_bids.naming import ATLAS, COMPUTED, KINDS

__all__ = ['CENTRE_RULES', 'DEFAULT_STEPS', 'DERIVATIVES', 'EXTRACTORS', 'STEPS', 'Options']

STEPS = ('mask', 'deface', 'coreg', 'atlas', 'seg', 'anatref')
"""In the order in which they run."""

DEFAULT_STEPS = ('mask', 'deface', 'coreg', 'atlas', 'anatref')
"""Segmentation needs weights that each user gets under a licence of their own."""

_MADE_BY = {
    'mask': ('brain-mask',),
    'deface': ('defac',),
    'coreg': ('coreg',),
    'atlas': ('atlas',),
    'seg': ('nvseg', 'vista'),
    'anatref': ('anatref',),
}
"""How the names of file kinds begin, by the step that makes them."""

_REGISTRATION = ('preset', 'seed', 'threads')
_FOLLOWS = {
    'mask': (),
    'deface': ('buffer_mm',),
    'coreg': (),
    'atlas': ('template', 'resolution'),
    'seg': ('low_mem',),
    'anatref': ('threads',),
}
"""Options that results of a step depend on, beside those of masks and registrations."""

_SHOWN = ('image', 'defacing-mask', 'brain', 'body')
"""How the names of kinds end that show a series, with its face or without."""

CENTRE_RULES = ('earliest', 'best')
"""Which T1w is the centre: the earliest, or the one with the smallest voxels."""

DERIVATIVES = 'derivatives'
"""The extractor that takes masks over, and finds none."""

EXTRACTORS = (*brain_choice.EXTRACTORS, DERIVATIVES)


@dataclass(frozen=True, slots=True)
class Options:
    """How derivatives are computed."""

    steps: tuple[str, ...] = DEFAULT_STEPS
    extractor: str = HD_BET.name
    preset: str = 'reference'
    template: str = ATLAS
    resolution: int = 1
    buffer_mm: float = BUFFER_MM
    """Of Quickshear."""

    seed: int = SEED
    threads: int = 1
    """Of one node; with 1 the same input gives the same bytes."""

    device: str = 'auto'
    hdbet_weights: str = ''
    nvseg_weights: str = ''
    offline: bool = False
    """Whether the network must not be asked for templates."""

    center_rule: str = CENTRE_RULES[0]
    low_mem: bool = False
    """Whether networks see smaller windows."""

    _digests: Digests = field(default_factory=Digests, init=False, repr=False, compare=False)
    """Of weights, which every result asks for."""

    def __post_init__(self) -> None:
        read_device(self.device)  # before a run needs it
        unknown = [step for step in self.steps if step not in STEPS]
        if unknown or not self.steps:
            raise UsageError(
                f'there is no step {unknown[0]!r}' if unknown else 'no step was asked for',
                hint=f'The steps are {", ".join(STEPS)}.',
            )

    @property
    def carries(self) -> bool:
        """Whether series without a mask of their own get that of the centre."""
        network = brain_choice.EXTRACTORS.get(self.extractor)
        return network is None or not network.any_contrast

    def makes(self, dataset: str) -> bool:
        """Tell whether a step writes into a dataset."""
        kinds = (kind for kind, row in (KINDS | COMPUTED).items() if row.dataset == dataset)
        return any(map(self.wants, kinds))

    def wants(self, kind: str) -> bool:
        """Tell whether a step makes files of a kind."""
        return _step_of(kind) in self.steps

    def facts(self, kind: str, *, defaced: bool) -> dict[str, Any]:
        """Return what a result of some file kind depends on.

        Weights are :meth:`weights`. The device does not count: what one machine found on its GPU
        is taken on another without one.

        Parameters
        ----------
        kind
            Name of the file kind.
        defaced
            Whether faces are taken away from what is shown of the series.
        """
        step = _step_of(kind)
        names = ['extractor', *_FOLLOWS[step]]
        if step in {'coreg', 'atlas'} or self.carries:
            names += _REGISTRATION
        facts = {name: getattr(self, name) for name in names}
        if 'preset' in facts:
            stages = find_preset(self.preset, 'coreg'), find_preset(self.preset, 'atlas')
            facts['preset'] = [[stage.describe() for stage in preset] for preset in stages]
        if step != 'deface' and kind.endswith(_SHOWN):
            facts |= {'defaced': defaced, 'buffer_mm': self.buffer_mm}
        return facts

    def weights(self, kind: str) -> str:
        """Return a digest of the content of the weights behind a file kind, wherever they lie.

        Empty where there are none, and where some of them are not on this machine.
        """
        files = []
        if self.extractor == HD_BET.name:
            files.append(hdbet_weights.weight_files(self.hdbet_weights))
        if _step_of(kind) == 'seg':
            files.append(vista3d_weights.weight_files(self.nvseg_weights))
        return self._digests.of(itertools.chain(*files)) if all(files) else ''


def _step_of(kind: str) -> str:
    return next(step for step, kinds in _MADE_BY.items() if kind.startswith(kinds))
