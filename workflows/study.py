"""All steps of one study in one graph."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nipype.pipeline import engine as pe

from mrrate_bids.app.options import Options
from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Series, Study, node_name
from mrrate_bids.computing.ants_session import Session
from mrrate_bids.computing.atlas import Atlas
from mrrate_bids.computing.brain import Choice
from mrrate_bids.errors import UsageError
from mrrate_bids.interfaces.given import (
    CheckAtlasTransform,
    CheckDefaced,
    CheckDefacing,
    CheckTransform,
)
from mrrate_bids.workflows.anatref import init_anatref_wf
from mrrate_bids.workflows.atlas import init_atlas_wf
from mrrate_bids.workflows.brain_mask import init_brain_mask_wf
from mrrate_bids.workflows.coreg import init_coreg_wf
from mrrate_bids.workflows.deface import init_deface_wf
from mrrate_bids.workflows.outputs import Outputs, Result, feed
from mrrate_bids.workflows.resample import init_resample_wf
from mrrate_bids.workflows.segment import init_segment_wf

__all__ = ['Graph', 'init_study_wf']


def init_study_wf(
    study: Study, places: Places, *, atlas: Atlas | None = None, name: str = ''
) -> tuple[Any, dict[Path, tuple[str, str]]]:
    """Build the graph of a study; what exists already is used and not computed.

    .. workflow::

        brain masks -> defacing -> co-registration -> atlas -> segmentation, anatomical reference

    Parameters
    ----------
    study
        The images of a session.
    places
        Where results go, and the options of the run.
    atlas
        The template, for the step ``atlas``.
    name
        Of the workflow.

    Returns
    -------
    tuple
        The workflow, and file kind and suffix of every path that it writes.
    """
    graph = Graph(pe.Workflow(name=name or f'{study.key}_wf'), study, places, atlas)
    for step in places.options.steps:
        getattr(graph, f'add_{step}')()
    return graph.workflow, graph.outputs.connect()


@dataclass
class Graph:
    """A graph that grows: each part is added when the first step needs it."""

    workflow: Any
    study: Study
    places: Places
    atlas: Atlas | None = None
    outputs: Outputs = field(init=False)
    _made: dict[tuple[str, str], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.outputs = Outputs(self.workflow, self.study, self.places)

    @property
    def options(self) -> Options:
        """Of the run."""
        return self.places.options

    @property
    def session(self) -> Session:
        """How ANTs runs."""
        return Session(self.options.seed, self.options.threads)

    @property
    def _template(self) -> Atlas:
        if self.atlas is None:
            raise UsageError('the step atlas needs a template', hint='Give --template.')
        return self.atlas

    def add_mask(self) -> None:
        """Write the brain mask of every series."""
        for series in self.study.series:
            if 'brain-mask' not in series.given:
                mask = self.mask(series)
                self.outputs.add(series, 'brain-mask', mask, (mask[0], 'outputnode.quality'))

    def add_deface(self) -> None:
        """Write defacing masks and defaced images."""
        for series in self.study.series:
            if 'defacing-mask' not in series.given:
                keep = self.keep_mask(series)
                quality = (keep[0], keep[1].replace('keep_mask', 'quality'))
                self.outputs.add(series, 'defacing-mask', keep, quality)
            if 'defaced-image' not in series.given:
                self.outputs.add(series, 'defaced-image', self.shown(series))

    def add_coreg(self) -> None:
        """Write every series on the grid of the centre, with the centre's masks."""
        centre = self.study.centre
        for series in self.study.moving:
            if 'coreg-transform' not in series.given:
                part = self._coreg(series)
                quality = (part, 'outputnode.quality')
                transform = (part, 'outputnode.transform')
                self.outputs.add(series, 'coreg-transform', transform, quality)
            if 'coreg-image' not in series.given:
                moved = self._resample(series, 'coreg', str(centre.image))
                self.outputs.add(series, 'coreg-image', moved)
        copies = {
            'coreg-image': self.shown,
            'coreg-brain-mask': self.mask,
            'coreg-defacing-mask': self.keep_mask,
        }
        for kind, find in copies.items():
            if kind not in centre.given and (
                kind != 'coreg-defacing-mask' or self.defaces(centre)
            ):
                self.outputs.add(centre, kind, find(centre))

    def add_atlas(self) -> None:
        """Write every series on the grid of the template, with the centre's masks."""
        centre = self.study.centre
        for kind, output in self._atlas_results().items():
            self.outputs.add(centre, kind, (self._atlas(), f'outputnode.{output}'))
        if 'atlas-transform' not in centre.given:
            part = self._atlas()
            quality = (part, 'outputnode.quality')
            self.outputs.add(centre, 'atlas-transform', (part, 'outputnode.transform'), quality)
        for series in self.study.moving:
            if 'atlas-image' not in series.given:
                moved = self._resample(series, 'atlas', str(self._template.image))
                self.outputs.add(series, 'atlas-image', moved)

    def add_seg(self) -> None:
        """Write the segmentations: brain on the centre, body on every series."""
        jobs = [(self.study.centre, 'brain'), *((s, 'body') for s in self.study.series)]
        for series, task in jobs:
            if f'nvseg-{task}' not in series.given:
                part = self._segment(series, task)
                quality = (part, 'outputnode.quality')
                self.outputs.add(series, f'nvseg-{task}', (part, 'outputnode.dseg'), quality)

    def add_anatref(self) -> None:
        """Write the reference T1w of the session."""
        centre = self.study.centre
        if {'anatref-image', 'anatref-mask'} <= set(centre.given):
            return
        part = self._part('anatref', centre, init_anatref_wf(session=self.session, name='anatref'))
        self._feed(part, 'image', self.shown(centre))
        self._feed(part, 'mask', self.mask(centre))
        for kind, output in (('anatref-image', 'preproc'), ('anatref-mask', 'brain')):
            if kind not in centre.given:
                self.outputs.add(centre, kind, (part, f'outputnode.{output}'))

    def mask(self, series: Series) -> Result:
        """Return the brain mask of a series."""
        if 'brain-mask' in series.given:
            return None, str(series.given['brain-mask'])
        if ('mask', series.key) not in self._made:
            self._add_mask(series)
        return self._made['mask', series.key], 'outputnode.mask'

    def _add_mask(self, series: Series) -> None:
        options = self.options
        source = 'found'
        if 'foreign-mask' in series.given:
            source = 'given'
        elif self.places.is_carried(self.study, series):
            source = 'carried'
        choice = Choice(options.extractor, options.hdbet_weights, options.device, options.threads)
        wf = init_brain_mask_wf(source=source, choice=choice, name=f'mask_{series.key}')
        part = self._part('mask', series, wf)
        part.inputs.inputnode.image = str(series.image)
        if source == 'given':
            part.inputs.inputnode.given = str(series.given['foreign-mask'])
        if source == 'carried':
            part.inputs.inputnode.centre = str(self.study.centre.image)
            self._feed(part, 'centre_mask', self.mask(self.study.centre))
            self._feed(part, 'transform', self._transform(series))

    def defaces(self, series: Series) -> bool:
        """Tell whether there is a defacing mask of a series, or will be."""
        return 'deface' in self.options.steps or 'defacing-mask' in series.given

    def keep_mask(self, series: Series) -> Result:
        """Return the defacing mask of a series."""
        if 'defacing-mask' in series.given:
            return self._known_keep_mask(series)
        if self.places.is_derived(series):
            return self._defaced(series), 'keep_mask'
        return self._deface(series), 'outputnode.keep_mask'

    def _known_keep_mask(self, series: Series) -> Result:
        """Return a defacing mask that exists; one of the user is looked at first."""
        known = str(series.given['defacing-mask'])
        if 'defacing-mask' not in series.handed:
            return None, known
        faceless = series.given.get('defaced-image') == series.image
        check = CheckDefacing(given=known, image=str(series.image), faceless=faceless)
        return self._check('check-keep', series, check, of=series), 'out_file'

    def _defaced(self, series: Series) -> Any:
        """Return the node that looks at a defaced image of the user."""
        check = CheckDefaced(given=str(series.given['defaced-image']), image=str(series.image))
        return self._check('check-defaced', series, check, of=series)

    def shown(self, series: Series) -> Result:
        """Return a series as it may be published: without its face where faces are taken away."""
        if self.places.is_derived(series):
            return self._defaced(series), 'out_file'
        if 'defaced-image' in series.given:
            return None, str(series.given['defaced-image'])
        if not self.defaces(series):
            return None, str(series.image)
        return self._deface(series), 'outputnode.defaced'

    def _deface(self, series: Series) -> Any:
        if ('deface', series.key) not in self._made:
            wf = init_deface_wf(buffer_mm=self.options.buffer_mm, name=f'deface_{series.key}')
            part = self._part('deface', series, wf)
            part.inputs.inputnode.image = str(series.image)
            if 'defacing-mask' in series.given:
                self._feed(part, 'given', self.keep_mask(series))
            else:
                self._feed(part, 'mask', self.mask(series))
        return self._made['deface', series.key]

    def _transform(self, series: Series) -> Result:
        """Return the transform from points of the centre to points of a series."""
        if 'coreg-transform' not in series.given:
            return self._coreg(series), 'outputnode.transform'
        known = str(series.given['coreg-transform'])
        if 'coreg-transform' not in series.handed:
            return None, known
        centre, image = str(self.study.centre.image), str(series.image)
        check = CheckTransform(given=known, centre=centre, image=image)
        return self._check('check-coreg', series, check, of=self.study.centre), 'out_file'

    def _coreg(self, series: Series) -> Any:
        if ('coreg', series.key) not in self._made:
            judged = not self._is_carried(series)
            wf = init_coreg_wf(
                preset=self.options.preset,
                session=self.session,
                judged=judged,
                name=f'coreg_{series.key}',
            )
            part = self._part('coreg', series, wf)
            inputs = part.inputs.inputnode
            inputs.centre, inputs.moving = str(self.study.centre.image), str(series.image)
            self._feed(part, 'centre_mask', self.mask(self.study.centre))
            if judged:
                self._feed(part, 'moving_mask', self.mask(series))
        return self._made['coreg', series.key]

    def _resample(self, series: Series, space: str, like: str) -> Result:
        """Return a moving series on the grid of the centre or of the template."""
        to_atlas = space == 'atlas'
        name = f'resample_{space}_{series.key}'
        wf = init_resample_wf(to_atlas=to_atlas, session=self.session, name=name)
        part = self._part(f'resample-{space}', series, wf)
        part.inputs.inputnode.like = like
        self._feed(part, 'image', self.shown(series))
        self._feed(part, 'coreg_transform', self._transform(series))
        if to_atlas:
            self._feed(part, 'atlas_transform', self._atlas_transform())
        return part, 'outputnode.resampled'

    def _atlas_transform(self) -> Result:
        centre = self.study.centre
        known = centre.given.get('atlas-transform')
        if not known:
            return self._atlas(), 'outputnode.transform'
        if 'atlas-transform' not in centre.handed:
            return None, str(known)
        check = CheckAtlasTransform(
            given=str(known), template=str(self._template.image), image=str(centre.image)
        )
        if self._template.brain:
            check.inputs.template_mask = str(self._template.brain)
        return self._check('check-atlas', centre, check, of=centre), 'out_file'

    def _check(self, what: str, series: Series, interface: Any, *, of: Series) -> Any:
        """Return the node that looks at a file of the user, with the brain mask *of* a series."""
        if (what, series.key) not in self._made:
            name = node_name(f'{what}_{series.key}')
            node = self._part(what, series, pe.Node(interface, name))
            feed(self.workflow, node, 'mask', self.mask(of))
        return self._made[what, series.key]

    def _is_carried(self, series: Series) -> bool:
        """Tell whether the mask of a series says nothing new: it came by the transform itself."""
        if 'brain-mask' in series.given:
            return series.carried
        return self.places.is_carried(self.study, series)

    def _atlas_results(self) -> dict[str, str]:
        """Return what is resampled of the centre: file kinds that are not there, and outputs."""
        centre = self.study.centre
        results = {'atlas-image': 'resampled', 'atlas-brain-mask': 'mask'}
        if self.defaces(centre):
            results['atlas-defacing-mask'] = 'keep_mask'
        return {kind: name for kind, name in results.items() if kind not in centre.given}

    def _atlas(self) -> Any:
        centre = self.study.centre
        if ('atlas', centre.key) in self._made:
            return self._made['atlas', centre.key]
        known = 'atlas-transform' in centre.given
        results = tuple(self._atlas_results().values())
        wf = init_atlas_wf(
            preset=self.options.preset,
            session=self.session,
            known=known,
            results=results,
            name='atlas',
        )
        part = self._part('atlas', centre, wf)
        inputs = part.inputs.inputnode
        inputs.template, inputs.centre = str(self._template.image), str(centre.image)
        if self._template.brain:
            inputs.template_mask = str(self._template.brain)
        if known:
            self._feed(part, 'transform', self._atlas_transform())
        if not known or 'mask' in results:
            self._feed(part, 'centre_mask', self.mask(centre))
        if 'resampled' in results:
            self._feed(part, 'shown', self.shown(centre))
        if 'keep_mask' in results:
            self._feed(part, 'keep_mask', self.keep_mask(centre))
        return part

    def _segment(self, series: Series, task: str) -> Any:
        options = self.options
        wf = init_segment_wf(
            task=task,
            weights=options.nvseg_weights,
            device=options.device,
            threads=options.threads,
            low_mem=options.low_mem,
            name=f'segment_{task}_{series.key}',
        )
        part = self._part(f'segment-{task}', series, wf)
        self._feed(part, 'image', self.shown(series))
        if task == 'brain':
            self._feed(part, 'mask', self.mask(series))
        return part

    def _part(self, what: str, series: Series, node: Any) -> Any:
        """Add a node, or a workflow, and keep it for those who ask again."""
        self._made[what, series.key] = node
        self.workflow.add_nodes([node])
        return node

    def _feed(self, part: Any, name: str, result: Result) -> None:
        feed(self.workflow, part, f'inputnode.{name}', result)
