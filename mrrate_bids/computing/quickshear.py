"""Quickshear: planes before and under the brain; what lies beyond one of them is taken away.

The published method lays one plane through the two foremost vertices of the lower convex hull of
the brain in sagittal projection, and shifts it by a number of voxels. Here the planes stand in mm
in the world, whatever the order, size and tilt of the voxels; and there is one for every direction
between before and below the brain, straight and to both sides, each touching its convex hull and
shifted by the buffer. No plane can cut the hull, so no voxel of the brain is lost.

Source: Schimke and Hale 2011, Quickshear defacing for neuroimages, USENIX HealthSec.
"""

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.presets import BUFFER_MM
from mrrate_bids.errors import ImageError, QualityError

__all__ = ['BUFFER_MM', 'deface', 'shear']

_DOWN = np.deg2rad(np.arange(40.0, 81.0, 5.0))
"""Where the planes face, from the front of an upright head downwards: less than 40 degrees takes
the forehead over the brain, more than 80 the neck behind the jaw."""

_ASIDE = np.deg2rad(np.arange(-30.0, 31.0, 15.0))
"""And from the front to the right; they reach the outer half of the eyes."""

_UPRIGHT = np.deg2rad(12.0)
"""How far the long axis of the brain rises from back to front in an upright head."""

_MOST_TILT = np.deg2rad(50.0)
"""What seems to be more is a mask of half a brain rather than a head so tilted."""

_LEAST_RATIO = 1.15
"""Of the brain's extents along and across its long axis, for that axis to tell the tilt."""


def shear(
    brain: NDArray[np.generic], affine: NDArray[np.floating], *, buffer_mm: float = BUFFER_MM
) -> NDArray[np.uint8]:
    """Return the mask of what is kept of a head: 1 kept, 0 removed.

    A voxel is removed when its centre lies beyond a plane; a voxel of the brain counts with its
    whole extent.

    Parameters
    ----------
    brain
        Mask, three-dimensional; every value but 0 is brain.
    affine
        4x4, from voxel indices to RAS mm.
    buffer_mm
        Between the convex hull of the brain and each plane.

    Raises
    ------
    ImageError
        When the mask is empty.
    QualityError
        When a voxel of the brain would be lost, which only a broken affine can bring about.
    """
    inside = np.asarray(brain) != 0
    if not inside.any():
        raise ImageError('the brain mask is empty')
    axes = affine[:3, :3]
    outline = _ends(inside) @ axes.T
    keep = np.ones(inside.shape, dtype=np.bool_)
    for normal in _normals(_tilt(np.argwhere(inside) @ axes[1:].T)):
        along = normal @ axes
        touching = (outline @ normal).max() + abs(along).sum() / 2
        keep &= _within(inside.shape, along, touching + buffer_mm)
    if (inside & ~keep).any():
        raise QualityError('defacing would remove a part of the brain')
    return keep.astype(np.uint8)


def _ends(inside: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the first and last voxel of each line of a mask, (n, 3); its hull is theirs."""
    i, j = np.nonzero(inside.any(axis=2))
    lines = inside[i, j]
    first, last = lines.argmax(axis=1), inside.shape[2] - 1 - lines[:, ::-1].argmax(axis=1)
    return np.concatenate([np.column_stack([i, j, k]) for k in (first, last)])


def _tilt(points: NDArray[np.float64]) -> float:
    """Return how far a head is tilted back, in radians, by the long axis of its brain.

    0 when the brain is about as long as high in sagittal projection.

    Parameters
    ----------
    points
        Of the brain, (n, 2): anterior and superior, in mm.
    """
    away = points - points.mean(axis=0)
    (forward, both), (_, upward) = away.T @ away / len(away)
    spread, mean = np.hypot((forward - upward) / 2, both), (forward + upward) / 2
    if not mean + spread > _LEAST_RATIO**2 * (mean - spread):
        return 0.0
    tilt = float(np.arctan2(2 * both, forward - upward) / 2 - _UPRIGHT)
    return tilt if abs(tilt) <= _MOST_TILT else 0.0


def _normals(tilt: float) -> NDArray[np.float64]:
    """Return where the planes face, (n, 3) RAS, for a head that is tilted back, in radians."""
    down, aside = (angles.ravel() for angles in np.meshgrid(_DOWN, _ASIDE))
    right, front = np.sin(aside) * np.cos(down), np.cos(aside) * np.cos(down)
    upright = np.column_stack([right, front, -np.sin(down)])
    cos, sin = np.cos(tilt), np.sin(tilt)
    return np.asarray(upright @ np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]))


def _within(shape: tuple[int, ...], along: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    """Tell for every voxel whether its centre lies before a plane.

    Parameters
    ----------
    shape
        Of the grid.
    along
        How far one voxel along each axis leads towards the plane, in mm.
    limit
        Distance of the plane from voxel 0, 0, 0 in mm.
    """
    i, j, k = (np.arange(size) * step for size, step in zip(shape, along, strict=True))
    rest: NDArray[np.float64] = limit - i[:, None] - j
    return np.asarray(k <= rest[..., None])


def deface(values: NDArray[np.generic], keep: NDArray[np.uint8]) -> NDArray[np.generic]:
    """Return an image without what a defacing mask removes: exactly 0 there, dtype unchanged."""
    kept = np.array(values)
    kept[keep == 0] = 0
    return kept
