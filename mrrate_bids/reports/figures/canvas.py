"""A canvas of planes: three through every axis, cropped to the head, all at one scale.

Left is left: planes are shown as seen from above and from behind.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mrrate_bids.files import appear
from mrrate_bids.reports.views import View, Window, signal_level

__all__ = ['Colour', 'Frame', 'outline', 'paint', 'save']

Colour = tuple[int, int, int]

_MM = 1.0
"""Of a pixel."""

_GREYS = 64
"""Levels: twice as many cannot be told apart on a screen and double the file."""

_MARGIN_MM = 6.0
_FINE = 96
"""More voxels along an axis than are needed to find the head."""

_GAP = 4
"""Pixels between two planes."""

# Sagittal, coronal, axial: the axes across and up, and the axis cut through.
_PLANES = ((1, 2, 0), (0, 2, 1), (0, 1, 2))

Box = tuple[tuple[int, int], ...]
Change = Callable[[NDArray[Any]], NDArray[Any]]


def _as_mask(values: NDArray[Any]) -> NDArray[Any]:
    return (values > 0).astype(np.uint8)


def _as_labels(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.int32)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the planes of a grid lie: whatever is drawn in one frame can be laid upon another.

    Parameters
    ----------
    shape, spacing
        Of the grid, canonical; spacing in mm.
    box
        First and last voxel, exclusive, along each axis.
    cuts
        Voxel of each plane, along each axis.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    box: Box
    cuts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, view: View, *, brain: NDArray[Any] | None = None, count: int = 3) -> 'Frame':
        """Return the frame around the head, with *count* planes of each direction.

        Parameters
        ----------
        view
            The image.
        brain
            A mask on its grid: the planes go through it, else through the head.
        count
            Planes of each direction, evenly spaced.
        """
        head = _bounds(view.values, above=signal_level(view))
        inner = head if brain is None else _bounds(brain, above=0)
        spacing, shape = view.spacing, view.values.shape
        margin = np.ceil(_MARGIN_MM / spacing).astype(int)
        box = tuple(
            (max(0, min(h[0], i[0]) - m), min(size, max(h[1], i[1]) + m))
            for h, i, m, size in zip(head, inner, margin, shape, strict=True)
        )
        parts = [(number + 1) / (count + 1) for number in range(count)]
        cuts = tuple(tuple(int(low + (high - low) * p) for p in parts) for low, high in inner)
        return cls(shape, tuple(spacing.tolist()), box, cuts)

    def grey(self, view: View, window: Window) -> NDArray[np.uint8]:
        """Return the planes of an image in grey, 0 to 255."""
        return self._draw(view.values, Image.Resampling.BILINEAR, first=window.apply)

    def outline(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return the outline of a mask on the planes."""
        return self._draw(values, Image.Resampling.NEAREST, first=_as_mask, then=outline) > 0

    def labels(self, values: NDArray[Any]) -> NDArray[np.int32]:
        """Return the planes of labels."""
        return self._draw(values, Image.Resampling.NEAREST, first=_as_labels)

    def _draw(
        self,
        values: NDArray[Any],
        how: Image.Resampling,
        *,
        first: Change,
        then: Change = np.asarray,
    ) -> NDArray[Any]:
        """Return the planes on one canvas, changed before and after they get their size."""
        tiles = [
            [then(self._tile(first, values, plane, cut, how)) for cut in self.cuts[plane[2]]]
            for plane in _PLANES
        ]
        rows = [[column[number] for column in tiles] for number in range(len(tiles[0]))]
        height = max(tile.shape[0] for tile in rows[0])
        widths = [tile.shape[1] for tile in rows[0]]
        size = len(rows) * (height + _GAP) - _GAP, sum(widths) + 2 * _GAP
        canvas = np.zeros(size, dtype=tiles[0][0].dtype)
        for number, row in enumerate(rows):
            left = 0
            for tile, width in zip(row, widths, strict=True):
                top = number * (height + _GAP) + (height - tile.shape[0]) // 2
                canvas[top : top + tile.shape[0], left : left + width] = tile
                left += width + _GAP
        return canvas

    def _tile(
        self,
        first: Change,
        values: NDArray[Any],
        plane: tuple[int, int, int],
        cut: int,
        how: Image.Resampling,
    ) -> NDArray[Any]:
        """Return a plane, cropped, rows downwards."""
        across, up, through = plane
        inside = [slice(*edges) for edges in self.box]
        where: list[Any] = list(inside)
        where[through] = cut
        flat = np.ascontiguousarray(first(values[tuple(where)].T[::-1]))
        size = [
            max(1, round((self.box[axis][1] - self.box[axis][0]) * self.spacing[axis] / _MM))
            for axis in (across, up)
        ]
        return np.asarray(Image.fromarray(flat).resize((size[0], size[1]), how))


def _bounds(values: NDArray[Any], *, above: float) -> Box:
    """Return the first and the last voxel along each axis where there is something.

    Single bright voxels in the air are none of the head: a plane counts when a 200th of the
    largest number of such voxels in a plane lies in it. Every other voxel is enough to tell.
    """
    steps = [2 if size > _FINE else 1 for size in values.shape]
    inside = values[tuple(slice(None, None, step) for step in steps)] > above
    counts = [np.count_nonzero(inside, axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    found = [np.flatnonzero(count > count.max() / 200) for count in counts]
    if not all(line.size for line in found):
        return tuple((0, size) for size in values.shape)
    return tuple(
        (int(line[0]) * step, min(size, (int(line[-1]) + 1) * step))
        for line, step, size in zip(found, steps, values.shape, strict=True)
    )


def outline(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the pixels of a mask that touch its outside; the border of the picture is none.

    >>> outline(np.array([[0, 1, 1, 1]])).astype(int)
    array([[0, 1, 0, 0]])
    """
    padded = np.pad(mask > 0, 1, mode='edge')
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return (mask > 0) & ~inner


def paint(
    grey: NDArray[np.uint8], layers: Sequence[tuple[NDArray[np.bool_], Colour]] = ()
) -> Image.Image:
    """Return a picture of few colours: grey, with layers in one colour each, the last on top."""
    index = (grey.astype(np.uint16) * _GREYS // 256).astype(np.uint8)
    ramp = np.linspace(0, 255, _GREYS).astype(np.uint8)
    palette = np.repeat(ramp, 3).tolist()
    for number, (mask, colour) in enumerate(layers):
        index[mask] = _GREYS + number
        palette += colour
    picture = Image.fromarray(index)
    picture.putpalette(palette)
    return picture


def save(picture: Image.Image, target: Path) -> None:
    """Write a picture as PNG; the same picture gives the same bytes.

    Raises
    ------
    DestinationError
        When *target* cannot be written.
    """
    with appear(target, keep_equal=True) as draft:
        picture.save(draft, format='png', compress_level=6)
