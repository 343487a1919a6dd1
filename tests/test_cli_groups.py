"""Help in groups."""

import click
from click.testing import CliRunner

from mrrate_bids.cli.groups import GroupedCommand, group


@click.command(cls=GroupedCommand)
@group('Speed', click.option('--fast', is_flag=True), click.option('--slow', is_flag=True))
@group('Colour', click.option('--red', is_flag=True))
def command(**options):
    """Print what was chosen."""
    click.echo(sorted(name for name, value in options.items() if value))


def test_options_stand_under_their_titles_in_order():
    said = CliRunner().invoke(command, ['--help']).output
    places = [said.index(word) for word in ('Speed:', '--fast', '--slow', 'Colour:', '--red')]
    assert places == sorted(places)
    assert said.index('Other options:') < said.index('--help')


def test_options_of_groups_work():
    assert CliRunner().invoke(command, ['--red', '--slow']).output == "['red', 'slow']\n"
