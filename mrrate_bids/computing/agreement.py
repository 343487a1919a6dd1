"""How well two images fit: numbers for a sidecar, and the judgement of a registration.

Mutual information needs no common contrast, but its size depends on contrasts, noise and slices.
What a wrong result cannot have is a peak: displaced by 15 mm or 20 degrees, images that fit tell
several times less of each other, images that do not tell as much as before.

Sources: Studholme, Hill and Hawkes 1999, An overlap invariant entropy measure of 3D medical image
alignment, Pattern Recognition 32:71; Dice 1945, Ecology 26:297.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrrate_bids.computing.grids import near
from mrrate_bids.computing.scans import Scan
from mrrate_bids.computing.transforms import Matrix, rigid_about

__all__ = ['Agreement', 'centre_of', 'compare', 'dice', 'mask_dice', 'mutual_information']

_BINS = 32
_POINTS, _VOXELS = 30_000, 1_000_000
_TURN, _SHIFT = 20.0, 15.0
_RIM = 5.0
"""Around the brain, in mm: the edge between brain and skull says most."""


class Agreement(NamedTuple):
    """How well a moving image fits to a fixed one under a transform."""

    information: float
    """Normalised mutual information in and around the fixed brain: 1 nothing, 2 everything."""

    sharpness: float
    """Information above 1, against its mean at twelve places 15 mm or 20 degrees away."""

    covered: float
    """Fraction of the fixed brain that lies inside the moving image."""


_NOTHING = Agreement(1.0, 0.0, 0.0)
"""Where nothing can be compared."""


def compare(fixed: Scan, brain: NDArray[np.uint8], moving: Scan, matrix: Matrix) -> Agreement:
    """Judge a transform.

    Parameters
    ----------
    fixed, brain
        The fixed image, and its brain mask; where the mask is empty, nothing agrees.
    moving
        The moving image.
    matrix
        4x4, from points of *fixed* to points of *moving*, RAS mm.
    """
    if moving.values.dtype.kind != 'f':
        moving = moving._replace(values=moving.values.astype(np.float32))
    index = _points(brain, fixed)
    if not len(index):  # a brain of a few voxels is lost where grids are made coarse
        return _NOTHING
    known = fixed.values[tuple(index.T)].astype(np.float64)
    points = fixed.affine @ np.c_[index, np.ones(len(index))].T
    centre = points[:3].mean(axis=1)
    away = np.linalg.inv(moving.affine) @ matrix
    at = [_information(known, moving, away @ step @ points) for step in _displaced(centre)]
    here, covered = _information(known, moving, away @ points), _inside(moving, away @ points)
    sharpness = (here - 1) / max(float(np.mean(at)) - 1, 1e-6)
    return Agreement(here, sharpness if here > 1 else 0.0, float(covered.mean()))


def _points(brain: NDArray[np.uint8], scan: Scan) -> NDArray[np.int64]:
    """Return voxels in and around the brain, evenly thinned; the same each time."""
    inside = np.flatnonzero(near(brain, scan, _RIM))
    few = inside[:: max(1, len(inside) // _POINTS)]
    return np.stack(np.unravel_index(few, brain.shape), axis=1)


def _displaced(centre: NDArray[np.float64]) -> list[Matrix]:
    turns = [tuple(v) for v in np.vstack([np.eye(3), -np.eye(3)]) * _TURN]
    shifts = np.vstack([np.eye(3), -np.eye(3)]) * _SHIFT
    still = np.zeros(3)
    return [rigid_about(centre, (x, y, z), still) for x, y, z in turns] + [
        rigid_about(centre, (0, 0, 0), shift) for shift in shifts
    ]


def _inside(scan: Scan, voxels: NDArray[np.float64]) -> NDArray[np.bool_]:
    last = np.array(scan.values.shape)[:, None] - 1
    return np.asarray(((voxels[:3] >= 0) & (voxels[:3] <= last)).all(axis=0))


def _information(known: NDArray[np.float64], moving: Scan, voxels: NDArray[np.float64]) -> float:
    inside = _inside(moving, voxels)
    if inside.sum() < _BINS**2:
        return 1.0
    seen = ndimage.map_coordinates(moving.values, voxels[:3, inside], order=1)
    return mutual_information(known[inside], seen)


def mutual_information(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return the normalised mutual information of paired values, from 1 to 2.

    >>> ramp = np.arange(10_000.0)
    >>> round(mutual_information(ramp, ramp), 2), round(mutual_information(ramp, -ramp), 2)
    (2.0, 2.0)
    """
    counts = np.histogram2d(_clipped(one), _clipped(other), bins=_BINS)[0]
    joint = counts / counts.sum()
    both = _entropy(joint)
    return (_entropy(joint.sum(0)) + _entropy(joint.sum(1))) / both if both > 0 else 1.0


def _clipped(values: NDArray[np.floating]) -> NDArray[np.floating]:
    low, high = np.percentile(values, [0.5, 99.5])
    return np.clip(values, low, high)


def _entropy(probability: NDArray[np.floating]) -> float:
    p = probability[probability > 0]
    return float(-(p * np.log(p)).sum())


def mask_dice(
    fixed: Scan, brain: NDArray[np.uint8], moving: Scan, other: NDArray[np.uint8], matrix: Matrix
) -> float:
    """Return the Dice overlap of two masks after registration, where both images reach.

    A million voxels, evenly thinned, tell it to the third digit.

    Parameters
    ----------
    fixed, brain
        Grid, and mask on it.
    moving, other
        The same of the moving image.
    matrix
        4x4, from points of *fixed* to points of *moving*, RAS mm.
    """
    step = int(np.ceil((fixed.values.size / _VOXELS) ** (1 / 3)))
    axes = [np.arange(0, size, step) for size in fixed.values.shape]
    index = np.stack(np.meshgrid(*axes, indexing='ij')).reshape(3, -1)
    points = fixed.affine @ np.vstack([index, np.ones(index.shape[1])])
    voxels = np.linalg.inv(moving.affine) @ matrix @ points
    inside = _inside(moving, voxels)
    nearest = np.rint(voxels[:3, inside]).astype(int)
    return dice(brain[tuple(index[:, inside])], other[tuple(nearest)])


def dice(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the Dice overlap of two masks on one grid; 0 where both are empty.

    >>> dice(np.array([1, 1, 0]), np.array([1, 0, 0]))
    0.6666666666666666
    """
    total = np.count_nonzero(one) + np.count_nonzero(other)
    return float(2 * np.count_nonzero(one & other) / total) if total else 0.0


def centre_of(brain: NDArray[np.uint8], scan: Scan) -> NDArray[np.float64]:
    """Return the centre of a mask in RAS mm."""
    middle = np.array(ndimage.center_of_mass(brain))
    return np.asarray((scan.affine @ np.r_[middle, 1])[:3])
