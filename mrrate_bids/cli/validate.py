"""``mrrate-bids validate DIR``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mrrate_bids.cli.options import PATH, debug_option, jobs_option, shard_option

if TYPE_CHECKING:
    from mrrate_bids.validation import Report

__all__ = ['command', 'report_validation']


@click.command(name='validate')
@click.argument('directory', metavar='DIR', type=PATH)
@jobs_option
@shard_option
@click.option(
    '--skip-bids-validator',
    is_flag=True,
    help='Make our own checks only; they need no Deno. A release has no others.',
)
@click.option(
    '--deep/--quick',
    default=False,
    help='Unpack every image and look at the values of masks, or look at both ends of images '
    'only. CRC-32s of receipts are compared either way, those of zips with --deep.  '
    '[default: quick]',
)
@click.option('--tsv', metavar='FILE', type=PATH, help='Write every problem into a table.')
@debug_option
def command(directory: Path, **options: Any) -> None:
    """Check BIDS datasets or a release of MR-RATE.

    DIR is a raw dataset, whose derivatives/ are checked as well, or one derivative dataset. A
    dataset that mrrate-bids export wrote is compared with its receipts; of any other the checks
    that apply are made, and the table says which did not.

    DIR may also be a release: the folder MR-RATE, or the folder that holds it and the
    repositories next to it, zipped, extracted or merged. Files, tables and what the one says of
    the other are checked.

    \b
    Examples
      mrrate-bids validate bids
      mrrate-bids validate MR-RATE-all --jobs 8 --tsv problems.tsv
      mrrate-bids validate bids --shard 1/4 --tsv 1.tsv
      mrrate-bids validate bids --deep --jobs 8 --tsv problems.tsv
      mrrate-bids validate bids/derivatives/mrrate-coreg --skip-bids-validator
    """
    from mrrate_bids.cli.console import watching  # noqa: PLC0415
    from mrrate_bids.files import refuse_other_table, write_text  # noqa: PLC0415
    from mrrate_bids.release_validation import validate_any  # noqa: PLC0415
    from mrrate_bids.selection import Shard  # noqa: PLC0415
    from mrrate_bids.validation import PROBLEM_COLUMNS  # noqa: PLC0415

    if options['tsv']:
        refuse_other_table(options['tsv'], PROBLEM_COLUMNS)
    with watching('Checking', unit='') as watch:
        report = validate_any(
            directory,
            jobs=options['jobs'],
            deep=options['deep'],
            bids_validator=not options['skip_bids_validator'],
            shard=Shard.parse(options['shard']),
            watch=watch,
        )
    report_validation(report)
    if options['tsv']:
        write_text(options['tsv'].absolute(), report.to_tsv())
    sys.exit(report.exit_code)


def report_validation(report: 'Report') -> None:
    """Show problems and the table of checks."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from mrrate_bids.cli.console import report_problems  # noqa: PLC0415

    console = Console()
    report_problems(report.problems, console)
    table = Table(title='Checks', title_justify='left')
    for name in ('check', 'dataset', 'files', 'errors', 'warnings'):
        table.add_column(name, justify='left' if name in {'check', 'dataset'} else 'right')
    for row in report.rows:
        if row.not_run:
            table.add_row(row.check, f'not run: {row.not_run}', style='dim')
        else:
            warnings = '–' if row.warnings is None else f'{row.warnings:,}'
            table.add_row(row.check, row.dataset, f'{row.files:,}', f'{row.errors:,}', warnings)
    console.print(table)
