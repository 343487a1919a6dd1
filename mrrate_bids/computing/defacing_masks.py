"""What a defacing mask keeps (1) and takes away (0) of a head, and whether it can be one."""

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
from mrrate_bids.computing.scans import (
    Scan,
    read_mask,
    read_scan,
    read_whole,
    same_space,
    write_mask,
)
from mrrate_bids.errors import ImageError, QualityError

__all__ = ['CHANGED', 'HEAD', 'check_defacing', 'derive_defacing', 'head_removed', 'read_keep']

HEAD = 0.1
"""Of the 99th percentile: what is brighter belongs to the head, not to the air."""

_GIVE_ANOTHER = (
    'Give another defacing mask (--derivatives), or leave it out and let the run make one.'
)
_ANOTHER_IMAGE = (
    'Give a defaced image whose other voxels are those of the raw one (--derivatives), or leave '
    'it out and let the run make one.'
)
_MEANING = f'In a defacing mask 1 is kept, and 0 is removed. {_GIVE_ANOTHER}'

CHANGED = 1e-3
"""Of the 99th percentile: what differs by more was changed, and not rounded."""


def head_removed(kept: NDArray[np.uint8], scan: Scan) -> float:
    """Return the part of the voxels of a head that a defacing mask takes away."""
    head = scan.values > HEAD * np.percentile(scan.values, 99)
    return float((kept[head] == 0).mean()) if head.any() else 0.0


def read_keep(path: Path, scan: Scan) -> NDArray[np.uint8]:
    """Return a defacing mask that exists; of it no more is known than that a brain is kept.

    Raises
    ------
    ImageError
        When it cannot be read, or lies on another grid than *scan*.
    QualityError
        When it takes nothing away, or leaves less than a brain.
    """
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
    inside = read_brain(brain, like=scan)
    if faceless:
        kept: NDArray[np.uint8] = read_mask(given, like=scan).values
        _refuse_cut(kept, inside, name=given.name, hint=_MEANING)
    else:
        _judge(read_keep(given, scan), scan, inside, name=given.name, hint=_MEANING)


def derive_defacing(image: Path, defaced: Path, *, brain: Path, keep: Path) -> dict[str, Any]:
    """Write the defacing mask that a defaced image of the user tells: what it changed is removed.

    Background that was 0 before counts as kept.

    Parameters
    ----------
    image, defaced
        The raw series, and the same without its face, by whatever tool.
    brain
        The brain mask of the series.
    keep
        Where the mask goes: uint8 on the grid of the series.

    Raises
    ------
    ImageError
        When one of them is unusable, or lies on another grid.
    QualityError
        When the brain was changed, too, or the face is still there.
    """
    scan, other = read_scan(image), read_whole(defaced)
    if not same_space(other, scan):
        raise ImageError(
            f'{defaced.name}: does not lie on the grid of {image.name}', hint=_ANOTHER_IMAGE
        )
    apart = abs(other.values.astype(np.float64) - scan.values)
    kept = (apart <= CHANGED * np.percentile(scan.values, 99)).astype(np.uint8)
    inside = read_brain(brain, like=scan)
    removed = _judge(kept, scan, inside, name=defaced.name, hint=_ANOTHER_IMAGE)
    write_mask(scan, kept, keep)
    return {'HeadRemoved': round(removed, 4)}


def _judge(
    kept: NDArray[np.uint8], scan: Scan, brain: NDArray[np.uint8], *, name: str, hint: str
) -> float:
    """Return the part of the head that goes; refuse what cuts the brain or leaves the face.

    Messages begin with *name*.
    """
    _refuse_cut(kept, brain, name=name, hint=hint)
    removed, least = head_removed(kept, scan), least_head_removed()
    if removed < least:
        raise QualityError(
            f'{name}: takes away {removed:.2%} of the head (at least {least:.1%}), and the face '
            'stays',
            hint=hint,
        )
    return removed


def _refuse_cut(
    kept: NDArray[np.uint8], brain: NDArray[np.uint8], *, name: str, hint: str
) -> None:
    cut, most = 1 - float(kept[brain > 0].mean()), 1 - least_brain_kept()
    if cut > most:
        raise QualityError(
            f'{name}: takes away {cut:.1%} of the brain (at most {most:.0%})', hint=hint
        )
