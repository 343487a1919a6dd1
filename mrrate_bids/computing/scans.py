"""A scan as the engines take it: checked, three-dimensional, with its place in space.

Coordinates are RAS+ mm, as nibabel has them, unless a name says LPS.
"""

from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mrrate_bids.errors import ImageError
from mrrate_bids.release_image import load_whole, stored_values, write_packed
from mrrate_bids.volumes import read_volume

__all__ = [
    'LEAST_VOXELS',
    'Scan',
    'read_grid',
    'read_mask',
    'read_scan',
    'read_whole',
    'refuse_shear',
    'same_space',
    'write_like',
    'write_mask',
]

LEAST_VOXELS = 10
"""Along every axis; localizers have fewer slices."""

_TOLERANCE = _SHEAR = 1e-3
_LEAVE_OUT = 'Convert the image again, or leave it out (--bids-filter-file).'


class Scan(NamedTuple):
    """An image in memory.

    Parameters
    ----------
    path
        Where it was read.
    values
        Three-dimensional, scaled; the data type is that of the file where nothing is scaled.
    affine
        4x4, from voxel indices to RAS mm.
    image
        The nibabel image, for its header.
    """

    path: Path
    values: NDArray[Any]
    affine: NDArray[np.float64]
    image: Any

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Distance between voxel centres along the three axes, in mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def voxel_volume(self) -> float:
        """In millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000


def read_scan(path: Path) -> Scan:
    """Read an image that something can be computed from.

    Raises
    ------
    ImageError
        When it is unreadable or truncated, not one volume (2-D, 4-D), a localizer of a few
        slices, constant, sheared, or holds NaN or infinity.
    """
    scan = read_whole(path)
    refuse_shear(scan)
    if min(scan.values.shape) < LEAST_VOXELS:
        count = 'x'.join(map(str, scan.values.shape))
        raise ImageError(
            f'{path.name}: has only {min(scan.values.shape)} voxels along an axis ({count}), '
            f'as localizers have; at least {LEAST_VOXELS} are needed',
            hint=_LEAVE_OUT,
        )
    with np.errstate(over='ignore'):  # what ANTs and networks see is float32
        bad = scan.values.size - int(np.count_nonzero(np.isfinite(np.float32(scan.values))))
    if bad:
        raise ImageError(
            f'{path.name}: {bad:,} voxels are NaN or infinite',
            hint='Replace them (by 0 where they are background), or leave the image out.',
        )
    if scan.values.min() == scan.values.max():
        raise ImageError(
            f'{path.name}: is constant, every voxel is {scan.values.flat[0]}', hint=_LEAVE_OUT
        )
    return scan


def refuse_shear(scan: Scan) -> None:
    """Raise unless the axes of a grid are at right angles.

    Raises
    ------
    ImageError
        When they are not; ITK has no such grids.
    """
    axes = scan.affine[:3, :3] / scan.spacing
    if abs(axes.T @ axes - np.eye(3)).max() > _SHEAR:
        raise ImageError(
            f'{scan.path.name}: its axes are not at right angles (sheared affine)',
            hint='Resample it to a grid with right angles.',
        )


def read_grid(path: Path) -> Scan:
    """Read only where the voxels of an image lie; all of them are 0 here, and take no memory.

    Raises
    ------
    ImageError
        When it is truncated, not one volume, or its header makes no sense.
    """
    volume = read_volume(path, name=path.name)
    nothing = np.broadcast_to(np.float32(0), volume.shape)
    return Scan(path, nothing, volume.affine, None)


def read_mask(path: Path, *, like: Scan, allow_empty: bool = False) -> Scan:
    """Read a mask on the grid of a scan; its values become uint8.

    Raises
    ------
    ImageError
        When it is unreadable, lies on another grid, holds other values than 0 and 1, or is empty.
    """
    mask = read_whole(path)
    if not same_space(mask, like):
        raise ImageError(
            f'{path.name}: does not lie on the grid of {like.path.name}',
            hint='Resample the mask with nearest neighbour, or leave it out.',
        )
    if not ((mask.values == 0) | (mask.values == 1)).all():
        raise ImageError(f'{path.name}: is no mask, it holds other values than 0 and 1')
    if not allow_empty and not mask.values.any():
        raise ImageError(f'{path.name}: the mask is empty', hint=_LEAVE_OUT)
    return mask._replace(values=mask.values.astype(np.uint8))


def read_whole(path: Path, *, name: str = '') -> Scan:
    """Read an image as it is, to its last byte; what its voxels say is not looked at.

    Parameters
    ----------
    path
        A NIfTI file, packed or not.
    name
        What to call it in messages; the name of the file if empty.

    Raises
    ------
    ImageError
        When it is unreadable, truncated, or not one volume.
    """
    volume = read_volume(path, name=name or path.name)
    image, values = load_whole(path)
    return Scan(path, values, volume.affine, image)


def same_space(one: Scan, other: Scan) -> bool:
    """Tell whether two scans have one grid: shape, and affines within a thousandth of a mm."""
    if one.values.shape != other.values.shape:
        return False
    return bool(abs(one.affine - other.affine).max() <= _TOLERANCE)


def write_like(scan: Scan, values: NDArray[Any], target: Path) -> None:
    """Write voxels on the grid of *scan*, in the data type that a release has for them.

    The same voxels give the same bytes.

    Raises
    ------
    DestinationError
        When *target* cannot be written.
    """
    _write(scan, stored_values(values, name=target.name), target)


def write_mask(scan: Scan, values: NDArray[Any], target: Path) -> None:
    """Write a mask of 0 and 1 on the grid of *scan*, uint8.

    The same voxels give the same bytes.

    Raises
    ------
    DestinationError
        When *target* cannot be written.
    """
    _write(scan, values.astype(np.uint8), target)


def _write(scan: Scan, stored: NDArray[Any], target: Path) -> None:
    image = nib.Nifti1Image(stored, scan.affine)
    image.header.set_xyzt_units('mm')
    image.set_sform(scan.affine, code=1)
    image.set_qform(scan.affine, code=1)
    write_packed(image, target)
