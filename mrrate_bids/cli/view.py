"""``mrrate-bids view BIDS_DIR VIEW_DIR``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mrrate_bids.cli.options import (
    PATH,
    debug_option,
    dry_run_option,
    link_option,
    list_option,
    plan_file_option,
)
from mrrate_bids.cli.words import ListCommand

if TYPE_CHECKING:
    from mrrate_bids.view import View

__all__ = ['command']


@click.command(cls=ListCommand, name='view')
@click.argument('bids_dir', type=PATH)
@click.argument('view_dir', type=PATH)
@list_option(
    '--participant-label', 'participants', label='LABEL,…', help='Subjects, with or without sub-.'
)
@list_option(
    '--session-label', 'sessions', label='LABEL,…', help='Sessions, with or without ses-.'
)
@click.option(
    '--bids-filter-file', type=PATH, help='JSON with entities by suffix, as fMRIPrep has it.'
)
@link_option
@plan_file_option('view-plan.tsv')
@dry_run_option
@debug_option
def command(bids_dir: Path, view_dir: Path, **options: Any) -> None:
    """Make a dataset of one T1w a session, as Clinica asks for.

    VIEW_DIR becomes a raw BIDS dataset with the centre T1w of every session of BIDS_DIR, by the
    name sub-X_ses-Y_T1w, its JSON file and the rows of its subjects and sessions. The images are
    hard links where the filesystem can, so that the view takes no space. What is there stays; a
    dataset without sessions gets the session M000.

    \b
    Examples
      mrrate-bids view bids bids-t1w
      mrrate-bids view bids bids-t1w --participant-label 01 02 --link copy
      mrrate-bids view bids bids-t1w --dry-run
    """
    from rich.console import Console  # noqa: PLC0415

    from mrrate_bids.app.inputs import read_filter  # noqa: PLC0415
    from mrrate_bids.cli.console import report_problems, watching  # noqa: PLC0415
    from mrrate_bids.view import View  # noqa: PLC0415

    path = options['bids_filter_file']
    view = View(
        bids_dir,
        view_dir,
        participants=options['participants'],
        sessions=options['sessions'],
        filters=read_filter(path) if path else {},
        link=options['link'],
    )
    if options['dry_run']:
        sys.exit(_report_plan(view, options['plan_file']))
    with watching('Placing', unit=' T1w') as watch:
        summary = view.execute(watch=watch)
    report_problems(summary.problems, Console())
    counts = summary.counts
    click.echo(
        f'{counts["done"]:,} T1w placed in {view_dir}, {counts["skipped"]:,} were there already.'
    )
    sys.exit(summary.exit_code)


def _report_plan(view: 'View', target: Path) -> int:
    """Write which T1w would be placed where; return the exit code that is known now."""
    from rich.console import Console  # noqa: PLC0415

    from mrrate_bids.cli.console import report_problems  # noqa: PLC0415
    from mrrate_bids.files import write_text  # noqa: PLC0415
    from mrrate_bids.tables import format_tsv  # noqa: PLC0415

    pictures = view.pictures
    missing = [picture for picture in pictures if not view.is_current(picture)]
    rows = [
        [p.subject, p.session, p.inside, p.target, 'place' if p in missing else 'there']
        for p in pictures
    ]
    header = ['participant_id', 'session_id', 'image', 'target', 'action']
    write_text(target.absolute(), format_tsv(header, rows))
    report_problems(view.problems, Console())
    click.echo(f'{len(missing):,} of {len(pictures):,} T1w would be placed (nothing was).')
    click.echo(f'Every image: {target}')
    return 3 if any(problem.severity == 'error' for problem in view.problems) else 0
