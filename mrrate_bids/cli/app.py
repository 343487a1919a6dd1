"""``mrrate-bids-app BIDS_DIR OUTPUT_DIR LEVEL``: the command line of a BIDS-App.

Source: Gorgolewski et al. 2017, BIDS Apps, PLOS Computational Biology 13(3): e1005209.
"""

from pathlib import Path

import click

from mrrate_bids import __version__
from mrrate_bids.cli import Handled
from mrrate_bids.cli.options import PATH
from mrrate_bids.errors import UsageError

__all__ = ['main']


@click.command(
    cls=Handled,
    name='mrrate-bids-app',
    context_settings={'help_option_names': ['-h', '--help']},
)
@click.argument('bids_dir', type=PATH)
@click.argument('output_dir', type=PATH)
@click.argument('analysis_level', type=click.Choice(['participant', 'group']))
@click.version_option(__version__, prog_name='mrrate-bids-app')
def main(bids_dir: Path, output_dir: Path, analysis_level: str) -> None:
    """Compute the MR-RATE derivatives of a BIDS dataset.

    This version converts and checks datasets (see mrrate-bids --help); it computes nothing yet,
    and says so instead of leaving an empty OUTPUT_DIR.
    """
    raise UsageError(
        f'mrrate-bids {__version__} cannot compute derivatives ({analysis_level} level)',
        hint='Derivatives of a release come with it: mrrate-bids export SOURCE BIDS_DIR.',
    )
