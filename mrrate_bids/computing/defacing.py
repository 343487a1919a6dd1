"""The face of a series, taken away by Quickshear from its brain mask."""

from pathlib import Path
from typing import Any

import numpy as np

from mrrate_bids.computing.quickshear import deface, shear
from mrrate_bids.computing.scans import read_mask, read_scan, write_like
from mrrate_bids.errors import QualityError

__all__ = ['HEAD', 'deface_scan']

HEAD = 0.1
"""Of the 99th percentile: what is brighter belongs to the head, not to the air."""


def deface_scan(
    image: Path,
    mask: Path,
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
        The series and its brain mask.
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
        When a voxel of the brain would be lost, or nothing would be removed.
    """
    scan = read_scan(image)
    if given is None:
        brain = read_mask(mask, like=scan).values
        kept = shear(brain, scan.affine, buffer_mm=buffer_mm)
    else:
        kept = read_mask(given, like=scan).values
    if kept.all():
        raise QualityError(
            f'{scan.path.name}: defacing would remove nothing',
            hint='Look at its brain mask: does it hold more than the brain?',
        )
    write_like(scan, kept, keep)
    write_like(scan, deface(scan.values, kept), defaced)
    head = scan.values > HEAD * np.percentile(scan.values, 99)
    removed = float((kept[head] == 0).mean()) if head.any() else 0.0
    return {'HeadRemoved': round(removed, 4)}
