"""What is offered for a value: labels, parts of lists, templates, words of a metavar, files."""

from pathlib import Path

import click
import pytest

from mrrate_bids.cli.app import main
from mrrate_bids.cli.options import list_option
from mrrate_bids.cli.words import ListCommand
from mrrate_bids.naming import ATLAS


@pytest.fixture
def bids(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for inside in ('sub-01/ses-a', 'sub-02/ses-b', 'sub-10/ses-b', 'derivatives'):
        (tmp_path / 'bids' / inside).mkdir(parents=True)
    (tmp_path / 'bids/sub-03.txt').touch()
    return tmp_path / 'bids'


def _offered(name, incomplete='', *words, folder='bids'):
    """Return what is offered for an option, after these words."""
    line = [folder, 'out', 'participant', *words, name]
    context = main.make_context('app', line, resilient_parsing=True)
    (option,) = (param for param in main.params if name in param.opts)
    return option.shell_complete(context, incomplete)


def _values(*arguments, **options):
    return [item.value for item in _offered(*arguments, **options)]


def test_labels_are_those_of_folders(bids):
    assert _values('--participant-label') == ['01', '02', '10']
    assert _values('--participant-label', 'sub-0') == ['sub-01', 'sub-02']
    assert _values('--session-label') == ['a', 'b']


def test_sessions_are_those_of_the_participants(bids):
    assert _values('--session-label', '', '--participant-label', 'sub-01') == ['a']


def test_what_the_list_has_is_not_offered_again(bids):
    assert _values('--participant-label', '01,') == ['01,02', '01,10']
    assert _values('--participant-label', '', '--participant-label', '01,02') == ['10']


@pytest.mark.parametrize('how', ['~/bids', '$HOME/bids'])
def test_folder_as_it_is_typed(how, bids, monkeypatch):
    monkeypatch.setenv('HOME', str(bids.parent))
    assert _values('--participant-label', '1', folder=how) == ['10']


def test_folder_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _values('--participant-label') == []


def test_many_labels_are_offered_by_their_beginnings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(1100):
        Path('bids', f'sub-{number:04d}').mkdir(parents=True)
    assert _values('--participant-label') == [f'{number:03d}' for number in range(110)]
    assert len(_values('--participant-label', '00')) == 100


def test_templates_of_templateflow_and_of_its_folder(tmp_path, monkeypatch):
    pytest.importorskip('templateflow')
    own = tmp_path / 'tpl-Own/tpl-Own_res-1_T1w.nii.gz'
    own.parent.mkdir()
    own.touch()
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path))
    offered = _values('--template')
    assert {'Own', ATLAS} <= set(offered)
    assert 'MNI305' not in offered  # it has no resolution
    assert _values('--template', 'mni152nlin6') == ['MNI152NLin6Asym', 'MNI152NLin6Sym']


def test_words_of_a_metavar():
    assert _values('--device', 'c') == ['cpu', 'cuda']


@pytest.mark.parametrize('name', ['--derivatives', '--hdbet-weights', '--bids-filter-file'])
def test_paths_are_left_to_the_shell(name):
    assert [item.type for item in _offered(name)] == ['file']


def test_choices_of_a_list_in_any_case():
    @click.command(cls=ListCommand)
    @list_option('--plane', choices=('Axial', 'Sagittal'), help='')
    def command():
        """Do nothing."""

    context = command.make_context('x', [], resilient_parsing=True)
    found = command.params[0].shell_complete(context, 'axial,s')
    assert [item.value for item in found] == ['axial,Sagittal']


def test_text_is_offered_nothing_that_is_not_known():
    @click.command(cls=ListCommand)
    @click.option('--where', metavar='EXPR')
    def command():
        """Do nothing."""

    context = command.make_context('x', [], resilient_parsing=True)
    assert command.params[0].shell_complete(context, '') == []


def test_missing_value_is_an_error_outside_of_completion():
    with pytest.raises(click.UsageError, match='requires an argument'):
        main.make_context('app', ['bids', 'out', 'participant', '--participant-label'])
