"""Where results go, and what their sidecars say."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mrrate_bids.app.options import Options
from mrrate_bids.app.study import Series, Study, kind_of
from mrrate_bids.computing.presets import find_preset
from mrrate_bids.descriptions import tool_version
from mrrate_bids.naming import in_template
from mrrate_bids.sidecars import derived_sidecar

__all__ = ['Places']

_REGISTERED = {'coreg-transform', 'atlas-transform'}
_EXTRACTORS = {'hd-bet': 'HD-BET', 'deepbet': 'deepbet'}


@dataclass(frozen=True, slots=True)
class Places:
    """The output of a run.

    Parameters
    ----------
    root
        The folder that holds a dataset for each group of results.
    options
        How they are computed.
    """

    root: Path
    options: Options

    def target(self, study: Study, series: Series, kind: str) -> Path:
        """Return where a result goes."""
        found = kind_of(kind)
        inside = study.path(series, found)
        folder, _, name = inside.rpartition('/')
        name = in_template(name, self.options.template, self.options.resolution)
        return self.root / found.dataset / folder / name

    def sidecar(
        self, study: Study, series: Series, kind: str, planned: set[Path]
    ) -> dict[str, Any]:
        """Return what the sidecar of a result says beside its quality.

        Parameters
        ----------
        planned
            Targets of the study: what exists at the end and can be named as a source.
        """
        by_image = {one.inside: one for one in study.series}

        def find(name: str, inside: str) -> str | None:
            if name == 'image':
                return inside
            if kind_of(name).scope == 'moving' and inside == study.centre.inside:
                return None
            target = self.target(study, by_image[inside], name)
            if target not in planned and by_image[inside].given.get(name) != target:
                return None  # it would lead nowhere
            return f'derivatives/{os.path.relpath(target, self.root)}'

        row = kind_of(kind)
        if kind == 'brain-mask' and self.is_carried(study, series):
            row = replace(row, name='carried-mask')
        content = derived_sidecar(row, series.inside, study.centre.inside, find)
        return content | self._facts(study, series, kind)

    def is_carried(self, study: Study, series: Series) -> bool:
        """Tell whether the brain mask of a series comes from the centre, not from its image."""
        alone = 'foreign-mask' not in series.given and series.inside != study.centre.inside
        return alone and self.options.carries

    def _facts(self, study: Study, series: Series, kind: str) -> dict[str, Any]:
        """Return how a result was computed."""
        options = self.options
        if kind in _REGISTERED:
            preset = find_preset(options.preset, kind.partition('-')[0])
            stages = [stage.describe() for stage in preset]
            software = ' '.join(['ANTsPy', *tool_version('ANTsPy').values()])
            return {
                'Software': f'antsRegistration, through {software}',
                'Preset': options.preset,
                'Parameters': stages,
                'RandomSeed': options.seed,
            }
        if kind == 'defacing-mask':
            return {'Parameters': {'BufferMm': options.buffer_mm}}
        if kind == 'brain-mask':
            tool = _EXTRACTORS.get(options.extractor, 'another pipeline')
            carried = self.is_carried(study, series)
            found = 'found in the image' if options.extractor in _EXTRACTORS else 'taken over'
            how = 'carried over from the centre T1w' if carried else found
            text = f'1 = brain ({tool}), 0 = everything else; {how}'
            return {'Description': text, 'Carried': carried}
        if kind.endswith('-brain-mask'):
            # Its source says what drew it, in this run or in another.
            return {'Description': '1 = brain, 0 = everything else; the mask of the centre series'}
        return {}
