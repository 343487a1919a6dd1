"""The table of batches and repositories, and the table of every study behind it."""

from collections import Counter
from collections.abc import Iterable, Iterator

from mrrate_bids.naming import REPOSITORIES
from mrrate_bids.problems import Problem
from mrrate_bids.status.holding import Holding
from mrrate_bids.status.survey import BatchStatus
from mrrate_bids.tables import format_tsv

__all__ = ['COLUMNS', 'Board', 'Cell', 'studies_table']

COLUMNS = tuple('batch study_uid repository form state fetch_again bytes reason'.split())
"""The header of the table of studies."""

_SEGMENTATIONS = ('MR-RATE-nvseg-ctmr', 'MR-RATE-vista-seg')


class Cell:
    """A repository of one batch, or of all of them, in words.

    >>> from pathlib import Path
    >>> cell = Cell()
    >>> cell.add([Holding('batch00', 'A', 'MR-RATE', [Path('A.zip')])], total=2)
    >>> str(cell)
    'partial 1/2, zipped'
    """

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.again = self.strays = 0
        self._forms: set[str] = set()
        self._total: int | None = 0

    def add(self, holdings: Iterable[Holding], *, total: int | None) -> None:
        """Count studies; *total* is how many there should be, if that is known."""
        for holding in holdings:
            self.states[holding.state] += 1
            self.strays += holding.stray and holding.state == 'whole'
            self.again += bool(holding.again)
            self._forms |= {holding.form} - {''}
        known = self._total is not None and total is not None
        self._total = (self._total or 0) + (total or 0) if known else None

    @property
    def style(self) -> str:
        """How to colour it."""
        if self.states['corrupt']:
            return 'red'
        if str(self).startswith('all'):
            return 'green'
        return 'yellow' if self.is_here else 'dim'

    @property
    def is_here(self) -> bool:
        """Whether anything lies on disk."""
        return self.states.total() > self.states['absent']

    def __str__(self) -> str:
        parts = [self._amount(), self._form()]
        parts += [f'{self.states["corrupt"]:,} corrupt'] if self.states['corrupt'] else []
        parts += [f'{self.states["partial"]:,} incomplete'] if self.states['partial'] else []
        parts += [f'{self.strays:,} not listed'] if self.strays else []
        parts += [f'{self.again:,} to fetch again'] if self.again else []
        return ', '.join(filter(None, parts))

    def _amount(self) -> str:
        if self._total is None:
            return f'{self.states["whole"]:,} whole' if self.is_here else 'none'
        whole = self.states['whole'] - self.strays
        if not self.is_here:
            return f'none of {self._total:,}' if self._total else 'none'
        return f'all {whole:,}' if whole == self._total else f'partial {whole:,}/{self._total:,}'

    def _form(self) -> str:
        return 'mixed' if len(self._forms) > 1 else next(iter(self._forms), '')


class Board:
    """The batches of a survey, as they come in; of a study only what is wrong with it is kept."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Cell], dict[str, str]]] = []
        """Name, cells by repository and state of the tables of each batch."""

        self.totals: dict[str, Cell] = {name: Cell() for name in REPOSITORIES}
        self.problems: list[Problem] = []

    def add(self, status: BatchStatus) -> None:
        """Take over a batch."""
        cells: dict[str, Cell] = {}
        for repository, total in status.totals.items():
            holdings = status.of(repository)
            cells[repository] = Cell()
            for cell in (cells[repository], self.totals[repository]):
                cell.add(holdings, total=total)
        self.rows.append((status.name, cells, status.tables))
        self.problems += status.problems
        self.problems += filter(None, map(_as_problem, status.holdings))

    @property
    def columns(self) -> list[str]:
        """The repositories worth a column: of the two segmentations those that are there."""
        here = [name for name in _SEGMENTATIONS if self.totals[name].is_here]
        left_out = set(_SEGMENTATIONS) - set(here or _SEGMENTATIONS[:1])
        return [name for name in REPOSITORIES if name not in left_out]

    @property
    def again(self) -> int:
        """How many zips and folders should be fetched again."""
        return sum(cell.again for cell in self.totals.values())

    @property
    def exit_code(self) -> int:
        """3 when something is damaged or cannot be read, else 0."""
        return 3 if any(problem.severity == 'error' for problem in self.problems) else 0


def _as_problem(holding: Holding) -> Problem | None:
    """Return what is wrong with what lies on disk; nothing when it is whole or absent."""
    if holding.state not in {'corrupt', 'partial'}:
        return None
    severity = 'error' if holding.state == 'corrupt' else 'warning'
    reason = '; '.join([*holding.faults, *holding.lacks])
    mixed = holding.form == 'mixed'
    again = 'Fetch it again: mrrate-bids fetch … --verify, or remove it and fetch it.'
    remedy = 'Remove the folder, extract the zip again.' if mixed else again
    where = {'batch': holding.batch, 'study': holding.study}
    return Problem(severity, f'{holding.repository}: {reason}', remedy, **where)


def studies_table(statuses: Iterable[BatchStatus], board: Board) -> Iterator[str]:
    """Yield the table of studies in pieces, and fill *board* on the way."""
    yield format_tsv(COLUMNS, ())
    for status in statuses:
        board.add(status)
        rows = map(_row, status.holdings)
        yield format_tsv(COLUMNS, rows).partition('\n')[2]


def _row(holding: Holding) -> list[str]:
    again = 'yes' if holding.again or holding.state == 'corrupt' else ''
    return [
        holding.batch,
        holding.study,
        holding.repository,
        holding.form,
        holding.state,
        again,
        str(holding.size),
        holding.reason,
    ]
