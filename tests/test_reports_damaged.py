"""Sidecars that somebody edited: a report says what it cannot read, and goes on."""

import json
from pathlib import Path

import pytest

pytest.importorskip('bids')

import reported_study

from mrrate_bids.app.options import Options
from mrrate_bids.reports.facts import read_facts
from mrrate_bids.reports.measures import Measure, compare_series, read_measures
from mrrate_bids.reports.methods import describe_methods
from mrrate_bids.reports.study import write_study_report
from mrrate_bids.sidecars import sidecar_path


@pytest.fixture
def made(tmp_path):
    """Return a study whose sidecars a test may spoil."""
    return reported_study.make_study(tmp_path)


def edit(made, kind, *, series=0, **content):
    """Change keys of a sidecar."""
    path = made.places.target(made.study, made.study.series[series], kind)
    sidecar = Path(sidecar_path(str(path)))
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | content))


# Measures


@pytest.mark.parametrize(
    'value',
    ['about 1400', '', None, True, [1400.0], {'a': 1}, float('nan'), float('inf'), 10**400],
    ids=lambda value: repr(value)[:12],
)
def test_value_that_is_no_number(value):
    (one,) = read_measures('s', 'brain-mask', {'BrainVolumeMl': value})
    assert one.text.startswith('not a number: ')
    assert len(one.text) < 80
    assert not one.is_outlier
    others = [Measure(f's{n}', 'brain-mask', 'BrainVolumeMl', 1400.0 + n) for n in range(3)]
    assert compare_series([one, *others], apart=set()) == [one, *others]


def test_text_of_a_key_that_nobody_knows_stays_text():
    (one,) = read_measures('s', 'brain-mask', {'Rater': 'AB'})
    assert one.text == 'AB'


def test_page_with_values_that_are_no_numbers(made):
    for series in (0, 1):
        edit(made, 'brain-mask', series=series, QualityControl={'BrainVolumeMl': '<b>big</b>'})
    edit(made, 'coreg-transform', series=1, QualityControl={'Sharpness': None, 'Start': ['x']})
    text = write_study_report(made.study, made.places, atlas=made.atlas).read_text()
    assert 'not a number: &lt;b&gt;big&lt;/b&gt;' in text
    assert 'not a number: None' in text


# Methods


def sentences(made):
    facts = read_facts(made.study, made.places)
    return ' '.join(describe_methods(facts, Options(extractor='deepbet')).paragraphs)


def test_buffer_of_nothing_is_a_buffer(made):
    for series in (0, 1):
        edit(made, 'defacing-mask', series=series, Parameters={'BufferMm': 0})
    assert 'each 0 mm outside' in sentences(made)


@pytest.mark.parametrize(
    'parameters', [None, [{'BufferMm': 8.0}], 'x', {'BufferMm': '8'}, {'BufferMm': None}], ids=repr
)
def test_buffer_that_cannot_be_read_is_left_out(parameters, made):
    for series in (0, 1):
        edit(made, 'defacing-mask', series=series, Parameters=parameters)
    assert 'Quickshear' not in sentences(made)


def test_registration_that_says_nothing_of_itself(made):
    edit(made, 'coreg-transform', series=1, Preset=None, RandomSeed=[42], Software={'a': 1})
    assert '(unknown; preset unknown, random seed unknown)' in sentences(made)


# Descriptions of datasets


@pytest.mark.parametrize('made_by', [None, 3, 'x', {'Name': 'x'}, [None, 3]], ids=repr)
def test_dataset_that_does_not_say_what_made_it(made_by, made):
    path = made.places.root / 'mrrate-defaced/dataset_description.json'
    path.write_text(json.dumps({'GeneratedBy': made_by}))
    assert read_facts(made.study, made.places).tools['mrrate-defaced'] == ()
    assert write_study_report(made.study, made.places, atlas=made.atlas).is_file()


def test_tool_without_a_version(made):
    path = made.places.root / 'mrrate-defaced/dataset_description.json'
    path.write_text(json.dumps({'GeneratedBy': [{'Name': 'x', 'Version': None}]}))
    (tool,) = read_facts(made.study, made.places).tools['mrrate-defaced']
    assert str(tool) == 'x'
