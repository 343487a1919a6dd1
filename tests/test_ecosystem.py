"""What other people's tools make of an export: of the demo, and of a release of real heads."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from real_release import DATA, build_real_release

from mrrate_bids.catalog import open_release
from mrrate_bids.export import ExportSettings
from mrrate_bids.export_run import ExportRun
from mrrate_bids.selection import Selection
from mrrate_bids.validation import validate

LEGACY = Path(sys.executable).parents[1] / 'legacy/node_modules/.bin/bids-validator'


@pytest.fixture(scope='session')
def real(tmp_path_factory):
    if not (DATA / 'tcga-fg-6692').is_dir():
        pytest.skip(f'no real heads at {DATA}; name their folder in MRRATE_BIDS_SHARED_DATA')
    root = tmp_path_factory.mktemp('real')
    build_real_release(root / 'release', root / 'work')
    release = open_release(root / 'release')
    run = ExportRun(release, root / 'bids', selection=Selection(), settings=ExportSettings())
    summary = run.execute(jobs=2)
    assert summary.exit_code == 0, summary.problems
    return root / 'bids'


@pytest.fixture(params=['exported', pytest.param('real', marks=pytest.mark.shared)])
def bids(request):
    return request.getfixturevalue(request.param)


def datasets(bids):
    return [bids, *sorted((bids / 'derivatives').iterdir())]


def test_own_checks_and_bids_validator(bids):
    report = validate(bids, jobs=2, deep=True)
    assert [problem.message for problem in report.problems] == []
    checked = {row.dataset for row in report.rows if row.check == 'BIDS validator'}
    assert checked == {'raw', *(path.name for path in datasets(bids)[1:])}
    assert not any(row.not_run for row in report.rows)


def test_older_bids_validator(bids):
    program = shutil.which('bids-validator', path=str(LEGACY.parent))
    if program is None:
        pytest.skip('bids-validator 1.15.0 is not installed (npm); .ci/run installs it')
    found = subprocess.run(
        [program, str(bids), '--json'], check=False, capture_output=True, text=True
    )
    errors = {issue['key'] for issue in json.loads(found.stdout)['issues']['errors']}
    assert errors <= {'PHENOTYPE_SUBJECTS_MISSING'}


def test_pybids_indexes_raw_and_derivatives(bids):
    from bids import BIDSLayout

    layout = BIDSLayout(bids, derivatives=True)
    raw = layout.get(scope='raw', extension='.nii.gz')
    assert len(raw) == len(list(bids.glob('sub-*/ses-*/anat/*.nii.gz')))
    names = {path.name for path in datasets(bids)[1:]}
    assert {Path(name).name for name in layout.derivatives} == names
    image = layout.get(scope='raw', suffix='T1w', extension='.nii.gz')[0]
    assert image.get_metadata()['MRRATE']['classified_modality'] == 'T1w'
    mask = layout.get(scope='mrrate-defaced', suffix='mask', extension='.nii.gz')[0]
    metadata = mask.get_metadata()
    assert (metadata['Type'], metadata['SpatialReference']) == ('Brain', 'orig')  # inherited
    assert metadata['Sources'][0].startswith('bids:raw:')  # its own


def test_bids2table_indexes_every_dataset(bids):
    from bids2table import index_dataset

    for dataset in datasets(bids):
        table = index_dataset(dataset)
        found = {path for path in table['path'].to_pylist() if path.endswith('.nii.gz')}
        assert found == {
            str(p.relative_to(dataset)) for p in dataset.glob('sub-*/*/anat/*.nii.gz')
        }


def test_nilearn_loads_images(bids):
    from nilearn.image import load_img, resample_to_img

    image = next(bids.glob('sub-*/ses-*/anat/*_T1w.nii.gz'))
    mask = next((bids / 'derivatives/mrrate-defaced').glob('sub-*/ses-*/anat/*_mask.nii.gz'))
    assert load_img(image).shape == nib.load(image).shape
    moved = resample_to_img(mask, image, interpolation='nearest')
    assert np.asarray(moved.dataobj).any()


def test_fmriprep_finds_the_t1w(bids):
    from niworkflows.utils.bids import collect_data

    subjects = [path.name.removeprefix('sub-') for path in bids.glob('sub-*')]
    for subject in subjects:
        found, _ = collect_data(str(bids), subject, bids_validate=False)
        expected = sorted(map(str, bids.glob(f'sub-{subject}/ses-*/anat/*_T1w.nii.gz')))
        assert sorted(found['t1w']) == expected
        assert expected
