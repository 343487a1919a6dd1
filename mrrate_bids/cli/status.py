"""``mrrate-bids status DEST``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mrrate_bids.cli.options import (
    PATH,
    debug_option,
    jobs_option,
    list_option,
    offline_option,
)
from mrrate_bids.cli.words import ListCommand
from mrrate_bids.errors import UsageError

if TYPE_CHECKING:
    from mrrate_bids.selection import Selection
    from mrrate_bids.status import Board, FixList, Remote

__all__ = ['command']

_COLOURS = {'here': 'green', 'missing': 'dim'}


@click.command(cls=ListCommand, name='status')
@click.argument('dest', type=PATH)
@click.option(
    '--remote',
    'remotes',
    metavar='SOURCE',
    multiple=True,
    help='Another copy to compare with: a folder, a URL that can be listed (http:// with an '
    'index, hf://datasets/…), or a .tsv with the columns path and size. May be repeated, once '
    'for each repository.',
)
@click.option(
    '--fix-list',
    'fix_lists',
    metavar='FILE',
    type=PATH,
    multiple=True,
    help='A published list (.json) of studies that were repaired or added; may be repeated.',
)
@list_option('--batch', 'batches', label='00,05', help='Batches of the release.')
@click.option(
    '--deep/--quick',
    default=False,
    help='Read every byte: CRC-32s, whole images, SHA-256s where they are known; or the '
    'directory of each zip and both ends of each image.  [default: quick]',
)
@jobs_option
@click.option(
    '--tsv',
    metavar='FILE',
    type=PATH,
    default='status.tsv',
    show_default=True,
    help='Where every study is told.',
)
@offline_option
@debug_option
def command(dest: Path, **options: Any) -> None:
    """Show what of a release lies on disk, and what of it is damaged.

    DEST is the folder that holds MR-RATE, MR-RATE-coreg and so on side by side, or one of them.
    Nothing in it is changed.

    \b
    Examples
      mrrate-bids status MR-RATE-all
      mrrate-bids status MR-RATE-all --remote hf://datasets/Forithmus/MR-RATE-coreg
      mrrate-bids status MR-RATE-all --fix-list fixed_reg_studies.json
      mrrate-bids status MR-RATE-all --deep --jobs 8 --tsv studies.tsv
    """
    from mrrate_bids.cli.console import watching  # noqa: PLC0415
    from mrrate_bids.files import open_if_changed, refuse_other_table  # noqa: PLC0415
    from mrrate_bids.selection import Selection  # noqa: PLC0415
    from mrrate_bids.status import Board, Survey, open_anything, studies_table  # noqa: PLC0415
    from mrrate_bids.status.board import COLUMNS  # noqa: PLC0415

    tsv = options['tsv'].absolute()
    refuse_other_table(tsv, COLUMNS)
    release = open_anything(dest)
    fixes = _read_fix_lists(options['fix_lists'])
    selection = Selection(batches=options['batches'])
    remote = _list_remotes(options['remotes'], selection, offline=options['offline'])
    survey = Survey(release, remote=remote, fixes=fixes, deep=options['deep'])
    batches = list(filter(selection.has_batch, survey.batches))
    if not batches:
        raise UsageError(f'{dest} has none of the batches', hint='Leave out --batch to see all.')
    board = Board()
    board.problems += survey.unfinished()
    with watching('Looking at') as watch, open_if_changed(tsv) as file:
        statuses = survey.run(batches, jobs=options['jobs'], watch=watch)
        file.writelines(studies_table(statuses, board))
    _show(board, survey.shared_tables(), tsv=options['tsv'], compared=bool(options['remotes']))
    _show_elsewhere(fixes.elsewhere(survey.batches))
    sys.exit(board.exit_code)


def _read_fix_lists(paths: tuple[Path, ...]) -> 'FixList':
    from mrrate_bids.status import FixList  # noqa: PLC0415

    fixes = FixList()
    for path in paths:
        fixes.read(path)
    return fixes


def _list_remotes(sources: tuple[str, ...], selection: 'Selection', *, offline: bool) -> 'Remote':
    from mrrate_bids.status import Remote, is_local  # noqa: PLC0415

    remote = Remote(selection.has_batch)
    for source in sources:
        if offline and not is_local(source):
            raise UsageError(
                f'{source} cannot be listed with --offline',
                hint='Give a folder, or a .tsv with the columns path and size.',
            )
        remote.add(source)
    return remote


def _show_elsewhere(counts: dict[str, int]) -> None:
    """Say what of the lists of repaired studies this release has no batch for."""
    if counts:
        some = ', '.join(f'{batch} ({count:,})' for batch, count in counts.items())
        number = sum(counts.values())
        click.echo(f'{number:,} on the lists are of batches that are not here: {some}.')


def _show(board: 'Board', shared: dict[str, str], *, tsv: Path, compared: bool) -> None:
    """Show what is wrong, then the table of batches and repositories."""
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from mrrate_bids.cli.console import report_problems  # noqa: PLC0415

    console = Console()
    report_problems(board.problems, console)
    table = Table('batch', *board.columns, 'metadata', 'reports', title='Studies on disk')
    table.title_justify = 'left'
    for name, cells, tables in board.rows:
        texts = [f'[{cells[c].style}]{cells[c]}' for c in board.columns]
        states = [f'[{_COLOURS.get(state, "red")}]{state}' for state in tables.values()]
        table.add_row(escape(name), *texts, *states)
    if len(board.rows) > 1:
        table.add_section()
        table.add_row(
            'all', *(f'[{board.totals[c].style}]{board.totals[c]}' for c in board.columns)
        )
    console.print(table)
    console.print(', '.join(f'{name}: {state}' for name, state in shared.items()), highlight=False)
    if not compared:
        console.print(
            'Counted against the metadata; not every study has derivatives. '
            '--remote SOURCE tells which there are.',
            highlight=False,
        )
    if board.again:
        console.print(f'{board.again:,} to fetch again, as the lists of repaired studies say.')
    console.print(f'Every study: {tsv}', soft_wrap=True, highlight=False, markup=False)
