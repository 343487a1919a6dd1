"""``mrrate-bids demo OUT``."""

import sys
from pathlib import Path

import click

from mrrate_bids.cli.options import PATH, Finite, debug_option, jobs_option

__all__ = ['command']


@click.command(name='demo')
@click.argument('out', type=PATH)
@jobs_option
@click.option(
    '--voxel',
    type=Finite(min=1.0, max=4.0),
    default=1.0,
    show_default=True,
    help='Resolution of the simulated scans; larger is coarser and faster.',
)
@debug_option
def command(out: Path, jobs: int, voxel: float) -> None:
    """Make a small release of simulated heads in OUT; export, validate, draw and import it.

    Nothing is downloaded. The heads are made from the MNI152 tissue maps that nilearn ships.

    \b
    Example
      mrrate-bids demo demo
    """
    from mrrate_bids.cli.console import report_summary  # noqa: PLC0415
    from mrrate_bids.cli.validate import report_validation  # noqa: PLC0415
    from mrrate_bids.receipts import FOLDER  # noqa: PLC0415
    from mrrate_bids.showcase import show  # noqa: PLC0415

    result = show(out, jobs=jobs, voxel=voxel, tell=lambda text: click.echo(f'{text} …'))
    report_summary(result.summary, result.bids / FOLDER)
    report_validation(result.report)
    click.echo(
        f'\nThe release    {result.release}'
        f'\nThe datasets   {result.bids} and {result.bids}/derivatives/mrrate-*'
        f'\nThe picture    {result.picture}'
        f'\nAnd back       {result.back}'
        f'\nNext           mrrate-bids export {result.release} OUT --modality FLAIR --dry-run'
    )
    trip = result.round_trip
    click.echo(
        f'\nRound trip     {trip.files} files and {trip.tables} tables of the release, '
        + ('the same byte for byte' if trip.same else f'{len(trip.differences)} of them differ')
    )
    for difference in trip.differences:
        click.echo(f'  {difference}', err=True)
    sys.exit(max(result.summary.exit_code, result.report.exit_code, 0 if trip.same else 1))
