"""Small studies, and runs over them, that the tests of the app share."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from foreign_bids import AXIAL, Series, write_series
from makers import make_nifti

pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.app import study as studies
from mrrate_bids.app.engine import Engine
from mrrate_bids.app.options import Options
from mrrate_bids.app.run import ComputeRun
from mrrate_bids.app.scope import Scope
from mrrate_bids.app.study import Study
from mrrate_bids.sidecars import sidecar_path

MASK = '_space-orig_label-brain_desc-{}_mask.nii.gz'
STEM = 'anat/{}_acq-mprage'
T1W_MASK = 'space-orig_label-brain_desc-T1w_mask.nii.gz'


def t1w(name='T1w', **sidecar):
    return Series(name, AXIAL, sidecar=sidecar)


def single(root, *series, subject='sub-01', session=''):
    """Return a dataset of one subject with these series."""
    root.mkdir(exist_ok=True)
    (root / 'dataset_description.json').write_text('{"Name": "One", "BIDSVersion": "1.8.0"}')
    for number, one in enumerate(series):
        write_series(root, subject, session, one, seed=number)
    return root


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
    return sorted(path.name for *_, targets in rows for path in targets)


def run_of(bids, out, *steps, who=('02',), extractor='deepbet', **given):
    derivatives = {name.replace('_', '-'): path for name, path in given.items()}
    scope = Scope(participants=who, derivatives=derivatives)
    return ComputeRun(bids, out, scope=scope, options=Options(steps, extractor))


def describe(run):
    """Give what :func:`pretend` wrote the sidecars that it would have."""
    for study, _, targets in run.pending(dry=True):
        for path, (kind, _) in targets.items():
            series = next(s for s in study.series if run.places.target(study, s, kind) == path)
            text = json.dumps(run.places.sidecar(study, series, kind, set(targets)))
            yield path, text


def leave(run):
    """Write results of a run with their sidecars; return their paths."""
    texts = dict(describe(run))
    written = pretend(run)
    for path in written:
        (path.parent / sidecar_path(path.name)).write_text(texts[path])
    return written


def execute(run, tmp_path):
    return run.execute(Engine(tmp_path / 'work'), watch=lambda *said: None)
