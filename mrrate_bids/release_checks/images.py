"""Checks of single files: are they whole, of the right type, and do the tables describe them.

Sources: the MR-RATE dataset guide, "MRI Volumes" and "Metadata"; the NIfTI-1 header.
"""

import io
import re

from mrrate_bids.checks.files import objection_to_transform
from mrrate_bids.errors import DataError, ImageError
from mrrate_bids.images import Header, nibabel_header
from mrrate_bids.members import check_crc, check_image, opened
from mrrate_bids.naming import KINDS
from mrrate_bids.plan import Row
from mrrate_bids.release_checks.study import Checked
from mrrate_bids.voxels import objection_to_mask_type

__all__ = ['MASKS', 'check_headers', 'check_images', 'check_transforms', 'check_types', 'reason']

MASKS = [name for name in KINDS if name.endswith('-mask')]
_NATIVE_TYPES = ('uint16', 'float32')
_RESAMPLED = 'float32'
_NUMBER = re.compile(r'[0-9.]+(?:e[+-]?[0-9]+)?')
_SPACING_MM = 0.01
_LARGEST = 1 << 20  # a transform has a few hundred bytes


def check_images(study: Checked, *, deep: bool) -> None:
    """Make sure that images are whole; *deep* unpacks them and compares the CRCs."""
    for row in study.plan.rows:
        if '.nii' not in row.member.name:
            continue
        study.count('images', row)
        try:
            header = check_image(row.member, deep=deep)
            _refuse_nonsense(header, name=row.member.name)
        except DataError as error:
            study.find('images', row, reason(row, error))
        else:
            study.headers[row.kind.name, row.series] = header
        study.tally.bytes += row.member.size


def reason(row: Row, error: DataError) -> str:
    """Return what an error says, without the name of the file."""
    return str(error).removeprefix(f'{row.member.name}: ')


def _refuse_nonsense(header: Header, *, name: str) -> None:
    """Refuse a header without a known type or without a place in space."""
    import numpy as np  # noqa: PLC0415  (slow)
    from nibabel.spatialimages import HeaderDataError  # noqa: PLC0415

    known = nibabel_header(header)
    try:
        known.get_data_dtype()
        affine = known.get_best_affine()
    except (HeaderDataError, ValueError, KeyError) as error:
        raise ImageError(f'{name}: the NIfTI header makes no sense ({error})') from error
    if not np.isfinite(affine).all() or not np.linalg.det(affine[:3, :3]):
        raise ImageError(f'{name}: its affine places the voxels nowhere')


def check_types(study: Checked) -> None:
    """Make sure that images are 3-D and of the type that the release has them in."""
    for row, header in study.images():
        known = nibabel_header(header)
        study.count('types', row)
        shape, dtype = known.get_data_shape(), str(known.get_data_dtype())
        if len(shape) != 3:
            study.find('types', row, f'has {len(shape)} dimensions ({shape}), not 3')
        moved = row.kind.name == 'atlas-image' or (
            row.kind.name == 'coreg-image' and row.series != study.plan.centre
        )
        if moved and dtype != _RESAMPLED:
            message = f'is stored as {dtype}; resampled images are {_RESAMPLED}'
            study.find('types', row, message, severity='warning')
        elif not moved and row.kind.name.endswith('image') and dtype not in _NATIVE_TYPES:
            message = f'is stored as {dtype}, not as {" or ".join(_NATIVE_TYPES)}'
            study.find('types', row, message, 'Convert it to uint16, or to float32.')
        if row.kind.name in MASKS:
            study.count('masks', row)
            if message := objection_to_mask_type(header):
                study.find('masks', row, message, 'Make the mask again as uint8, unscaled.')


def check_headers(study: Checked) -> None:
    """Compare shape, spacing and field of view in the metadata with the header of each image."""
    for row, header in study.images('image'):
        known = nibabel_header(header)
        record = study.plan.series[row.series].record
        shape, zooms = known.get_data_shape(), known.get_zooms()
        fov = tuple(n * zoom for n, zoom in zip(shape, zooms, strict=True))
        pairs = {'array_shape': shape, 'array_spacing_mm': zooms, 'array_fov_mm': fov}
        cells = {column: study.plan.study.cell(record, column) for column in pairs}
        if not any(cells.values()):
            continue
        study.count('headers', row)
        for column, actual in pairs.items():
            within = _SPACING_MM * (max(shape) if column == 'array_fov_mm' else 1)
            if cells[column] and not _agree(cells[column], actual, within=within):
                said = ', '.join(f'{float(number):.6g}' for number in actual)
                message = f'{column} is {cells[column]}, the header has [{said}]'
                remedy = 'Correct the metadata, or fetch the image again.'
                study.find('headers', row, message, remedy, severity='warning')


def _agree(cell: str, actual: tuple[float, ...], *, within: float = _SPACING_MM) -> bool:
    """Tell whether a list in a cell has these numbers, or such that differ by no more.

    >>> _agree('[256, 256, 192]', (256, 256, 192)), _agree('(1.0 0.5)', (1.0, 0.6))
    (True, False)
    """
    try:
        numbers = [float(text) for text in _NUMBER.findall(cell)]
    except ValueError:
        return False
    return len(numbers) == len(actual) and all(
        abs(number - float(other)) <= within for number, other in zip(numbers, actual, strict=True)
    )


def check_transforms(study: Checked) -> None:
    """Make sure that transforms can be read and are rigid."""
    for row in study.plan.rows:
        if not row.member.name.endswith('.mat'):
            continue
        study.count('transforms', row)
        try:
            check_crc(row.member)
            with opened(row.member) as file:
                content = io.BytesIO(file.read(_LARGEST))
        except DataError as error:
            study.find('transforms', row, reason(row, error))
            continue
        if message := objection_to_transform(content, rigid=True):
            study.find('transforms', row, message)
