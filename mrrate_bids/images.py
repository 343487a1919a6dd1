"""Look at a NIfTI file without unpacking it: is it whole, and which voxel grid does it have.

The first and the last bytes of a ``.nii.gz`` are enough. The header, at the start of the
stream, says how many bytes the image has; the gzip trailer says how many were packed. A file
whose writing was interrupted cannot agree with itself.

Sources: RFC 1952, section 2.3.1 (ISIZE); the NIfTI-1 and NIfTI-2 header definitions.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mrrate_bids.errors import ImageError

__all__ = [
    'EDGE',
    'Header',
    'count_packed',
    'nibabel_header',
    'peek',
    'peek_file',
    'peek_open',
    'same_grid',
]

EDGE = 1 << 12
"""How many of the first bytes :func:`peek` wants to see."""

_NIFTI1, _NIFTI2 = 348, 540
_GZIP_MAGIC = b'\x1f\x8b'
_BLOCK = 1 << 20
_SLACK = 64 << 20  # what may stand behind the voxels


@dataclass(frozen=True, slots=True)
class Header:
    """What the head of an image says."""

    raw: bytes
    """The NIfTI header, 348 or 540 bytes."""

    size: int
    """Bytes of header, extensions and voxels together."""

    grid: tuple[bytes, ...]
    """The header fields that place the voxels in space, as they stand."""


def peek(head: bytes, tail: bytes, *, name: str) -> tuple[Header, bool]:
    """Read the header of a NIfTI file and tell whether its two ends agree.

    Parameters
    ----------
    head
        The first bytes of the file, :data:`EDGE` or all of them.
    tail
        Its last eight bytes.
    name
        What to call the file in messages; ``.gz`` at the end says that it is packed.

    Raises
    ------
    ImageError
        When the file is empty, is not NIfTI, or its header makes no sense.
    """
    if not head:
        raise ImageError(f'{name}: is empty')
    if not name.endswith('.gz'):
        return _read_header(head, name=name), True
    if not head.startswith(_GZIP_MAGIC):
        raise ImageError(f'{name}: is not gzip')
    try:
        start = zlib.decompressobj(wbits=31).decompress(head, _NIFTI2)
    except zlib.error as error:
        raise ImageError(f'{name}: the gzip stream is damaged ({error})') from error
    header = _read_header(start, name=name)
    packed = int.from_bytes(tail[-4:], 'little')
    return header, packed == header.size % (1 << 32)


def peek_file(path: Path, *, name: str = '') -> Header:
    """Read the header of the NIfTI file at *path* and make sure that the file is whole.

    Raises
    ------
    ImageError
        When it is empty, truncated or not NIfTI.
    """
    with path.open('rb', buffering=0) as file:
        return peek_open(file, name=name or str(path))


def peek_open(file: BinaryIO, *, name: str) -> Header:
    """Read the header of a NIfTI file that is open and make sure that it is whole.

    Raises
    ------
    ImageError
        When it is empty, truncated or not NIfTI.
    """
    head = file.read(EDGE)
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    header, agrees = peek(head, file.read(8), name=name)
    if not agrees:
        file.seek(0)
        count_packed(file, header, name=name)
    elif not name.endswith('.gz') and size < header.size:
        raise ImageError(f'{name}: is truncated ({size:,} of {header.size:,} bytes)')
    return header


def count_packed(file: BinaryIO, header: Header, *, name: str) -> None:
    """Unpack a whole gzip file, of one or more members, and count.

    The trailer of a file in several members (bgzip) speaks of the last one only, so a
    disagreement is proven here before anything is called truncated. A block is in memory at a
    time, and a stream that goes on far behind the voxels is not followed to its end.

    Raises
    ------
    ImageError
        When the stream ends early, or holds fewer bytes than the header promises or far more.
    """
    total, unpacker = 0, zlib.decompressobj(wbits=31)
    while block := file.read(_BLOCK):
        count = _BLOCK
        while block or count == _BLOCK:  # a full block of output may have more behind it
            try:
                count = len(unpacker.decompress(block, _BLOCK))
            except zlib.error as error:
                raise ImageError(f'{name}: the gzip stream is damaged ({error})') from error
            total += count
            if total > header.size + _SLACK:
                raise ImageError(
                    f'{name}: unpacks to more than its header says ({header.size:,} bytes)'
                )
            block = unpacker.unconsumed_tail or unpacker.unused_data
            if unpacker.eof and block:
                unpacker = zlib.decompressobj(wbits=31)
    if not unpacker.eof or total < header.size:
        raise ImageError(f'{name}: is truncated ({total:,} of {header.size:,} bytes)')


def _read_header(start: bytes, *, name: str) -> Header:
    order = _byte_order(start)
    if order is None:
        raise ImageError(f'{name}: is not NIfTI')
    if start[:4] in (b'\x5c\x01\x00\x00', b'\x00\x00\x01\x5c'):
        length, dims, bits, offset = _NIFTI1, struct.unpack_from(f'{order}8h', start, 40), 72, 108
        start_of_voxels = struct.unpack_from(f'{order}f', start, offset)[0]
        vox_offset = int(start_of_voxels) if math.isfinite(start_of_voxels) else -1
        bitpix = struct.unpack_from(f'{order}h', start, bits)[0]
        grid = (start[40:56], start[76:108], start[252:328])
    else:
        length, dims, bits, offset = _NIFTI2, struct.unpack_from(f'{order}8q', start, 16), 14, 168
        vox_offset = struct.unpack_from(f'{order}q', start, offset)[0]
        bitpix = struct.unpack_from(f'{order}h', start, bits)[0]
        grid = (start[16:80], start[104:168], start[344:504])
    count = 1
    for extent in dims[1 : dims[0] + 1]:
        count *= extent
    if not 1 <= dims[0] <= 7 or count < 1 or bitpix < 1 or vox_offset < 0:
        raise ImageError(f'{name}: the NIfTI header makes no sense (dim {list(dims)})')
    return Header(start[:length], vox_offset + count * bitpix // 8, grid)


def _byte_order(start: bytes) -> str | None:
    for order in '<>':
        for length in (_NIFTI1, _NIFTI2):
            if len(start) >= length and start[:4] == struct.pack(f'{order}i', length):
                return order
    return None


def same_grid(one: Header, other: Header, *, tolerance: float = 1e-3) -> bool:
    """Tell whether two images have the same shape and lie at the same place.

    The affines (RAS mm) may differ by *tolerance* mm in any entry.
    """
    if one.grid == other.grid:
        return True
    first, second = nibabel_header(one), nibabel_header(other)
    if first.get_data_shape()[:3] != second.get_data_shape()[:3]:
        return False
    try:
        difference = abs(first.get_best_affine() - second.get_best_affine())
    except ValueError:  # a quaternion that is no rotation
        return False
    return bool(difference.max() <= tolerance)


def nibabel_header(header: Header) -> Any:
    """Return the header as nibabel reads it, without checking it."""
    from nibabel import Nifti1Header, Nifti2Header  # noqa: PLC0415  (slow, and rarely needed)

    kind = Nifti1Header if len(header.raw) == _NIFTI1 else Nifti2Header
    order = _byte_order(header.raw)
    return kind(header.raw, endianness=order, check=False)
