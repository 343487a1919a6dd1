"""A series lands on the centre of its study."""

import heads
import nibabel as nib
import numpy as np
import pytest

from mrrate_bids.computing.ants_session import REPEATABLE
from mrrate_bids.computing.coregistration import Fixed, coregister, resample_series
from mrrate_bids.computing.transforms import read_transform, write_transform
from mrrate_bids.errors import ImageError, QualityError, UsageError

LEAST = 1.5


@pytest.fixture(scope='module')
def centre(tmp_path_factory):
    return heads.scan(tmp_path_factory.mktemp('centre'), 't1w', codes='RPS', spacing=(3, 3, 3))


@pytest.fixture
def series(tmp_path):
    pose = heads.turned((10, -12, 14), (12, -20, 25))
    return heads.scan(tmp_path, 'flair', codes='LIA', pose=pose, tilt=heads.turned((10, 0, 0)))


@pytest.mark.parametrize('masked', [True, False])
def test_series_is_registered_and_judged(masked, centre, series, tmp_path):
    path = tmp_path / 'a.mat'
    quality = coregister(
        Fixed(centre.image, centre.mask, 'reference'),
        series.image,
        transform=path,
        mask=series.mask if masked else None,
    )
    assert heads.miss(read_transform(path), centre, series) < LEAST
    assert ('BrainDice' in quality) == masked
    assert quality.get('BrainDice', 1) > 0.94
    assert quality['BrainCovered'] > 0.99
    assert quality['seconds'] > 0


@pytest.mark.parametrize('wrong', ['centre', 'series'])
def test_mask_of_everything_is_refused_before_anything_is_registered(
    wrong, centre, series, tmp_path
):
    """Without a word it would judge, and lead, the registration."""
    masks, taken = (
        {'centre': centre.mask, 'series': series.mask},
        {'centre': centre, 'series': series},
    )
    whole = np.ones_like(taken[wrong].brain)
    masks[wrong] = heads.save(tmp_path / 'all.nii.gz', whole, taken[wrong].scan.affine)
    with pytest.raises(QualityError, match=r'^all\.nii\.gz: is too large for a brain'):
        coregister(
            Fixed(centre.image, masks['centre'], 'fast'),
            series.image,
            transform=tmp_path / 'a.mat',
            mask=masks['series'],
        )
    assert not (tmp_path / 'a.mat').exists()


def test_resampled_series_shows_the_head_of_the_centre(centre, series, tmp_path):
    write_transform(tmp_path / 'a.mat', heads.truth(centre, series))
    out = tmp_path / 'out.nii.gz'
    resample_series(
        series.image, out, like=centre.image, transforms=[tmp_path / 'a.mat'], session=REPEATABLE
    )
    image = nib.load(out)
    values = np.asarray(image.dataobj)
    assert image.get_data_dtype() == np.float32
    np.testing.assert_array_equal(image.affine, centre.scan.affine)
    alone = centre.on_grid(heads.head().signal('flair'), linear=True)
    inside = centre.brain == 1
    assert np.corrcoef(values[inside], alone[inside])[0, 1] > 0.75
    # The model is as wide to the right as to the left: reversed, its mark is on the left.
    mark, other = centre.on_grid(heads.spot()) == 1, centre.on_grid(heads.spot()[::-1]) == 1
    assert values[mark].mean() > 1.15 * values[other].mean()


def test_same_bytes_every_time(centre, series, tmp_path):
    write_transform(tmp_path / 'a.mat', heads.truth(centre, series))
    for name in ('one', 'two'):
        resample_series(
            series.image,
            tmp_path / f'{name}.nii.gz',
            like=centre.image,
            transforms=[tmp_path / 'a.mat'],
            session=REPEATABLE,
        )
    assert (tmp_path / 'one.nii.gz').read_bytes() == (tmp_path / 'two.nii.gz').read_bytes()


def test_what_cannot_be_used(centre, series, tmp_path):
    fixed = Fixed(centre.image, centre.mask, 'fast')
    path = tmp_path / 'a.mat'
    with pytest.raises(UsageError, match='no registration preset'):
        coregister(fixed._replace(preset='slow'), series.image, transform=path)
    with pytest.raises(ImageError, match='does not lie on the grid of t1w-RPS'):
        coregister(fixed._replace(mask=series.mask), series.image, transform=path)
    with pytest.raises(ImageError, match='does not lie on the grid of flair-LIA'):
        coregister(fixed, series.image, transform=path, mask=centre.mask)
    assert not path.exists()
