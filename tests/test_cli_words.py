"""Lists as several words, wherever the arguments of the command stand."""

import click
import pytest

from mrrate_bids.cli.options import list_option
from mrrate_bids.cli.words import ListCommand


@click.command(cls=ListCommand)
@click.argument('source')
@click.argument('target')
@list_option('--label', 'labels', help='')
@list_option('--visit', 'visits', help='')
@click.option('-d', '--data', multiple=True)
@click.option('-w', '--work')
@click.option('-v', '--verbose', count=True)
@click.option('--dry', is_flag=True)
def command():
    """Do nothing."""


def parse(words):
    return command.make_context('x', words.split()).params


@pytest.mark.parametrize(
    'words',
    [
        'in out --label 01 02',
        '--label 01 02 in out',
        '--label 01 02 -- in out',
        'in --label 01 02 out',
        '--label 01 in out --label 02',
        '--label 01,02 in out',
        '-v in out --label 01 02',
        '--dry in --label 01 02 -w work out',
        '-w work in out --dry --label 01 02 -v',
        '--label 01 02 -v in out',
    ],
)
def test_words_of_a_list(words):
    found = parse(words)
    assert (found['source'], found['target'], found['labels']) == ('in', 'out', ('01', '02'))


@pytest.mark.parametrize(
    'words',
    [
        'in out --label 01 02 --visit a b -d x=1 y',
        '--label 01 02 --visit a b -d x=1 y in out',
        '--label 01 02 --visit a b -d x=1 y -- in out',
    ],
)
def test_words_of_several_lists(words):
    found = parse(words)
    assert (found['source'], found['target']) == ('in', 'out')
    assert (found['labels'], found['visits'], found['data']) == (
        ('01', '02'),
        ('a', 'b'),
        ('x=1', 'y'),
    )


def test_words_behind_the_end_of_options_are_arguments():
    found = parse('--label 01 -- --in -v')
    assert (found['source'], found['target'], found['labels']) == ('--in', '-v', ('01',))


@pytest.mark.parametrize(
    ('words', 'says'),
    [
        ('in out more', 'unexpected extra argument'),
        ('in out -w work more --label 01', 'unexpected extra argument'),
        ('in --label 01', 'Missing parameter: target'),
        ('--label', 'requires an argument'),
        ('in out -d', 'requires an argument'),
    ],
)
def test_words_that_belong_nowhere(words, says):
    with pytest.raises(click.UsageError, match=says):
        parse(words)


@pytest.mark.parametrize(
    ('words', 'is_open'),
    [
        ('in out --label 01', True),
        ('in out --label 01 02', True),
        ('in --label 01', False),
        ('--label 01 in out', False),
        ('in out --label 01 -v', False),
        ('in out --label', False),  # click asks for the first by itself
    ],
)
def test_list_that_stands_last_is_open(words, is_open):
    context = command.make_context('x', words.split(), resilient_parsing=True)
    assert bool([key for key in context.meta if key.endswith('open_list')]) == is_open
