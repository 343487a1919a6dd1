"""Geometric primitives in a box of isotropic voxels: ellipsoids, tubes, smooth unions.

Coordinates are RAS+ world millimetres, as nibabel has them. A primitive returns the window of the
box that it can touch and, inside this window, its signed distance in mm (negative inside).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

__all__ = ['FloatArray', 'Grid', 'Point', 'Solid', 'coverage', 'ellipsoid', 'smooth_union', 'tube']

FloatArray: TypeAlias = NDArray[np.floating[Any]]
Point: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Grid:
    """A box of isotropic voxels whose axes run to the right, to the front and up.

    Parameters
    ----------
    low
        World coordinate of the first voxel's centre, in mm.
    high
        World coordinate that the last voxel's centre reaches or passes, in mm.
    voxel
        Edge of a voxel in mm.
    """

    low: Point
    high: Point
    voxel: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the three axes."""
        low, high = np.array(self.low), np.array(self.high)
        i, j, k = (int(n) for n in np.ceil((high - low) / self.voxel - 1e-9) + 1)
        return i, j, k

    @property
    def affine(self) -> FloatArray:
        """The 4x4 matrix from voxel indices to world mm."""
        affine = np.diag([self.voxel, self.voxel, self.voxel, 1.0])
        affine[:3, 3] = self.low
        return affine

    @property
    def all(self) -> tuple[slice, slice, slice]:
        """The window that is the whole box."""
        i, j, k = self.shape
        return slice(0, i), slice(0, j), slice(0, k)

    def window(self, low: FloatArray, high: FloatArray) -> tuple[slice, slice, slice]:
        """Return the part of the box that covers the world box from *low* to *high*, in mm."""
        first = np.floor((low - self.low) / self.voxel).astype(int)
        last = np.ceil((high - self.low) / self.voxel).astype(int) + 1
        i, j, k = (
            slice(*np.clip((a, b), 0, n)) for a, b, n in zip(first, last, self.shape, strict=True)
        )
        return i, j, k

    def part(self, window: tuple[slice, slice, slice]) -> 'Grid':
        """Return a window of the box as a box of its own."""
        first = [low + self.voxel * s.start for low, s in zip(self.low, window, strict=True)]
        last = [low + self.voxel * (s.stop - 1) for low, s in zip(self.low, window, strict=True)]
        return Grid((first[0], first[1], first[2]), (last[0], last[1], last[2]), self.voxel)

    def coordinates(self, window: tuple[slice, slice, slice]) -> list[FloatArray]:
        """Return x, y and z in mm of a window, each broadcastable to its shape."""
        axes = (
            np.float32(low) + np.float32(self.voxel) * np.arange(s.start, s.stop, dtype=np.float32)
            for low, s in zip(self.low, window, strict=True)
        )
        return list(np.ix_(*axes))


class Solid(NamedTuple):
    """A body: the window it may touch and its signed distance there, in mm."""

    window: tuple[slice, slice, slice]
    distance: FloatArray


def ellipsoid(grid: Grid, centre: Point, radii: Point, *, margin: float | None = 3.0) -> Solid:
    """Return an axis-aligned ellipsoid; its distance is exact at the surface only.

    Parameters
    ----------
    grid
        The box.
    centre, radii
        In mm.
    margin
        How far from the surface the distance is wanted, in mm; ``None`` for the whole box.
    """
    c, r = np.array(centre), np.array(radii)
    window = grid.all if margin is None else grid.window(c - r - margin, c + r + margin)
    axes = grid.coordinates(window)
    terms = [
        ((x - np.float32(m)) / np.float32(s)) ** 2 for x, m, s in zip(axes, c, r, strict=True)
    ]
    distance = (np.sqrt(terms[0] + terms[1] + terms[2]) - 1) * np.float32(min(radii))
    return Solid(window, distance)


def tube(grid: Grid, points: Sequence[Point], radius: float, *, margin: float = 3.0) -> Solid:
    """Return a tube of constant *radius* (mm) along a smooth curve through *points* (mm)."""
    curve = _curve(np.array(points, dtype=float), step=grid.voxel / 2)
    reach = radius + margin
    window = grid.window(curve.min(0) - reach, curve.max(0) + reach)
    distance = np.full([s.stop - s.start for s in window], np.float32(reach))
    corner = np.array([s.start for s in window])
    for point in curve:
        near = grid.window(point - reach, point + reach)
        x, y, z = grid.coordinates(near)
        away = np.sqrt((x - point[0]) ** 2 + (y - point[1]) ** 2 + (z - point[2]) ** 2)
        i, j, k = (slice(s.start - c, s.stop - c) for s, c in zip(near, corner, strict=True))
        np.minimum(distance[i, j, k], away, out=distance[i, j, k])
    return Solid(window, distance - np.float32(radius))


def _curve(points: FloatArray, *, step: float) -> FloatArray:
    """Return points about *step* mm apart on a smooth curve through *points*, shape (n, 3)."""
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    knots = np.concatenate([[0.0], np.cumsum(lengths)])
    steps = np.linspace(0, knots[-1], max(2, int(np.ceil(knots[-1] / step)) + 1))
    return np.asarray(PchipInterpolator(knots, points)(steps))


def smooth_union(a: FloatArray, b: FloatArray, *, blend: float) -> FloatArray:
    """Return the signed distance of two bodies joined by a fillet about *blend* mm wide."""
    overlap = np.maximum(blend - np.abs(a - b), 0) / blend
    return np.asarray(np.minimum(a, b) - overlap**2 * (blend / 4))


def coverage(distance: FloatArray, voxel: float) -> FloatArray:
    """Return the fraction of each voxel inside a body, from its signed distance in mm."""
    return np.asarray(np.clip(0.5 - distance / voxel, 0, 1))
