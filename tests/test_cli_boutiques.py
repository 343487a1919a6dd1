"""The Boutiques descriptor says what the command line says, and ``bosh`` makes lines of it."""

import json
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from mrrate_bids.cli.app import main
from mrrate_bids.cli.boutiques import describe, render

DESCRIPTOR = Path(__file__).parents[1] / 'boutiques.json'
INPUTS = {entry['id']: entry for entry in describe(main)['inputs']}


def test_the_file_is_current():
    text = DESCRIPTOR.read_text(encoding='utf-8')
    assert text == render() + '\n', 'run python -m mrrate_bids.cli.boutiques > boutiques.json'


def test_every_option_has_an_input():
    options = [param for param in main.params if isinstance(param, click.Option)]
    flags = {entry.get('command-line-flag') for entry in INPUTS.values()}
    missing = [option.name for option in options if not flags & set(option.opts)]
    assert set(missing) <= {'help', 'version'}
    assert len(flags) > 20


def test_every_value_has_its_place_in_the_command_line():
    line = json.loads(DESCRIPTOR.read_text())['command-line']
    assert [e['id'] for e in INPUTS.values() if e['value-key'] not in line] == []


@pytest.mark.parametrize(
    ('name', 'facts'),
    [
        ('bids_dir', {'type': 'File', 'optional': False}),
        ('analysis_level', {'value-choices': ['participant', 'group']}),
        ('steps', {'list': True, 'list-separator': ',', 'type': 'String'}),
        ('nprocs', {'type': 'Number', 'integer': True, 'minimum': 1}),
        ('quickshear_buffer', {'type': 'Number', 'integer': False, 'minimum': 0}),
        ('offline', {'type': 'Flag'}),
        ('registration', {'value-choices': ['reference', 'fast']}),
        ('derivatives', {'type': 'String', 'list-separator': ' --derivatives '}),
        ('work_dir', {'type': 'String'}),
        ('verbose', {'type': 'Flag', 'command-line-flag': '--verbose'}),
        ('bids_filter_file', {'type': 'File', 'command-line-flag': '--bids-filter-file'}),
    ],
)
def test_types_are_those_of_the_options(name, facts):
    assert INPUTS[name].items() >= facts.items()


def test_defaults_are_told_and_not_passed_on():
    """They would win over a file of options."""
    assert not [entry for entry in INPUTS.values() if 'default-value' in entry]
    assert INPUTS['nprocs']['description'].endswith('[default: 2]')


def test_groups_are_those_of_the_help():
    groups = {group['name']: group['members'] for group in describe(main)['groups']}
    shown = main.get_help(click.Context(main))
    assert 'steps' in groups['What is computed']
    assert [name for name, ids in groups.items() if name not in shown] == ['output dir or another']


def test_switches_limits_and_several_values_of_any_command():
    @click.command(help='Try.')
    @click.option('--draw/--no-draw')
    @click.option('--share', type=click.FloatRange(0, 1, max_open=True))
    @click.option('--size', type=int, nargs=3)
    @click.option('--out', type=click.Path(writable=True))
    @click.option('--secret', hidden=True)
    def command():
        """Do nothing."""

    described = describe(command)
    inputs = {entry.pop('id'): entry for entry in described['inputs']}
    assert inputs['no_draw'] | inputs['draw'] == inputs['draw']
    assert inputs['share'].items() >= {'maximum': 1, 'exclusive-maximum': True}.items()
    assert inputs['size'].items() >= {'list': True, 'min-list-entries': 3}.items()
    assert inputs['out']['type'] == 'String'
    assert 'secret' not in inputs
    exclusive = [g['members'] for g in described['groups'] if 'mutually-exclusive' in g]
    assert exclusive == [['draw', 'no_draw']]


@pytest.fixture
def bosh():
    if not find_spec('boutiques'):
        pytest.skip('boutiques is not installed')

    def run(*arguments):
        code = (
            'import sys; from boutiques.bosh import bosh; sys.argv[0] = "bosh"; sys.exit(bosh())'
        )
        command = [sys.executable, '-c', code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def test_bosh_accepts_the_descriptor_of_a_bids_app(bosh):
    done = bosh('validate', '--bids', DESCRIPTOR)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'BIDS validation OK' in done.stdout


def _example(entry):
    """Return a value for an input, as an invocation has it."""
    if entry['type'] == 'Flag':
        return True
    if entry['type'] == 'Number':
        return max(entry.get('minimum', 7), 2)
    if entry['id'] == 'shard':
        return '1/2'
    value = entry.get('value-choices', ['some value'])[0]
    return [value, value] if entry.get('list') else value


def test_command_line_of_bosh_is_understood(bosh, tmp_path):
    """Every option at once; what click reads is what the invocation says."""
    skipped = {'existing_output_dir', 'config_file'}
    values = {name: _example(e) for name, e in INPUTS.items() if name not in skipped}
    invocation = tmp_path / 'invocation.json'
    invocation.write_text(json.dumps(values))
    done = bosh('exec', 'simulate', DESCRIPTOR, '-i', invocation)
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(text for text in done.stdout.splitlines() if main.name in text)
    words = shlex.split(line[line.index(main.name) :])
    context = main.make_context(main.name, words[1:])
    assert context.params['output_dir'] == Path('some value')
    assert context.params['participants'] == ('some value', 'some value')
    assert context.params['derivatives'] == ('some value', 'some value')
    assert context.params['buffer_mm'] == 2
    unset = {click.core.ParameterSource.DEFAULT, None}
    left = [name for name in context.params if context.get_parameter_source(name) in unset]
    assert left == []
