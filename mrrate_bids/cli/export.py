"""``mrrate-bids export SOURCE BIDS_DIR``."""

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
    selection_options,
    shard_option,
)
from mrrate_bids.cli.words import ListCommand
from mrrate_bids.naming import INCLUDES

__all__ = ['command', 'prepare']


@click.command(cls=ListCommand, name='export')
@click.argument('source', type=PATH)
@click.argument('bids_dir', type=PATH)
@list_option(
    '--include',
    choices=INCLUDES,
    help='What to export: images, masks, co-registered, atlas, segmentations. [default: all]',
)
@selection_options
@jobs_option
@shard_option
@link_option
@click.option(
    '--age-cap',
    type=click.Choice(['tables', 'everywhere', 'none']),
    default='tables',
    show_default=True,
    help='Where ages above 89 are given as 89: in the tables, in verbatim cells too, or nowhere.',
)
@plan_file_option('export-plan.tsv')
@dry_run_option
@debug_option
def command(source: Path, bids_dir: Path, **options: Any) -> None:
    """Turn a release of MR-RATE into BIDS: a raw dataset and its derivatives.

    SOURCE is the folder MR-RATE, or the folder that holds the repositories side by side, with
    zips, extracted folders or both. BIDS_DIR may hold an earlier export: what is there stays,
    what is missing is added, what is done is not done again.

    \b
    Examples
      mrrate-bids export MR-RATE-all bids
      mrrate-bids export MR-RATE-all bids --include raw,defaced --split val --modality FLAIR
      mrrate-bids export MR-RATE-all bids --where "FieldStrength_T >= 3 and age < 40" --dry-run
      mrrate-bids export MR-RATE-all bids --shard 1/4      (on the first of four machines)
    """
    from mrrate_bids.cli.console import report_plan, report_summary, watching  # noqa: PLC0415
    from mrrate_bids.receipts import FOLDER  # noqa: PLC0415

    run = prepare(source, bids_dir, options)
    if options['dry_run']:
        sys.exit(report_plan(run, options['plan_file'], done='exported'))
    with watching('Exporting') as watch:
        summary = run.execute(jobs=options['jobs'], watch=watch)
    report_summary(summary, bids_dir / FOLDER)
    sys.exit(summary.exit_code)


def prepare(source: Path, bids_dir: Path, options: dict[str, Any]) -> Any:
    """Return the export that is asked for; nothing is written yet.

    Raises
    ------
    MrRateError
        When it cannot work.
    """
    from mrrate_bids.catalog import open_release  # noqa: PLC0415
    from mrrate_bids.export import ExportSettings  # noqa: PLC0415
    from mrrate_bids.export_run import ExportRun  # noqa: PLC0415
    from mrrate_bids.selection import Selection, Shard, check_where  # noqa: PLC0415

    release = open_release(source)
    names = ('batches', 'patients', 'studies', 'splits', 'modalities', 'planes', 'where')
    selection = Selection(**{name: options[name] for name in names})
    if selection.where:
        check_where(release, selection.where)
    settings = ExportSettings(
        include=options['include'] or INCLUDES, link=options['link'], age_cap=options['age_cap']
    )
    shard = Shard.parse(options['shard'])
    return ExportRun(release, bids_dir, selection=selection, settings=settings, shard=shard)
