"""What a run finds: studies, given datasets that serve, and datasets that no run computed."""

import pytest
from app_studies import leave, make_masks, messages, run_of
from foreign_bids import make_dataset

pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.errors import UsageError


@pytest.fixture(scope='module')
def bids(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp('search') / 'bids', subjects=2, sessions=False)


def test_datasets_of_an_export_are_told_from_those_of_a_run(bids, tmp_path):
    out = tmp_path / 'out'
    leave(run_of(bids, out, 'mask'))
    run = run_of(bids, out, 'mask')
    run._announce(run_of(bids, tmp_path / 'never', 'mask').plan(dry=True)[0])
    (out / 'mrrate-atlas').mkdir()
    assert run._search.exported() == {}
    (out / 'mrrate-atlas/dataset_description.json').write_text('{"Name": "exported"}')
    assert run._search.exported() == {'mrrate-atlas': out / 'mrrate-atlas'}


def test_given_datasets_that_serve(bids, tmp_path):
    masks = make_masks(bids, tmp_path / 'masks')
    (tmp_path / 'none/sub-02').mkdir(parents=True)
    run = run_of(bids, tmp_path / 'out', 'mask', mrrate_defaced=masks, other=tmp_path / 'none')
    assert run._search.used(run.found.studies) == {'mrrate-defaced'}
    (said,) = [text for text in messages(run.found) if '--derivatives' in text]
    assert said == f'--derivatives: nothing of {tmp_path / "none"} is used'


def test_given_image_that_is_none_is_named_and_the_study_stays(bids, tmp_path):
    coreg = tmp_path / 'mrrate-coreg/sub-02/anat/sub-02_acq-mprage_space-T1w_T1w.nii.gz'
    coreg.parent.mkdir(parents=True)
    coreg.write_bytes(b'junk')
    run = run_of(bids, tmp_path / 'out', 'coreg', mrrate_coreg=tmp_path / 'mrrate-coreg')
    (problem,) = [one for one in run.found.problems if coreg.name in one.message]
    assert (problem.severity, problem.study) == ('error', 'sub-02')
    assert [study.label for study in run.found.studies] == ['sub-02']


def test_masks_are_asked_for_and_none_is_given(bids, tmp_path):
    with pytest.raises(UsageError, match='--derivatives is not given'):
        _ = run_of(bids, tmp_path / 'out', 'mask', extractor='derivatives').found
