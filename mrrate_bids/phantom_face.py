"""The outside of the simulated head: its surface, and the bones, eyes and airways of the face.

All positions are head space (RAS+ mm, the anterior commissure near the origin).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.phantom_shapes import (
    FloatArray,
    Grid,
    Point,
    Solid,
    ellipsoid,
    smooth_union,
    tube,
)
from mrrate_bids.phantom_tissues import Tissue

__all__ = ['carve_face', 'head_surface', 'wrap_skull']

# Centre, radii, and the width of the fillet that joins it to the rest (mm); x > 0 is mirrored.
_BUMPS: tuple[tuple[Point, Point, float], ...] = (
    ((0, -38, -150), (56, 60, 110), 26),  # neck
    ((0, 48, -58), (60, 44, 52), 20),  # midface
    ((0, 40, -96), (50, 46, 40), 16),  # jaw
    ((0, 76, -122), (19, 12, 13), 10),  # chin
    ((0, 89, -42), (8, 13, 20), 9),  # bridge of the nose
    ((0, 101, -60), (11, 15, 10), 9),  # tip of the nose
    ((10, 93, -63), (8, 10, 7), 5),  # nostril wing
    ((0, 84, -91), (22, 10, 12), 8),  # lips
    ((24, 76, -16), (22, 9, 8), 8),  # brow
    ((44, 66, -52), (18, 18, 14), 10),  # cheekbone
    ((33, 72, -36), (14, 10, 10), 6),  # eyelid
    ((80, -22, -46), (8, 12, 24), 4),  # ear
)


def head_surface(grid: Grid, outside_brain: FloatArray) -> FloatArray:
    """Return the signed distance to the skin, in mm, on the whole *grid*.

    Parameters
    ----------
    grid
        The box.
    outside_brain
        Signed distance to the inside of the skull, on *grid*, in mm.
    """
    surface = outside_brain - np.float32(13)
    for (x, y, z), radii, blend in _BUMPS:
        for side in (1, -1) if x else (1,):
            bump = ellipsoid(grid, (side * x, y, z), radii, margin=None)
            surface = smooth_union(surface, bump.distance, blend=blend)
    return surface


def wrap_skull(skin: FloatArray, outside_brain: FloatArray) -> NDArray[np.uint8]:
    """Return the tissue of every voxel from its depth below the skin and above the brain, in mm.

    From outside: air, skin, fat, muscle; then the skull with its marrow; inside it CSF.
    """
    layers: tuple[tuple[NDArray[Any], Tissue], ...] = (
        (skin < 0, Tissue.SKIN),
        (skin < -1.8, Tissue.FAT),
        (skin < -7.5, Tissue.MUSCLE),
        (outside_brain < 7, Tissue.BONE),
        (outside_brain < 5.2, Tissue.MARROW),
        (outside_brain < 2.4, Tissue.BONE),
        (outside_brain < 0.6, Tissue.CSF),
    )
    labels = np.zeros(skin.shape, dtype=np.uint8)
    for inside, tissue in layers:
        labels[inside & (skin < 0)] = tissue
    return labels


def carve_face(grid: Grid, labels: NDArray[np.uint8], outside_brain: FloatArray) -> None:
    """Draw bones, sinuses, airways and eyes of face and neck into *labels*, in place."""

    def paint(solid: Solid, tissue: Tissue, *, within: float = 0.0) -> None:
        window = solid.window
        free = (outside_brain[window] > 2.5) & (labels[window] != Tissue.AIR)
        labels[window][free & (solid.distance < within)] = tissue

    _neck(grid, paint)
    _bones(grid, paint)
    _airways(grid, paint)
    for side in (1.0, -1.0):
        _orbit(grid, paint, side)


def _neck(grid: Grid, paint: Callable[..., None]) -> None:
    """Vertebral column with discs, spinal canal and cord, and the spaces of fat around it."""
    paint(tube(grid, ((0, -92, -70), (0, -88, -110), (0, -84, -170)), 5), Tissue.FAT)
    for side in (1, -1):
        paint(tube(grid, ((side * 38, -14, -80), (side * 38, -6, -170)), 5), Tissue.FAT)
    for z in range(-92, -180, -17):
        paint(ellipsoid(grid, (0, -31, z), (12, 9, 7.2)), Tissue.BONE)
        paint(ellipsoid(grid, (0, -31, z), (10.5, 7.5, 5.8)), Tissue.MARROW)
        paint(ellipsoid(grid, (0, -70, z - 4), (4, 12, 4)), Tissue.MARROW)
    paint(tube(grid, ((0, -45, -70), (0, -49, -95), (0, -47, -175)), 9), Tissue.CSF)
    paint(tube(grid, ((0, -45, -66), (0, -49, -95), (0, -47, -175)), 5), Tissue.WHITE)


def _bones(grid: Grid, paint: Callable[..., None]) -> None:
    """Jaw, palate, teeth, cheekbones, clivus."""
    jaw = ((46, 6, -62), (44, 14, -100), (34, 44, -114), (16, 70, -120), (0, 76, -122))
    teeth = ((24, 44, -90), (20, 64, -90), (10, 76, -90), (0, 79, -90))
    cheek = ((26, 78, -50), (44, 72, -50), (60, 48, -48), (68, 18, -46))
    clivus = ((0, 6, -38), (0, -14, -50), (0, -26, -66))
    for points, radius, marrow in ((jaw, 6.5, 4.5), (cheek, 4, 2.2), (clivus, 6, 4.5)):
        for side in (1, -1):
            solid = tube(grid, [(side * x, y, z) for x, y, z in points], radius)
            paint(solid, Tissue.BONE)
            paint(solid, Tissue.MARROW, within=marrow - radius)
    for side in (1, -1):
        for lift in (0, -9):
            row = [(side * x, y, z + lift) for x, y, z in teeth]
            paint(tube(grid, row, 4), Tissue.BONE)
    paint(ellipsoid(grid, (0, 56, -77), (24, 26, 3.5)), Tissue.BONE)
    paint(ellipsoid(grid, (0, 56, -77), (20, 22, 1.8)), Tissue.MARROW)


def _airways(grid: Grid, paint: Callable[..., None]) -> None:
    """Sinuses, nasal cavity, mouth, throat, ear canals."""
    paint(
        tube(grid, ((0, 16, -62), (0, 2, -84), (0, -6, -110), (0, -2, -140), (0, 0, -175)), 7),
        Tissue.AIR,
    )
    paint(ellipsoid(grid, (0, 22, -40), (12, 11, 9)), Tissue.AIR)
    paint(ellipsoid(grid, (0, 50, -84.5), (18, 24, 1.4)), Tissue.AIR)
    for side in (1, -1):
        for centre, radii in (
            ((5, 58, -60), (2.5, 30, 13)),  # nasal cavity
            ((7, 46, -36), (5, 20, 8)),  # ethmoid cells
            ((26, 58, -62), (12, 15, 14)),  # maxillary sinus
            ((11, 72, -10), (9, 3.2, 8)),  # frontal sinus
            ((60, -32, -48), (6, 10, 10)),  # mastoid cells
        ):
            solid = ellipsoid(grid, (side * centre[0], centre[1], centre[2]), radii)
            paint(solid, Tissue.BONE, within=1.5)
            paint(solid, Tissue.AIR)
        paint(ellipsoid(grid, (side * 84, -22, -46), (6, 11, 22)), Tissue.SKIN)
        paint(tube(grid, ((side * 94, -21, -46), (side * 62, -21, -46)), 2.6), Tissue.AIR)


def _orbit(grid: Grid, paint: Callable[..., None], side: float) -> None:
    """One eye in its socket: fat, globe, lens, optic nerve and straight muscles."""
    socket = ellipsoid(grid, (side * 29, 52, -36), (18, 28, 17))
    paint(socket, Tissue.BONE, within=2.0)
    paint(socket, Tissue.FAT)
    globe = ellipsoid(grid, (side * 32, 66, -36), (12, 12, 12))
    paint(globe, Tissue.MUSCLE, within=0.8)
    paint(globe, Tissue.VITREOUS, within=-0.6)
    paint(ellipsoid(grid, (side * 32, 74.5, -36), (4.6, 2, 4.6)), Tissue.MUSCLE)
    apex = (side * 15, 26, -32)
    paint(
        tube(grid, ((side * 31, 54, -36), (side * 26, 42, -35), apex, (side * 5, 8, -25)), 2.1),
        Tissue.WHITE,
    )
    for dx, dz in ((11, 0), (-11, 0), (0, 11), (0, -11)):
        x = side * 31 + dx
        paint(
            tube(grid, ((x, 64, -36 + dz), (x - 4 * side, 48, -35.5 + dz * 0.8), apex), 2),
            Tissue.MUSCLE,
        )
