"""Releases and datasets in Python."""

import gzip
import io

import hostile
import nibabel as nib
import numpy as np
import pytest
from hostile import CENTRE, GOOD, MOVING, VICTIM
from scipy.io import savemat
from scipy.ndimage import affine_transform

import mrrate_bids
from mrrate_bids.errors import ArchiveError, ImageError, SelectionError


@pytest.fixture(params=['zip', 'extracted', 'bids'])
def data(request, studies, tmp_path):
    """Return the same studies in every form."""
    layout = 'zip' if request.param == 'bids' else request.param
    root = hostile.write_release(tmp_path / 'release', studies, layout=layout)
    if request.param == 'bids':
        assert hostile.export(root, tmp_path / 'bids').code == 0
        root = tmp_path / 'bids'
    return mrrate_bids.open(root)


def test_selection_is_a_frame_of_what_was_asked_for(data):
    names = ['series_id', 'TE_ms', 'sex', 'age', 'patient_uid', 'is_center_modality', 'path']
    frame = data.select("split == 'val'", kind='image', columns=names)
    assert list(frame.columns) == names
    assert sorted(frame['series_id']) == ['flair-raw-axi', 'swi-raw-sag', 't1w-raw-axi']
    assert set(frame['TE_ms']) == {15.97}
    assert set(frame['age']) == {42.0}
    assert set(frame['patient_uid']) == {'22'}
    assert frame['is_center_modality'].sum() == 1
    assert all((data.root / path).is_file() for path in frame['path'])


def test_study_has_series_images_masks_and_transforms(data):
    study = data.study(VICTIM)
    assert set(study.series) == {CENTRE, MOVING, 'swi-raw-sag'}
    assert len(study.images) == 3
    assert len(study.masks) == 6 + 2 + 2
    assert len(study.transforms) == 3


def test_image_is_that_of_the_release(data, studies):
    study = data.study(VICTIM)
    expected = nib.Nifti1Image.from_bytes(
        gzip.decompress(studies[1].files['MR-RATE'][studies[1].image(MOVING)])
    )
    image = study.image(MOVING)
    np.testing.assert_array_equal(image.get_fdata(), expected.get_fdata())
    np.testing.assert_array_equal(image.affine, expected.affine)
    mask = study.image(MOVING, 'brain-mask')
    assert set(np.unique(mask.get_fdata())) == {0, 1}


def test_studies_are_iterated(data):
    found = list(data.studies("split != 'test'"))
    assert [study.uid for study in found] == [GOOD, VICTIM]
    assert [len(study.files) for study in found] == [12, 26]
    assert [study.uid for study in data.studies("modality == 'FLAIR'")] == [VICTIM]
    assert len(list(data.studies())) == 3
    assert list(data.studies('TE_ms > 1000')) == []


def test_what_is_not_there_is_named(data):
    with pytest.raises(SelectionError, match='NOBODY'):
        data.study('NOBODY')
    with pytest.raises(SelectionError, match='t2w-raw-axi') as caught:
        data.study(VICTIM).image('t2w-raw-axi')
    assert MOVING in caught.value.hint
    with pytest.raises(SelectionError, match='picture'):
        data.select(kind='picture')


def test_transform_maps_points_of_the_centre_to_points_of_the_series(release):
    """A moving image, sampled where the transform says, is the co-registered one."""
    study = next(study for study in mrrate_bids.open(release).studies() if len(study.images) > 2)
    flip = np.diag([-1, -1, 1, 1])  # LPS to RAS
    moving_series = study.transforms.query("kind == 'coreg-transform'")['series_id']
    assert len(moving_series) > 1
    for series in moving_series:
        matrix = study.transform(series)
        np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-5)
        moving, fixed = study.image(series), study.image(series, 'coreg-image')
        likeness = [
            sampled_likeness(moving, fixed, flip @ points @ flip)
            for points in (matrix, np.linalg.inv(matrix))
        ]
        assert likeness[0] > 0.97
        assert likeness[0] >= likeness[1]


def sampled_likeness(moving, fixed, points):
    """Return how a moving image, sampled at the voxels of another, correlates with it."""
    to_voxels = np.linalg.inv(moving.affine) @ points @ fixed.affine
    sampled = affine_transform(moving.get_fdata(), to_voxels, output_shape=fixed.shape, order=1)
    return np.corrcoef(sampled.ravel(), fixed.get_fdata().ravel())[0, 1]


def test_transform_turns_about_its_centre(studies, tmp_path):
    """ITK: a point x goes to M (x - c) + t + c."""
    turn, shift, centre = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]), (1, 2, 3), (10, 20, 40)
    content = io.BytesIO()
    numbers = np.array([*turn.ravel(), *shift], dtype=float)[:, None]
    fixed = np.array(centre, dtype=float)[:, None]
    savemat(content, {'AffineTransform_double_3_3': numbers, 'fixed': fixed}, format='4')
    name = f'transform/M_coreg_{MOVING}.mat'
    studies[1].files['MR-RATE-coreg'][name] = content.getvalue()
    root = hostile.write_release(tmp_path / 'release', studies)
    matrix = mrrate_bids.open(root).study(VICTIM).transform(MOVING)
    np.testing.assert_allclose(matrix @ [10, 20, 40, 1], [11, 22, 43, 1])
    np.testing.assert_allclose(matrix @ [11, 20, 40, 1], [11, 23, 43, 1])


@pytest.mark.parametrize('kind', ['image', 'coreg-transform'])
@pytest.mark.parametrize('layout', ['zip', 'extracted'])
def test_damaged_file_is_named(kind, layout, studies, tmp_path):
    files = studies[1].files['MR-RATE' if kind == 'image' else 'MR-RATE-coreg']
    name = studies[1].image(MOVING) if kind == 'image' else f'transform/M_coreg_{MOVING}.mat'
    files[name] = files[name][:40]
    root = hostile.write_release(tmp_path / 'release', studies, layout=layout)
    study = mrrate_bids.open(root).study(VICTIM)
    with pytest.raises(ImageError, match=VICTIM):
        (study.image if kind == 'image' else study.transform)(MOVING, kind)


def test_zip_that_was_truncated_since_is_named(source, studies):
    study = mrrate_bids.open(source).study(VICTIM)
    assert len(study.files)
    path = studies[1].zip_of(source)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ArchiveError, match=path.name):
        study.image(MOVING)


def test_package_offers_open_and_nothing_unknown():
    assert callable(mrrate_bids.open)
    with pytest.raises(AttributeError, match='close'):
        mrrate_bids.close  # noqa: B018
