"""``mrrate-bids merge DEST``."""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mrrate_bids.cli.options import (
    PATH,
    debug_option,
    dry_run_option,
    jobs_option,
    list_option,
    plan_file_option,
)
from mrrate_bids.cli.words import ListCommand
from mrrate_bids.errors import UsageError
from mrrate_bids.naming import REPOSITORIES

if TYPE_CHECKING:
    from mrrate_bids.merging import Merge, Summary
    from mrrate_bids.merging.plan import Step

__all__ = ['command']

_DERIVED = tuple(REPOSITORIES)[1:]
_COLUMNS = ('batch', 'study_uid', 'action', 'source', 'target', 'size')


@click.command(cls=ListCommand, name='merge')
@click.argument('dest', type=PATH)
@click.option(
    '--link',
    type=click.Choice(['hardlink', 'move', 'copy']),
    default='hardlink',
    show_default=True,
    help='How files come into the tree; a hard link needs no room and leaves the old place.',
)
@list_option(
    '--repository',
    'repositories',
    choices=_DERIVED,
    label='NAME,…',
    help=f'What to merge: {", ".join(_DERIVED)}. [default: all that are there]',
)
@list_option('--batch', 'batches', label='00,05', help='Batches of the release.')
@click.option('--undo', is_flag=True, help='Take back what was merged.')
@jobs_option
@plan_file_option('merge-plan.tsv')
@dry_run_option
@debug_option
def command(dest: Path, **options: Any) -> None:
    """Bring derivative repositories into the tree of MR-RATE.

    DEST is the folder that holds MR-RATE, MR-RATE-coreg and so on side by side. The folders of
    each study come to lie in its folder in MR-RATE; zips of studies that are not extracted next
    to the native zips. Nothing is overwritten: a study with a file that would be, or with a file
    that is damaged, is named and set aside. Every change stands in a journal,
    DEST/.mrrate-bids/merge-journal.tsv, before it is made.

    \b
    Examples
      mrrate-bids merge MR-RATE-all --dry-run
      mrrate-bids merge MR-RATE-all
      mrrate-bids merge MR-RATE-all --link move --batch 00,01
      mrrate-bids merge MR-RATE-all --undo
    """
    from mrrate_bids.cli.console import watching  # noqa: PLC0415
    from mrrate_bids.merging import Merge  # noqa: PLC0415

    merge = Merge(dest, repositories=options['repositories'], link=options['link'])
    if options['undo']:
        summary = merge.undo(dry_run=options['dry_run'])
        _report_undo(summary, dry_run=options['dry_run'])
        sys.exit(summary.exit_code)
    batches = _choose(merge, options['batches'])
    if options['dry_run']:
        summary = _write_plan(merge, batches, options)
    else:
        with watching('Merging') as watch:
            summary = merge.execute(batches, jobs=options['jobs'], watch=watch)
    _report(merge, summary, options)
    sys.exit(summary.exit_code)


def _choose(merge: 'Merge', batches: tuple[str, ...]) -> list[str]:
    from mrrate_bids.selection import Selection  # noqa: PLC0415

    known = [name for name in merge.find().batches if Selection(batches=batches).has_batch(name)]
    if not known:
        raise UsageError(f'{merge.root} has none of the batches', hint='Leave out --batch.')
    return known


def _write_plan(merge: 'Merge', batches: list[str], options: dict[str, Any]) -> 'Summary':
    """Write what would be done, one row a file."""
    from mrrate_bids.files import open_if_changed, refuse_other_table  # noqa: PLC0415
    from mrrate_bids.merging import Summary  # noqa: PLC0415
    from mrrate_bids.tables import format_tsv  # noqa: PLC0415

    summary = Summary()
    refuse_other_table(options['plan_file'], _COLUMNS)
    with open_if_changed(options['plan_file'].absolute()) as file:
        file.write(format_tsv(_COLUMNS, ()))
        plans = merge.plans(batches, jobs=options['jobs'], problems=summary.problems)
        with closing(plans):  # its threads end here, whatever ends the loop
            for batch, _, _, study in plans:
                summary.add(study)
                rows = [_row(batch, study.study, step) for step in study.steps]
                file.write(format_tsv(_COLUMNS, rows).partition('\n')[2])
    return summary


def _row(batch: str, study: str, step: 'Step') -> list[str]:
    return [batch, study, step.action, str(step.source), str(step.target), str(step.size)]


def _report(merge: 'Merge', summary: 'Summary', options: dict[str, Any]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.filesize import decimal  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from mrrate_bids.cli.console import report_problems  # noqa: PLC0415

    console = Console()
    report_problems(summary.problems, console)
    dry_run = options['dry_run']
    title = 'Plan (nothing was merged)' if dry_run else 'Studies'
    names = ('to do' if dry_run else 'done', 'skipped (merged before)', 'failed')
    table = Table(*names, title=title, title_justify='left')
    table.add_row(*(f'{summary.counts[state]:,}' for state in ('done', 'skipped', 'failed')))
    console.print(table)
    if not summary.counts.total():
        console.print('There is nothing left to merge: no study is outside of MR-RATE.')
    console.print(
        f'{summary.files:,} files by {options["link"]}, {decimal(summary.bytes)}', highlight=False
    )
    if summary.left:
        console.print(
            f'{summary.left:,} files stay where they are: zips of studies that are extracted, '
            'or what is there already',
            highlight=False,
        )
    where = options['plan_file'] if dry_run else merge.folder / 'merge-studies.tsv'
    what = 'file' if dry_run else 'study'
    console.print(f'Every {what}: {where}', soft_wrap=True, highlight=False, markup=False)


def _report_undo(summary: 'Summary', *, dry_run: bool) -> None:
    from rich.console import Console  # noqa: PLC0415

    from mrrate_bids.cli.console import report_problems  # noqa: PLC0415

    console = Console()
    report_problems(summary.problems, console)
    verb = 'would' if dry_run else 'were'
    be = ' be' if dry_run else ''
    console.print(f'{summary.files:,} files {verb}{be} taken back', highlight=False)
    if summary.problems:
        console.print(f'{len(summary.problems):,} {verb} not{be}; they stay in the journal')
