"""A study: the parts of its names, and the paths of its results."""

import pytest
from app_studies import make_study

pytest.importorskip('bids')
pytest.importorskip('nipype')


from mrrate_bids.app.study import kind_of
from mrrate_bids.naming import COMPUTED, KINDS


def test_parts_of_a_name():
    study = make_study('acq-a+b_run-1_T1w', 'T2w')
    one, other = study.series
    assert (one.stem, one.suffix) == ('sub-01_ses-1_acq-a+b_run-1', 'T1w')
    assert (one.key, other.key) == ('acq_a_b_run_1_T1w', 'T2w')
    assert one.folder == 'sub-01/ses-1/anat'


@pytest.mark.parametrize('kind', [*KINDS, *COMPUTED])
def test_every_kind_has_a_path(kind):
    study = make_study('run-1_T1w')
    path = study.path(study.centre, kind_of(kind))
    assert path.startswith('sub-01/ses-1/anat/sub-01_ses-1_')
    assert ('run-1' in path) == (kind_of(kind).scope != 'session')


def test_files_of_a_session_bear_its_name():
    study = make_study('run-1_T1w', session='')
    path = study.path(study.centre, kind_of('anatref-image'))
    assert path == 'sub-01/anat/sub-01_desc-preproc_T1w.nii.gz'
