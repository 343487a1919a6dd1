"""What the commands show: progress while they work, tables when they are done."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mrrate_bids.ahead import Watch
from mrrate_bids.export_run import ExportRun, Summary
from mrrate_bids.plan_table import PlanTable
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import FOLDER

__all__ = ['report_plan', 'report_problems', 'report_summary', 'watching']

_SHOWN = 20
_STATES = {
    'done': 'done',
    'skipped': 'skipped (done before)',
    'partial': 'partial',
    'failed': 'failed',
    'absent': 'not on disk',
}


@contextmanager
def watching(verb: str, *, unit: str = ' studies') -> Iterator[Watch]:
    """Show a progress bar for each batch; plain lines where there is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_watch(console, verb, unit)
        return
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit.strip()),
        TextColumn('{task.fields[size]}'),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, int] = {}

        def watch(batch: str, done: int, total: int, size: int) -> None:
            if batch not in tasks:
                tasks[batch] = progress.add_task(f'{verb} {batch}', total=total, size='')
            progress.update(tasks[batch], completed=done, size=decimal(size))  # type: ignore[arg-type]

        yield watch


def _plain_watch(console: Console, verb: str, unit: str) -> Watch:
    """Say a line for every tenth of a batch, so that a log stays readable."""

    def watch(batch: str, done: int, total: int, size: int) -> None:
        if done == total or done * 10 // total != (done - 1) * 10 // total:
            console.print(
                f'{verb} {batch}: {done}/{total}{unit}, {decimal(size)}', highlight=False
            )

    return watch


def report_problems(problems: list[Problem], console: Console) -> None:
    """Show what was found wrong, worst first; the rest stands in a file."""
    ordered = sorted(problems, key=lambda problem: problem.severity)
    for problem in ordered[:_SHOWN]:
        colour = 'red' if problem.severity == 'error' else 'yellow'
        console.print(f'[{colour}]{problem.severity}[/] ', end='', highlight=False)
        console.print(str(problem), markup=False, highlight=False, soft_wrap=True)
    if len(ordered) > _SHOWN:
        console.print(f'… and {len(ordered) - _SHOWN} more')


def report_summary(summary: Summary, root: Path) -> None:
    """Show what a run did and where the details stand."""
    console = Console()
    report_problems(summary.problems, console)
    table = Table(title='Studies', title_justify='left')
    for title in _STATES.values():
        table.add_column(title, justify='right')
    table.add_row(*(f'{summary.counts[state]:,}' for state in _STATES))
    console.print(table)
    if not summary.counts:
        console.print('[yellow]No study of SOURCE is in the selection.[/]')
    console.print(
        f'{decimal(summary.bytes)} written. Every study: {root}/{FOLDER}/studies.tsv, '
        f'every problem: {root}/{FOLDER}/problems.tsv',
        soft_wrap=True,
        highlight=False,
    )


def report_plan(run: ExportRun, target: Path) -> int:
    """Write a plan as TSV and show its summary; return the exit code the run would have."""
    console = Console()
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    problems: list[Problem] = []
    with PlanTable(target) as table:
        for plan in run.plans(problems):
            problems += plan.problems
            for group, size in table.add(plan):
                files[group] += 1
                sizes[group] += size
    report_problems(problems, console)
    summary = Table(title='Plan (nothing was exported)', title_justify='left')
    for name in ('group', 'files', 'size'):
        summary.add_column(name, justify='left' if name == 'group' else 'right')
    for group in files:
        summary.add_row(group, f'{files[group]:,}', decimal(sizes[group]))
    summary.add_row('total', f'{files.total():,}', decimal(sizes.total()))
    console.print(summary)
    console.print(f'Every file: {target}', soft_wrap=True, highlight=False)
    return 3 if any(problem.severity == 'error' for problem in problems) else 0
