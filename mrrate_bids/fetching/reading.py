"""How a study is read at a server: in the order of the bytes, and again when it changes."""

from collections.abc import Callable
from pathlib import Path

from mrrate_bids.catalog import Study
from mrrate_bids.export import Exporter, ExportSettings, Outcome
from mrrate_bids.fetching.ranges import spans_of
from mrrate_bids.fetching.remote import RemoteFile
from mrrate_bids.naming import KINDS
from mrrate_bids.plan import Row, StudyPlan
from mrrate_bids.study_files import Files

__all__ = ['StreamingExporter', 'announce', 'in_order', 'settled']

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

    def export(self, study: Study, series: list[str]) -> Outcome:  # type: ignore[override]
        """Export the given series of a study; see :meth:`Exporter.export`."""
        return settled(study, lambda: super(StreamingExporter, self).export(study, series))


def _prepare(plan: StudyPlan, intact: Files) -> None:
    """Sort the rows of a plan as their bytes come, and announce those that are to be read."""
    plan.rows = in_order(plan)

    def is_here(row: Row) -> bool:
        known = intact.get((row.kind.name, row.series))
        return known is not None and (known.path, known.origin) == (row.target, row.origin)

    announce(plan, [row for row in plan.rows if not row.twin and not is_here(row)])


def in_order(plan: StudyPlan) -> list[Row]:
    """Return the rows zip by zip in the order of their bytes, images that define a grid first."""
    places = [str(place.path) for place in plan.study.places]

    def key(row: Row) -> tuple[bool, int, int]:
        defines = row.kind is _IMAGE or (row.kind.name in _GRIDS and row.series == plan.centre)
        path = str(row.member.path)
        return not defines, places.index(path) if path in places else -1, row.member.offset

    return sorted(plan.rows, key=key)


def announce(plan: StudyPlan, rows: list[Row]) -> None:
    """Tell each file of a study what will be read of it."""
    for place in plan.study.places:
        if isinstance(place.path, RemoteFile):
            members = [row.member for row in rows if row.member.path is place.path]
            place.path.expect(spans_of(plan.study.study, members))


def settled(study: Study, work: Callable[[], Outcome]) -> Outcome:
    """Do the work of a study, again from the start while its files change under it."""
    files = [place.path for place in study.places if isinstance(place.path, RemoteFile)]
    try:
        for _ in range(_TIMES):
            outcome = work()
            changed = [file for file in files if file.changed]
            if not changed:
                break
            for file in changed:
                file.start_again()
    finally:
        for file in files:
            file.close()
    return outcome
