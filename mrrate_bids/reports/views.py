"""Images as a report looks at them: turned to RAS+, with the window of their grey values."""

from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.defacing_masks import HEAD
from mrrate_bids.errors import ImageError
from mrrate_bids.release_image import load_whole
from mrrate_bids.volumes import read_volume

__all__ = [
    'View',
    'Window',
    'read_labels',
    'read_overlay',
    'read_view',
    'same_grid',
    'signal_level',
]

_SAMPLE = 40
"""Voxels along each axis of a sample that tells how bright an image is."""

_BRIGHTER = 1.25
"""White, by what is bright in the brain."""

_TOLERANCE = 1e-2

_MOST_LABEL = 2**16 - 1
"""Tables of FreeSurfer end at 14,175."""


class Window(NamedTuple):
    """Grey values that become black and white."""

    black: float
    white: float

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return values as grey, 0 to 255."""
        span = max(self.white - self.black, 1e-12)
        grey = (values.astype(np.float32) - np.float32(self.black)) * np.float32(255 / span)
        grey[~np.isfinite(grey)] = 0
        return np.clip(grey, 0, 255, out=grey).astype(np.uint8)


class View(NamedTuple):
    """A volume with the axes left to right, back to front, bottom to top.

    Parameters
    ----------
    values
        Three-dimensional; not copied from what was read.
    affine
        4x4, from voxel indices to RAS mm.
    """

    values: NDArray[Any]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Distance between voxel centres along the three axes, in mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    def window(self, brain: NDArray[Any] | None = None) -> Window:
        """Return the window from the darkest value to what is bright in the head.

        Parameters
        ----------
        brain
            A mask on the grid: then to what is bright in the brain, for fat is brighter still.
        """
        sample = _sample(self.values)
        if brain is not None and (inside := _sample(self.values, where=brain)).size:
            bright = inside[inside > 0] * _BRIGHTER
        else:
            bright = sample[sample > 0]
        if not bright.size:
            return Window(float(sample.min(initial=0)), float(sample.max(initial=1)))
        return Window(min(0.0, float(sample.min())), float(np.percentile(bright, 99.5)))


def _sample(values: NDArray[Any], where: NDArray[Any] | None = None) -> NDArray[Any]:
    steps = tuple(slice(None, None, max(1, size // _SAMPLE)) for size in values.shape)
    sample = values[steps]
    wanted = np.isfinite(sample)
    return np.asarray(sample[wanted if where is None else wanted & (where[steps] > 0)])


def signal_level(view: View) -> float:
    """Return the value above which a voxel belongs to the head and not to the air."""
    sample = _sample(view.values)
    return HEAD * float(np.percentile(sample, 99)) if sample.size else 0.0


def read_view(path: Path) -> View:
    """Read an image.

    Raises
    ------
    ImageError
        When it is not there, cannot be read to the end, or is not one volume.
    """
    read_volume(path, name=path.name)  # refuses what is not one volume
    image, values = load_whole(path)
    ornt = nib.orientations.io_orientation(image.affine)
    if np.isnan(ornt).any():
        raise ImageError(f'{path.name}: the affine is singular')
    turned = nib.orientations.apply_orientation(values, ornt)
    affine = image.affine @ nib.orientations.inv_ornt_aff(ornt, values.shape)
    return View(turned, np.asarray(affine, dtype=float))


def read_overlay(path: Path, *, like: View) -> View:
    """Read a mask or labels on the grid of an image.

    Raises
    ------
    ImageError
        When it cannot be read, or lies on another grid.
    """
    view = read_view(path)
    if not same_grid(view, like):
        raise ImageError(f'{path.name}: does not lie on the grid of its image')
    return view


def read_labels(path: Path, *, like: View) -> View:
    """Read a segmentation on the grid of an image.

    Raises
    ------
    ImageError
        When it cannot be read, lies on another grid, or holds what is no label.
    """
    view = read_overlay(path, like=like)
    low, high = view.values.min(initial=0), view.values.max(initial=0)
    whole = np.issubdtype(view.values.dtype, np.integer)
    if not (low >= 0 and high <= _MOST_LABEL and (whole or not np.mod(view.values, 1).any())):
        raise ImageError(
            f'{path.name}: holds {low:g} to {high:g}, and labels are whole numbers from 0 to '
            f'{_MOST_LABEL}',
            hint='Correct it, or leave it out (--derivatives).',
        )
    return view


def same_grid(one: View, other: View) -> bool:
    """Tell whether two images have one grid: shape, and affines within a hundredth of a mm."""
    if one.values.shape != other.values.shape:
        return False
    return bool(abs(one.affine - other.affine).max() <= _TOLERANCE)
