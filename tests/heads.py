"""Scans of a simulated head on any grid, with the true brain and the true motion between them."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

from mrrate_bids.computing.scans import Scan
from mrrate_bids.phantom import Head, build_head
from mrrate_bids.phantom_scan import acquire, resample, rigid, scan_grid

MARK = (34.0, -22.0, 28.0)
"""Centre of a lesion in the white matter on the right, in head space: the left has none."""

STILL = np.eye(4)
_FIELD = dict(zip('RLAPSI', (189.0, 189.0, 240.0, 240.0, 252.0, 252.0), strict=True))
"""Extent in mm of an axis that runs there: skin, nose and jaw are inside."""
_MIDDLE = (0.0, -3.0, -27.0)
"""Of the box, in head space."""


class Taken(NamedTuple):
    """A scan on disk and in memory."""

    image: Path
    mask: Path
    scan: Scan
    brain: np.ndarray
    """The true mask, uint8 on the grid of the scan."""

    world_from_head: np.ndarray

    def on_grid(self, values, *, linear=False):
        """Return voxels of the head model (``build_head(voxel=3.0)``) on the grid of the scan."""
        matrix = np.linalg.inv(self.world_from_head @ head().grid.affine) @ self.scan.affine
        return resample(values, matrix=matrix, shape=self.scan.values.shape, linear=linear)


@cache
def head(seed: int = 1) -> Head:
    """Build a person once per process."""
    return build_head(voxel=3.0, seed=seed, lesions=[(MARK, (9.0, 12.0, 9.0))])


def scan(
    folder: Path,
    contrast: str,
    *,
    codes: str = 'LAS',
    spacing: tuple[float, float, float] = (3, 3, 6),
    pose: np.ndarray = STILL,
    tilt: np.ndarray = STILL,
    noise: float = 8.0,
    seed: int = 1,
) -> Taken:
    """Write a scan of a head, and its true brain mask.

    Parameters
    ----------
    folder, contrast
        Where the files go, and one of ``CONTRASTS``.
    codes, spacing, tilt
        Of the grid; the tilted box stays centred on the head.
    pose
        4x4, from head space to the scanner's world.
    noise, seed
        Standard deviation of the noise, and which person.
    """
    model = head(seed)
    box = np.eye(4)
    box[:3, 3] = (pose @ [*_MIDDLE, 1])[:3]
    field = tuple(_FIELD[code] for code in codes)
    grid = scan_grid(codes, field=field, spacing=spacing, pose=box @ tilt)
    rng = np.random.default_rng([seed, *contrast.encode()])
    values = acquire(model, contrast, grid, world_from_head=pose, noise=noise, rng=rng)
    values = np.rint(values).astype(np.uint16)
    matrix = np.linalg.inv(pose @ model.grid.affine) @ grid.affine
    brain = resample(model.brain, matrix=matrix, shape=grid.shape, linear=True) >= 128
    name = f'{contrast}-{codes}'
    image, mask = folder / f'{name}.nii.gz', folder / f'{name}_mask.nii.gz'
    save(image, values, grid.affine)
    save(mask, brain.astype(np.uint8), grid.affine)
    loaded = nib.load(image)
    taken = Scan(image, values, np.asarray(loaded.affine), loaded)
    return Taken(image, mask, taken, brain.astype(np.uint8), pose)


def save(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    """Write voxels at their place; a sform alone can tell a sheared one."""
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def truth(fixed: Taken, moving: Taken) -> np.ndarray:
    """Return the 4x4 matrix from points of the fixed scan to points of the moving one."""
    return moving.world_from_head @ np.linalg.inv(fixed.world_from_head)


def miss(found: np.ndarray, fixed: Taken, moving: Taken) -> float:
    """Return how far a transform is off, mean over the points of the fixed brain, in mm."""
    index = np.argwhere(fixed.brain)
    points = fixed.scan.affine @ np.c_[index, np.ones(len(index))].T
    return float(np.linalg.norm(((found - truth(fixed, moving)) @ points)[:3], axis=0).mean())


def turned(degrees, shift=(0, 0, 0)):
    """Return a pose: turned about x, then y, then z, then shifted."""
    return rigid(tuple(degrees), tuple(shift))


@cache
def spot() -> np.ndarray:
    """Return the mark as a ball on the grid of the head model."""
    grid = head().grid
    x, y, z = (axis - m for axis, m in zip(grid.coordinates(grid.all), MARK, strict=True))
    return (x**2 + y**2 + z**2 < 15**2).astype(np.uint8)
