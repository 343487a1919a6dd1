"""One T1w of a session as fMRIPrep and sMRIPrep take it over: N4, RAS, with its brain mask."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.ants_session import Session
from mrrate_bids.computing.brain_volume import read_brain
from mrrate_bids.computing.registration import correct_bias
from mrrate_bids.computing.scans import Scan, read_scan, write_like, write_mask

__all__ = ['make_reference']


def make_reference(
    image: Path, mask: Path, *, preproc: Path, brain: Path, session: Session
) -> None:
    """Write the centre without shading and its brain mask, both on one RAS grid.

    The voxels are not interpolated: axes are turned and flipped to the nearest of right, anterior,
    superior.

    Raises
    ------
    ImageError
        When image or mask are unusable.
    QualityError
        When the mask cannot be that of a brain.
    """
    scan = read_scan(image)
    inside = read_brain(mask, like=scan)
    corrected = correct_bias(scan, mask=inside, session=session)
    write_like(*_turned(scan, corrected), preproc)
    write_mask(*_turned(scan, inside), brain)


def _turned(scan: Scan, values: NDArray[Any]) -> tuple[Scan, NDArray[Any]]:
    """Return the grid with the axes of RAS, and the voxels on it."""
    turned = nib.as_closest_canonical(nib.Nifti1Image(values, scan.affine))
    return scan._replace(affine=turned.affine), np.asarray(turned.dataobj)
