"""The CSV tables of the demonstration release, spelt as pandas writes them."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mrrate_bids.demo_studies import Series, Study, patients, studies
from mrrate_bids.metadata_columns import column_order, first_columns
from mrrate_bids.naming import PLANES, SeriesName
from mrrate_bids.phantom_scan import Volume

__all__ = ['metadata_row', 'write_csv', 'write_tables']

_MODALITIES = {'t1w': 'T1w', 't2w': 'T2w', 'flair': 'FLAIR', 'swi': 'SWI', 'mra': 'MRA'}
_LABELS = (
    'Metastatic malignant neoplasm to brain',
    'Intracranial meningioma',
    'Demyelinating disease of central nervous system',
    'Herniation of nucleus pulposus',
    'Spinal cord compression',
    'Lacunar infarct',
    'Silent micro-hemorrhage of brain',
    'Cavernous hemangioma',
    'Subdural intracranial hemorrhage',
    'Gliosis',
    'Cerebral atrophy',
    'Encephalomalacia',
    'Arachnoid cyst',
    'Empty sella syndrome',
    'Intracranial aneurysm',
    'Chiari malformation',
    'Schwannoma',
    'Cyst of pineal gland',
    'Hemangioma of vertebral column',
    "Rathke's pouch cyst",
    'Cerebral edema',
    'Spinal stenosis',
    'Chronic mastoiditis',
    'Cerebellar degeneration',
    'Mega cisterna magna',
    'Structure of cave of septum pellucidum',
    'Hyperostosis of skull',
    'Watershed infarct',
    'Choroid plexus cyst',
    'Foraminal Spinal Stenosis',
    'Glioma',
    'Pituitary adenoma',
)

Row = Mapping[str, str]


def metadata_row(study: Study, series: Series, volume: Volume, *, centre: bool) -> dict[str, str]:
    """Return the row of a series in the metadata CSV of its batch."""
    patient = next(p for p in patients() if p.uid == study.patient)
    name = SeriesName.parse(series.uid)
    spacing = [round(float(s), 4) for s in volume.spacing]
    return {
        'patient_uid': patient.uid,
        'study_uid': study.uid,
        'series_id': series.uid,
        'classified_modality': _MODALITIES[name.modality],
        'is_derived': 'False',
        'acquisition_plane': PLANES[name.plane],
        'SeriesNumber': repr(float(series.number)),
        'is_localizer': 'False',
        'is_subtraction': 'False',
        'is_center_modality': str(centre),
        'anon_study_date': study.date,
        'dwi_sub_type': '',
        'array_shape': str(list(volume.shape)),
        'array_spacing_mm': str(spacing),
        'array_fov_mm': str([round(n * s, 4) for n, s in zip(volume.shape, spacing, strict=True)]),
        "Patient'sAge": study.age,
        "Patient'sSex": patient.sex,
        **study.cells,
        **series.cells,
    }


def write_tables(release: Path, rows: Iterable[Row]) -> None:
    """Write every CSV of the release.

    Parameters
    ----------
    release
        The folder ``MR-RATE``.
    rows
        The metadata of all series, as :func:`metadata_row` returns them.
    """
    rows = list(rows)
    for batch in sorted({study.batch for study in studies()}):
        members = [study for study in studies() if study.batch == batch]
        uids = {study.uid for study in members}
        here = sorted((row for row in rows if row['study_uid'] in uids), key=_row_order)
        header = column_order({*first_columns(), *(name for row in here for name in row)})
        write_csv(release / f'metadata/{batch}_metadata.csv', header, here)
        write_csv(release / f'reports/{batch}_reports.csv', *_reports(members))
    write_csv(
        release / 'pathology_labels/mrrate_labels.csv',
        ['study_uid', *_LABELS],
        [
            {'study_uid': study.uid} | {name: str(int(name in study.findings)) for name in _LABELS}
            for study in studies()
            if study.report
        ],
    )
    write_csv(release / 'splits.csv', ['batch_id', 'patient_uid', 'study_uid', 'split'], _splits())


def _row_order(row: Row) -> tuple[int, str, float]:
    return int(row['patient_uid']), row['study_uid'], float(row['SeriesNumber'])


def _reports(studies: Iterable[Study]) -> tuple[list[str], list[dict[str, str]]]:
    names = ['clinical_information', 'technique', 'findings', 'impression']
    rows = [
        {'study_uid': study.uid, 'report': study.report.text}
        | {name: getattr(study.report, name) for name in names}
        for study in studies
        if study.report
    ]
    return ['study_uid', 'report', *names], rows


def _splits() -> list[dict[str, str]]:
    """Return a row per study; its batch is the one in which the patient first appears."""
    return [
        {
            'batch_id': min(s.batch for s in studies() if s.patient == study.patient),
            'patient_uid': study.patient,
            'study_uid': study.uid,
            'split': next(p.split for p in patients() if p.uid == study.patient),
        }
        for study in studies()
    ]


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a table as pandas would."""
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval='', lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue(), encoding='utf-8', newline='')
