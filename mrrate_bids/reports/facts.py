"""What is known of a study after a run: its results on disk, their sidecars and its receipt.

Nothing here is drawn, and nothing is asked of the run itself: a report can be made again at any
time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mrrate_bids.app.ledger import Ledger
from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Series, Study, kind_of
from mrrate_bids.errors import TableError
from mrrate_bids.faces import says_faceless
from mrrate_bids.inheritance import read_json_object
from mrrate_bids.naming import COMPUTED, KINDS, study_stem
from mrrate_bids.problems import Problem
from mrrate_bids.reports.measures import Measure, compare_series, read_measures
from mrrate_bids.sidecars import sidecar_path

__all__ = ['Result', 'SeriesFacts', 'StudyFacts', 'Tool', 'read_facts']

COMPUTED_NOW, EARLIER, GIVEN, OUTDATED = 'computed', 'earlier', 'given', 'outdated'


@dataclass(frozen=True, slots=True)
class Result:
    """A file that is there.

    Parameters
    ----------
    kind
        Name of its file kind.
    path
        Where it lies.
    origin
        ``computed`` by the run that ended, ``earlier`` by another run into the same folder,
        ``outdated`` when that had other options or images, so that a run would compute it anew,
        or ``given`` by another dataset.
    sidecar
        What its sidecar says; empty where it has none that can be read.
    """

    kind: str
    path: Path
    origin: str
    sidecar: dict[str, Any] = field(default_factory=dict)

    @property
    def quality(self) -> dict[str, Any]:
        """The numbers that judge it."""
        found = self.sidecar.get('QualityControl', {})
        return found if isinstance(found, dict) else {}

    @property
    def is_outdated(self) -> bool:
        """Whether a run with the options of this one would compute it anew."""
        return self.origin == OUTDATED

    @property
    def is_faceless(self) -> bool:
        """Whether its sidecar says that it was made without the face; else it may show one."""
        return says_faceless(self.sidecar)

    @property
    def is_carried(self) -> bool:
        """Whether it is a brain mask that came from the centre."""
        return bool(self.sidecar.get('Carried'))


@dataclass(frozen=True)
class SeriesFacts:
    """An image of the study, with its results by file kind."""

    series: Series
    is_centre: bool
    results: dict[str, Result]

    @property
    def name(self) -> str:
        """The name of the image without extension."""
        return self.series.image.name.partition('.')[0]

    @property
    def short(self) -> str:
        """What tells it from its siblings."""
        parts = self.name.split('_')
        return '_'.join(part for part in parts if not part.startswith(('sub-', 'ses-')))

    def result(self, *kinds: str) -> Result | None:
        """Return the first of several results that is there."""
        return next((self.results[kind] for kind in kinds if kind in self.results), None)

    def path(self, *kinds: str) -> Path | None:
        """Return where the first of several results lies that is there."""
        found = self.result(*kinds)
        return found.path if found else None


@dataclass(frozen=True, slots=True)
class Tool:
    """A program and its version, as a dataset names it."""

    name: str
    version: str = ''
    description: str = ''

    def __str__(self) -> str:
        return f'{self.name} {self.version}'.strip()


@dataclass(frozen=True)
class StudyFacts:
    """All that a report says of a study."""

    label: str
    state: str
    """``complete``, ``partial``, ``failed``, or empty where no run has ended yet."""

    series: tuple[SeriesFacts, ...] = ()
    """The centre first."""

    problems: tuple[Problem, ...] = ()
    tools: dict[str, tuple[Tool, ...]] = field(default_factory=dict)
    """By dataset."""

    @property
    def stem(self) -> str:
        """How the names of its files begin."""
        return study_stem(self.label)

    @property
    def title(self) -> str:
        """Subject and session."""
        return self.label.replace('/', ' ')

    @property
    def centre(self) -> SeriesFacts | None:
        """The series that the others were registered to."""
        return next((one for one in self.series if one.is_centre), None)

    @property
    def results(self) -> list[tuple[SeriesFacts, Result]]:
        """All results, series by series."""
        return [(one, result) for one in self.series for result in one.results.values()]

    @cached_property
    def measures(self) -> list[Measure]:
        """The numbers that judge its results."""
        found = [
            measure
            for one, result in self.results
            for measure in read_measures(
                one.series.inside, result.kind, result.quality, is_outdated=result.is_outdated
            )
        ]
        apart = {
            one.series.inside
            for one, result in self.results
            if result.kind == 'brain-mask' and result.is_carried
        }
        return compare_series(found, apart=apart)

    @property
    def outliers(self) -> int:
        """How many of them are worth a look."""
        return sum(measure.is_outlier for measure in self.measures)


def read_facts(
    study: Study | str, places: Places, *, problems: Iterable[Problem] | None = None
) -> StudyFacts:
    """Return what is known of a study.

    Parameters
    ----------
    study
        As it was before the run; or only its label, where it was set aside before anything ran.
    places
        The output, and the options of the run.
    problems
        What went wrong; what the receipt says if ``None``.
    """
    label = study if isinstance(study, str) else study.label
    ledger = Ledger(places)
    receipt = ledger.receipt(label)
    noted = [*receipt.set_aside, *receipt.problems] if receipt else []
    said = [Problem.from_dict(one) for one in noted]
    found = tuple(said if problems is None else problems)
    if isinstance(study, str):
        return StudyFacts(label, 'failed', problems=found)
    ordered = sorted(study.series, key=lambda one: one.inside != study.centre.inside)
    outdated = frozenset(ledger.outdated(study))
    series = tuple(_read_series(study, one, places, outdated) for one in ordered)
    datasets = sorted({kind_of(kind).dataset for one in series for kind in one.results})
    return StudyFacts(
        label,
        receipt.state if receipt else _state_of(found),
        series,
        found,
        {name: _read_tools(places.root / name) for name in datasets},
    )


def _state_of(problems: Sequence[Problem]) -> str:
    return 'failed' if any(problem.severity == 'error' for problem in problems) else ''


def _read_series(
    study: Study, series: Series, places: Places, outdated: frozenset[Path]
) -> SeriesFacts:
    is_centre = series.inside == study.centre.inside
    results = {}
    for kind in (*KINDS, *COMPUTED):
        row = kind_of(kind)
        wanted = row.dataset and study.has(series, row)
        if wanted and (found := _find(study, series, kind, places)):
            results[kind] = replace(found, origin=OUTDATED) if found.path in outdated else found
    return SeriesFacts(series, is_centre, results)


def _find(study: Study, series: Series, kind: str, places: Places) -> Result | None:
    """Return a result: where a run puts it, else what was given."""
    target, given = places.target(study, series, kind), series.given.get(kind)
    if target.is_file():
        origin = EARLIER if given == target else COMPUTED_NOW
        return Result(kind, target, origin, _read_sidecar(target))
    if given and given.is_file():
        origin = EARLIER if given.is_relative_to(places.root) else GIVEN
        return Result(kind, given, origin, _read_sidecar(given))
    return None


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(Path(sidecar_path(str(path))))
    except TableError:
        return {}


def _read_tools(dataset: Path) -> tuple[Tool, ...]:
    """Return what made a dataset, as it says itself."""
    try:
        made_by = read_json_object(dataset / 'dataset_description.json').get('GeneratedBy')
    except TableError:
        return ()
    rows = [row for row in made_by if isinstance(row, dict)] if isinstance(made_by, list) else []
    return tuple(
        Tool(*(str(row.get(key) or '') for key in ('Name', 'Version', 'Description')))
        for row in rows
        if row.get('Name') != dataset.name
    )
