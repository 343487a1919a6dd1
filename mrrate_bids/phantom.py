"""A simulated head: the tissue maps of the MNI brain inside a skull, a scalp and a face.

The brain comes from the ICBM 2009a symmetric probability maps that the nilearn wheel carries;
everything around it is geometry. The head stands in RAS+ world millimetres, close to MNI space:
x to the right, y to the front, z up, the anterior commissure near the origin.

It stands in for a patient in demonstrations and tests; it is no anatomical reference.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrrate_bids.phantom_face import carve_face, head_surface, wrap_skull
from mrrate_bids.phantom_shapes import FloatArray, Grid, Point, Solid, coverage, ellipsoid, tube
from mrrate_bids.phantom_tissues import Tissue, signal_of
from mrrate_bids.phantom_vessels import IRON, arteries, veins

__all__ = ['Head', 'build_head']

_LOW: Point = (-94.0, -126.0, -152.0)
_HIGH: Point = (94.0, 120.0, 99.0)
# The part of it that holds the brain and the CSF around it.
_BRAIN_LOW, _BRAIN_HIGH = np.array([-82.0, -118.0, -84.0]), np.array([82.0, 84.0, 94.0])

Fraction = NDArray[np.uint8]


@dataclass(frozen=True)
class Head:
    """A head as tissue per voxel, in head space (RAS+ mm).

    Parameters
    ----------
    grid
        The box of voxels.
    labels
        The :class:`Tissue` of every voxel, the brain and its vessels left out.
    fractions
        What lies on top of it: per tissue, the part of each voxel it fills, 255 for all of it.
    brain
        Part of each voxel inside the brain as a brain mask has it: no outer CSF, no cord.
    """

    grid: Grid
    labels: NDArray[np.uint8]
    fractions: dict[Tissue, Fraction]
    brain: Fraction

    def signal(self, contrast: str) -> NDArray[np.float32]:
        """Return the noise-free signal of every voxel in a contrast of ``CONTRASTS``."""
        mean = signal_of(contrast)
        signal = mean[self.labels]
        inside = self.grid.window(_BRAIN_LOW, _BRAIN_HIGH)
        brain = signal[inside]
        parts = {t: self.fractions[t][inside] for t in (Tissue.GREY, Tissue.WHITE, Tissue.CSF)}
        outer = np.full(brain.shape, np.float32(255))
        for part in parts.values():
            outer -= part
        brain *= outer / np.float32(255)
        for tissue, part in parts.items():
            brain += part * (mean[tissue] / np.float32(255))
        for tissue in (Tissue.IRON, Tissue.LESION):
            cover = self.fractions[tissue][inside] / np.float32(255)
            brain += cover * (mean[tissue] - brain)
        for tissue in (Tissue.VEIN, Tissue.ARTERY):
            cover = self.fractions[tissue] / np.float32(255)
            signal += cover * (mean[tissue] - signal)
        return signal


def build_head(
    *,
    voxel: float = 1.0,
    seed: int = 0,
    atrophy: float = 0.0,
    lesions: Sequence[tuple[Point, Point]] = (),
) -> Head:
    """Build a head.

    Parameters
    ----------
    voxel
        Edge of the model's voxels in mm.
    seed
        Which individual: it draws the folds of the cortex.
    atrophy
        Preference for CSF over tissue in doubtful voxels; 0 is a young brain, 1 an old one.
    lesions
        Centre and radii (mm) of ellipsoidal lesions; they grow in white matter only.
    """
    grid = Grid(_LOW, _HIGH, voxel)
    coarse = Grid(_LOW, _HIGH, max(2.0, voxel))
    skull = _outside_brain(coarse)
    skin = _onto(coarse, grid, head_surface(coarse, skull))
    outside = _onto(coarse, grid, skull)
    rng = np.random.default_rng(seed)
    labels = wrap_skull(skin, outside)
    streaks = _onto(coarse, grid, _smooth_noise(rng, coarse.shape, coarse.voxel))
    labels[(labels == Tissue.MUSCLE) & (streaks > 0.7)] = Tissue.FAT
    carve_face(grid, labels, outside)
    fractions = _brain_tissues(grid, outside, rng, atrophy=atrophy)
    for tissue, curves in ((Tissue.ARTERY, arteries()), (Tissue.VEIN, veins())):
        fractions[tissue] = _cover(grid, (tube(grid, points, r) for r, points in curves))
    nuclei = [((s * x, y, z), radii) for (x, y, z), radii in IRON for s in (1, -1)]
    fractions[Tissue.IRON] = _cover(grid, (ellipsoid(grid, c, r) for c, r in nuclei)) // 2
    spots = _cover(grid, (ellipsoid(grid, c, r) for c, r in lesions))
    fractions[Tissue.LESION] = (spots * (fractions[Tissue.WHITE] / 255)).astype(np.uint8)
    brain = np.zeros(grid.shape, dtype=np.uint8)
    inside = grid.window(_BRAIN_LOW, _BRAIN_HIGH)
    mask = _brain_map('t1', grid.part(inside)) > 0.05
    brain[inside] = _to_byte(ndimage.gaussian_filter(mask, 0.7, output=np.float32))
    return Head(grid, labels, fractions, brain)


def _brain_map(name: str, grid: Grid) -> NDArray[np.float32]:
    """Return a map of the ICBM 2009a brain (``gm``, ``wm``, ``t1``), 0 to 1, on *grid*."""
    file = f'mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz'
    with as_file(files('nilearn').joinpath('datasets', 'data', file)) as path:
        image = nib.Nifti1Image.from_filename(path)
        data = np.asanyarray(image.dataobj)
        affine = np.asarray(image.affine)
    matrix = np.linalg.inv(affine) @ grid.affine
    moved = ndimage.affine_transform(
        data,
        matrix,
        output_shape=grid.shape,
        order=1,
        output=np.float32,
    )
    return np.asarray(moved / np.float32(255))


def _outside_brain(grid: Grid) -> FloatArray:
    """Return the signed distance to the inside of the skull, in mm.

    The inside of the skull is the brain with its clefts closed, 1.5 mm further out.
    """

    def distance(inside: NDArray[np.bool_]) -> FloatArray:
        return np.asarray(ndimage.distance_transform_edt(~inside, sampling=grid.voxel))

    brain = _brain_map('t1', grid) > 0.2
    reached = distance(brain) < 8
    closed = distance(~reached) > 8
    signed = np.where(closed, -distance(~closed), distance(closed))
    smooth = ndimage.gaussian_filter(signed, 2 / grid.voxel, output=np.float32)
    return np.asarray(smooth - np.float32(1.5))


def _onto(source: Grid, target: Grid, data: FloatArray) -> NDArray[np.float32]:
    """Interpolate *data* of one grid on another, linearly."""
    if source == target:
        return np.asarray(data, dtype=np.float32)
    matrix = np.linalg.inv(source.affine) @ target.affine
    return np.asarray(
        ndimage.affine_transform(
            data,
            matrix,
            output_shape=target.shape,
            order=1,
            mode='nearest',
            output=np.float32,
        )
    )


def _brain_tissues(
    grid: Grid, outside: FloatArray, rng: np.random.Generator, *, atrophy: float
) -> dict[Tissue, Fraction]:
    """Return the part of each voxel that is grey matter, white matter and CSF.

    The maps are averages over people. A smooth random field added to their logarithms decides
    each doubtful voxel, which turns the blurred average into one person's folds.
    """
    inside = grid.window(_BRAIN_LOW, _BRAIN_HIGH)
    outside = outside[inside]
    grey, white = (_brain_map(name, grid.part(inside)) for name in ('gm', 'wm'))
    maps = {Tissue.GREY: grey, Tissue.WHITE: white}
    maps[Tissue.CSF] = np.clip(1 - grey - white, 0, 1)
    # Deep structures vary less between people than the folds near the skull.
    spread = np.clip(1 + outside / 30, 0.15, 1).astype(np.float32)
    for tissue, part in maps.items():
        shift = atrophy if tissue is Tissue.CSF else 0.0
        fold = _smooth_noise(rng, part.shape, grid.voxel) * spread + np.float32(shift)
        maps[tissue] = np.exp(np.float32(2.2) * (np.log(part + np.float32(0.02)) + fold))
    total = sum(maps.values(), start=np.zeros(1, np.float32))
    skull = coverage(outside, 2 * grid.voxel)
    fractions = {tissue: np.zeros(grid.shape, np.uint8) for tissue in maps}
    for tissue, part in maps.items():
        fractions[tissue][inside] = _to_byte(skull * part / total)
    return fractions


def _smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], voxel: float
) -> NDArray[np.float32]:
    """Return Gaussian noise with a correlation length of some millimetres."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(noise, 1.7 / voxel)
    return np.asarray(smooth * (np.float32(0.55) / smooth.std()))


def _cover(grid: Grid, solids: Iterable[Solid]) -> Fraction:
    """Return the part of each voxel that the union of *solids* fills."""
    filled = np.zeros(grid.shape, dtype=np.uint8)
    for solid in solids:
        part = _to_byte(coverage(solid.distance, grid.voxel))
        np.maximum(filled[solid.window], part, out=filled[solid.window])
    return filled


def _to_byte(part: NDArray[np.floating[Any]]) -> Fraction:
    """Return fractions 0 to 1 as 0 to 255."""
    return np.asarray(np.rint(part * np.float32(255)), dtype=np.uint8)
