"""Small studies, and runs over them, that the tests of the app share."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from makers import make_nifti

pytest.importorskip('bids')
pytest.importorskip('nipype')


from mrrate_bids.app import study as studies
from mrrate_bids.app.study import Study
from mrrate_bids.sidecars import sidecar_path

MASK = '_space-orig_label-brain_desc-{}_mask.nii.gz'
STEM = 'anat/{}_acq-mprage'
T1W_MASK = 'space-orig_label-brain_desc-T1w_mask.nii.gz'


def messages(found):
    return [problem.message for problem in found.problems]


def make_study(*names, subject='sub-01', session='ses-1'):
    folder = f'{subject}/{session}/anat' if session else f'{subject}/anat'
    stem = f'{subject}_{session}' if session else subject
    series = tuple(
        studies.Series(Path(f'/b/{stem}_{name}.nii.gz'), f'{folder}/{stem}_{name}.nii.gz')
        for name in names
    )
    return Study(subject, session, series, series[0])


def place(root, name, content='x'):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def mask_of(root, subject, name=T1W_MASK):
    return root / subject / f'{STEM.format(subject)}_{name}'


def make_masks(bids, root, name=T1W_MASK):
    image = nib.load(bids / 'sub-02/anat/sub-02_acq-mprage_T1w.nii.gz')
    path = mask_of(root, 'sub-02', name)
    make_nifti(path, image.shape, image.affine, np.uint8)
    (root / 'dataset_description.json').write_text('{"Name": "masks"}')
    return root


def pretend(run):
    """Write what a run would write, and its receipts; return the files."""
    written = []
    for study, _, targets in run.pending():
        run.ledger.forget(study, targets)
        for path in targets:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b'result')
            Path(sidecar_path(str(path))).write_text('{}')
        run.ledger.record(study, targets, [])
        written += targets
    return written


def names(rows):
    return sorted(path.name for _, _, targets in rows for path in targets)
