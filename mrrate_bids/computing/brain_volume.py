"""Whether a mask can be that of a brain, by how much it holds."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.presets import least_brain_ml, most_brain_ml
from mrrate_bids.computing.scans import Scan, read_mask
from mrrate_bids.errors import QualityError

__all__ = ['judge_found', 'judge_given', 'read_brain', 'volume_ml']

_GIVE_ANOTHER = (
    'Give another mask (--derivatives), or leave it out and let the run find the brain.'
)


def volume_ml(mask: NDArray[Any], scan: Scan) -> float:
    """Return the volume of a mask on the grid of a scan, in millilitres."""
    return float(np.count_nonzero(mask)) * scan.voxel_volume


def judge_found(mask: NDArray[Any], scan: Scan) -> float:
    """Return the volume in mL of a brain mask that was computed for a scan.

    Raises
    ------
    QualityError
        When it is too small for the brain in a head, or too large for any; names the scan.
    """
    volume = volume_ml(mask, scan)
    if volume < least_brain_ml():
        raise QualityError(
            f'{scan.path.name}: its brain mask is {"empty" if not volume else "too small"} '
            f'({volume:.0f} mL, at least {least_brain_ml():.0f} mL for a head)',
            hint='Is it a spine or a phantom? Leave the image out (--bids-filter-file), or give '
            'a mask of your own (--derivatives).',
        )
    if volume > most_brain_ml():
        raise QualityError(
            f'{scan.path.name}: its brain mask is too large ({volume:.0f} mL, at most '
            f'{most_brain_ml():.0f} mL for a brain)',
            hint='Look at the image; give a mask of your own (--derivatives), or leave it out.',
        )
    return volume


def judge_given(mask: NDArray[Any], scan: Scan, *, name: str) -> float:
    """Return the volume in mL of a brain mask that the user gave, or that an earlier run left.

    Parameters
    ----------
    mask, scan
        The mask, and the scan on whose grid it lies.
    name
        Of its file, for the message: here it is the mask that is wrong.

    Raises
    ------
    QualityError
        By the same limits as for a mask that was computed.
    """
    volume = volume_ml(mask, scan)
    if volume < least_brain_ml():
        what = 'the mask is empty' if not volume else 'is too small for the brain in a head'
        limit = f'at least {least_brain_ml():.0f} mL'
    elif volume > most_brain_ml():
        what, limit = 'is too large for a brain', f'at most {most_brain_ml():.0f} mL'
    else:
        return volume
    raise QualityError(f'{name}: {what} ({volume:.0f} mL, {limit})', hint=_GIVE_ANOTHER)


def read_brain(path: Path, *, like: Scan) -> NDArray[np.uint8]:
    """Return the brain mask of a scan, which may come from anywhere.

    Raises
    ------
    ImageError
        When it is no mask, is empty, or lies on another grid.
    QualityError
        When it cannot be that of a brain.
    """
    mask: NDArray[np.uint8] = read_mask(path, like=like).values
    judge_given(mask, like, name=path.name)
    return mask
