"""One table of extractors; whatever else has their names agrees with it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from mrrate_bids.app.options import DERIVATIVES, Options
from mrrate_bids.app.options import EXTRACTORS as OPTIONS
from mrrate_bids.cli import main
from mrrate_bids.computing.brain_choice import EXTRACTORS, HD_BET
from mrrate_bids.computing.packages import _EXTRAS
from mrrate_bids.templates import read_toml

ROOT = Path(__file__).parents[1]


def test_option_offers_them_and_what_exists():
    assert (*EXTRACTORS, DERIVATIVES) == OPTIONS
    assert Options().extractor == HD_BET.name in EXTRACTORS


def test_texts_have_their_names():
    datasets = read_toml('datasets.toml')
    titles = {name: network.title for name, network in EXTRACTORS.items()}
    assert {name: one['Name'] for name, one in datasets['extractors'].items()} == titles
    assert set(titles.values()) <= datasets['packages'].keys()
    assert read_toml('boilerplate.toml')['mask'].keys() == set(OPTIONS)


@pytest.mark.parametrize('name', sorted(EXTRACTORS))
def test_what_it_needs_can_be_installed(name):
    network = EXTRACTORS[name]
    assert network.modules <= _EXTRAS.keys()
    assert network.title in {_EXTRAS[module][0] for module in network.modules}


def test_who_masks_every_series_carries_nothing():
    carrying = {name for name in OPTIONS if Options(extractor=name).carries}
    assert carrying == {'deepbet', DERIVATIVES}
    assert [n for n in EXTRACTORS if EXTRACTORS[n].any_contrast] == ['hd-bet']


@pytest.mark.parametrize('name', OPTIONS)
def test_help_and_docs_tell_of_it(name):
    shown = ' '.join(CliRunner().invoke(main, ['run', '--help']).output.split())
    assert f'{name}: ' in shown
    page = (ROOT / 'docs/how-to/compute-derivatives.md').read_text(encoding='utf-8')
    assert name in page
