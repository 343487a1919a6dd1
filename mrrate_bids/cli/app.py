"""``mrrate-bids-app BIDS_DIR OUTPUT_DIR LEVEL``: the command line of a BIDS-App.

Source: Gorgolewski et al. 2017, BIDS Apps, PLOS Computational Biology 13(3): e1005209.
"""

import click

from mrrate_bids import __version__
from mrrate_bids.cli import Handled
from mrrate_bids.cli.groups import GroupedCommand
from mrrate_bids.cli.run import command

__all__ = ['main']


class _App(Handled, GroupedCommand):
    """``mrrate-bids run`` as a program of its own."""


def _main() -> click.Command:
    app = _App(
        name='mrrate-bids-app',
        params=list(command.params),
        callback=command.callback,
        help=(command.help or '').replace('mrrate-bids run', 'mrrate-bids-app'),
        context_settings={'help_option_names': ['-h', '--help'], 'max_content_width': 100},
    )
    return click.version_option(__version__, prog_name='mrrate-bids-app')(app)


main = _main()
