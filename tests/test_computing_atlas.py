"""The centre of a study in the space of a template, and what follows it there."""

import heads
import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from mrrate_bids.computing import atlas
from mrrate_bids.computing.agreement import dice
from mrrate_bids.computing.ants_session import REPEATABLE
from mrrate_bids.computing.atlas import Atlas, register_to_atlas, resample_mask
from mrrate_bids.computing.coregistration import resample_series
from mrrate_bids.computing.presets import find_limits
from mrrate_bids.computing.transforms import read_transform, write_transform
from mrrate_bids.errors import ImageError, QualityError

GRID = {'codes': 'RAS', 'spacing': (3, 3, 3)}
POSES = {
    'centre': heads.turned((10, -6, 12), (12, -20, 15)),
    'series': heads.turned((-15, 10, 20), (-20, 10, 30)),
}


@pytest.fixture(scope='module')
def template(tmp_path_factory):
    """Return the same person upright, in RAS."""
    return heads.scan(tmp_path_factory.mktemp('template'), 't1w', **GRID)


@pytest.fixture(scope='module')
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp('study')
    tilt = heads.turned((10, 5, 0))
    return {
        'centre': heads.scan(folder, 't1w', codes='LAS', spacing=(3, 3, 3), pose=POSES['centre']),
        'series': heads.scan(folder, 'flair', codes='PSR', pose=POSES['series'], tilt=tilt),
    }


def run(template, centre, path, *, masked=True):
    return register_to_atlas(
        Atlas(template.image, template.mask if masked else None),
        centre.image,
        centre.mask,
        transform=path,
        preset='reference',
        session=REPEATABLE,
    )


def test_centre_finds_its_place(template, study, tmp_path):
    quality = run(template, study['centre'], tmp_path / 'a.mat')
    assert heads.miss(read_transform(tmp_path / 'a.mat'), template, study['centre']) < 1.5
    assert quality['AtlasBrainDice'] > 0.94
    assert 'BrainDice' not in quality
    assert quality['seconds'] > 0


def test_template_of_another_person_without_skull(study, tmp_path):
    other = heads.scan(tmp_path, 't1w', **GRID, seed=5)
    heads.save(other.image, other.scan.values * other.brain, other.scan.affine)
    quality = run(other, study['centre'], tmp_path / 'a.mat', masked=False)
    assert heads.miss(read_transform(tmp_path / 'a.mat'), other, study['centre']) < 6
    assert quality['AtlasBrainDice'] > 0.9


def test_search_sees_the_two_brains_only(template, study, monkeypatch, tmp_path):
    asked = []

    def align(target, moving, **more):
        asked.append((target, more))
        raise QualityError('enough')

    monkeypatch.setattr(atlas, 'align', align)
    with pytest.raises(QualityError, match='enough'):
        run(template, study['centre'], tmp_path / 'a.mat')
    ((target, more),) = asked
    assert target.other_person
    assert target.limits == find_limits('atlas')
    np.testing.assert_array_equal(target.brain, template.brain)
    np.testing.assert_array_equal(more['mask'], study['centre'].brain)


def test_mask_of_another_template(template, study, tmp_path):
    with pytest.raises(ImageError, match='does not lie on the grid of t1w-RAS'):
        run(template._replace(mask=study['centre'].mask), study['centre'], tmp_path / 'a.mat')


@pytest.fixture
def chain(template, study, tmp_path):
    """Return the true transforms: template to centre, centre to series."""
    paths = [tmp_path / 'atlas.mat', tmp_path / 'coreg.mat']
    write_transform(paths[0], heads.truth(template, study['centre']))
    write_transform(paths[1], heads.truth(study['centre'], study['series']))
    return paths


def test_series_is_resampled_once_through_both_transforms(template, study, chain, tmp_path):
    """As sharp as through their product, sharper than by way of the centre."""
    series, whole = study['series'], tmp_path / 'whole.mat'
    write_transform(whole, heads.truth(template, series))
    voxels = {}
    for name, transforms in (('chain', chain), ('whole', [whole]), ('order', chain[::-1])):
        out = tmp_path / f'{name}.nii.gz'
        resample_series(
            series.image, out, like=template.image, transforms=transforms, session=REPEATABLE
        )
        image = nib.load(out)
        np.testing.assert_array_equal(image.affine, template.scan.affine)
        voxels[name] = np.asarray(image.dataobj)
    np.testing.assert_allclose(voxels['chain'], voxels['whole'], atol=0.5)
    assert abs(voxels['chain'] - voxels['order']).mean() > 10
    alone = template.on_grid(heads.head().signal('flair'), linear=True)
    inside = template.brain == 1
    assert np.corrcoef(voxels['chain'][inside], alone[inside])[0, 1] > 0.75


def test_masks_follow(template, study, chain, tmp_path):
    series, out = study['series'], tmp_path / 'out.nii.gz'
    spot = heads.save(tmp_path / 'm.nii.gz', series.on_grid(heads.spot()), series.scan.affine)
    for mask, truth in ((series.mask, template.brain), (spot, template.on_grid(heads.spot()))):
        resample_mask(
            series.image, mask, out, like=template.image, transforms=chain, session=REPEATABLE
        )
        image = nib.load(out)
        values = np.asarray(image.dataobj)
        assert image.get_data_dtype() == np.uint8
        assert {*np.unique(values)} == {0, 1}
        np.testing.assert_array_equal(image.affine, template.scan.affine)
        assert dice(values, truth) > (0.95 if mask == series.mask else 0.8)
    there = template.scan.affine @ [*center_of_mass(values), 1]
    np.testing.assert_allclose(there[:3], heads.MARK, atol=1.5)


def test_mask_of_another_series(template, study, chain, tmp_path):
    with pytest.raises(ImageError, match='does not lie on the grid of flair-PSR'):
        resample_mask(
            study['series'].image,
            study['centre'].mask,
            tmp_path / 'out.nii.gz',
            like=template.image,
            transforms=chain,
            session=REPEATABLE,
        )
    assert not (tmp_path / 'out.nii.gz').exists()
