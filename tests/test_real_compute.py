"""Real heads through every step that needs no weights of others, and on into a release.

Four contrasts with 5.5 mm slices, a 2 mm sagittal T1w and a neck; the template is the stand-in on
the grid of MNI152NLin2009cSym.
"""

import json
import os
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from real_release import DATA
from small_bids import call, clean_environment

from mrrate_bids.bids_validator import find_validator, run_validator

pytestmark = [
    pytest.mark.shared,
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason='the shared heads are not here'),
]

TCGA = DATA / 'tcga-fg-6692'
IMAGES = {
    'sub-tcga/ses-1/anat/sub-tcga_ses-1_run-1_T1w': TCGA / 'TCGA-FG-6692_T1w.nii.gz',
    'sub-tcga/ses-1/anat/sub-tcga_ses-1_ce-gadolinium_run-1_T1w': (
        TCGA / 'TCGA-FG-6692_T1wCE.nii.gz'
    ),
    'sub-tcga/ses-1/anat/sub-tcga_ses-1_T2w': TCGA / 'TCGA-FG-6692_T2w.nii.gz',
    'sub-tcga/ses-1/anat/sub-tcga_ses-1_FLAIR': TCGA / 'TCGA-FG-6692_FLAIR.nii.gz',
    'sub-bis/anat/sub-bis_T1w': DATA / 'bisweb-deface/sag_2mm.nii.gz',
    'sub-neck/anat/sub-neck_T1w': DATA / 'sct-spine/t1w.nii.gz',
}
TEMPLATE = 'templates/standin_MNI152NLin2009aSym_on2009cSymGrid_res-1_desc-brain'


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp('templateflow')
    environment = os.environ | {'TEMPLATEFLOW_HOME': str(folder), 'TEMPLATEFLOW_AUTOUPDATE': 'off'}
    code = [sys.executable, '-c', 'import templateflow.api']
    subprocess.run(code, check=True, env=environment)
    for end, name in (('T1w', 'res-1_T1w'), ('mask', 'res-1_desc-brain_mask')):
        target = folder / f'tpl-MNI152NLin2009cSym/tpl-MNI152NLin2009cSym_{name}.nii.gz'
        shutil.copyfile(DATA / f'{TEMPLATE}_{end}.nii.gz', target)
    return folder


@pytest.fixture(scope='module')
def bids(home, tmp_path_factory):
    """Return the dataset after a run, with its derivatives."""
    root = tmp_path_factory.mktemp('real') / 'bids'
    for name, source in IMAGES.items():
        path = root / f'{name}.nii.gz'
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
    about = {'Name': 'Heads', 'BIDSVersion': '1.8.0', 'License': 'CC BY 3.0'}
    (root / 'dataset_description.json').write_text(json.dumps(about))
    arguments = ('--brain-extractor', 'deepbet', '--registration', 'fast', '-w', '../work')
    out = root / 'derivatives'
    done = call(
        *('run', root, out, 'participant', *arguments), env=clean_environment(home), cwd=root
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert 'sub-neck_T1w.nii.gz: its brain mask is too small (' in done.stdout
    return root


def _values(path):
    return np.asarray(nib.load(path).dataobj)


def test_every_dataset_is_valid(bids):
    found = sorted((bids / 'derivatives').glob('mrrate-*'))
    assert len(found) == 4
    for folder in found:
        verdict = run_validator(folder, find_validator())
        assert verdict.files > 5
        assert not [problem for problem in verdict.problems if problem.severity == 'error']


def test_nothing_of_the_spine_is_written(bids):
    assert not list((bids / 'derivatives').glob('mrrate-*/sub-neck/**/*.nii.gz'))


def test_brain_is_whole_and_face_is_gone(bids):
    folder = bids / 'derivatives/mrrate-defaced/sub-bis/anat'
    defaced = _values(folder / 'sub-bis_desc-defaced_T1w.nii.gz')
    brain = _values(folder / 'sub-bis_space-orig_label-brain_desc-T1w_mask.nii.gz')
    raw = _values(bids / 'sub-bis/anat/sub-bis_T1w.nii.gz')
    assert np.array_equal(defaced[brain > 0], raw[brain > 0])
    published = _values(DATA / 'bisweb-deface/sag_2mm_defaced.nii.gz')
    face = (published == 0) & (raw > 0.1 * np.percentile(raw, 99))
    assert not defaced[face].any()


def test_brains_lie_on_the_atlas_brain(bids):
    truth = _values(DATA / f'{TEMPLATE}_mask.nii.gz') > 0
    masks = [*(bids / 'derivatives/mrrate-atlas').glob('sub-*/**/*_label-brain_*mask.nii.gz')]
    assert len(masks) == 2
    for mask in masks:
        found = _values(mask) > 0
        # Of the smaller brain: the transform is rigid, and one of the two has 1.1 litres.
        assert (found & truth).sum() / min(found.sum(), truth.sum()) > 0.85, mask


def test_release_made_of_it_is_sound(bids, tmp_path):
    env, rules = clean_environment(), ('--rule', 'min_age=0')
    done = call('import', bids, tmp_path / 'release', *rules, env=env, cwd=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    assert 'sub-neck' in done.stdout
    checked = call('validate', tmp_path / 'release', '--deep', env=env, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(list((tmp_path / 'release').glob('MR-RATE-coreg/mri/*/*.zip'))) == 2
