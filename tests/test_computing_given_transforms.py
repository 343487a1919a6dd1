"""Transforms of the user: right ones pass, wrong ones are named."""

import heads
import numpy as np
import pytest

from mrrate_bids.computing.atlas import Atlas
from mrrate_bids.computing.given_transforms import check_atlas_transform, check_transform
from mrrate_bids.computing.transforms import rigid_about, write_transform
from mrrate_bids.errors import DataError, QualityError

MIDDLE = np.array([0.0, -20, 10])


@pytest.fixture(scope='module')
def centre(tmp_path_factory):
    return heads.scan(tmp_path_factory.mktemp('centre'), 't1w', codes='RPS', spacing=(3, 3, 3))


@pytest.fixture(scope='module', params=['flair', 't2w'])
def series(request, tmp_path_factory):
    pose = heads.turned((10, -12, 14), (12, -20, 25))
    return heads.scan(tmp_path_factory.mktemp('series'), request.param, codes='LIA', pose=pose)


def given(folder, matrix):
    write_transform(folder / 'given.mat', matrix)
    return folder / 'given.mat'


def displaced(degrees=(0, 0, 0), shift=(0, 0, 0)):
    return rigid_about(MIDDLE, degrees, np.array(shift, dtype=float))


def check(path, centre, series):
    check_transform(path, centre=centre.image, mask=centre.mask, moving=series.image)


@pytest.mark.parametrize('away', [{}, {'shift': (0, 2, 0)}, {'degrees': (0, 0, 3)}], ids=str)
def test_transform_that_fits(away, centre, series, tmp_path):
    check(given(tmp_path, heads.truth(centre, series) @ displaced(**away)), centre, series)


@pytest.mark.parametrize(
    'away',
    [
        {'shift': (20, 0, 0)},
        {'shift': (0, 0, -40)},
        {'degrees': (0, 30, 0)},
        {'degrees': (-30, 0, 0)},
    ],
    ids=str,
)
def test_transform_of_another_head(away, centre, series, tmp_path):
    path = given(tmp_path, heads.truth(centre, series) @ displaced(**away))
    with pytest.raises(QualityError, match=r'^given\.mat: does not bring .*sharpness') as caught:
        check(path, centre, series)
    assert '--derivatives' in caught.value.hint


def test_transform_that_is_not_rigid(centre, series, tmp_path):
    path = given(tmp_path, heads.truth(centre, series) @ np.diag([1.2, 1, 1, 1]))
    with pytest.raises(DataError, match='is no rigid transform'):
        check(path, centre, series)


@pytest.mark.parametrize(('shift', 'fits'), [((0, 0, 0), True), ((40, 0, 0), False)])
def test_transform_to_a_template(shift, fits, centre, series, tmp_path):
    """Of another head, so that only the brains can be laid on each other."""
    path = given(tmp_path, np.linalg.inv(heads.truth(centre, series)) @ displaced(shift=shift))
    ask = {'atlas': Atlas(series.image, series.mask), 'centre': centre.image, 'mask': centre.mask}
    if fits:
        check_atlas_transform(path, **ask)
        return
    with pytest.raises(
        QualityError, match=r'^given\.mat: does not bring .* to the template .*sharpness'
    ):
        check_atlas_transform(path, **ask)
