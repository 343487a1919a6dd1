"""Names are shown as they are, whatever they hold, on a terminal and in a log."""

import io
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console
from said import Said

from mrrate_bids.cli import console
from mrrate_bids.cli.console import report_problems, report_summary, show_plan, watching
from mrrate_bids.cli.fetch_report import watch_bytes
from mrrate_bids.export_run import Summary
from mrrate_bids.fetching.rate import Rate
from mrrate_bids.problems import Problem

NAMES = ['[/]', '[/red]', '[red]batch', 'bat[bold]ch']


@pytest.fixture
def terminal(monkeypatch):
    """Return what a terminal gets to see."""
    shown = io.StringIO()

    def make(**options):
        return Console(file=shown, force_terminal=True, width=200)

    monkeypatch.setattr('mrrate_bids.cli.console.Console', make)
    monkeypatch.setattr('mrrate_bids.cli.fetch_report.Console', make)
    monkeypatch.setattr('sys.stderr.isatty', lambda: True, raising=False)
    return shown


@pytest.mark.parametrize('name', NAMES)
def test_progress_in_a_log(name, capsys):
    with watching('Looking at') as watch:
        watch(name, 1, 1, 0)
    assert f'Looking at {name}: 1/1 studies' in capsys.readouterr().err


@pytest.mark.parametrize('name', NAMES)
def test_progress_on_a_terminal(name, terminal):
    for watcher in (watching('At'), watch_bytes(Rate(0))):
        with watcher as watch:
            watch(name, 1, 2, 0)
    assert f'At {name}' in terminal.getvalue()
    assert f'Fetching {name}' in terminal.getvalue()


@pytest.mark.parametrize('name', NAMES)
def test_folders_and_problems(name, terminal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path('out') / name.replace('/', '')
    folder.mkdir(parents=True)
    report_summary(Summary(), folder)
    assert 'studies.tsv' not in terminal.getvalue(), 'there is none'
    (folder / 'studies.tsv').touch()
    report_summary(Summary(), folder)
    show_plan([], Counter(), Counter(), folder, done='exported', by='group')
    report_problems([Problem('error', f'{name} is wrong', 'Mend it.')], console.Console())
    said = terminal.getvalue()
    assert f'{folder}/studies.tsv' in said
    assert f'Every file: {folder}' in said
    assert f'{name} is wrong' in said


def test_many_problems_are_counted(capsys):
    problems = [Problem('warning', f'{number} is odd', 'Look.') for number in range(30)]
    report_problems([*problems, Problem('error', 'the worst', 'Mend it.')], Console())
    said = capsys.readouterr().out
    assert said.index('the worst') < said.index('0 is odd')
    assert '… and 11 more' in said


def test_destination_with_brackets(source, tmp_path):
    done = Said('fetch', source, tmp_path / 'out[/x]', '--what', 'native')
    assert done.code == 0
    assert f'{tmp_path}/out[/x]/.mrrate-bids/fetch/studies.tsv' in done.text
