"""Options as a file: what is written can be read, and what is wrong is told in one line."""

import tomllib

import click
import pytest
from click.testing import CliRunner

from mrrate_bids.cli.config_file import config_file_option, format_config
from mrrate_bids.cli.options import PATH, list_option


@click.command()
@click.argument('folder', type=PATH)
@list_option('--steps', choices=('mask', 'coreg'), help='Steps.')
@click.option('--brain-extractor', 'extractor', default='hd-bet')
@click.option('--given', multiple=True)
@click.option('-d', '--derivatives', multiple=True, metavar='[NAME=]PATH')
@click.option('--work-dir', type=PATH, default='work')
@click.option('--nprocs', type=click.IntRange(min=1), default=2)
@click.option('--offline', is_flag=True)
@config_file_option
@click.pass_context
def command(ctx, **options):
    """Print the options as a file."""
    click.echo(format_config(ctx), nl=False)


def call(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    'given',
    [
        [],
        ['--steps', 'mask,coreg', '--nprocs', '3', '--offline'],
        ['--steps', 'mask', '--given', 'a=b c', '--given', 'd', '--brain-extractor', 'deepbet'],
    ],
)
def test_the_file_of_a_run_gives_the_same_run(tmp_path, given):
    said = call('data', *given)
    assert said.exit_code == 0, said.output
    path = tmp_path / 'config.toml'
    path.write_text(said.output)
    assert call('data', '--config-file', path).output == said.output


def test_the_file_of_a_run_names_whole_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ('-d', 'mine=masks', '-d', 'more/a=b', '-d', '/all')
    said = tomllib.loads(call('data', *given, '--given', 'x').output)
    assert said['run']['folder'] == f'{tmp_path}/data'
    assert said['options']['work-dir'] == f'{tmp_path}/work'
    assert said['options']['derivatives'] == [
        f'mine={tmp_path}/masks',
        f'{tmp_path}/more/a=b',
        '/all',
    ]
    assert said['options']['given'] == ['x']


def test_the_command_line_wins(tmp_path):
    path = tmp_path / 'config.toml'
    path.write_text('nprocs = 5\nbrain_extractor = "deepbet"\nsteps = "mask"\n')
    said = call('data', '--nprocs', '7', '--config-file', path).output
    assert 'nprocs = 7' in said
    assert 'brain-extractor = "deepbet"' in said
    assert '"mask"' in said


@pytest.mark.parametrize(
    ('text', 'word'),
    [
        ('nprocs = ', 'cannot be read'),
        ('speed = 3\n', "no option 'speed'"),
        ('nprocs = 0\n', '0 is not in the range'),
        ('steps = ["fly"]\n', "'fly' is none of"),
        ('options = 3\n', 'no table'),
        ('nprocs = [1]\n', 'config.toml: nprocs is [1], and should be a text or a number.'),
        ('nprocs = 2020-01-01\n', 'and should be a text or a number.'),
        ('nprocs = 1.5\n', "'1.5' is not a valid integer"),
        ('nprocs = {a = 1}\n', "nprocs is {'a': 1}, and should be a text or a number."),
        ('brain_extractor = true\n', 'brain-extractor is True, and should be a text or'),
        ('brain_extractor = "a\\u0000b"\n', "is 'a\\x00b', and should be a text or"),
        ('given = [["a"]]\n', "[['a']], and should be a text, a number or a list of these."),
        ('given = {a = "b"}\n', 'and should be a text, a number or a list of these.'),
        ('offline = 1\n', 'offline is 1, and should be true or false.'),
        ('offline = []\n', 'offline is [], and should be true or false.'),
    ],
)
def test_a_file_that_is_wrong_is_one_line(tmp_path, text, word):
    path = tmp_path / 'config.toml'
    path.write_text(text)
    said = call('data', '--config-file', path)
    assert said.exit_code == 2
    assert word in said.output.splitlines()[-1]


def test_numbers_are_as_on_a_command_line(tmp_path):
    path = tmp_path / 'config.toml'
    path.write_text('given = [1, "b", 2.5]\nnprocs = "3"\nbrain-extractor = 7\n')
    said = call('data', '--config-file', path)
    assert said.exit_code == 0, said.output
    kept = tomllib.loads(said.output)['options']
    assert kept['given'] == ['1', 'b', '2.5']
    assert (kept['nprocs'], kept['brain-extractor']) == (3, '7')


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    said = call('data', '--config-file', tmp_path / 'nothing.toml')
    assert said.exit_code == 2
    assert 'nothing.toml cannot be read' in said.output
