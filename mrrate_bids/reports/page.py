"""The page of a study."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from mrrate_bids import __version__
from mrrate_bids.app.places import Places
from mrrate_bids.files import write_if_changed
from mrrate_bids.reports.facts import (
    COMPUTED_NOW,
    EARLIER,
    GIVEN,
    OUTDATED,
    Result,
    SeriesFacts,
    StudyFacts,
)
from mrrate_bids.reports.gallery import Card, Gallery
from mrrate_bids.reports.known import find_step, known_steps
from mrrate_bids.reports.measures import Measure
from mrrate_bids.reports.methods import describe_methods
from mrrate_bids.reports.pages import link, load_template
from mrrate_bids.templates import read_text

__all__ = ['Section', 'write_page']

_FROM = {EARLIER: 'earlier run', GIVEN: 'other dataset', OUTDATED: 'earlier run, outdated'}
_ORIGINS = {COMPUTED_NOW: 'computed', **_FROM, OUTDATED: 'outdated'}


class _Step(NamedTuple):
    """A column of the overview."""

    key: str
    title: str
    kinds: tuple[str, ...]


_STEPS = (
    _Step('mask', 'Brain mask', ('brain-mask',)),
    _Step('deface', 'Defacing', ('defaced-image', 'defacing-mask')),
    _Step('coreg', 'Co-registration', ('coreg-image',)),
    _Step('atlas', 'Atlas', ('atlas-image',)),
    _Step('seg', 'Segmentation', ('nvseg-brain', 'nvseg-body', 'vista-seg')),
    _Step('anatref', 'Reference', ('anatref-image',)),
)
_DRAWN = {
    'masks': ('Brain masks', 'The outline must follow the edge of the brain.'),
    'defacing': ('Defacing', 'Beyond the cut nothing may be left afterwards.'),
    'faces': ('Faces', 'What could be rendered of the head; no face may be left afterwards.'),
    'coreg': ('Co-registration', 'Nothing may jump but the contrast.'),
    'atlas': ('Atlas', 'The registration is rigid: size and shape differ, place and tilt do not.'),
    'segmentation': ('Segmentation', ''),
}


class Section(NamedTuple):
    """A section of the page."""

    key: str
    title: str
    text: str = ''
    cards: tuple[Card, ...] = ()


class _Cell(NamedTuple):
    text: str
    kind: str = ''


class _Row(NamedTuple):
    name: str
    is_centre: bool
    cells: list[_Cell]


class _Number(NamedTuple):
    """A row of the table of quality: one number, series by series."""

    label: str
    limit: str
    measures: list[Measure | None]


class _Reused(NamedTuple):
    name: str
    kind: str
    origin: str
    path: str


def write_page(
    facts: StudyFacts, gallery: Gallery, target: Path, *, places: Places, viewer: Path | None
) -> None:
    """Write the page of a study.

    Parameters
    ----------
    facts, gallery
        What is known of the study, and what was drawn.
    target
        The page.
    places
        The output, and the options of the run.
    viewer
        The page with the viewer, where there is one.

    Raises
    ------
    DestinationError
        When *target* cannot be written.
    """
    text = load_template('report_study.html').render(
        facts=facts,
        version=__version__,
        css=Markup(read_text('report.css')),  # noqa: S704  (our own)
        script=Markup(read_text('report.js')),  # noqa: S704
        viewer=link(viewer, target.parent) if viewer else '',
        gallery=gallery,
        steps=_STEPS,
        overview=[_overview(one, places.options.steps) for one in facts.series],
        quality=_quality(facts),
        reused=_reused(facts, places.root),
        methods=describe_methods(facts, places.options),
        sections=_sections(facts, gallery),
    )
    write_if_changed(target, text)


def _sections(facts: StudyFacts, gallery: Gallery) -> list[Section]:
    """Return what the page has something to say about."""
    failed = gallery.notes or any(problem.severity == 'error' for problem in facts.problems)
    found = {
        'problems': (
            'What failed' if failed else 'Warnings',
            facts.problems or gallery.notes,
        ),
        'results': ('What was made', facts.series),
        'quality': ('Quality', facts.measures),
    }
    sections = [Section(key, title) for key, (title, content) in found.items() if content]
    for key, (title, text) in _DRAWN.items():
        if cards := tuple(card for card in gallery.cards if card.section == key):
            sections.append(Section(key, title, text, cards))
    if any(result.origin in _FROM for _, result in facts.results):
        sections.append(Section('reused', 'What was there before'))
    if facts.results:
        sections.append(Section('methods', 'Methods'))
    return [*sections, Section('versions', 'Versions')]


def _overview(one: SeriesFacts, steps: Sequence[str]) -> _Row:
    return _Row(one.short, one.is_centre, [_cell(one, step, steps) for step in _STEPS])


def _cell(one: SeriesFacts, step: _Step, asked: Sequence[str]) -> _Cell:
    if result := one.result(*step.kinds):
        return _origin(result)
    if step.key == 'anatref' and not one.is_centre:
        return _Cell('–', 'none')
    return _Cell('missing', 'missing') if step.key in asked else _Cell('not asked for', 'none')


def _origin(result: Result) -> _Cell:
    carried = result.kind == 'brain-mask' and result.is_carried
    text = f'{_ORIGINS[result.origin]}{", carried over" if carried else ""}'
    return _Cell(text, 'missing' if result.is_outdated else '')


def _quality(facts: StudyFacts) -> list[tuple[str, list[_Number]]]:
    """Return the numbers of all series side by side, step by step."""
    found: dict[str, dict[str, dict[str, Measure]]] = {}
    order = [find_step(kind).title for kind in known_steps()]
    for measure in sorted(facts.measures, key=lambda one: _place(order, one.step)):
        step = found.setdefault(measure.step, {})
        step.setdefault(measure.key, {})[measure.series] = measure
    return [
        (step, [_number(by_series, facts) for by_series in numbers.values()])
        for step, numbers in found.items()
    ]


def _place(order: list[str], step: str) -> int:
    return order.index(step) if step in order else len(order)


def _number(by_series: dict[str, Measure], facts: StudyFacts) -> _Number:
    one = next(iter(by_series.values()))
    measures = [by_series.get(series.series.inside) for series in facts.series]
    return _Number(one.label, one.limit, measures)


def _reused(facts: StudyFacts, root: Path) -> list[_Reused]:
    rows = []
    for one, result in facts.results:
        if result.origin in _FROM:
            inside = result.path.is_relative_to(root)
            path = result.path.relative_to(root) if inside else result.path
            rows.append(_Reused(one.short, result.kind, _FROM[result.origin], path.as_posix()))
    return rows
