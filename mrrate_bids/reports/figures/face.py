"""The surface of a head, shaded: what somebody would see who renders a published image.

On every line of sight the first voxel of the head is looked for; the slope of these depths and a
light give the shade (Lambert's cosine law). This needs no mesh and no graphics library.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mrrate_bids.reports.figures.canvas import Frame, paint
from mrrate_bids.reports.views import View

__all__ = ['draw_face']

_MM = 2.0
"""Of the grid on which the surface is looked for."""

_EVEN = 0.03
"""Stretching by less is not seen."""

_SMOOTH = 0.6
"""Of noise, in voxels of that grid."""

_ZOOM = 2
"""Pixels for each of its voxels."""

_TURN = 40.0
"""Degrees of the second view, from the front to the left of the person."""

_LIGHT = np.array([-0.4, 0.45, 1.0])
"""Direction to the light: left, above, in front of the picture."""

_AMBIENT = 0.08
_SKY = 24
"""Grey behind the head."""


def draw_face(view: View, level: float) -> Image.Image:
    """Draw a head from the front and half from its left.

    Parameters
    ----------
    view
        The series, with its face or without.
    level
        The value at its surface: that of the image with its face, also after defacing
        (:func:`mrrate_bids.reports.views.signal_level`).
    """
    head = _even(view)
    head = np.where(_largest(head > level), head, 0)
    pictures = [_shade(turned, level) for turned in (head, _turn(head))]
    return paint(_beside(pictures))


def _even(view: View) -> NDArray[np.float32]:
    """Return the head on a coarse grid with equal spacing along all axes, with air around it."""
    inside = tuple(slice(*edges) for edges in Frame.of(view).box)
    steps = np.maximum(1, np.floor(_MM / view.spacing + 1e-3)).astype(int)
    cropped = view.values[inside]
    even = cropped[tuple(slice(None, None, step) for step in steps)].astype(np.float32)
    for axis, width in enumerate(view.spacing * steps):
        even = _stretch(even, axis, float(width) / _MM)
    return np.pad(ndimage.gaussian_filter(even, _SMOOTH, truncate=2), 2)


def _stretch(values: NDArray[np.float32], axis: int, factor: float) -> NDArray[np.float32]:
    """Return more voxels along an axis, interpolated linearly; none where it is nearly even."""
    count = values.shape[axis]
    if abs(factor - 1) < _EVEN:
        return values
    at = np.linspace(0, count - 1, max(2, round(count * factor)), dtype=np.float32)
    low = np.minimum(at.astype(int), count - 2)
    part = (at - low).reshape([-1 if axis == number else 1 for number in range(3)])
    before, behind = values.take(low, axis), values.take(low + 1, axis)
    return np.asarray(before + (behind - before) * part)


def _largest(head: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected part: noise in the air is none of the head."""
    labels, count = ndimage.label(head)
    if not count:
        return head
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def _turn(head: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the head turned about the axis from bottom to top, interpolated linearly.

    All slices turn alike, so that the places to look at are found once.
    """
    wide, deep = head.shape[:2]
    size = int(np.ceil(np.hypot(wide, deep)))
    angle = np.deg2rad(_TURN)
    x, y = np.mgrid[:size, :size] - (size - 1) / 2
    x, y = (
        np.cos(angle) * x - np.sin(angle) * y + (wide - 1) / 2,
        np.sin(angle) * x + np.cos(angle) * y + (deep - 1) / 2,
    )
    inside = (x >= 0) & (x < wide - 1) & (y >= 0) & (y < deep - 1)
    x, y = x[inside], y[inside]
    i, j = x.astype(int), y.astype(int)
    a, b = ((part % 1).astype(np.float32)[:, None] for part in (x, y))
    turned = np.zeros((size, size, head.shape[2]), dtype=np.float32)
    left = head[i, j] + (head[i, j + 1] - head[i, j]) * b
    right = head[i + 1, j] + (head[i + 1, j + 1] - head[i + 1, j]) * b
    turned[inside] = left + (right - left) * a
    return turned


def _shade(head: NDArray[np.float32], level: float) -> NDArray[np.uint8]:
    """Return the picture of a head from the front, rows downwards.

    As seen by somebody who faces it, its left is on the right.
    """
    lines = head[::-1, ::-1]  # from the front backwards; the person's right first
    depth, hit = _first(lines.transpose(1, 0, 2), level)
    if not hit.any():
        return np.full(_upright(hit).shape, _SKY, dtype=np.uint8).repeat(_ZOOM, 0).repeat(_ZOOM, 1)
    depth = np.where(hit, depth, depth[hit].max())
    depth = ndimage.gaussian_filter(depth, 0.8)
    right, up = np.gradient(depth)
    normals = np.stack([right, up, np.ones_like(depth)], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    light = np.clip(normals @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
    shade = 235 * (_AMBIENT + (1 - _AMBIENT) * light)
    return _enlarge(_upright(np.where(hit, shade, _SKY)))


def _first(lines: NDArray[np.float32], level: float) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return where the first axis crosses a level, in voxels, and where it does at all."""
    above = lines > level
    hit, at = above.any(axis=0), above.argmax(axis=0)
    before = np.maximum(at - 1, 0)
    behind = np.take_along_axis(lines, at[None], axis=0)[0]
    ahead = np.take_along_axis(lines, before[None], axis=0)[0]
    rise = np.maximum(behind - ahead, 1e-6)
    return at - np.clip((behind - level) / rise, 0, 1), np.asarray(hit)


def _upright(picture: NDArray[Any]) -> NDArray[Any]:
    return picture.T[::-1]


def _enlarge(picture: NDArray[Any]) -> NDArray[np.uint8]:
    grey = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    size = grey.width * _ZOOM, grey.height * _ZOOM
    return np.asarray(grey.resize(size, Image.Resampling.BICUBIC))


def _beside(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return pictures of one height side by side, without the empty columns."""
    cropped = [picture[:, _used(picture)] for picture in pictures]
    return np.concatenate(cropped, axis=1)


def _used(picture: NDArray[np.uint8]) -> slice:
    columns = np.flatnonzero((picture != _SKY).any(axis=0))
    if not columns.size:
        return slice(None)
    return slice(max(0, columns[0] - 12), columns[-1] + 13)
