"""A synthetic release of any number of studies with tiny images: every repository, every table.

One study is made and zipped by what makes zips for a release; the zips of all others are the same
bytes with another name in them, so twenty thousand studies are written in about a minute.
"""

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from planning import PLANE, study_uid
from scipy.io import savemat

from mrrate_bids.naming import KINDS, REPOSITORIES, SeriesName, member_path
from mrrate_bids.zips import write_study_zip

SERIES = ('t1w-raw-sag', 'flair-raw-axi')
"""The series of each study, the centre first."""

BATCH = 1000
"""Studies in a batch; those of the release are three times as large, and fewer."""

_MODALITY = {'t1w': 'T1w', 't2w': 'T2w', 'flair': 'FLAIR'}
_SHAPE = (8, 8, 6)
_TEMPLATE = 'TEMPLATEAA'
_HEADER = (
    'patient_uid', 'study_uid', 'series_id', 'classified_modality', 'is_derived',
    'acquisition_plane', 'SeriesNumber', 'is_localizer', 'is_subtraction', 'is_center_modality',
    'anon_study_date', 'array_shape', 'array_spacing_mm', "Patient'sAge", "Patient'sSex",
    'FlipAngle', 'TE_ms', 'TR_ms', 'FieldStrength_T', 'Manufacturer', "Manufacturer'sModelName",
)  # fmt: skip
_REPORT = 'study_uid,report,clinical_information,technique,findings,impression'.split(',')


def make_release(root: Path, studies: int, *, batch: int = BATCH, zips: bool = True) -> None:
    """Write a release of so many studies; one patient in six has a second one.

    Parameters
    ----------
    root
        The folder that will hold the repositories.
    studies, batch
        How many, and how many of them in a batch.
    zips
        Whether there are images, not only tables.
    """
    patients = max(1, studies - studies // 6)
    native = root / 'MR-RATE'
    for folder in ('metadata', 'reports', 'pathology_labels'):
        (native / folder).mkdir(parents=True)
    with (
        (native / 'splits.csv').open('w') as splits,
        (native / 'pathology_labels' / 'mrrate_labels.csv').open('w') as labels,
    ):
        splits.write('batch_id,patient_uid,study_uid,split\n')
        labels.write(','.join(['study_uid', *(f'Finding {n}' for n in range(32))]) + '\n')
        for first in range(0, studies, batch):
            name = f'batch{first // batch:02d}'
            numbers = range(first, min(first + batch, studies))
            _write_tables(native, name, numbers, patients)
            for number in numbers:
                uid, patient = study_uid(number), number % patients
                split = 'val' if patient % 25 == 0 else 'train'
                splits.write(f'{name},{patient},{uid},{split}\n')
                labels.write(f'{uid}{",0" * 31},1\n')
            if zips:
                _write_zips(root, name, numbers)


def _write_tables(native: Path, name: str, numbers: range, patients: int) -> None:
    with (native / 'metadata' / f'{name}_metadata.csv').open('w', newline='') as text:
        write = csv.writer(text, lineterminator='\n').writerow
        write(_HEADER)
        for number in numbers:
            for order, series in enumerate(SERIES):
                parsed = SeriesName.parse(series)
                write([
                    number % patients, study_uid(number), series, _MODALITY[parsed.modality],
                    'False', PLANE[parsed.plane], order + 1.0, 'False', 'False', order == 0,
                    f'2019-03-{1 + number // patients:02d}', list(_SHAPE), [1.0, 1.0, 1.0],
                    '045Y', 'F', '90.0', '9.1', '550.0', '1.5', 'Siemens', 'Aera',
                ])  # fmt: skip
    with (native / 'reports' / f'{name}_reports.csv').open('w', newline='') as text:
        write = csv.writer(text, lineterminator='\n').writerow
        write(_REPORT)
        for number in numbers:
            told = 'Report text. ' * 100
            write([study_uid(number), told, 'Headache', 'MRI', 'None. ' * 20, '—'])


def _write_zips(root: Path, name: str, numbers: range) -> None:
    """Write the zips of a batch: those of one study, under other names."""
    for repository, content in _template(root / '.template').items():
        folder = root / repository / 'mri' / name
        folder.mkdir(parents=True)
        for number in numbers:
            uid = study_uid(number)
            zipped = content.replace(_TEMPLATE.encode(), uid.encode())
            (folder / REPOSITORIES[repository].format(study=uid)).write_bytes(zipped)


def _template(folder: Path) -> dict[str, bytes]:
    """Return the zips of one study by repository."""
    members: dict[str, dict[str, bytes]] = {}
    for repository, member, content in _members():
        members.setdefault(repository, {})[member] = content
    zips = {}
    for repository, contents in members.items():
        path = folder / f'{repository}.zip'
        write_study_zip(path, _TEMPLATE, contents)
        zips[repository] = path.read_bytes()
        path.unlink()
    folder.rmdir()
    return zips


def _members() -> Iterator[tuple[str, str, bytes]]:
    """Yield repository, path and content of each file of a study."""
    noise = np.random.default_rng(1)
    for order, series in enumerate(SERIES):
        image = _nifti(noise.integers(1, 999, _SHAPE).astype(np.uint16))
        for kind in KINDS.values():
            if kind.name == 'vista-seg' or not kind.belongs_to(centre=order == 0):
                continue
            content = image
            if kind.name.endswith('transform'):
                content = _rigid()
            elif not kind.name.endswith('image'):
                content = _nifti(np.ones(_SHAPE, np.uint8))
            member = member_path(_TEMPLATE, series, kind, centre=order == 0)
            yield kind.repository, member, content


def _nifti(data: np.ndarray) -> bytes:
    image = nib.Nifti1Image(data, np.eye(4))
    image.set_qform(np.eye(4), code=1)
    image.set_sform(np.eye(4), code=1)
    return gzip.compress(image.to_bytes(), 1, mtime=0)


def _rigid() -> bytes:
    """Return the transform that moves nothing, as ANTs writes it."""
    parameters = np.vstack([np.eye(3).reshape(9, 1), np.zeros((3, 1))])
    file = io.BytesIO()
    savemat(
        file, {'AffineTransform_double_3_3': parameters, 'fixed': np.zeros((3, 1))}, format='4'
    )
    return file.getvalue()
