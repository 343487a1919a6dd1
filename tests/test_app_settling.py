"""The end of a study: what is removed, what is told, what remedy is named."""

import pytest
from app_studies import leave, make_masks, mask_of, run_of
from foreign_bids import make_dataset

pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.app.follower import Failure
from mrrate_bids.app.settling import Settling, _remedy
from mrrate_bids.errors import DataError
from mrrate_bids.faces import is_faceless


@pytest.fixture
def bids(tmp_path):
    """Return a dataset of two subjects without sessions."""
    return make_dataset(tmp_path / 'bids', subjects=2, sessions=False)


def settling_of(run):
    return Settling(run.places, run.ledger, run._faces)


def test_what_shows_a_face_goes_when_the_face_goes(bids, tmp_path):
    out = tmp_path / 'out'
    before = leave(run_of(bids, out, 'mask', 'coreg'))
    showing = [path for path in before if '_space-T1w_T1w' in path.name]
    assert showing
    assert not any(is_faceless(path) for path in showing)
    run = run_of(bids, out, 'mask', 'deface')
    (row,) = run.pending()
    study, _, targets = row
    problems = list(settling_of(run).uncover(study, targets))
    assert [problem.severity for problem in problems] == ['warning']
    assert '--steps coreg' in problems[0].remedy
    assert not any(path.exists() for path in showing)
    left = [path for path in before if path not in showing]
    assert all(path.exists() for path in left)  # masks and transforms show no face
    assert list(settling_of(run).uncover(study, targets)) == []


def test_what_was_made_without_the_face_stays(bids, tmp_path):
    out = tmp_path / 'out'
    written = leave(run_of(bids, out, 'mask', 'deface', 'coreg'))
    images = [path for path in written if '_space-T1w_T1w' in path.name]
    assert all(is_faceless(path) for path in images)
    run = run_of(bids, out, 'deface', 'coreg')
    (study,) = run.found.studies
    assert list(settling_of(run).uncover(study, {})) == []
    assert all(path.exists() for path in images)


def test_edited_results_are_not_removed(bids, tmp_path):
    out = tmp_path / 'out'
    before = leave(run_of(bids, out, 'mask', 'coreg'))
    (image,) = [path for path in before if '_space-T1w_T1w' in path.name]
    image.write_bytes(b'edited by hand')
    run = run_of(bids, out, 'mask', 'deface')
    ((study, _, targets),) = run.pending()
    assert list(settling_of(run).uncover(study, targets)) == []
    assert image.exists()


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
