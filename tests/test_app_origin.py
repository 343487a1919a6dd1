"""What a result follows from, and when two of them agree."""

import pytest

from mrrate_bids.app.origin import Origin

FULL = Origin('images', 'options', 'weights', 'given')


@pytest.mark.parametrize('origin', [FULL, FULL._replace(weights=''), FULL._replace(given='')])
def test_what_is_written_is_read(origin):
    assert Origin.parse(str(origin)) == origin


@pytest.mark.parametrize('name', ['images', 'options', 'given'])
def test_whatever_differs_counts(name):
    other = FULL._replace(**{name: 'other'})
    assert not FULL.agrees(other)
    assert not FULL._replace(weights='').agrees(other)


def test_weights_count_where_both_are_known():
    assert not FULL.agrees(FULL._replace(weights='other'))
    assert FULL.agrees(FULL._replace(weights=''))
    assert FULL._replace(weights='').agrees(FULL)


@pytest.mark.parametrize('text', ['', 'images', 'images/options', 'a/b/c'])
def test_an_older_form_agrees_with_nothing(text):
    assert not Origin.parse(text).agrees(Origin('images', 'options'))
