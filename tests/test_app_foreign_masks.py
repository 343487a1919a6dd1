"""A mask of another pipeline is of one image: the one it names, or the only one on its grid."""

import nibabel as nib
import numpy as np
import pytest
from app_studies import make_study, single
from foreign_bids import AXIAL, SAGITTAL, Series
from makers import make_nifti

pytest.importorskip('bids')
pytest.importorskip('nipype')


from mrrate_bids.app.foreign_masks import ForeignMasks
from mrrate_bids.app.given import Given
from mrrate_bids.app.inputs import find_studies

NAMES = ('acq-a_T1w', 'acq-b_T1w', 'acq-a_T2w')


def mask_for(root, name, affine=AXIAL, shape=(18, 18, 16)):
    path = root / f'sub-01/ses-1/anat/sub-01_ses-1_{name}desc-brain_mask.nii.gz'
    make_nifti(path, shape, affine, np.uint8)
    return path


def t1ws(study):
    return [one for one in study.series if one.suffix == 'T1w']


def takers(masks, study):
    found = masks.of(study)
    return {one.image.name.split('_')[2]: found.get(one.inside) for one in t1ws(study)}


@pytest.fixture
def study(tmp_path):
    """Return a study of two T1w on two grids, and a T2w."""
    affines = (AXIAL, SAGITTAL, AXIAL)
    images = [Series(name, affine) for name, affine in zip(NAMES, affines, strict=True)]
    root = single(tmp_path / 'bids', *images, session='ses-1')
    (found,) = find_studies(root).studies
    return found


def test_mask_that_names_an_image_is_of_that(study, tmp_path):
    mask = mask_for(tmp_path / 'masks', 'acq-b_')
    masks = ForeignMasks((tmp_path / 'masks',))
    assert takers(masks, study) == {'acq-a': None, 'acq-b': mask}
    assert not list(masks.unclear(study))


def test_mask_that_is_all_of_a_name_is_of_no_longer_name(tmp_path):
    """Also where the grids are not known, as of images that cannot be read."""
    study = make_study('T1w', 'run-2_T1w')
    mask = mask_for(tmp_path, '')
    assert ForeignMasks((tmp_path,)).of(study) == {study.centre.inside: mask}


def test_mask_of_the_only_t1w(tmp_path):
    study, mask = make_study('acq-a_T1w', 'acq-a_T2w'), mask_for(tmp_path, '')
    assert ForeignMasks((tmp_path,)).of(study) == {study.centre.inside: mask}


@pytest.mark.parametrize('turned', [False, True])
@pytest.mark.parametrize(('taker', 'affine'), [('acq-a', AXIAL), ('acq-b', SAGITTAL)])
def test_mask_of_the_session_is_of_the_image_on_its_grid(taker, affine, turned, study, tmp_path):
    """Pipelines turn the axes of images; the voxels are the same."""
    mask = mask_for(tmp_path / 'masks', '', affine)
    if turned:
        image = nib.load(mask)
        ends = [[2, -1], [0, 1], [1, -1]]
        nib.save(image.as_reoriented(np.array(ends)), mask)
    masks = ForeignMasks((tmp_path / 'masks',))
    assert takers(masks, study) == {'acq-a': None, 'acq-b': None} | {taker: mask}
    assert not list(masks.unclear(study))


def far(affine):
    return affine + np.eye(4, k=3) * 4


@pytest.mark.parametrize('grid', ['of both', 'of none', 'damaged'])
def test_mask_of_nobody_knows_what_is_named_once(grid, study, tmp_path):
    mask = mask_for(tmp_path / 'masks', '', far(AXIAL) if grid == 'of none' else AXIAL)
    if grid == 'of both':
        make_nifti(t1ws(study)[1].image, (18, 18, 16), AXIAL, np.uint16)
    if grid == 'damaged':
        mask.write_bytes(b'x')
    masks = ForeignMasks((tmp_path / 'masks',))
    assert not masks.of(study)
    (problem,) = masks.unclear(study)
    assert problem.severity == 'warning'
    assert problem.study == 'sub-01/ses-1'
    said = f'{mask.name}: may be of any of sub-01_ses-1_acq-a_T1w.nii.gz, '
    assert problem.message.startswith(said)
    assert '--bids-filter-file' in problem.remedy
    named = {mask_for(tmp_path / 'masks', f'acq-{x}_') for x in 'ab'}
    assert set(masks.of(study).values()) == named
    assert not list(masks.unclear(study))  # all have masks of their own


def test_run_says_what_is_unclear(study, tmp_path):
    make_nifti(t1ws(study)[1].image, (18, 18, 16), AXIAL, np.uint16)
    mask = mask_for(tmp_path / 'masks', '')
    given = Given({'fmriprep': tmp_path / 'masks'}, foreign=True)
    found = find_studies(tmp_path / 'bids', given=given)
    assert [problem.message.split(':')[0] for problem in found.problems] == [mask.name]
    assert not any(one.given for one in found.studies[0].series)
    assert not find_studies(tmp_path / 'bids', given=Given(given.roots)).problems
