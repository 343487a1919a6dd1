"""A BIDS dataset as anybody might have it: no field of ours, no receipts."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from makers import make_nifti

AXIAL = np.diag([8.0, 8.0, 12.0, 1.0])
SAGITTAL = np.array([[0, 0, 12.0, 0], [8.0, 0, 0, 0], [0, 8.0, 0, 0], [0, 0, 0, 1]])
SHAPE = (18, 18, 16)
SLAB = np.diag([8.0, 8.0, 3.0, 1.0])
PARAMETERS = {'EchoTime': 0.01597, 'RepetitionTime': 2.3, 'FlipAngle': 9, 'Manufacturer': 'ACME'}


@dataclass
class Series:
    """An image and its sidecar; ``None`` leaves the sidecar out."""

    name: str
    affine: np.ndarray = field(default_factory=AXIAL.copy)
    shape: tuple[int, ...] = SHAPE
    dtype: type = np.uint16
    sidecar: dict | None = field(default_factory=PARAMETERS.copy)
    packed: bool = True


ONE = (
    Series('acq-mprage_T1w', SAGITTAL, sidecar=PARAMETERS | {'SeriesNumber': 3}),
    Series('acq-mprage_ce-gadolinium_T1w', sidecar=PARAMETERS | {'SeriesNumber': 9}),
    Series('run-1_T2w', dtype=np.int16, packed=False),
    Series('run-2_T2w', dtype=np.float64),
    Series('FLAIR', sidecar=None),
    Series('acq-swi_T2starw', dtype=np.uint8),
    Series('angio', SLAB, shape=(18, 18, 20)),
)


def make_dataset(root: Path, *, sessions: bool = True, subjects: int = 3) -> Path:
    """Write a dataset of a few subjects; the first has every series, the others a T1w."""
    root.mkdir(parents=True)
    description = {'Name': 'Somebody', 'BIDSVersion': '1.8.0', 'DatasetType': 'raw'}
    (root / 'dataset_description.json').write_text(json.dumps(description))
    (root / 'README').write_text('A dataset.\n')
    lines = ['participant_id\tage\tsex\tgroup']
    for number in range(1, subjects + 1):
        subject = f'sub-{number:02d}'
        lines.append(f'{subject}\t{20 + number}\t{"FM"[number % 2]}\tcontrol')
        series = ONE if number == 1 else ONE[:1]
        for session in ('ses-1', 'ses-2')[: 2 if number == 2 else 1] if sessions else ('',):
            for one in series:
                write_series(root, subject, session, one, seed=number)
    (root / 'participants.tsv').write_text('\n'.join(lines) + '\n')
    return root


def write_series(root: Path, subject: str, session: str, series: Series, *, seed: int = 0) -> Path:
    """Write an image and its sidecar; return the image."""
    folder = root / subject / session / 'anat'
    head = f'{subject}_{session}_' if session else f'{subject}_'
    path = folder / f'{head}{series.name}.nii{".gz" if series.packed else ""}'
    make_nifti(path, series.shape, series.affine, series.dtype, seed=seed)
    if series.sidecar is not None:
        (folder / f'{head}{series.name}.json').write_text(json.dumps(series.sidecar))
    return path
