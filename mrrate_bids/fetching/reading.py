"""How a study is read at a server: in the order of the bytes, and again when it changes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mrrate_bids.catalog import Study
from mrrate_bids.export import Exporter, ExportSettings, Outcome
from mrrate_bids.fetching.ranges import spans_of
from mrrate_bids.fetching.remote import RemoteFile
from mrrate_bids.naming import KINDS
from mrrate_bids.plan import Row, StudyPlan
from mrrate_bids.study_files import Files

__all__ = ['StreamingExporter', 'announce', 'closing', 'in_order', 'names_files', 'settled']

_TIMES = 3
_IMAGE = KINDS['image']
_GRIDS = {kind.grid for kind in KINDS.values() if kind.grid}


class StreamingExporter(Exporter):
    """Export studies from a server; nothing but their files in the dataset is written.

    Parameters
    ----------
    root
        The raw dataset.
    settings
        What to export and how.
    source
        The folder with the tables.
    """

    def __init__(self, root: Path, settings: ExportSettings, *, source: Path) -> None:
        super().__init__(root, settings, source=source, prepare=_prepare)

    def plan(self, study: Study, series: Sequence[str]) -> StudyPlan:
        """Plan a study without writing anything; see :meth:`Exporter.plan`."""
        with closing(study):
            return super().plan(study, series)

    def export(self, study: Study, series: Sequence[str]) -> Outcome:
        """Export the given series of a study; see :meth:`Exporter.export`."""
        export = partial(super().export, study, series)
        return settled(study, export, doubt=self._doubt)

    def _doubt(self, outcome: Outcome) -> bool:
        """Trust no receipt that files are damaged, before they came twice."""
        if not names_files(outcome):
            return False
        outcome.receipt.signature = ''
        self._receipts.save(outcome.receipt)
        return True


def names_files(outcome: Outcome) -> bool:
    """Tell whether there are files that something is wrong with; they may have suffered."""
    return any(problem.severity == 'error' and problem.file for problem in outcome.problems)


def _prepare(plan: StudyPlan, intact: Files) -> None:
    """Sort the rows of a plan as their bytes come, and announce those that are to be read."""
    rows = in_order(plan, plan.rows)
    defining = [row for row in rows if _defines_grid(plan, row)]
    others = [row for row in rows if not _defines_grid(plan, row)]
    plan.rows = defining + others  # a file is compared with the grid that it must be on

    def is_due(row: Row) -> bool:
        known = intact.get((row.kind.name, row.series))
        same = known is not None and (known.path, known.origin) == (row.target, row.origin)
        return not (same or row.twin)

    announce(plan, list(filter(is_due, defining)), list(filter(is_due, others)))


def _defines_grid(plan: StudyPlan, row: Row) -> bool:
    return row.kind is _IMAGE or (row.kind.name in _GRIDS and row.series == plan.centre)


def in_order(plan: StudyPlan, rows: list[Row]) -> list[Row]:
    """Return rows zip by zip, in the order of their bytes."""
    places = {str(place.path): number for number, place in enumerate(plan.study.places)}
    return sorted(rows, key=lambda row: (places.get(str(row.member.path), 0), row.member.offset))


def announce(plan: StudyPlan, *parts: list[Row]) -> None:
    """Tell each file of a study what will be read of it, one part after the other."""
    for place in plan.study.places:
        if isinstance(place.path, RemoteFile):
            spans = []
            for rows in parts:
                members = [row.member for row in rows if row.member.path is place.path]
                spans += spans_of(plan.study.study, members)
            place.path.expect(spans)


def settled(
    study: Study, work: Callable[[], Outcome], *, doubt: Callable[[Outcome], bool]
) -> Outcome:
    """Do the work of a study, again from the start while its files change under it.

    Parameters
    ----------
    study
        The study.
    work
        Does it.
    doubt
        Whether an outcome may be due to what happened on the way; then it is done once more.
    """
    with closing(study) as files:
        doubted = not files
        for _ in range(_TIMES):
            outcome = work()
            changed = [file for file in files if file.changed]
            if not changed and (doubted or not doubt(outcome)):
                break
            doubted = doubted or not changed
            for file in files:
                file.start_again() if file.changed else file.close()
    return outcome


@contextmanager
def closing(study: Study) -> Iterator[list[RemoteFile]]:
    """Let go of connections, and of files that were kept whole, when a study is done with."""
    files = [place.path for place in study.places if isinstance(place.path, RemoteFile)]
    try:
        yield files
    finally:
        for file in files:
            file.close()
