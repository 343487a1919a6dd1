"""``mrrate-bids import BIDS_DIR RELEASE_DIR``."""

import sys
from pathlib import Path
from typing import Any

import click

from mrrate_bids.cli.options import (
    PATH,
    debug_option,
    dry_run_option,
    jobs_option,
    link_option,
    list_option,
    plan_file_option,
    shard_option,
)
from mrrate_bids.cli.words import ListCommand
from mrrate_bids.errors import UsageError

__all__ = ['command', 'prepare']


@click.command(cls=ListCommand, name='import')
@click.argument('bids_dir', type=PATH)
@click.argument('release_dir', type=PATH)
@click.option(
    '--zip/--no-zip',
    'zipped',
    default=True,
    show_default=True,
    help='A zip per study and repository, or extracted files.',
)
@click.option(
    '--merged', is_flag=True, help='With --no-zip: all files of a study in MR-RATE/, not apart.'
)
@list_option('--participant', 'participants', label='LABEL,…', help='Subjects to import.')
@click.option(
    '--uids',
    type=click.Choice(['fresh', 'keep']),
    default='fresh',
    show_default=True,
    help='Of what was not exported from a release: draw fresh identifiers, or keep the labels.',
)
@click.option(
    '--batch-size',
    type=click.IntRange(min=1),
    default=3500,
    show_default=True,
    help='Studies in a batch; studies that came from a release keep theirs.',
)
@click.option(
    '--split',
    default='90,4,6',
    show_default=True,
    metavar='TRAIN,VAL,TEST',
    help='Percent of the patients in each split; patients that have a split keep it.',
)
@click.option(
    '--seed', type=int, help='Draw identifiers and splits from this number, so that they recur.'
)
@click.option(
    '--rule',
    'rules',
    multiple=True,
    metavar='NAME=VALUE',
    help='What is accepted of images that did not come from a release: min_age, min_shape, '
    'min_fov_mm, max_fov_mm, planes, modalities, derived. May be repeated.',
)
@click.option(
    '--defaced-elsewhere',
    is_flag=True,
    help='The images have no faces: take also those of which nothing here tells that they are '
    'defaced, as others of the dataset are.',
)
@click.option(
    '--work-dir',
    type=PATH,
    help='Folder for what must not be published: the mapping of identifiers, receipts, what was '
    'rejected.  [default: RELEASE_DIR-import]',
)
@link_option
@jobs_option
@shard_option
@plan_file_option('import-plan.tsv')
@dry_run_option
@debug_option
def command(bids_dir: Path, release_dir: Path, **options: Any) -> None:
    """Turn a BIDS dataset with its derivatives into a release in the layout of MR-RATE.

    What mrrate-bids export wrote comes back byte for byte, with the changes that were made to
    images, sidecars and tables since. Any other dataset is read by suffix, header and sidecar,
    and the rules of MR-RATE decide what is accepted.

    Where images came from a release or were defaced with mrrate-bids run, any other is set aside
    unless it has a defaced version, or --defaced-elsewhere says that it has no face.

    The folder RELEASE_DIR-import is yours to keep and not to publish: which subject became which
    patient (mapping.tsv), what was rejected and why (rejected.tsv), receipts to go on from.

    \b
    Examples
      mrrate-bids import bids release
      mrrate-bids import bids release --no-zip --merged --dry-run
      mrrate-bids import ds000001 release --rule min_age=0 --split 80,10,10 --seed 7
      mrrate-bids import bids release --shard 1/4      (on the first of four machines)
    """
    from mrrate_bids.cli.console import report_plan, report_summary, watching  # noqa: PLC0415

    run = prepare(bids_dir, release_dir, options)
    if options['dry_run']:
        code = report_plan(run, options['plan_file'], done='imported')
        if run.rejected:
            click.echo(f'{run.rejected:,} images would not be accepted; --help names the rules.')
        if run.draws:
            click.echo('Identifiers were drawn for this plan only; with --seed they recur.')
        sys.exit(code)
    with watching('Importing') as watch:
        summary = run.execute(jobs=options['jobs'], watch=watch)
    report_summary(summary, run.work)
    if run.rejected:
        where = run.work / 'rejected.tsv'
        click.echo(f'{run.rejected:,} images were not accepted; each with its rule: {where}')
    same, count = run.same
    click.echo(f'Tables: {count} in {release_dir}, {same} of them byte for byte as published.')
    sys.exit(summary.exit_code)


def prepare(bids_dir: Path, release_dir: Path, options: dict[str, Any]) -> Any:
    """Return the import that is asked for; nothing is written yet.

    Raises
    ------
    MrRateError
        When it cannot work.
    """
    from mrrate_bids.acceptance import Rules  # noqa: PLC0415
    from mrrate_bids.importing.plan import Layout  # noqa: PLC0415
    from mrrate_bids.importing.run import ImportRun, ImportSettings  # noqa: PLC0415
    from mrrate_bids.pseudonyms import Terms  # noqa: PLC0415
    from mrrate_bids.selection import Shard  # noqa: PLC0415
    from mrrate_bids.shares import Shares  # noqa: PLC0415

    if options['merged'] and options['zipped']:
        raise UsageError(
            '--merged is for extracted files', hint='Add --no-zip, or leave --merged out.'
        )
    settings = ImportSettings(
        layout=Layout(options['zipped'], options['merged'], options['link']),
        rules=Rules.parse(options['rules']),
        terms=Terms(
            keep=options['uids'] == 'keep',
            batch_size=options['batch_size'],
            shares=Shares.parse(options['split']),
            seed=options['seed'],
        ),
        participants=options['participants'],
        defaced_elsewhere=options['defaced_elsewhere'],
    )
    shard, work = Shard.parse(options['shard']), options['work_dir']
    return ImportRun(bids_dir, release_dir, settings=settings, shard=shard, work=work)
