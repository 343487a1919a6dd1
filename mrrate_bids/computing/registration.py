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

from mrrate_bids.computing.ants_session import (
    REPEATABLE,
    Session,
    from_ants,
    load_ants,
    pointer_to,
    to_ants,
)
from mrrate_bids.computing.grids import coarsen, crop, near, window_of
from mrrate_bids.computing.presets import RIGID, Preset, Stage
from mrrate_bids.computing.scans import Scan
from mrrate_bids.computing.transforms import Matrix, read_rigid, read_transform, write_transform
from mrrate_bids.errors import DataError

__all__ = ['Brains', 'Rigid', 'coarse_pair', 'correct_bias', 'register', 'resample']

_RIM_MM = 10.0
"""Of the empty space, 0 in every voxel, around a fixed image: the rest has nothing to say."""

_RESULT = '0GenericAffine.mat'
"""The name that antsRegistration gives to what it finds."""

Prepared = tuple[Scan, Scan, NDArray[np.uint8] | None]
"""The two images, and where on the first the metric is sampled, if not everywhere."""

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
    seconds = 0.0
    for stage in preset:
        images = _prepare(fixed, moving, brains, stage)
        seconds += _run_stage(images, stage, target=target, start=start, session=session)
        start = read_transform(target)
    return Rigid(read_transform(target), seconds)


def _run_stage(
    images: Prepared, stage: Stage, *, target: Path, start: Matrix | None, session: Session
) -> float:
    """Write the transform that a call of antsRegistration finds; return its seconds."""
    ants, (one, other, region) = load_ants(session), images
    # antsRegistration adds to the name it gets, and leaves what it wrote when it fails.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix='.ants-') as name:
        folder = Path(name)
        # ANTs is told where in memory they lie: they must outlive the call.
        held = [
            to_ants(one),
            to_ants(other),
            None if region is None else to_ants(one, region) != 0,
        ]
        first = _write_start(folder, start)
        begun = time.perf_counter()
        try:
            if not all(np.isfinite(np.float32(scan.values)).all() for scan in (one, other)):
                raise ValueError('NaN or infinity')  # noqa: TRY301  (ANTs would never end)
            # With a list for arguments, nothing is added: by itself ants.registration() also
            # resamples both images.
            ants.registration(_arguments(held, stage, folder, first, session.seed), None)
        except (RuntimeError, ValueError) as error:
            target.unlink(missing_ok=True)  # of the stage before
            raise DataError(
                f'{other.path.name}: ANTs cannot register it to {one.path.name} ({error})',
                hint='Look at both images; leave out the one that is damaged.',
            ) from error
        shutil.copyfile(folder / _RESULT, target)
        return time.perf_counter() - begun


def _arguments(
    images: Sequence[Any], stage: Stage, folder: Path, start: str, seed: int
) -> list[str]:
    """Return what antsRegistration is called with: what ANTsPy gives it for ``Rigid``."""
    fixed, moving, region = ('NA' if image is None else pointer_to(image) for image in images)
    return [
        *('--dimensionality', '3', '--float', '1', '--random-seed', str(seed)),
        *('--initial-moving-transform', start or f'[{fixed},{moving},1]'),  # centres of mass
        *('--metric', f'mattes[{fixed},{moving},1,{stage.bins},regular,{stage.sampling}]'),
        *('--transform', RIGID),
        *('--convergence', _levels(stage.iterations)),
        *('--smoothing-sigmas', _levels(stage.smoothing)),
        *('--shrink-factors', _levels(stage.shrink)),
        *('--use-histogram-matching', '0', '--collapse-output-transforms', '1'),
        *('--masks', f'[{region},NA]', '--write-composite-transform', '0'),
        *('--output', f'{folder}/', '--verbose', '0'),
    ]


def _levels(values: Sequence[int]) -> str:
    return 'x'.join(map(str, values))


def _prepare(
    fixed: Scan,
    moving: Scan,
    brains: Brains,
    stage: Stage,
) -> Prepared:
    """Return what a stage registers, and where it samples the metric."""
    brain, _ = brains
    if stage.spacing_mm is not None:
        return *coarse_pair(fixed, moving, brains, stage.spacing_mm), None
    if stage.margin_mm is None or not brain.any():
        return crop(fixed, window_of(fixed.values != 0, fixed, _RIM_MM)), moving, None
    region = near(brain, fixed, stage.margin_mm)
    window = window_of(region, fixed, 0.0)
    return crop(fixed, window), moving, region[window]


def coarse_pair(fixed: Scan, moving: Scan, brains: Brains, spacing_mm: float) -> tuple[Scan, Scan]:
    """Return two images on coarse grids, without what is outside the brains if both are known."""
    brain, other = brains
    if other is not None:
        fixed = fixed._replace(values=fixed.values * brain)
        moving = moving._replace(values=moving.values * other)
    return coarsen(fixed, spacing_mm), coarsen(moving, spacing_mm)


def _write_start(folder: Path, start: Matrix | None) -> str:
    """Write where the search begins; empty where there is no such place."""
    if start is None:
        return ''
    path = folder / 'start.mat'
    write_transform(path, start)
    return str(path)


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

    Raises
    ------
    DataError
        When a file is no rigid transform; ANTs would take one that mirrors, or holds NaN.
    """
    for path in transforms:  # whoever wrote them
        read_rigid(path)
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
    scan
        The image.
    mask
        Where the shading is estimated; ANTs finds a foreground of its own if ``None``.
    session
        Seed and threads.
    """
    ants = load_ants(session)
    image = to_ants(scan)
    weight = None if mask is None else to_ants(scan, mask)
    return from_ants(ants.n4_bias_field_correction(image, mask=weight, shrink_factor=4))
