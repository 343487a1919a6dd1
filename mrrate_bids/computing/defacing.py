"""The face of a series, taken away by Quickshear from its brain mask."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.brain_volume import read_brain, volume_ml
from mrrate_bids.computing.presets import (
    least_brain_kept,
    least_brain_ml,
    least_head_removed,
)
from mrrate_bids.computing.quickshear import deface, shear
from mrrate_bids.computing.scans import Scan, read_mask, read_scan, write_like
from mrrate_bids.errors import ImageError, QualityError

__all__ = ['HEAD', 'check_defacing', 'deface_scan']

HEAD = 0.1
"""Of the 99th percentile: what is brighter belongs to the head, not to the air."""

_GIVE_ANOTHER = (
    'Give another defacing mask (--derivatives), or leave it out and let the run make one.'
)
_MEANING = f'In a defacing mask 1 is kept, and 0 is removed. {_GIVE_ANOTHER}'


def deface_scan(
    image: Path,
    mask: Path | None,
    *,
    keep: Path,
    defaced: Path,
    buffer_mm: float,
    given: Path | None = None,
) -> dict[str, Any]:
    """Write the defacing mask (1 kept, 0 removed) and the image without its face.

    Parameters
    ----------
    image, mask
        The series and its brain mask, which may be left out where a defacing mask is given.
    keep, defaced
        Where the results go; both lie on the grid of the image.
    buffer_mm
        Between the brain and the plane.
    given
        A defacing mask that exists already and is only applied.

    Raises
    ------
    ImageError
        When image or mask are unusable.
    QualityError
        When a voxel of the brain would be lost, nothing would be removed, or a mask cannot be what
        it should be.
    """
    scan = read_scan(image)
    kept = _shear(scan, mask, buffer_mm) if given is None else _read_given(given, scan)
    write_like(scan, kept, keep)
    write_like(scan, deface(scan.values, kept), defaced)
    return {'HeadRemoved': round(_head_removed(kept, scan), 4)}


def _head_removed(kept: NDArray[np.uint8], scan: Scan) -> float:
    """Return the part of the voxels of a head that a defacing mask takes away."""
    head = scan.values > HEAD * np.percentile(scan.values, 99)
    return float((kept[head] == 0).mean()) if head.any() else 0.0


def _shear(scan: Scan, mask: Path | None, buffer_mm: float) -> NDArray[np.uint8]:
    """Return what is kept of a head: the mask of the planes around its brain."""
    if mask is None:
        raise ImageError(f'{scan.path.name}: has neither brain mask nor defacing mask')
    kept = shear(read_brain(mask, like=scan), scan.affine, buffer_mm=buffer_mm)
    if kept.all():
        raise QualityError(
            f'{scan.path.name}: defacing would remove nothing',
            hint='Look at its brain mask: does it hold more than the brain?',
        )
    return kept


def _read_given(path: Path, scan: Scan) -> NDArray[np.uint8]:
    """Return a defacing mask that exists; of it no more is known than that a brain is kept."""
    kept: NDArray[np.uint8] = read_mask(path, like=scan).values
    volume = volume_ml(kept, scan)
    if kept.all():
        raise QualityError(f'{path.name}: keeps every voxel, and no face goes', hint=_GIVE_ANOTHER)
    if volume < least_brain_ml():
        raise QualityError(
            f'{path.name}: keeps less than a brain ({volume:.0f} mL, at least '
            f'{least_brain_ml():.0f} mL)',
            hint=_MEANING,
        )
    return kept


def check_defacing(given: Path, image: Path, *, brain: Path, faceless: bool = False) -> None:
    """Make sure that a defacing mask of the user takes a face away and leaves the brain.

    Parameters
    ----------
    given
        The defacing mask.
    image, brain
        The series and its brain mask.
    faceless
        Whether the mask was applied to the image before: nothing is left to be taken away.

    Raises
    ------
    ImageError
        When one of them is unusable, or lies on another grid.
    QualityError
        When the mask cuts the brain or leaves the face.
    """
    scan = read_scan(image)
    if faceless:
        kept: NDArray[np.uint8] = read_mask(given, like=scan).values
    else:
        kept = _read_given(given, scan)
    judge_defacing(kept, scan, read_brain(brain, like=scan), name=given.name, faceless=faceless)


def judge_defacing(
    kept: NDArray[np.uint8],
    scan: Scan,
    brain: NDArray[np.uint8],
    *,
    name: str,
    faceless: bool = False,
) -> None:
    """Refuse what cannot be a defacing mask, by what it leaves of brain and head.

    Raises
    ------
    QualityError
        When it cuts the brain or leaves the face; begins with *name*.
    """
    cut, least = 1 - float(kept[brain > 0].mean()), least_brain_kept()
    if cut > 1 - least:
        raise QualityError(
            f'{name}: takes away {cut:.1%} of the brain (at most {1 - least:.0%})', hint=_MEANING
        )
    removed, least = _head_removed(kept, scan), least_head_removed()
    if removed < least and not faceless:
        raise QualityError(
            f'{name}: takes away {removed:.2%} of the head (at least {least:.0%}), and the face '
            'stays',
            hint=_MEANING,
        )
