"""Small studies, and runs over them, that the tests of the app share."""

from pathlib import Path

import pytest

pytest.importorskip('bids')
pytest.importorskip('nipype')


from mrrate_bids.app import study as studies
from mrrate_bids.app.study import Study

MASK = '_space-orig_label-brain_desc-{}_mask.nii.gz'


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
