"""The images of a series: which is shown, and what is known of its face."""

from dataclasses import replace

import pytest

pytest.importorskip('bids')

import reported_study

from mrrate_bids.errors import ImageError
from mrrate_bids.reports.facts import Result, read_facts
from mrrate_bids.reports.series_images import SeriesImages


@pytest.fixture
def centre(tmp_path):
    """Return the facts of a T1w of which everything is there."""
    made = reported_study.make_study(tmp_path)
    return read_facts(made.study, made.places).centre


def test_defaced_image_is_shown(centre):
    images = SeriesImages(centre)
    assert images.is_defaced
    assert images.has_before
    assert images.shown is images.defaced
    assert (images.raw.values != images.shown.values).any()
    assert images.mask.shape == images.keep.shape == images.shown.values.shape


def test_raw_image_is_shown_where_nothing_else_is(centre):
    images = SeriesImages(replace(centre, results={}))
    assert not images.is_defaced
    assert images.shown is images.raw
    assert images.mask is images.keep is images.labels is None
    assert images.legend == ()


def test_image_that_is_its_own_defaced_one_has_none_from_before(centre):
    own = Result('defaced-image', centre.series.image, 'given')
    images = SeriesImages(replace(centre, results={'defaced-image': own}))
    assert images.is_defaced
    assert not images.has_before


def test_image_is_read_once(centre):
    images = SeriesImages(centre)
    first = images.raw
    centre.series.image.unlink()
    assert images.raw is first
    with pytest.raises(ImageError):
        _ = SeriesImages(centre).raw


def test_only_the_segmentation_that_was_chosen_is_read(centre):
    assert SeriesImages(centre).labels is None
    images = SeriesImages(centre, centre.result('nvseg-brain'))
    assert [label.number for label in images.legend] in ([216, 217], [217, 216])
