"""Rigid registration, resampling and bias correction by ANTs, on scans in memory.

Sources: Avants et al. 2011, A reproducible evaluation of ANTs similarity metric performance in
brain image registration, NeuroImage 54:2033; Tustison et al. 2010, N4ITK, IEEE TMI 29:1310.
"""

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.ants_session import REPEATABLE, Session, from_ants, load_ants, to_ants
from mrrate_bids.computing.grids import coarsen, crop, near, window_of
from mrrate_bids.computing.presets import Preset, Stage
from mrrate_bids.computing.scans import Scan
from mrrate_bids.computing.transforms import Matrix, read_transform, write_transform
from mrrate_bids.errors import DataError

__all__ = ['Rigid', 'correct_bias', 'register', 'resample']

Brains = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]


class Rigid(NamedTuple):
    """A transform that was found."""

    matrix: Matrix
    """4x4, from points of the fixed image to points of the moving one, RAS mm."""

    seconds: float
    """Inside ANTs."""


def register(
    fixed: Scan,
    moving: Scan,
    *,
    target: Path,
    preset: Preset,
    brains: Brains,
    start: Matrix | None = None,
    session: Session = REPEATABLE,
) -> Rigid:
    """Find the rigid transform between two images, and write it as ITK's ``.mat``.

    Parameters
    ----------
    fixed, moving
        Of any contrasts and grids.
    target
        Where the ``.mat`` goes, as ANTs wrote it.
    preset
        The parameters, stage by stage; each starts where the one before ended.
    brains
        Masks on the two grids. The first tells where fine stages sample; where the second is
        given, coarse stages see nothing but brains: for heads of two people, and for templates
        without skull.
    start
        4x4 in RAS mm, as the result is; the centres of mass are aligned if ``None``.
    session
        With one thread, the same input gives the same bytes.

    Raises
    ------
    ImageError
        When a grid has no right angles.
    DataError
        When ANTs gives up; no file is left.
    """
    ants, seconds = load_ants(session), 0.0
    for stage in preset:
        one, other, region = _prepare(fixed, moving, brains, stage)
        # antspyx takes whatever has its prefix for its result: the folder must be new.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix='.ants-') as folder:
            begun = time.process_time()
            try:
                found = ants.registration(
                    to_ants(one),
                    to_ants(other),
                    type_of_transform='Rigid',
                    initial_transform=_start_file(Path(folder), start),
                    outprefix=f'{folder}/',
                    mask=None if region is None else to_ants(one, region),
                    mask_all_stages=region is not None,
                    aff_metric='mattes',
                    aff_sampling=stage.bins,
                    aff_random_sampling_rate=stage.sampling,
                    aff_iterations=stage.iterations,
                    aff_shrink_factors=stage.shrink,
                    aff_smoothing_sigmas=stage.smoothing,
                )
            except (RuntimeError, ValueError) as error:
                target.unlink(missing_ok=True)  # of the stage before
                raise DataError(
                    f'{moving.path.name}: ANTs cannot register it to {fixed.path.name} ({error})',
                    hint='Look at both images; leave out the one that is damaged.',
                ) from error
            seconds += time.process_time() - begun
            shutil.copyfile(found['fwdtransforms'][0], target)
        start = read_transform(target)
    return Rigid(read_transform(target), seconds)


def _prepare(
    fixed: Scan,
    moving: Scan,
    brains: Brains,
    stage: Stage,
) -> tuple[Scan, Scan, NDArray[np.uint8] | None]:
    """Return what a stage registers, and where it samples the metric."""
    brain, other = brains
    if stage.spacing_mm is not None:
        if other is not None:
            fixed = fixed._replace(values=fixed.values * brain)
            moving = moving._replace(values=moving.values * other)
        return coarsen(fixed, stage.spacing_mm), coarsen(moving, stage.spacing_mm), None
    if stage.margin_mm is None or not brain.any():
        return fixed, moving, None
    region = near(brain, fixed, stage.margin_mm)
    window = window_of(region, fixed, 0.0)
    return crop(fixed, window), moving, region[window]


def _start_file(folder: Path, start: Matrix | None) -> list[str] | None:
    if start is None:
        return None
    (folder / 'start').mkdir()
    path = folder / 'start' / 'start.mat'
    write_transform(path, start)
    return [str(path)]


def resample(
    moving: Scan,
    values: NDArray[Any],
    *,
    like: Scan,
    transforms: Sequence[Path],
    inverse: bool = False,
    nearest: bool = False,
    session: Session = REPEATABLE,
) -> NDArray[np.float32]:
    """Return voxels on the grid of another scan, interpolated once; zero outside.

    Parameters
    ----------
    moving, values
        Grid, and voxels on it.
    like
        The grid of the result.
    transforms
        ``.mat`` files, applied to points of the result from last to first: what leads away from
        *moving* stands last, as in ``antsApplyTransforms``.
    inverse
        Turn every transform round.
    nearest
        Take the nearest voxel, for masks and labels, instead of interpolating linearly.
    """
    ants = load_ants(session)
    result = ants.apply_transforms(
        to_ants(like),
        to_ants(moving, values),
        transformlist=[str(path) for path in transforms],
        whichtoinvert=[inverse] * len(transforms),
        interpolator='nearestNeighbor' if nearest else 'linear',
    )
    return from_ants(result)


def correct_bias(
    scan: Scan, *, mask: NDArray[np.uint8] | None = None, session: Session = REPEATABLE
) -> NDArray[np.float32]:
    """Return the voxels of *scan* without their smooth shading (N4).

    Parameters
    ----------
    mask
        Where the shading is estimated; ANTs finds a foreground of its own if ``None``.
    """
    ants = load_ants(session)
    image = to_ants(scan)
    weight = None if mask is None else to_ants(scan, mask)
    return from_ants(ants.n4_bias_field_correction(image, mask=weight, shrink_factor=4))
