"""Where results go, and what their sidecars say."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from mrrate_bids.app.given import DATASETS, dataset_of
from mrrate_bids.app.options import Options
from mrrate_bids.app.study import Series, Study, kind_of
from mrrate_bids.computing.brain_choice import EXTRACTORS
from mrrate_bids.computing.presets import find_preset
from mrrate_bids.descriptions import format_json, given_link, tool_version
from mrrate_bids.errors import TableError
from mrrate_bids.faces import SHOWING
from mrrate_bids.files import write_if_changed
from mrrate_bids.inheritance import read_json_object
from mrrate_bids.naming import in_template
from mrrate_bids.sidecars import bids_uri, derived_sidecar, link_name, sidecar_path

__all__ = ['Places']

_REGISTERED = {'coreg-transform', 'atlas-transform'}


@dataclass(frozen=True, slots=True)
class Places:
    """The output of a run.

    Parameters
    ----------
    root
        The folder that holds a dataset for each group of results.
    options
        How they are computed.
    given
        Datasets that the user gave, as :func:`mrrate_bids.app.given.parse_derivatives` has them.
    """

    root: Path
    options: Options
    given: Mapping[str, Path] = field(default_factory=dict)
    is_extra: bool = False
    """Whether only the template is new: another run of the same command made the rest, and has
    the page of the study."""

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
        study, series, kind
            What the result is of.
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
            known = by_image[inside].given.get(name)
            if target in planned or known == target:
                return f'derivatives/{os.path.relpath(target, self.root)}'
            return self._find_given(known)  # else it would lead nowhere

        row = kind_of(kind)
        if kind == 'brain-mask' and self.is_carried(study, series):
            row = replace(row, name='carried-mask')
        if kind == 'defacing-mask' and self.is_derived(series):
            row = replace(row, name='derived-mask')
        content = derived_sidecar(row, series.inside, study.centre.inside, find)
        also = [bids_uri(p, dataset=row.dataset) for p in self._also(series, kind, find) if p]
        if also:
            content['Sources'] = list(dict.fromkeys([*content['Sources'], *also]))
        return content | self._facts(study, series, kind)

    def _also(
        self, series: Series, kind: str, find: Callable[[str, str], str | None]
    ) -> Iterator[str | None]:
        """Yield sources that a result has in this run, and not in a release."""
        if kind == 'brain-mask':
            yield self._find_given(series.given.get('foreign-mask'))
        if kind == 'nvseg-brain':
            yield find('brain-mask', series.inside)
        masked = 'defacing-mask' in series.given and 'defaced-image' not in series.given
        shows = kind in SHOWING or kind_of(kind).include == 'seg'
        if shows and masked and 'deface' not in self.options.steps:
            yield find('defacing-mask', series.inside)

    @property
    def links(self) -> dict[str, Path]:
        """What the user gave, as ``DatasetLinks`` names it."""
        found: dict[str, Path] = {}
        for key, root in self.given.items():
            found[next(name for name in self._names(dataset_of(key)) if name not in found)] = root
        return found

    def _names(self, dataset: str) -> Iterator[str]:
        """Yield what a dataset of the user may be called.

        As ours is, where none of ours is or will be here: so a run on another machine names the
        same sources as if it had made them itself.
        """
        ours = self.options.makes(dataset) or (self.root / dataset).is_dir()
        if dataset in DATASETS and not ours:
            yield link_name(dataset)
        yield given_link(dataset)
        yield from (f'{given_link(dataset)}{number}' for number in count(2))

    def _find_given(self, path: Path | None) -> str | None:
        """Return a file of the user as BIDS URIs name it: as if its dataset lay next to ours."""
        for link, root in self.links.items():
            if path and path.is_relative_to(root):
                return f'derivatives/{link}/{os.path.relpath(path, root)}'
        return None

    def name_sources(
        self, study: Study, series: Series, kind: str, planned: Mapping[Path, Any]
    ) -> None:
        """Name what has been computed since as a source of a result that was there before."""
        path = Path(sidecar_path(str(self.target(study, series, kind))))
        try:
            said = read_json_object(path)
        except TableError:  # somebody edited it
            return
        now = self.sidecar(study, series, kind, set(planned))
        sources = now.get('Sources', [])
        if set(said.get('Sources', [])) < set(sources):
            # In the order in which they would stand if all had been computed at once.
            names = dict.fromkeys([*now, *said])
            content = said | {'Sources': sources}
            ordered = {name: content[name] for name in names if name in content}
            write_if_changed(path, format_json(ordered))

    def is_carried(self, study: Study, series: Series) -> bool:
        """Tell whether the brain mask of a series comes from the centre, not from its image."""
        alone = 'foreign-mask' not in series.given and series.inside != study.centre.inside
        return alone and self.options.carries

    @staticmethod
    def is_derived(series: Series) -> bool:
        """Tell whether the face of a series was taken away by the user, from the image itself.

        Then a defacing mask that is not given is where the two differ.
        """
        return 'defaced-image' in series.handed and series.given['defaced-image'] != series.image

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
        if kind == 'defacing-mask' and self.is_derived(series):
            return {'Parameters': {'Removed': 'where the defaced image differs from the raw one'}}
        if kind == 'defacing-mask':
            return {'Parameters': {'BufferMm': options.buffer_mm}}
        if kind == 'brain-mask':
            network = EXTRACTORS.get(options.extractor)
            tool = network.title if network else 'another pipeline'
            carried = self.is_carried(study, series)
            found = 'found in the image' if network else 'taken over'
            how = 'carried over from the centre T1w' if carried else found
            text = f'1 = brain ({tool}), 0 = everything else; {how}'
            return {'Description': text, 'Carried': carried}
        if kind.endswith('-brain-mask'):
            # Its source says what drew it, in this run or in another.
            return {'Description': '1 = brain, 0 = everything else; the mask of the centre series'}
        return {}
