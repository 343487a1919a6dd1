"""A release of MR-RATE made from real heads that are not part of the repository."""

import csv
import os
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to
from scipy import ndimage
from scipy.io import savemat

from mrrate_bids.naming import KINDS, REPOSITORIES, SeriesName, member_path
from mrrate_bids.zips import write_study_zip

DATA = Path(
    os.environ.get('MRRATE_BIDS_SHARED_DATA', Path(__file__).parents[2] / 'shared' / 'data')
)
ATLAS = ((193, 229, 193), nib.affines.from_matvec(np.eye(3), (-96, -132, -78)))
HEADER = (
    'patient_uid,study_uid,series_id,classified_modality,is_derived,acquisition_plane,'
    "SeriesNumber,is_center_modality,anon_study_date,array_shape,Patient'sAge,Patient'sSex,"
    'TE_ms,TR_ms,FieldStrength_T,Manufacturer'
).split(',')
STUDIES = {
    # patient, study: series_id -> file; the first is the centre
    ('6692', 'TCGAFG6692'): {
        't1w-raw-axi': 'tcga-fg-6692/TCGA-FG-6692_T1w.nii.gz',
        't1w-raw-axi-2': 'tcga-fg-6692/TCGA-FG-6692_T1wCE.nii.gz',
        't2w-raw-axi': 'tcga-fg-6692/TCGA-FG-6692_T2w.nii.gz',
        'flair-raw-axi': 'tcga-fg-6692/TCGA-FG-6692_FLAIR.nii.gz',
    },
    ('007', 'CHRISCHRIS'): {
        't1w-raw-sag': 'chris/chris_t1.nii.gz',
        'mra-raw-axi': 'chris/chris_MRA.nii.gz',
    },
    ('31', 'NIIVUE2222'): {
        't1w-raw-sag': 'bisweb-deface/sag_2mm_defaced.nii.gz',
        't2w-raw-axi': 'niivue-register/T2w.nii.gz',
    },
}


def build_real_release(root: Path, work: Path) -> None:
    """Write the four repositories of a small release of real heads below *root*."""
    rows = []
    for (patient, study), series in STUDIES.items():
        images = {name: nib.load(DATA / path) for name, path in series.items()}
        for repository, members in _files(study, images, work / study).items():
            name = REPOSITORIES[repository].format(study=study)
            write_study_zip(root / repository / 'mri' / 'batch00' / name, study, members)
        for number, (name, image) in enumerate(images.items(), start=1):
            rows.append(_row(patient, study, name, image, number))
    native = root / 'MR-RATE'
    _write(native / 'metadata/batch00_metadata.csv', HEADER, rows)
    uids = [[patient, study] for patient, study in STUDIES]
    splits = [['batch00', *pair, 'train'] for pair in uids]
    _write(native / 'splits.csv', ('batch_id', 'patient_uid', 'study_uid', 'split'), splits)
    sections = ('study_uid', 'report', 'findings')
    reports = [[study, f'Findings:\nA "real" head, {p}.', 'None'] for p, study in uids]
    _write(native / 'reports/batch00_reports.csv', sections, reports)


def _row(patient, study, name, image, number):
    parsed = SeriesName.parse(name)
    modality = {'t1w': 'T1w', 't2w': 'T2w', 'flair': 'FLAIR', 'mra': 'MRA'}[parsed.modality]
    plane = {'axi': 'AXIAL', 'sag': 'SAGITTAL'}[parsed.plane]
    facts = [modality, 'False', plane, f'{number}.0', str(number == 1), '2011-05-06']
    return [patient, study, name, *facts, str(list(image.shape)), '046Y', 'F', '', '500.0', '', '']


def _write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', newline='', encoding='utf-8') as file:
        csv.writer(file, lineterminator='\n').writerows([header, *rows])


def _save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def _mask(image):
    """Return a rough head mask, for the tests need one on the right grid, not a good one."""
    data = ndimage.gaussian_filter(image.get_fdata(dtype=np.float32), 2)
    inside = ndimage.binary_opening(data > data.mean() * 1.5, iterations=2)
    return nib.Nifti1Image(inside.astype(np.uint8), image.affine)


def _files(study, images, work):
    """Return the members of each repository: masks, co-registered and atlas images, labels."""
    centre, files = next(iter(images)), {name: {} for name in REPOSITORIES}

    def add(kind, series, source):
        kind = KINDS[kind]
        name = member_path(study, series, kind, centre=series == centre)
        files[kind.repository][name] = source

    identity = work / 'identity.mat'
    work.mkdir(parents=True)
    affine = np.vstack([np.eye(3).reshape(9, 1), np.zeros((3, 1))])
    savemat(
        identity, {'AffineTransform_double_3_3': affine, 'fixed': np.zeros((3, 1))}, format='4'
    )
    add('atlas-transform', centre, identity)
    for series, image in images.items():
        native, mask = _save(image, work / f'{series}.nii.gz'), _mask(image)
        ones = nib.Nifti1Image(np.ones(image.shape, np.uint8), image.affine)
        masks = [_save(mask, work / f'{series}_brain.nii.gz')]
        masks.append(_save(ones, work / f'{series}_face.nii.gz'))
        atlas = resample_from_to(image, ATLAS, order=1)
        atlas.set_data_dtype(np.float32)
        add('image', series, native)
        add('atlas-image', series, _save(atlas, work / f'{series}_atlas.nii.gz'))
        add('nvseg-body', series, masks[0])
        for kind, path in zip(('brain-mask', 'defacing-mask'), masks, strict=True):
            add(kind, series, path)
            if series == centre:
                add(f'coreg-{kind}', series, path)
                moved = resample_from_to(nib.load(path), ATLAS, order=0)
                moved.set_data_dtype(np.uint8)
                add(f'atlas-{kind}', series, _save(moved, work / f'{kind}_atlas.nii.gz'))
        if series == centre:
            add('coreg-image', series, native)
            add('nvseg-brain', series, masks[0])
        else:
            moved = resample_from_to(image, images[centre], order=1)
            moved.set_data_dtype(np.float32)
            add('coreg-image', series, _save(moved, work / f'{series}_coreg.nii.gz'))
            add('coreg-transform', series, identity)
    return {name: members for name, members in files.items() if members}
