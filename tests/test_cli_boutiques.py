"""The Boutiques descriptor says what the command line says."""

import json
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
        ('registration', {'value-choices': ['reference', 'fast'], 'default-value': 'reference'}),
        ('bids_filter_file', {'type': 'File', 'command-line-flag': '--bids-filter-file'}),
    ],
)
def test_types_are_those_of_the_options(name, facts):
    assert INPUTS[name].items() >= facts.items()
