"""Releases and datasets in Python."""

import gzip

import hostile
import nibabel as nib
import numpy as np
import pytest
from hostile import CENTRE, GOOD, MOVING, VICTIM

import mrrate_bids
from mrrate_bids.errors import SelectionError


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
    frame = data.select("split == 'val'", kind='image', columns=['series_id', 'TE_ms', 'sex'])
    assert list(frame.columns) == ['series_id', 'TE_ms', 'sex']
    assert sorted(frame['series_id']) == ['flair-raw-axi', 'swi-raw-sag', 't1w-raw-axi']
    assert set(frame['TE_ms']) == {'15.97'}


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
    assert [study.uid for study in data.studies("split != 'test'")] == [GOOD, VICTIM]


def test_what_is_not_there_is_named(data):
    with pytest.raises(SelectionError, match='NOBODY'):
        data.study('NOBODY')
    with pytest.raises(SelectionError, match='t2w-raw-axi') as caught:
        data.study(VICTIM).image('t2w-raw-axi')
    assert MOVING in caught.value.hint
    with pytest.raises(SelectionError, match='picture'):
        data.select(kind='picture')


def test_transform_maps_points_as_itk_does(release):
    """The demo knows the motion of every series."""
    data = mrrate_bids.open(release)
    study = next(study for study in data.studies() if len(study.transforms) > 2)
    for series in study.transforms['series_id']:
        kind = study.transforms.set_index('series_id').loc[[series], 'kind'].iloc[0]
        matrix = study.transform(series, kind)
        np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-5)
        assert np.linalg.det(matrix[:3, :3]) > 0


def test_package_offers_open_and_nothing_unknown():
    assert callable(mrrate_bids.open)
    with pytest.raises(AttributeError, match='close'):
        mrrate_bids.close  # noqa: B018
