"""Rigid transforms as ITK writes them, read as matrices.

A ``.mat`` is a MATLAB 4 file with the twelve parameters of an ``AffineTransform`` (matrix by rows,
then translation; float or double, as ANTs computed) and its fixed centre; it maps points of the
fixed image to points of the moving one, in LPS mm. Matrices here map RAS mm to RAS mm.

Source: ITK Software Guide, "MatrixOffsetTransformBase".
"""

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import io
from scipy.io.matlab import MatReadError, matfile_version
from scipy.spatial.transform import Rotation

from mrrate_bids.errors import DataError

__all__ = [
    'about',
    'angle_of',
    'read_rigid',
    'read_transform',
    'rigid_about',
    'shift_of',
    'write_transform',
]

Matrix = NDArray[np.float64]

_TOLERANCE = 1e-3
"""By how much a rigid transform may change lengths, for what float32 rounds."""

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_AGAIN = 'Compute it again, or leave it out.'
_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    StopIteration,
    MemoryError,
    MatReadError,
    NotImplementedError,
    zlib.error,
)
_NAMES = ('AffineTransform_float_3_3', 'AffineTransform_double_3_3')


def read_transform(path: Path) -> Matrix:
    """Return the 4x4 matrix of a ``.mat``, from fixed to moving points in RAS mm.

    Raises
    ------
    DataError
        When the file is no linear transform of ITK.
    """
    try:
        if matfile_version(path)[0]:
            raise MatReadError('a MATLAB file, but not of version 4')
        content = io.loadmat(path)
        name = next(name for name in _NAMES if name in content)
        parameters = content[name].ravel().astype(float)
        centre = content['fixed'].ravel().astype(float)
        linear, shift = parameters[:9].reshape(3, 3), parameters[9:].reshape(3)
        shift = shift + centre.reshape(3) - linear @ centre
    except _UNREADABLE as error:
        raise DataError(
            f'{path.name}: is no linear transform of ITK ({error})', hint=_AGAIN
        ) from error
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, shift
    if not np.isfinite(matrix).all():
        raise DataError(
            f'{path.name}: is no linear transform of ITK (NaN or infinity)', hint=_AGAIN
        )
    return np.asarray(_LPS @ matrix @ _LPS)


def read_rigid(path: Path) -> Matrix:
    """Return the 4x4 matrix of a ``.mat`` that turns and shifts, and does nothing else.

    Raises
    ------
    DataError
        When the file is no linear transform of ITK, or one that mirrors, scales or shears.
    """
    matrix = read_transform(path)
    stretch = float(abs(np.linalg.svd(matrix[:3, :3], compute_uv=False) - 1).max())
    if stretch > _TOLERANCE:
        raise DataError(
            f'{path.name}: is no rigid transform, it changes lengths by {stretch:.1%}', hint=_AGAIN
        )
    if np.linalg.det(matrix[:3, :3]) < 0:
        raise DataError(f'{path.name}: is no rigid transform, it mirrors', hint=_AGAIN)
    return matrix


def write_transform(path: Path, matrix: Matrix) -> None:
    """Write a 4x4 matrix, from fixed to moving points in RAS mm, as a ``.mat`` of ITK."""
    lps = _LPS @ matrix @ _LPS
    parameters = np.concatenate([lps[:3, :3].ravel(), lps[:3, 3]])[:, None]
    io.savemat(path, {_NAMES[-1]: parameters, 'fixed': np.zeros((3, 1))}, format='4')


def rigid_about(
    centre: NDArray[np.float64], degrees: tuple[float, float, float], shift: NDArray[np.float64]
) -> Matrix:
    """Return the matrix that turns about *centre* (x, then y, then z), and then shifts by mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler('xyz', degrees, degrees=True).as_matrix()
    matrix = about(centre, matrix)
    matrix[:3, 3] += shift
    return matrix


def about(centre: NDArray[np.float64], matrix: Matrix) -> Matrix:
    """Return *matrix* as it acts with its origin moved to *centre*."""
    there, back = np.eye(4), np.eye(4)
    there[:3, 3], back[:3, 3] = centre, -np.asarray(centre)
    return np.asarray(there @ matrix @ back)


def angle_of(matrix: Matrix) -> float:
    """Return the angle in degrees by which a rigid matrix turns.

    >>> round(angle_of(rigid_about(np.zeros(3), (0, 0, 12), np.zeros(3))), 6)
    12.0
    """
    return float(np.degrees(Rotation.from_matrix(matrix[:3, :3]).magnitude()))


def shift_of(matrix: Matrix, centre: NDArray[np.float64]) -> float:
    """Return how far in mm a matrix moves the point *centre*."""
    moved = matrix[:3, :3] @ centre + matrix[:3, 3]
    return float(np.linalg.norm(moved - centre))
