"""A registration that is judged, tried again from elsewhere, and refused when it stays bad."""

from collections.abc import Iterator
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.agreement import Agreement, centre_of, compare, mask_dice
from mrrate_bids.computing.ants_session import REPEATABLE, Session
from mrrate_bids.computing.grids import coarsen_mask
from mrrate_bids.computing.presets import Limits, Preset, coarse_spacing, coarse_stage, start_turns
from mrrate_bids.computing.registration import Brains, Rigid, coarse_pair, register
from mrrate_bids.computing.scans import Scan
from mrrate_bids.computing.transforms import Matrix, angle_of, rigid_about, shift_of
from mrrate_bids.errors import DataError, QualityError

__all__ = ['Aligned', 'Target', 'align']


class Target(NamedTuple):
    """What is registered to, and how the result is judged."""

    scan: Scan
    brain: NDArray[np.uint8]
    """Mask on its grid."""

    preset: Preset
    limits: Limits
    session: Session = REPEATABLE
    other_person: bool = False
    """Whether it shows another head than the moving images do, as a template does."""

    def brains(self, mask: NDArray[np.uint8] | None) -> Brains:
        """Return its mask, and that of a moving image where it counts: of another head."""
        return self.brain, mask if self.other_person else None


class Aligned(NamedTuple):
    """A registration with its numbers."""

    rigid: Rigid
    start: str
    """Where the search began."""

    agreement: Agreement
    dice: float | None
    """Of the two brain masks, where the moving image has one of its own."""

    centre: NDArray[np.float64]
    """Of the fixed brain, RAS mm."""

    def describe(self) -> dict[str, Any]:
        """Return the numbers as a sidecar has them."""
        facts: dict[str, Any] = {
            'NormalizedMutualInformation': round(self.agreement.information, 4),
            'Sharpness': round(self.agreement.sharpness, 2),
            'BrainCovered': round(self.agreement.covered, 3),
            'RotationDegrees': round(angle_of(self.rigid.matrix), 3),
            'TranslationMm': round(shift_of(self.rigid.matrix, self.centre), 3),
            'Start': self.start,
        }
        return facts if self.dice is None else facts | {'BrainDice': round(self.dice, 4)}


def align(
    target: Target,
    moving: Scan,
    *,
    mask: NDArray[np.uint8] | None = None,
    transform: Path,
) -> Aligned:
    """Register an image, from other starts where the first result is not good enough.

    Parameters
    ----------
    target
        The fixed image, the parameters and what is asked of the result.
    moving
        The moving image.
    mask
        Its own brain mask, found without the fixed image; judges the result.
    transform
        Where the ``.mat`` goes.

    Raises
    ------
    QualityError
        When no start leads to a good result; no file is left.
    DataError
        When ANTs gives up at every start; no file is left.
    """
    first, spent = None, 0.0
    with suppress(DataError):  # ANTs gives up where images do not meet: a start like any other
        first = _register(target, moving, mask, transform)
        if _is_good(first, target.limits):
            return first
        spent = first.rigid.seconds
    name, start, seconds = _best_start(target, moving, mask, transform)
    second = _register(target, moving, mask, transform, name, start)
    if _is_good(second, target.limits):
        spent += seconds + second.rigid.seconds
        return second._replace(rigid=second.rigid._replace(seconds=spent))
    transform.unlink()
    best = max(filter(None, (first, second)), key=lambda one: one.agreement.information)
    raise QualityError(_complaint(target, moving, best))


def _register(
    target: Target,
    moving: Scan,
    mask: NDArray[np.uint8] | None,
    transform: Path,
    name: str = 'centres of mass',
    start: Matrix | None = None,
) -> Aligned:
    rigid = register(
        target.scan,
        moving,
        target=transform,
        preset=target.preset,
        brains=target.brains(mask),
        start=start,
        session=target.session,
    )
    return _judge(target, moving, mask, rigid, name)


def _best_start(
    target: Target, moving: Scan, mask: NDArray[np.uint8] | None, transform: Path
) -> tuple[str, Matrix, float]:
    """Return from where the coarse search gets furthest, where it gets to, and its seconds."""
    spacing = coarse_spacing()
    one, other = coarse_pair(target.scan, moving, target.brains(mask), spacing)
    region, found, seconds = coarsen_mask(target.brain, target.scan, spacing), [], 0.0
    refusal = DataError(f'{moving.path.name}: there is nowhere to start from')
    for name, start in _starts(target, moving, mask):
        try:
            rigid = register(
                one,
                other,
                target=transform,
                preset=(coarse_stage()._replace(spacing_mm=None),),
                brains=(region, None),
                start=start,
                session=target.session,
            )
        except DataError as error:  # from here ANTs sees no overlap
            refusal = error
            continue
        seconds += rigid.seconds
        agreement = compare(one, region, other, rigid.matrix)
        found.append((agreement.information, name, rigid.matrix))
    if not found:
        raise refusal
    _, name, matrix = max(found, key=itemgetter(0))
    return name, matrix, seconds


def _starts(
    target: Target, moving: Scan, mask: NDArray[np.uint8] | None
) -> Iterator[tuple[str, Matrix]]:
    """Yield where to start: the headers, then brain on brain with turns."""
    yield 'headers', np.eye(4)
    centre = centre_of(target.brain, target.scan)
    own = (moving.values > moving.values.mean()).astype(np.uint8) if mask is None else mask
    shift = centre_of(own, moving) - centre
    for turn in start_turns():
        yield f'brain centres, turned {turn}', rigid_about(centre, turn, shift)


def _judge(
    target: Target, moving: Scan, mask: NDArray[np.uint8] | None, found: Rigid, start: str
) -> Aligned:
    agreement = compare(target.scan, target.brain, moving, found.matrix)
    overlap = None
    if mask is not None:
        overlap = mask_dice(target.scan, target.brain, moving, mask, found.matrix)
    return Aligned(found, start, agreement, overlap, centre_of(target.brain, target.scan))


def _is_good(result: Aligned, limits: Limits) -> bool:
    fits = result.dice is None or result.dice >= limits.dice
    return fits and result.agreement.sharpness >= limits.sharpness


def _complaint(target: Target, moving: Scan, best: Aligned) -> str:
    found, limit = f'sharpness {best.agreement.sharpness:.2f}', f'{target.limits.sharpness}'
    if best.dice is not None:
        found += f', Dice of the brain masks {best.dice:.2f}'
        limit += f' and {target.limits.dice}'
    return (
        f'{moving.path.name}: cannot be registered to {target.scan.path.name}: the best of all '
        f'starts has {found}; at least {limit} are needed'
    )
