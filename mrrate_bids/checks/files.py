"""Checks of single files: are they what was written, whole and of the right kind.

Sources: RFC 1952 (CRC32, ISIZE); the NIfTI-1 header; ITK, MatlabTransformIO (a column of
parameters under the name of the transform: nine of the matrix by rows, three of the translation).
"""

import os
from pathlib import Path
from typing import Any, BinaryIO

from mrrate_bids.checks.study import Study
from mrrate_bids.errors import ImageError
from mrrate_bids.files import checksum
from mrrate_bids.images import Header, count_packed, peek_file
from mrrate_bids.naming import KINDS
from mrrate_bids.receipts import FOLDER, Output, Receipt
from mrrate_bids.voxels import objection_to_mask_type, objection_to_mask_values, read_blocks

__all__ = [
    'check_images',
    'check_masks',
    'check_receipts',
    'check_transforms',
    'objection_to_transform',
]

_AGAIN = 'Run the export again; it replaces what differs.'
_UNKNOWN = 'Remove it, or keep it outside of the folders that the export writes.'
_RIGID = {KINDS['coreg-transform'].dataset, KINDS['atlas-transform'].dataset}
_TOLERANCE = 1e-4
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, EOFError, NotImplementedError)


def check_receipts(study: Study) -> None:
    """Compare the files of a study with its receipts, and look for files that none knows."""
    if not study.tree.has_receipts:
        return
    known: set[str] = set()
    for receipt in study.receipts:
        known.update(output.path for output in receipt.outputs)
        _check_state(study, receipt)
        if receipt.state != 'started':
            for output in receipt.outputs:
                _check_output(study, output)
    if not study.session:
        known.add(f'{study.subject}/{study.subject}_sessions.tsv')
    if study.receipts or not study.session:
        _check_unknown(study, known)
    elif study.session not in study.tree.receipts:
        study.find('receipts', study.folder, 'no receipt knows this study', _UNKNOWN)


def _check_state(study: Study, receipt: Receipt) -> None:
    if receipt.state == 'started':
        message = 'unfinished: an export of this study was interrupted'
        study.find('receipts', study.folder, message, 'Run the export again; it goes on here.')
    elif receipt.problems:
        message = f'the export met {len(receipt.problems)} problems in this study'
        remedy = f'See {FOLDER}/problems.tsv.'
        study.find('receipts', study.folder, message, remedy, severity='warning')


def _check_output(study: Study, output: Output) -> None:
    path = study.tree.root / output.path
    name = output.path.split('/')[1] if output.path.startswith('derivatives/') else ''
    study.tally.count('receipts', name)
    try:
        size = path.stat().st_size
        study.tally.bytes += size
        if size != output.size:
            message = f'has {size:,} bytes, its receipt says {output.size:,}'
        elif output.crc32 is not None and checksum(path) != output.crc32:
            message = 'the CRC-32 differs from its receipt'
        else:
            return
    except FileNotFoundError:
        message = 'is missing'
    except OSError as error:
        message = f'cannot be read ({error.strerror})'
    remedy = _AGAIN if message.startswith(('is missing', 'has')) else f'Delete it. {_AGAIN}'
    study.find('receipts', output.path, message, remedy)


def _check_unknown(study: Study, known: set[str]) -> None:
    """Report files in the datasets that the export wrote for this study.

    Datasets that it did not write may come from elsewhere and are left alone.
    """
    exported = {path.split('/')[1] for path in known if path.startswith('derivatives/')}
    for dataset, table_path, _ in study.each(''):
        if dataset.name in {'', *exported} and table_path not in known:
            study.find('receipts', table_path, 'no receipt knows this file', _UNKNOWN)


def _mend(study: Study) -> str:
    return f'Delete it. {_AGAIN}' if study.tree.has_receipts else 'Fetch it or make it again.'


def check_images(study: Study, *, deep: bool) -> None:
    """Make sure that images are whole; *deep* unpacks them and compares the CRC of gzip."""
    for dataset, table_path, path in study.each('.nii.gz', '.nii'):
        study.tally.count('images', dataset.name)
        try:
            study.headers[table_path] = _read_image(path, table_path, deep=deep)
            study.tally.bytes += path.stat().st_size if deep else 0
        except ImageError as error:
            message = str(error).removeprefix(f'{table_path}: ')
            study.find('images', table_path, message, _mend(study))
        except OSError as error:
            message = f'cannot be read ({error.strerror})'
            study.find('images', table_path, message, _mend(study))


def _read_image(path: Path, name: str, *, deep: bool) -> Header:
    header = peek_file(path, name=name)
    if deep:
        with path.open('rb', buffering=0) as file:
            if name.endswith('.gz'):
                count_packed(file, header, name=name)
            elif file.seek(0, os.SEEK_END) < header.size:
                raise ImageError(f'{name}: is truncated')
    return header


def check_masks(study: Study) -> None:
    """Make sure that masks are stored as uint8 and hold nothing but 0 and 1."""
    endings = ('_mask.nii.gz', '_defacemask.nii.gz', '_mask.nii', '_defacemask.nii')
    for dataset, table_path, path in study.each(*endings):
        if table_path in study.headers:
            study.tally.count('masks', dataset.name)
            header = study.headers[table_path]
            if message := _objection_to_mask(path, header, table_path):
                remedy = 'Make the mask again; 1 inside, 0 outside, uint8.'
                study.find('masks', table_path, message, remedy)


def _objection_to_mask(path: Path, header: Header, name: str) -> str:
    if message := objection_to_mask_type(header):
        return message
    with path.open('rb') as file:
        return objection_to_mask_values(read_blocks(file, header, name=name))


def check_transforms(study: Study) -> None:
    """Make sure that transforms can be read and, where they are ours, are rigid."""
    for dataset, table_path, path in study.each('_xfm.mat'):
        study.tally.count('transforms', dataset.name)
        if message := objection_to_transform(path, rigid=dataset.name in _RIGID):
            study.find('transforms', table_path, message, _mend(study))


def objection_to_transform(source: Path | BinaryIO, *, rigid: bool) -> str:
    """Return why a file is no ITK transform, or not a rigid one; empty when it is.

    Parameters
    ----------
    source
        The file, or a stream that can be sought in.
    rigid
        Whether it must be rigid.
    """
    from scipy.io import loadmat  # noqa: PLC0415  (slow)

    try:
        content = loadmat(source)
    except Exception as error:  # noqa: BLE001  (whatever scipy makes of damaged bytes)
        return f'is not a MATLAB file ({error})'
    found = [(n, v) for n, v in content.items() if 'Transform' in n and n.endswith('_3_3')]
    if len(found) != 1 or 'fixed' not in content:
        return 'holds no ITK transform in three dimensions'
    return _objection_to_parameters(*found[0], rigid=rigid)


def _objection_to_parameters(name: str, values: Any, *, rigid: bool) -> str:
    import numpy as np  # noqa: PLC0415

    numbers = np.asarray(values, dtype=float).ravel()
    if not np.isfinite(numbers).all():
        return 'holds numbers that are not finite'
    if not rigid or (name.startswith(('Euler3D', 'VersorRigid3D')) and numbers.size == 6):
        return ''
    if numbers.size != 12:
        return f'{name} with {numbers.size} parameters is not rigid'
    matrix = numbers[:9].reshape(3, 3)
    off, det = abs(matrix @ matrix.T - np.eye(3)).max(), np.linalg.det(matrix)
    if off > _TOLERANCE or det < 0:
        return f'is not rigid (R Rᵀ differs from I by {off:.2g}, determinant {det:.3f})'
    return ''
