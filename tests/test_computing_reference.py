"""A T1w as the pipelines of NiPreps take it over: RAS, no voxel interpolated."""

import heads
import nibabel as nib
import numpy as np
import pytest

from mrrate_bids.computing.ants_session import REPEATABLE
from mrrate_bids.computing.reference import make_reference
from mrrate_bids.computing.registration import correct_bias
from mrrate_bids.errors import ImageError


def run(taken, folder):
    paths = folder / 'preproc.nii.gz', folder / 'brain.nii.gz'
    make_reference(taken.image, taken.mask, preproc=paths[0], brain=paths[1], session=REPEATABLE)
    return paths


@pytest.mark.parametrize('codes', ['LAS', 'PSR', 'LIA', 'RAS'])
def test_turned_to_ras_without_interpolation(codes, tmp_path):
    tilt = heads.turned((8, -6, 12))
    taken = heads.scan(tmp_path, 't1w', codes=codes, spacing=(4, 4, 6), tilt=tilt)
    preproc, brain = (nib.load(path) for path in run(taken, tmp_path))
    assert nib.aff2axcodes(preproc.affine) == nib.aff2axcodes(brain.affine) == ('R', 'A', 'S')
    np.testing.assert_array_equal(preproc.affine, brain.affine)
    assert preproc.shape == brain.shape
    # Turned back to the axes of the scan, every voxel is its own.
    for image, values in (
        (brain, taken.brain),
        (preproc, correct_bias(taken.scan, mask=taken.brain)),
    ):
        own = nib.io_orientation(np.linalg.inv(taken.scan.affine) @ image.affine)
        back = image.as_reoriented(own)
        np.testing.assert_allclose(back.affine, taken.scan.affine, atol=1e-5)
        np.testing.assert_array_equal(np.asarray(back.dataobj), values)
    assert brain.get_data_dtype() == np.uint8
    assert preproc.get_data_dtype() == np.float32


def test_shading_is_less(tmp_path):
    taken = heads.scan(tmp_path, 't1w', codes='RAS', spacing=(4, 4, 4))
    ramp = np.linspace(0.6, 1.4, taken.brain.shape[1])[:, None]
    heads.save(taken.image, (taken.scan.values * ramp).astype(np.float32), taken.scan.affine)
    values = nib.load(run(taken, tmp_path)[0]).get_fdata()
    white = taken.on_grid(heads.head().fractions[2] > 250) & (taken.brain == 1)
    before, after = (v[white].std() / v[white].mean() for v in (taken.scan.values * ramp, values))
    assert after < 0.6 * before


def test_same_bytes_every_time(tmp_path):
    taken = heads.scan(tmp_path, 't1w', spacing=(6, 6, 6))
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
    one, two = (
        [path.read_bytes() for path in run(taken, tmp_path / name)] for name in ('one', 'two')
    )
    assert one == two


def test_mask_of_another_image(tmp_path):
    taken = heads.scan(tmp_path, 't1w', spacing=(6, 6, 6))
    heads.save(taken.mask, taken.brain[1:], taken.scan.affine)
    with pytest.raises(ImageError, match='does not lie on the grid'):
        run(taken, tmp_path)
    assert not (tmp_path / 'preproc.nii.gz').exists()
