"""What the header of an image says of its grid, and whether it can stand in a release.

Sources: the NIfTI-1 definition, "3D image orientation and location in space" and "MRI-specific
spatial and temporal information" (dim_info); BIDS 1.10.1, "Imaging files".
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mrrate_bids.errors import ImageError
from mrrate_bids.images import nibabel_header, peek_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ['FREE_TEXTS', 'Volume', 'plane_of', 'read_volume', 'same_voxels']

FREE_TEXTS = ('descrip', 'aux_file', 'db_name', 'intent_name')
"""Fields of a header that hold whatever a converter writes: names, paths, times."""

_REPAIR = 'Convert the image again, or leave it out.'
_COLOURS = {128: 'RGB', 2304: 'RGBA'}
_COMPLEX = {32, 1792, 2048}
_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
"""Of a voxel, by code of the data types with one number; float128 depends on the machine."""

_GZIP, _NAMED = b'\x1f\x8b', 0b11100
_APART = 1.0
"""Where sform and qform may put the corners of a volume, in mm: the three numbers of a quaternion,
in float32, leave half a millimetre of doubt on a tilted grid."""

_OFF = 0.01
"""Of a voxel, by which numbers of a header may miss."""

_UNITS = {1: 'metres', 3: 'micrometres'}
"""Of space, by their code in xyzt_units; a release has mm."""

_DOMINANT = 0.9
"""Least direction cosine of the slice axis that names a plane; 25.8 degrees off is oblique."""

_COARSE = 1.5


class Volume(NamedTuple):
    """The grid of an image with one volume."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    """In mm."""

    affine: 'NDArray[Any]'
    """4x4, from voxel indices to RAS mm."""

    plane: str
    """``axi``, ``sag``, ``cor`` or ``obl``."""

    dtype: str
    """The data type as numpy calls it."""

    scaled: bool
    """Whether stored values are multiplied or shifted."""

    squeeze: bool
    """Whether there are further axes, of length one."""

    texts: bool = False
    """Whether the header of NIfTI or of gzip has free texts, file names or extensions, which may
    name a person or a time."""

    swapped: bool = False
    """Whether the high byte of a number comes first; that of a release is the last."""

    @property
    def fov(self) -> tuple[float, float, float]:
        """The field of view along each axis in mm."""
        i, j, k = (n * s for n, s in zip(self.shape, self.spacing, strict=True))
        return i, j, k


def read_volume(path: Path, *, name: str = '') -> Volume:
    """Read the grid of the image at *path* from its header.

    Parameters
    ----------
    path
        A NIfTI file, packed or not.
    name
        What to call it in messages; it ends as *path* does.

    Raises
    ------
    ImageError
        When it is empty, truncated, not NIfTI, has more than one volume or another data type
        than one number per voxel, or does not say where in space it lies.
    """
    import numpy as np  # noqa: PLC0415  (slow)

    name = name or str(path)
    try:
        header = nibabel_header(peek_file(path, name=name))
    except OSError as error:
        raise ImageError(f'{name}: cannot be read ({error.strerror})', hint=_REPAIR) from error
    shape = _shape(header, name)
    _refuse_values(header, name)
    if unit := _UNITS.get(int(header['xyzt_units']) & 0b111):
        raise ImageError(f'{name}: is measured in {unit}, not in mm', hint=_REPAIR)
    spacing = [float(size) for size in header['pixdim'][1:4]]
    if not all(np.isfinite(spacing)) or min(spacing) <= 0:
        raise ImageError(f'{name}: the voxel size makes no sense ({spacing})', hint=_REPAIR)
    affine = _affine(header, shape, name)
    slope, intercept = float(header['scl_slope']), float(header['scl_inter'])
    scaled = bool(np.isfinite(slope) and slope != 0 and (slope, intercept) != (1.0, 0.0))
    slice_axis = header.get_dim_info()[2]
    return Volume(
        shape,
        (spacing[0], spacing[1], spacing[2]),
        affine,
        plane_of(affine, slice_axis=slice_axis),
        header.get_data_dtype().name,
        scaled,
        len(header.get_data_shape()) > 3,
        _has_texts(header) or _is_named_inside(path),
        header.endianness != '<',
    )


def _is_named_inside(path: Path) -> bool:
    """Tell whether the header of gzip holds a file name, a comment or more (RFC 1952, FLG)."""
    with path.open('rb') as file:
        start = file.read(4)
    return start[:2] == _GZIP and bool(start[3] & _NAMED)


def _has_texts(header: Any) -> bool:
    texts = (name for name in FREE_TEXTS if name in header.keys())  # noqa: SIM118  (no mapping)
    extended = int(header['vox_offset']) > header.single_vox_offset
    return extended or any(bytes(header[name].tobytes()).strip(b'\0 ') for name in texts)


def _shape(header: Any, name: str) -> tuple[int, int, int]:
    shape = tuple(int(n) for n in header.get_data_shape())
    if len(shape) < 3 or max(shape[3:], default=1) > 1:
        count = 'x'.join(map(str, shape))
        what = f'{len(shape)}-D ({count})'
        raise ImageError(f'{name}: is {what}, a series is one volume', hint=_REPAIR)
    return shape[0], shape[1], shape[2]


def _refuse_values(header: Any, name: str) -> None:
    code = int(header['datatype'])
    if code in _COLOURS:
        raise ImageError(f'{name}: holds colours ({_COLOURS[code]})', hint=_REPAIR)
    if code in _COMPLEX:
        raise ImageError(f'{name}: holds complex numbers', hint=_REPAIR)
    if code not in _BITS:
        raise ImageError(f'{name}: is of a data type that is not known ({code})', hint=_REPAIR)
    if (bits := int(header['bitpix'])) != _BITS[code]:
        message = f'{name}: data type and bits of a voxel disagree ({code}, {bits})'
        raise ImageError(message, hint=_REPAIR)


def _affine(header: Any, shape: tuple[int, int, int], name: str) -> 'NDArray[Any]':
    import numpy as np  # noqa: PLC0415

    try:
        sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    except ValueError as error:
        reason = f'{name}: the qform is no rotation ({error})'
        raise ImageError(reason, hint=_REPAIR) from error
    if sform is None and qform is None:
        raise ImageError(f'{name}: has no orientation (sform and qform codes are 0)', hint=_REPAIR)
    if sform is not None and qform is not None:
        ends = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1])).reshape(4, -1)
        apart = float(np.linalg.norm(((sform - qform) @ ends)[:3], axis=0).max())
        if not apart <= _APART:
            message = f'{name}: sform and qform disagree by {apart:.1f} mm'
            raise ImageError(message, hint='Correct the header: one of the two is wrong.')
    affine = qform if sform is None else sform
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise ImageError(f'{name}: the affine is singular', hint=_REPAIR)
    return np.asarray(affine, dtype=float)


def same_voxels(one: Volume, other: Volume) -> bool:
    """Tell whether two grids have the same voxels, in whatever order and direction of the axes."""
    import numpy as np  # noqa: PLC0415

    between = np.linalg.inv(other.affine) @ one.affine
    steps, last = between[:3, :3], [n - 1 for n in one.shape]
    ends = np.sort(between[:3] @ np.array([[0, 0, 0, 1], [*last, 1]]).T, axis=1)
    expected = np.array([(0, n - 1) for n in other.shape])
    return bool(max(abs(steps - np.rint(steps)).max(), abs(ends - expected).max()) < _OFF)


def plane_of(affine: 'NDArray[Any]', *, slice_axis: int | None = None) -> str:
    """Return the acquisition plane of a grid.

    Parameters
    ----------
    affine
        4x4, from voxel indices to RAS mm.
    slice_axis
        The voxel axis across slices. Where it is not known it is the one with by far the largest
        spacing, else the third, as converters from DICOM have it.

    >>> import numpy as np
    >>> plane_of(np.diag([1, 1, 5, 1])), plane_of(np.diag([5, 1, 1, 1]))
    ('axi', 'sag')
    """
    import numpy as np  # noqa: PLC0415

    axes = np.asarray(affine, dtype=float)[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if slice_axis is None:
        coarsest = int(lengths.argmax())
        others = np.delete(lengths, coarsest)
        slice_axis = coarsest if lengths[coarsest] >= _COARSE * others.max() else 2
    normal = abs(axes[:, slice_axis] / lengths[slice_axis])
    if normal.max() < _DOMINANT:
        return 'obl'
    return ('sag', 'cor', 'axi')[int(normal.argmax())]
