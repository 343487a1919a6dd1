"""The plan that ``mrrate-bids run --dry-run`` shows."""

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from mrrate_bids.cli.console import report_problems

if TYPE_CHECKING:
    from mrrate_bids.app.run import ComputeRun

__all__ = ['report_pending']


def report_pending(run: 'ComputeRun') -> int:
    """Show what a run would compute; return the exit code that is known now."""
    console = Console()
    pending, edited = run.plan(dry=True)
    problems = [*run.found.problems, *edited]
    report_problems(problems, console)
    files = Counter(kind for _, targets in pending for kind, _ in targets.values())
    table = Table(title='To compute', title_justify='left')
    table.add_column('file kind')
    table.add_column('files', justify='right')
    for kind, count in files.items():
        table.add_row(kind, f'{count:,}')
    console.print(table)
    studies = len(run.found.studies)
    console.print(f'{len(pending)} of {studies} studies have something to compute.')
    return 3 if any(problem.severity == 'error' for problem in problems) else 0
