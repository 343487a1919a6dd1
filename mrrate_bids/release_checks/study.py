"""A study of a release under check: its plan, the headers of its images, where findings go."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mrrate_bids.checks import Tally
from mrrate_bids.errors import NamingError
from mrrate_bids.images import Header
from mrrate_bids.naming import NATIVE, REPOSITORIES, parse_member
from mrrate_bids.plan import Row, StudyPlan
from mrrate_bids.problems import Problem

__all__ = ['CHECKS', 'FETCH', 'Checked', 'home_of']

CHECKS: dict[str, tuple[str, str]] = {
    'archives': ('zips and folders', 'no images'),
    'files': ('files and rows', 'no images'),
    'centres': ('one centre per study', 'no studies'),
    'images': ('images whole', 'no images'),
    'types': ('3-D, right type', 'no images'),
    'masks': ('masks uint8, 0 or 1', 'no masks'),
    'values': ('finite, defaced is 0', 'needs --deep'),
    'grids': ('same grids', 'no masks and no derivatives'),
    'atlas': ('grid of the atlas', 'no atlas images'),
    'transforms': ('transforms rigid', 'no transforms'),
    'headers': ('tables and headers', 'no array_shape, array_spacing_mm or array_fov_mm'),
    'tables': ('tables', 'no tables'),
    'splits': ('one split per patient', 'no splits.csv'),
}
"""Every check: its line in the table, and why it had nothing to do."""

FETCH = 'Fetch the study again, or make it again.'


@dataclass
class Checked:
    """A study that is being checked."""

    plan: StudyPlan
    """The plan to export all of it."""

    tally: Tally
    headers: dict[tuple[str, str], Header] = field(default_factory=dict)
    """Headers of whole images, by kind and series."""

    def images(self, *kinds: str) -> Iterator[tuple[Row, Header]]:
        """Yield the images of some kinds that are whole, of all kinds when none is named."""
        for row in self.plan.rows:
            header = self.headers.get((row.kind.name, row.series))
            if header and (not kinds or row.kind.name in kinds):
                yield row, header

    def count(self, check: str, row: Row) -> None:
        """Count a file that a check looked at."""
        self.tally.count(check, row.kind.repository)

    def find(
        self, check: str, row: Row, message: str, remedy: str = FETCH, *, severity: str = 'error'
    ) -> None:
        """Keep a finding about a file."""
        problem = Problem(
            severity,
            f'{row.member.name}: {message}',
            remedy,
            batch=self.plan.study.batch,
            study=self.plan.study.study,
            series=row.series,
            file=row.member.name,
        )
        self.tally.add(check, row.kind.repository, problem)

    def find_in_tables(
        self, check: str, message: str, remedy: str, *, series: str = '', severity: str = 'error'
    ) -> None:
        """Keep a finding about what the tables say."""
        study = self.plan.study
        where = {'batch': study.batch, 'study': study.study, 'series': series}
        self.tally.add(check, NATIVE, Problem(severity, message, remedy, **where))


def home_of(problem: Problem) -> str:
    """Return the repository that a problem is about; the native one when no file tells."""
    study, file = problem.study, problem.file
    for repository, pattern in REPOSITORIES.items():
        if file.rpartition('/')[2] == pattern.format(study=study):
            return repository
    try:
        return parse_member(study, file).kind.repository
    except NamingError:
        return NATIVE
