"""The voxels of an image, a block at a time: are masks masks, and is defaced background empty.

An image is never in memory as a whole. What is asked of it is answered from its stored values and
their scaling.

Sources: the NIfTI-1 header (datatype, scl_slope, scl_inter); the MR-RATE dataset guide, "MRI
Volumes".
"""

import gzip
import math
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, BinaryIO

from mrrate_bids.errors import ImageError
from mrrate_bids.images import Header, nibabel_header

__all__ = ['find_faults', 'objection_to_mask_type', 'objection_to_mask_values', 'read_blocks']

_BLOCK = 1 << 20  # voxels


def read_blocks(file: BinaryIO, header: Header, *, name: str) -> Iterator[Any]:
    """Yield the stored voxels of an image, in the order of the file, as numpy arrays.

    Parameters
    ----------
    file
        The image, at its first byte.
    header
        What :func:`mrrate_bids.images.peek_file` read from it.
    name
        What to call it in messages; ``.gz`` at the end says that it is packed.

    Raises
    ------
    ImageError
        When it ends before its last voxel or the gzip stream is damaged.
    """
    import numpy as np  # noqa: PLC0415  (slow, and needed for --deep only)

    known = nibabel_header(header)
    dtype, left = known.get_data_dtype(), math.prod(known.get_data_shape())
    voxels = gzip.GzipFile(fileobj=file) if name.endswith('.gz') else file
    try:
        voxels.read(known.get_data_offset())
        while left:
            data = voxels.read(min(_BLOCK, left) * dtype.itemsize)
            count = len(data) // dtype.itemsize
            if not count:
                raise ImageError(f'{name}: is truncated, {left:,} voxels are missing')
            yield np.frombuffer(data, dtype, count)
            left -= count
    except (EOFError, gzip.BadGzipFile) as error:
        raise ImageError(f'{name}: the gzip stream is damaged ({error})') from error


def _scaling(header: Header) -> tuple[float, float]:
    """Return slope and intercept; of a header without scaling 1 and 0."""
    from nibabel.spatialimages import HeaderDataError  # noqa: PLC0415  (slow)

    try:
        slope, inter = nibabel_header(header).get_slope_inter()
    except HeaderDataError:
        return math.nan, math.nan
    return (1.0, 0.0) if slope is None else (float(slope), float(inter))


def objection_to_mask_type(header: Header) -> str:
    """Return why an image is not stored as a mask should be; empty when it is."""
    dtype = nibabel_header(header).get_data_dtype()
    if dtype != 'uint8':
        return f'is stored as {dtype}, not as uint8'
    slope, inter = _scaling(header)
    if (slope, inter) != (1, 0):
        return f'its values are scaled (slope {slope}, intercept {inter})'
    return ''


def objection_to_mask_values(blocks: Iterable[Any]) -> str:
    """Return which values other than 0 and 1 the uint8 voxels of a mask have; empty if none."""
    import numpy as np  # noqa: PLC0415

    values: set[int] = set()
    for block in blocks:
        values.update(np.flatnonzero(np.bincount(block)).tolist())
    odd = sorted(values - {0, 1})
    return f'holds {", ".join(map(str, odd[:5]))}{" …" if odd[5:] else ""}' if odd else ''


def find_faults(
    header: Header, blocks: Iterable[Any], kept: Iterable[Any] | None = None
) -> tuple[int, int]:
    """Count the voxels that are not finite, and those that are not 0 outside of a mask.

    Parameters
    ----------
    header, blocks
        The image and its stored voxels.
    kept
        Those of its defacing mask, of the same shape, where 0 is what was removed.
    """
    import numpy as np  # noqa: PLC0415

    slope, inter = _scaling(header)
    infinite = outside = 0
    for block, inside in zip(blocks, kept or repeat(None), strict=False):
        values = block if (slope, inter) == (1, 0) else block * slope + inter
        infinite += int(np.count_nonzero(~np.isfinite(values)))
        if inside is not None:
            outside += int(np.count_nonzero(values[inside == 0]))
    return infinite, outside
