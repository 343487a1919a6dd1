"""The plan that ``mrrate-bids run --dry-run`` shows."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from mrrate_bids.cli.console import report_problems
from mrrate_bids.problems import Problem

if TYPE_CHECKING:
    from mrrate_bids.app.engine import Engine
    from mrrate_bids.app.run import ComputeRun

__all__ = ['report_pending']

_OF_TEMPLATE = 'atlas'
"""How kinds begin that each template has of its own."""


def report_pending(run: 'ComputeRun', engine: 'Engine') -> int:
    """Show what a run would compute; return the exit code that is known now."""
    console = Console()
    pending, edited = run.plan(dry=True)
    problems = [*run.notes, *run.found.problems, *edited, *_name_lacking(run, engine)]
    report_problems(problems, console)
    kinds = (kind for _, targets in pending for kind, _ in targets.values())
    # The first of runs for several templates makes what all of them need.
    files = Counter(kind for kind in kinds if run.is_first or kind.startswith(_OF_TEMPLATE))
    title = 'To compute' if run.is_first and run.is_last else f'For {run.options.template}'
    table = Table(title=title, title_justify='left')
    table.add_column('file kind')
    table.add_column('files', justify='right')
    for kind, count in files.items():
        table.add_row(kind, f'{count:,}')
    console.print(table)
    studies = len(run.found.studies)
    console.print(f'{len(pending)} of {studies} studies have something to compute.')
    return 3 if any(problem.severity == 'error' for problem in problems) else 0


def _name_lacking(run: 'ComputeRun', engine: 'Engine') -> Iterator[Problem]:
    """Name what the run needs and this machine lacks: it may be planned for another one."""
    for error in run.lacking(engine):
        yield Problem('warning', f'this machine is not ready: {error}', error.hint)
