"""The face of a series, taken away by Quickshear from its brain mask."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.brain_volume import read_brain
from mrrate_bids.computing.defacing_masks import head_removed, read_keep
from mrrate_bids.computing.quickshear import deface, shear
from mrrate_bids.computing.scans import Scan, read_scan, write_like, write_mask
from mrrate_bids.errors import ImageError, QualityError

__all__ = ['deface_scan']


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
    kept = _shear(scan, mask, buffer_mm) if given is None else read_keep(given, scan)
    write_mask(scan, kept, keep)
    write_like(scan, deface(scan.values, kept), defaced)
    return {'HeadRemoved': round(head_removed(kept, scan), 4)}


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
