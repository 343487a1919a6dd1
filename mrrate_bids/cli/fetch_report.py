"""What ``mrrate-bids fetch`` shows: bytes while they come, and a plan before anything does."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mrrate_bids.ahead import Watch
from mrrate_bids.cli.console import show_plan, watching
from mrrate_bids.fetching.listing import Entry
from mrrate_bids.fetching.rate import Rate
from mrrate_bids.fetching.tables import sizes
from mrrate_bids.plan import StudyPlan
from mrrate_bids.plan_table import PlanTable
from mrrate_bids.problems import Problem

__all__ = ['report_plan', 'watch_bytes']


class Run(Protocol):
    """A run that can be planned."""

    def plans(self, problems: list[Problem]) -> Iterator[StudyPlan]:
        """Yield the plan of every study."""


def report_plan(run: Run, tables: dict[str, Entry], target: Path) -> int:
    """Write the plan as TSV and show how much there is to fetch of each repository."""
    files, amounts, problems = Counter[str](), Counter[str](), list[Problem]()
    files['tables'], amounts['tables'] = len(tables), sizes(tables.values())
    with PlanTable(target) as table:
        for plan in run.plans(problems):
            problems += plan.problems
            for _ in table.add(plan, described=False):
                pass
            for row in plan.rows:
                files[row.kind.repository] += 1
                amounts[row.kind.repository] += 0 if row.twin else row.member.size
    return show_plan(problems, files, amounts, target, done='fetched', by='repository')


class _Bytes(ProgressColumn):
    """What came so far, whether or not a study is done."""

    max_refresh = 0.5

    def __init__(self, rate: Rate) -> None:
        super().__init__()
        self._rate, self._before = rate, rate.moved

    def render(self, task: Task) -> Text:
        """Show bytes, and bytes in a second."""
        moved = self._rate.moved
        speed = (moved - self._before) / task.elapsed if task.elapsed else 0
        return Text(f'{decimal(moved)}, {decimal(int(speed))}/s')


def watch_bytes(rate: Rate, *, unit: str = ' studies') -> AbstractContextManager[Watch]:
    """Show studies and bytes as they come; plain lines where there is no terminal."""
    return _live(rate, unit) if sys.stderr.isatty() else watching('Fetching', unit=unit)


@contextmanager
def _live(rate: Rate, unit: str) -> Iterator[Watch]:
    columns: tuple[Any, ...] = (
        TextColumn('{task.description}', markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit.strip()),
        _Bytes(rate),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}
        first = progress.add_task('Fetching', total=None)  # bytes come long before a study is done

        def watch(batch: str, done: int, total: int, size: int) -> None:
            progress.update(first, visible=False)
            if batch not in tasks:
                tasks[batch] = progress.add_task(f'Fetching {batch}', total=total)
            progress.update(tasks[batch], completed=done)

        yield watch
