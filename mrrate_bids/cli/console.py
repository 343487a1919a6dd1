"""What the commands show: progress while they work, tables when they are done."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mrrate_bids.ahead import Watch
from mrrate_bids.export_run import ExportRun, Summary
from mrrate_bids.plan_table import PlanTable
from mrrate_bids.problems import Problem

if TYPE_CHECKING:
    from mrrate_bids.importing.run import ImportRun

__all__ = ['report_plan', 'report_problems', 'report_summary', 'show_plan', 'watching']

_SHOWN = 20
_STATES = {
    'done': 'done',
    'skipped': 'skipped (done before)',
    'partial': 'partial',
    'failed': 'failed',
    'absent': 'not on disk',
    'removed': 'removed',
}
_RARE = {'removed'}


@contextmanager
def watching(verb: str, *, unit: str = ' studies') -> Iterator[Watch]:
    """Show a progress bar for each batch; plain lines where there is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_watch(console, verb, unit)
        return
    columns = (
        TextColumn('{task.description}', markup=False),
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
    said: dict[str, int] = {}

    def watch(batch: str, done: int, total: int, size: int) -> None:
        tenth = done * 10 // max(total, 1)
        if tenth != said.get(batch, 0) or (done == total and batch not in said):
            said[batch] = tenth
            amount = f', {decimal(size)}' if size else ''
            line = f'{verb} {batch}: {done}/{total}{unit}{amount}'
            console.print(line, markup=False, highlight=False)

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


def report_summary(summary: Summary, folder: Path, *, title: str = 'Studies') -> None:
    """Show what a run did; the details stand in *folder*."""
    console = Console()
    report_problems(summary.problems, console)
    states = [s for s in _STATES if s not in _RARE or summary.counts[s]]
    table = Table(title=title, title_justify='left')
    for state in states:
        table.add_column(_STATES[state], justify='right')
    table.add_row(*(f'{summary.counts[state]:,}' for state in states))
    console.print(table)
    if not summary.counts:
        console.print('[yellow]There is no study in the selection.[/]')
    if not (folder / 'studies.tsv').exists():
        return  # a run that had nothing to do writes nothing
    console.print(
        f'{decimal(summary.bytes)} written. Every study: {folder}/studies.tsv, '
        f'every problem: {folder}/problems.tsv',
        soft_wrap=True,
        markup=False,
        highlight=False,
    )


def report_plan(run: 'ExportRun | ImportRun', target: Path, *, done: str) -> int:
    """Write a plan as TSV and show its summary; return the exit code the run would have.

    *done* is what the run did not do: ``exported`` or ``imported``. Only an export describes its
    files with JSON.
    """
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    problems: list[Problem] = []
    with PlanTable(target) as table:
        for plan in run.plans(problems):
            problems += plan.problems
            for group, size in table.add(plan, described=done == 'exported'):
                files[group] += 1
                sizes[group] += size
    return show_plan(problems, files, sizes, target, done=done, by='group')


def show_plan(
    problems: list[Problem],
    files: Counter[str],
    sizes: Counter[str],
    target: Path,
    *,
    done: str,
    by: str,
) -> int:
    """Show how many files and bytes a plan has; return the exit code the run would have.

    Parameters
    ----------
    problems
        What was found wrong.
    files, sizes
        Numbers of files, and their bytes, in the order of the table.
    target
        Where every file stands.
    done
        What was not done.
    by
        What files are counted by.
    """
    console = Console()
    report_problems(problems, console)
    summary = Table(title=f'Plan (nothing was {done})', title_justify='left')
    for name in (by, 'files', 'size'):
        summary.add_column(name, justify='left' if name == by else 'right')
    for name in files:
        summary.add_row(name, f'{files[name]:,}', decimal(sizes[name]))
    summary.add_row('total', f'{files.total():,}', decimal(sizes.total()))
    console.print(summary)
    console.print(f'Every file: {target}', soft_wrap=True, markup=False, highlight=False)
    return 3 if any(problem.severity == 'error' for problem in problems) else 0
