"""What a paper may say of a run."""

import re

import pytest

from mrrate_bids.app.boilerplate import describe_run, write_boilerplate
from mrrate_bids.app.options import EXTRACTORS, STEPS, Options


@pytest.mark.parametrize('extractor', EXTRACTORS)
@pytest.mark.parametrize('step', STEPS)
def test_every_citation_has_its_entry(tmp_path, extractor, step):
    options = Options(steps=(step,), extractor=extractor)
    write_boilerplate(tmp_path, options)
    keys = set(re.findall(r'\[@(\w+)\]', describe_run(options)))
    text = (tmp_path / 'CITATION.bib').read_text()
    assert set(re.findall(r'^@\w+\{(\w+),', text, re.MULTILINE)) == keys
    page = (tmp_path / 'CITATION.html').read_text()
    assert {f'id="{key}"' for key in keys} == set(re.findall(r'id="\w+"', page))
    assert '{' not in describe_run(options)


def test_what_was_not_asked_for_is_not_said():
    assert 'Quickshear' not in describe_run(Options(steps=('coreg',)))
    assert 'HD-BET' not in describe_run(Options(extractor='deepbet'))
    assert 'seed 7' in describe_run(Options(steps=('coreg',), seed=7))


def test_further_templates_are_named():
    first, second = Options(template='A'), Options(steps=('atlas',), template='B', resolution=2)
    said = describe_run(first, second)
    assert 'rigidly to A at resolution 1' in said
    assert said.endswith('The same was done with B at resolution 2.')
