"""Checks of voxels: masks hold 0 and 1, images are finite, and what was defaced is exactly 0.

Source: the MR-RATE dataset guide, "MRI Volumes"; a defacing mask is 1 where the image was kept.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from mrrate_bids.errors import DataError
from mrrate_bids.images import nibabel_header, same_grid
from mrrate_bids.members import opened
from mrrate_bids.plan import Row
from mrrate_bids.release_checks.images import MASKS, reason
from mrrate_bids.release_checks.study import Checked
from mrrate_bids.voxels import (
    find_faults,
    objection_to_mask_type,
    objection_to_mask_values,
    read_blocks,
)

__all__ = ['check_values']

_DEFACED = {
    'image': 'defacing-mask',
    'coreg-image': 'coreg-defacing-mask',
}
"""The mask that was applied to an image on its own grid; those of the atlas are resampled."""


def check_values(study: Checked) -> None:
    """Unpack every mask and every image once."""
    for row, header in study.images(*MASKS):
        if not objection_to_mask_type(header):
            _try(_check_mask, study, row)
    for row, header in study.images('image', 'coreg-image', 'atlas-image'):
        if nibabel_header(header).get_data_dtype().kind in 'uif':
            study.count('values', row)
            _try(_check_image, study, row)


def _try(check: Callable[[Checked, Row], None], study: Checked, row: Row) -> None:
    try:
        check(study, row)
    except DataError as error:
        study.find('images', row, reason(row, error))


def _check_mask(study: Checked, row: Row) -> None:
    with _blocks(study, row) as blocks:
        if message := objection_to_mask_values(blocks):
            study.find('masks', row, message, 'Make the mask again; 1 inside, 0 outside.')


def _check_image(study: Checked, row: Row) -> None:
    header = study.headers[row.kind.name, row.series]
    mask = _mask_of(study, row)
    with ExitStack() as stack:
        blocks = stack.enter_context(_blocks(study, row))
        kept = stack.enter_context(_blocks(study, mask)) if mask else None
        infinite, outside = find_faults(header, blocks, kept)
    if infinite:
        message = f'{infinite:,} voxels are not finite'
        study.find('values', row, message, 'Replace them by 0.', severity='warning')
    if mask and outside:
        message = f'{outside:,} voxels outside of {mask.member.name} are not 0'
        study.find('values', row, message, 'Do not publish it; deface the image again.')


def _mask_of(study: Checked, row: Row) -> Row | None:
    """Return the defacing mask that was applied to an image, when it can be held against it."""
    wanted = _DEFACED.get(row.kind.name)
    image = study.headers[row.kind.name, row.series]
    for mask, header in study.images(*([wanted] if wanted else ['no mask'])):
        if (
            mask.series == row.series
            and same_grid(image, header)
            and not objection_to_mask_type(header)
        ):
            return mask
    return None


@contextmanager
def _blocks(study: Checked, row: Row) -> Iterator[Iterator[Any]]:
    header = study.headers[row.kind.name, row.series]
    with opened(row.member) as file:
        yield read_blocks(file, header, name=row.member.name)
