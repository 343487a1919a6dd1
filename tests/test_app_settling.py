"""The end of a study: what is told of it, what remedy is named."""

import pytest
from app_studies import make_masks, mask_of, run_of
from foreign_bids import make_dataset

pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.app.follower import Failure
from mrrate_bids.app.settling import _remedy
from mrrate_bids.errors import DataError


@pytest.fixture
def bids(tmp_path):
    """Return a dataset of two subjects without sessions."""
    return make_dataset(tmp_path / 'bids', subjects=2, sessions=False)


def test_remedy_for_a_file_of_the_user(bids, tmp_path):
    masks = make_masks(bids, tmp_path / 'masks')
    run = run_of(bids, tmp_path / 'out', 'deface', mrrate_defaced=masks)
    (study,) = run.found.studies
    mask, image = mask_of(masks, 'sub-02').name, study.centre.image.name
    wrong = Failure(f'{mask}: the mask is empty', DataError.default_hint)
    assert _remedy(study, wrong) == 'Give another with --derivatives, or leave it out.'
    grid = Failure(f'{mask}: lies on another grid', 'Resample it.')
    assert _remedy(study, grid) == 'Resample it.'
    assert 'Convert' in _remedy(study, Failure(f'{image}: is short', DataError.default_hint))
    assert _remedy(study, Failure(f'{image}: is short', 'Look.')) == 'Look.'
