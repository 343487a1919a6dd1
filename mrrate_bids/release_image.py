"""Images and masks as a release stores them: ``.nii.gz``, uint16 or float32, masks uint8.

Sources: the MR-RATE dataset guide, "MRI Volumes"; the dtype rule of its preprocessing (uint16 when
every value is an integer that fits, else float32).
"""

import gzip
import zlib
from pathlib import Path
from typing import Any

from mrrate_bids.errors import ImageError
from mrrate_bids.files import write_bytes
from mrrate_bids.volumes import FREE_TEXTS, Volume, read_volume

__all__ = [
    'convert_image',
    'convert_mask',
    'load_whole',
    'needs_conversion',
    'stored_values',
    'write_packed',
]

_STORED = {'uint16', 'float32'}
_GZIP = 31
"""Window of zlib that stands for a gzip file, without time and name."""

_WHOLE = 1 << 24
_TOLERANCE = 1e-3
_UNREADABLE = (OSError, EOFError, ValueError, zlib.error)


def needs_conversion(volume: Volume, name: str) -> bool:
    """Tell whether an image must be written anew; otherwise its bytes can be copied.

    Parameters
    ----------
    volume
        Its grid and data type.
    name
        The name of its file.
    """
    plain = name.endswith('.nii.gz') and volume.dtype in _STORED
    return not plain or volume.scaled or volume.squeeze or volume.texts or volume.swapped


def convert_image(source: Path, target: Path) -> float:
    """Write an image as a release stores it; the same voxels give the same bytes.

    Values are the scaled ones. Affine, sform, qform and their codes are kept.

    Returns
    -------
    rounding
        By how much a whole number was changed at most: float32 holds them up to 16,777,216.

    Raises
    ------
    ImageError
        When the image cannot be read, or holds a number that float32 cannot.
    DestinationError
        When *target* cannot be written.
    """
    image, values = load_whole(source)
    stored = stored_values(values, name=source.name)
    _save(image, stored, target)
    return _rounding(values, stored)


def _rounding(values: Any, stored: Any) -> float:
    import numpy as np  # noqa: PLC0415  (slow)

    large = ((values > _WHOLE) | (values < -_WHOLE)) & np.isfinite(values)
    large &= values == np.rint(values)
    return float(abs(stored[large].astype(float) - values[large]).max(initial=0))


def stored_values(values: Any, *, name: str) -> Any:
    """Return voxels in the data type of a release: uint16 where that loses nothing, else float32.

    Raises
    ------
    ImageError
        When they hold a number that float32 cannot.
    """
    import numpy as np  # noqa: PLC0415  (slow)

    if np.issubdtype(values.dtype, np.integer):
        whole = True
    else:
        finite = np.isfinite(values).all()
        whole = bool(finite) and bool((values == np.rint(values)).all())
    fits = whole and values.size and values.min() >= 0 and values.max() <= np.iinfo(np.uint16).max
    with np.errstate(over='ignore'):
        stored = values.astype(np.uint16 if fits else np.float32)
    if np.count_nonzero(np.isfinite(stored)) != np.count_nonzero(np.isfinite(values)):
        raise ImageError(
            f'{name}: holds numbers that are too large for float32',
            hint='Scale its values, or leave it out.',
        )
    return stored


def convert_mask(source: Path, target: Path, *, like: Volume) -> None:
    """Write a mask on the grid of an image, uint8.

    Parameters
    ----------
    source, target
        The mask, and where it goes.
    like
        The grid. The mask may lie on the same voxels in another order or direction of the axes,
        as pipelines write it that turn images to RAS first; then it is turned back.

    Raises
    ------
    ImageError
        When it cannot be read, holds other values than 0 and 1, or lies on another grid.
    DestinationError
        When *target* cannot be written.
    """
    import nibabel as nib  # noqa: PLC0415  (slow)
    import numpy as np  # noqa: PLC0415

    read_volume(source, name=source.name)
    image, values = load_whole(source)
    if not np.isin(values, (0, 1)).all():
        raise ImageError(f'{source.name}: is no mask, it holds other values than 0 and 1')
    # From grid to grid, not by way of RAS: at 45 degrees the nearest axes there are a toss-up.
    between = nib.orientations.io_orientation(np.linalg.inv(like.affine) @ image.affine)
    turned = nib.Nifti1Image(values.astype(np.uint8), image.affine).as_reoriented(between)
    apart = abs(turned.affine - like.affine).max()
    if turned.shape != like.shape or apart > _TOLERANCE:
        raise ImageError(
            f'{source.name}: lies on another grid than the image, also with its axes turned',
            hint='Resample it with nearest neighbour, or leave it out.',
        )
    result = nib.Nifti1Image(np.asarray(turned.dataobj), like.affine)
    result.set_sform(like.affine, code=1)
    result.set_qform(like.affine, code=1)
    write_packed(result, target)


def load_whole(path: Path) -> tuple[Any, Any]:
    """Return an image with its scaled values in three dimensions.

    Raises
    ------
    ImageError
        When the voxels cannot be read to the end, checksum included.
    """
    import nibabel as nib  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    try:
        data = path.read_bytes()
        # As a whole, for nibabel stops at the last voxel and never sees the checksum behind it.
        plain = gzip.decompress(data) if path.name.endswith('.gz') else data
        kind = nib.Nifti1Image if nib.Nifti1Header.may_contain_header(plain) else nib.Nifti2Image
        image = kind.from_bytes(plain)
        values = np.asanyarray(image.dataobj)
    except (*_UNREADABLE, nib.filebasedimages.ImageFileError) as error:
        raise ImageError(f'{path.name}: the voxels cannot be read ({error})') from error
    return image, values.reshape(values.shape[:3])


def _save(image: Any, values: Any, target: Path) -> None:
    header = image.header.as_byteswapped('<')
    header.set_data_dtype(values.dtype)
    header.set_slope_inter(1, 0)
    # What a site writes into the free texts and extensions of a header is its own.
    for name in set(FREE_TEXTS) & set(header.keys()):
        header[name] = b''
    header.extensions.clear()
    write_packed(type(image)(values, None, header), target)


def write_packed(image: Any, target: Path) -> None:
    """Write an image packed, without a time or a name in the gzip header.

    Interpolated voxels hardly repeat but in runs of background. Looking for runs only, zlib makes
    these files smaller than its default does, in a third of the time.
    """
    packer = zlib.compressobj(wbits=_GZIP, strategy=zlib.Z_RLE)
    write_bytes(target, packer.compress(image.to_bytes()) + packer.flush())
