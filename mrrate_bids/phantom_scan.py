"""A simulated acquisition: the head seen by a scanner on any grid, blurred, shaded and noisy.

World coordinates are RAS+ millimetres throughout. As in nibabel, a grid is a 4x4 affine from voxel
indices to the scanner's world, so that every orientation on disk is possible.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrrate_bids.phantom import Head
from mrrate_bids.phantom_shapes import FloatArray

__all__ = ['Volume', 'acquire', 'resample', 'rigid', 'scan_grid']

_AXES = {'R': (0, 1), 'L': (0, -1), 'A': (1, 1), 'P': (1, -1), 'S': (2, 1), 'I': (2, -1)}


@dataclass(frozen=True)
class Volume:
    """A voxel grid in the scanner's world.

    Parameters
    ----------
    shape
        Voxels along the three axes, as on disk.
    affine
        4x4, from voxel indices to RAS+ world mm.
    """

    shape: tuple[int, int, int]
    affine: FloatArray

    @property
    def spacing(self) -> FloatArray:
        """Distance between voxel centres along the three axes, in mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))


def rigid(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> FloatArray:
    """Return the 4x4 matrix that turns about x, then y, then z, and then shifts by mm."""
    matrix = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        turn = np.eye(4)
        a, b = [i for i in range(3) if i != axis]
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[b, a] = np.sin(angle) * (-1 if axis == 1 else 1)
        turn[a, b] = -turn[b, a]
        matrix = turn @ matrix
    matrix[:3, 3] = shift
    return matrix


def scan_grid(
    codes: str,
    *,
    field: tuple[float, float, float],
    spacing: tuple[float, float, float],
    pose: FloatArray,
) -> Volume:
    """Return the grid of an acquisition.

    Parameters
    ----------
    codes
        Where each voxel axis runs, such as ``LAS``, before *pose* tilts it.
    field
        Least field of view along each voxel axis, in mm.
    spacing
        Distance between voxel centres along each voxel axis, in mm.
    pose
        4x4, from the upright box around the origin to the scanner's world.
    """
    shape = np.ceil(np.array(field) / spacing - 1e-6).astype(int)
    upright = np.eye(4)
    upright[:3, :3] = 0
    for axis, code in enumerate(codes):
        row, sign = _AXES[code]
        upright[row, axis] = sign * spacing[axis]
    upright[:3, 3] = -upright[:3, :3] @ ((shape - 1) / 2)
    i, j, k = (int(n) for n in shape)
    return Volume((i, j, k), pose @ upright)


def resample(
    data: NDArray[Any], *, matrix: FloatArray, shape: tuple[int, int, int], linear: bool
) -> NDArray[Any]:
    """Return *data* on another grid; zero where that grid leaves it.

    Parameters
    ----------
    data
        Three-dimensional.
    matrix
        4x4, from voxel indices of the result to voxel indices of *data*.
    shape
        Of the result.
    linear
        Linear interpolation to float32; otherwise the nearest voxel in the dtype of *data*.
    """
    output = np.float32 if linear else data.dtype
    order = 1 if linear else 0
    return np.asarray(
        ndimage.affine_transform(data, matrix, output_shape=shape, order=order, output=output)
    )


def acquire(
    head: Head,
    contrast: str,
    volume: Volume,
    *,
    world_from_head: FloatArray,
    noise: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return the magnitude image of *head* on a grid.

    A voxel is the mean over its whole extent, so that thick slices show partial volume. The
    receiver's sensitivity varies smoothly; the noise is Rician, as in a magnitude image.

    Parameters
    ----------
    head
        The head.
    contrast
        One of ``CONTRASTS``.
    volume
        The grid.
    world_from_head
        4x4, where the head lies in the scanner's world.
    noise
        Standard deviation in either channel, in units of the signal.
    rng
        Source of shading and noise.
    """
    # The point spread of the scanner, and what smooths the steps between the labels.
    signal = ndimage.gaussian_filter(head.signal(contrast), 0.45)
    matrix = np.linalg.inv(world_from_head @ head.grid.affine) @ volume.affine
    points = list(_inside_voxel(volume.spacing, head.grid.voxel))
    image = np.zeros(volume.shape, dtype=np.float32)
    for point in points:
        shifted = matrix.copy()
        shifted[:3, 3] += matrix[:3, :3] @ point
        image += resample(signal, matrix=shifted, shape=volume.shape, linear=True)
    image *= _shading(volume.shape, rng) / np.float32(len(points))
    image += noise * rng.standard_normal(volume.shape, dtype=np.float32)
    other = noise * rng.standard_normal(volume.shape, dtype=np.float32)
    return np.asarray(np.hypot(image, other))


def _inside_voxel(spacing: FloatArray, step: float) -> Iterator[FloatArray]:
    """Yield evenly spread points of a voxel, about *step* mm apart, in voxels from its centre."""
    counts = np.maximum(1, np.rint(spacing / (1.25 * step)).astype(int))
    for point in product(*((np.arange(n) + 0.5) / n - 0.5 for n in counts)):
        yield np.array(point)


def _shading(shape: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a smooth receiver sensitivity with a mean near 1."""
    x, y, z = np.ix_(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape))
    tilt = rng.uniform(-0.08, 0.08, 3).astype(np.float32)
    bowl = rng.uniform(0.04, 0.12, 3).astype(np.float32)
    bowl_sum = bowl[0] * (x**2 - 0.3) + bowl[1] * (y**2 - 0.3) + bowl[2] * (z**2 - 0.3)
    return np.asarray(np.exp(tilt[0] * x + tilt[1] * y + tilt[2] * z + bowl_sum))
