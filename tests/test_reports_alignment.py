"""What was registered, in turn with what it was registered to."""

import pytest

pytest.importorskip('bids')

import reported_study

from mrrate_bids.reports.album import Album
from mrrate_bids.reports.alignment import Alignment
from mrrate_bids.reports.facts import read_facts
from mrrate_bids.reports.series_images import SeriesImages


@pytest.fixture
def made(tmp_path):
    return reported_study.make_study(tmp_path)


@pytest.fixture
def facts(made):
    return read_facts(made.study, made.places)


@pytest.fixture
def album(tmp_path):
    return Album(tmp_path / 'reports/figures/sub-01', faces=False)


def test_series_is_drawn_in_turn_with_the_centre(album, facts):
    alignment = Alignment(album, None)
    alignment.fix(SeriesImages(facts.centre))
    alignment.draw_coreg(facts.series[1])
    (card,) = album.gallery.cards
    assert (card.section, card.title, card.mode) == ('coreg', 'T2w', 'flicker')
    fixed, moving = card.pictures
    assert (fixed.width, fixed.height) == (moving.width, moving.height)


def test_nothing_is_laid_upon_a_centre_that_is_not_there(album, facts):
    Alignment(album, None).draw_coreg(facts.series[1])
    assert album.gallery.cards == []
    assert album.gallery.notes == []


@pytest.mark.parametrize('has_template', [False, True])
def test_centre_is_drawn_with_the_template_or_alone(has_template, album, facts, made):
    Alignment(album, made.atlas if has_template else None).draw_atlas(facts.centre)
    (card,) = album.gallery.cards
    assert len(card.pictures) == 1 + has_template
    assert ('not on this machine' in card.caption) != has_template


def test_series_without_results_has_no_card(album, facts):
    alignment = Alignment(album, None)
    alignment.fix(SeriesImages(facts.centre))
    facts.series[1].results.clear()
    facts.centre.results.clear()
    alignment.draw_coreg(facts.series[1])
    alignment.draw_atlas(facts.centre)
    assert album.gallery.cards == []
