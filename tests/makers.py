"""Small files for tests: images, zips, tables and a release of volumes of a few voxels."""

import gzip
import struct
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np

from mrrate_bids.demo_tables import write_csv
from mrrate_bids.naming import KINDS, PLANES, REPOSITORIES, SeriesName, member_path

COLUMNS = (
    'patient_uid',
    'study_uid',
    'series_id',
    'classified_modality',
    'acquisition_plane',
    'SeriesNumber',
    'is_center_modality',
    'anon_study_date',
    "Patient'sAge",
    "Patient'sSex",
    'TE_ms',
)
MODALITIES = {'t1w': 'T1w', 't2w': 'T2w', 'flair': 'FLAIR', 'swi': 'SWI', 'mra': 'MRA'}


def nifti_bytes(
    shape=(4, 4, 4), affine=None, dtype=np.uint8, *, version=1, order='<', seed=0, packed=True
) -> bytes:
    """Return a NIfTI file whose voxels are noise."""
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(order))
    data = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    affine = np.eye(4) if affine is None else np.asarray(affine, dtype=float)
    image = kind(data, affine, header)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    raw = image.to_bytes()
    return gzip.compress(raw, mtime=0) if packed else raw


def make_nifti(path: Path, shape=(4, 4, 4), affine=None, dtype=np.uint8, **more) -> Path:
    """Write a NIfTI file, packed when its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = path.name.endswith('.gz')
    path.write_bytes(nifti_bytes(shape, affine, dtype, packed=packed, **more))
    return path


def make_zip(path: Path, members, *, method=zipfile.ZIP_STORED) -> Path:
    """Write a zip of the given content by full member name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w', method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, method)
    return path


def patch(path: Path, offset: int, data: bytes) -> Path:
    """Overwrite bytes of a file; a negative offset counts from the end."""
    content = bytearray(path.read_bytes())
    offset %= len(content)
    content[offset : offset + len(data)] = data
    path.write_bytes(content)
    return path


def nifti_header(
    *, dims=(3, 4, 4, 4, 1, 1, 1, 1), bits=8, offset=352.0, version=1, order='<'
) -> bytes:
    """Return a header with the given fields, which need not make sense."""
    if version == 1:
        raw = bytearray(348)
        struct.pack_into(f'{order}i', raw, 0, 348)
        struct.pack_into(f'{order}8h', raw, 40, *dims)
        struct.pack_into(f'{order}h', raw, 72, bits)
        struct.pack_into(f'{order}f', raw, 108, offset)
    else:
        raw = bytearray(540)
        struct.pack_into(f'{order}i', raw, 0, 540)
        struct.pack_into(f'{order}8q', raw, 16, *dims)
        struct.pack_into(f'{order}h', raw, 14, bits)
        struct.pack_into(f'{order}q', raw, 168, int(offset))
    return bytes(raw)


def study_members(study: str, series, *, centre: str = '', kinds=None) -> dict[str, dict]:
    """Return the content of a study by repository and path inside the study folder."""
    files: dict[str, dict[str, bytes]] = {}
    for number, series_id in enumerate(series):
        is_centre = series_id == centre
        for kind in KINDS.values():
            if (kinds and kind.name not in kinds) or not kind.belongs_to(centre=is_centre):
                continue
            atlas = 'atlas' in kind.name
            # The centre's files in co-registered space are copies of the originals.
            origin = kind.name.removeprefix('coreg-') if is_centre else kind.name
            seed = 100 * number + list(KINDS).index(origin)
            shape = (5, 5, 5) if atlas else (4, 4, 4)
            data = (
                b'a transform' if kind.member.endswith('.mat') else nifti_bytes(shape, seed=seed)
            )
            name = member_path(study, series_id, kind, centre=is_centre)
            files.setdefault(kind.repository, {})[name] = data
    return files


def series_row(patient: str, study: str, series_id: str, *, centre: bool, **cells) -> dict:
    """Return a row of the metadata."""
    name = SeriesName.parse(series_id)
    row = {
        'patient_uid': patient,
        'study_uid': study,
        'series_id': series_id,
        'classified_modality': MODALITIES[name.modality],
        'acquisition_plane': PLANES[name.plane],
        'SeriesNumber': '1.0',
        'is_center_modality': str(centre),
        'anon_study_date': '2001-02-03',
        "Patient'sAge": '040Y',
        "Patient'sSex": 'F',
        'TE_ms': '15.97',
    }
    return row | cells


def make_table(path: Path, rows, *, header=None) -> Path:
    """Write a CSV from dictionaries, the columns in order of first appearance."""
    header = header or list(dict.fromkeys(name for row in rows for name in row))
    write_csv(path, header, rows)
    return path


def make_release(root: Path, studies, *, zipped=True, merged=False) -> Path:
    """Write a release of tiny volumes.

    Parameters
    ----------
    root
        The folder that holds the repositories; with *merged* the only repository.
    studies
        Dictionaries with ``batch``, ``patient``, ``study``, ``series`` (series_ids, the first is
        the centre) and, if wanted, ``cells`` (of every row), ``kinds``, ``split``, ``labels``
        and ``report``.
    """
    native = root if merged else root / 'MR-RATE'
    rows: dict[str, list[dict]] = {}
    reports: dict[str, list[dict]] = {}
    for study in studies:
        batch, uid, series = study['batch'], study['study'], study['series']
        cells = study.get('cells', {})
        rows.setdefault(batch, []).extend(
            series_row(study['patient'], uid, s, centre=s == series[0], **cells) for s in series
        )
        if 'report' in study:
            report = {'study_uid': uid, 'report': study['report']}
            reports.setdefault(batch, []).append(report)
        members = study_members(uid, series, centre=series[0], kinds=study.get('kinds'))
        for repository, files in members.items():
            home = (root if merged else root / repository) / 'mri' / batch
            if zipped:
                inside = {f'{uid}/{name}': data for name, data in files.items()}
                make_zip(home / REPOSITORIES[repository].format(study=uid), inside)
                continue
            for name, data in files.items():
                (home / uid / name).parent.mkdir(parents=True, exist_ok=True)
                (home / uid / name).write_bytes(data)
    for batch, lines in rows.items():
        make_table(native / 'metadata' / f'{batch}_metadata.csv', lines)
    for batch, lines in reports.items():
        make_table(native / 'reports' / f'{batch}_reports.csv', lines)
    labels = [{'study_uid': s['study']} | s['labels'] for s in studies if 'labels' in s]
    if labels:
        make_table(native / 'pathology_labels/mrrate_labels.csv', labels)
    splits = [
        {
            'batch_id': s['batch'],
            'patient_uid': s['patient'],
            'study_uid': s['study'],
            'split': s['split'],
        }
        for s in studies
        if 'split' in s
    ]
    if splits:
        make_table(native / 'splits.csv', splits)
    return root
