"""Coarser grids and parts of grids, for what does not need every voxel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrrate_bids.computing.scans import Scan

__all__ = ['Window', 'coarsen', 'coarsen_mask', 'crop', 'near', 'window_of']

Window = tuple[slice, slice, slice]

_BLUR = 0.4
"""Sigma of the Gaussian before a voxel axis is thinned, in voxels of the coarse grid."""


def coarsen(scan: Scan, spacing_mm: float) -> Scan:
    """Return a scan on a grid of *spacing_mm* in all directions, blurred where it gets coarser."""
    ratio = spacing_mm / scan.spacing
    sigma = np.where(ratio > 1, np.sqrt(np.maximum(ratio**2 - 1, 0)) * _BLUR, 0)
    smooth = ndimage.gaussian_filter(scan.values.astype(np.float32), sigma, truncate=3)
    shape = np.maximum(1, np.ceil(np.array(scan.values.shape) / ratio)).astype(int)
    values = ndimage.affine_transform(
        smooth,
        np.diag(ratio),
        offset=(ratio - 1) / 2,
        output_shape=tuple(shape),
        order=1,
        mode='nearest',
    )
    step = np.eye(4)
    step[:3, :3], step[:3, 3] = np.diag(ratio), (ratio - 1) / 2
    return scan._replace(values=values, affine=scan.affine @ step)


def coarsen_mask(mask: NDArray[np.uint8], scan: Scan, spacing_mm: float) -> NDArray[np.uint8]:
    """Return a mask on the grid that :func:`coarsen` brings its scan to."""
    coarse = coarsen(scan._replace(values=mask), spacing_mm)
    return np.asarray(coarse.values > 0.5, dtype=np.uint8)


def near(mask: NDArray[np.uint8], scan: Scan, margin_mm: float) -> NDArray[np.uint8]:
    """Return the voxels of a mask and those within *margin_mm* of it along each axis."""
    steps = np.ceil(margin_mm / scan.spacing).astype(int)
    return np.asarray(ndimage.maximum_filter(mask, size=tuple(2 * steps + 1)))


def window_of(mask: NDArray[Any], scan: Scan, margin_mm: float) -> Window:
    """Return the box around a mask that is not empty, and *margin_mm* more on all sides."""
    more = np.ceil(margin_mm / scan.spacing).astype(int)
    box = ndimage.find_objects(mask.astype(np.uint8), max_label=1)[0]
    i, j, k = (
        slice(max(0, side.start - n), min(size, side.stop + n))
        for side, n, size in zip(box, more, mask.shape, strict=True)
    )
    return i, j, k


def crop(scan: Scan, window: Window) -> Scan:
    """Return the part of a scan inside *window*, at its place in space."""
    affine = scan.affine.copy()
    affine[:3, 3] = (scan.affine @ [*(side.start for side in window), 1])[:3]
    return scan._replace(values=scan.values[window], affine=affine)
