"""The way from a scan to the axes of HD-BET's network, and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.scans import Scan

__all__ = ['as_nnunet_reads', 'turn_back', 'turn_of']


def turn_of(scan: Scan, *, to_ras: bool) -> NDArray[np.float64]:
    """Return nibabel's orientation, (3, 2), that takes the voxels to the axes of the network."""
    import nibabel as nib  # noqa: PLC0415

    if to_ras:
        return np.asarray(nib.io_orientation(scan.affine))
    return np.array([[0.0, 1], [1, 1], [2, 1]])


def as_nnunet_reads(
    scan: Scan, turn: NDArray[np.float64]
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return the voxels, (1, z, y, x), and their spacing in mm in the same order."""
    from nibabel.orientations import apply_orientation  # noqa: PLC0415

    values = apply_orientation(scan.values.astype(np.float32), turn)
    spacing = _spacing(scan)[np.argsort(turn[:, 0])]
    return np.ascontiguousarray(values.T)[None], {'spacing': spacing[::-1].tolist()}


def _spacing(scan: Scan) -> NDArray[np.float64]:
    """Return the spacing along i, j, k in mm, to the last bit as ITK has it.

    The last bit decides whether 45 voxels of 0.9 mm become 40 or 41 of 1 mm, and ITK takes the
    spacing of the header.
    """
    stored = np.array(scan.image.header.get_zooms()[:3], np.float64)
    return stored if np.allclose(stored, scan.spacing, rtol=1e-4, atol=0) else scan.spacing


def turn_back(mask: NDArray[np.bool_], turn: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a mask on the axes of the scan that :func:`turn_of` was asked of."""
    from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform  # noqa: PLC0415

    return np.asarray(apply_orientation(mask, ornt_transform(axcodes2ornt('RAS'), turn)))
