"""Two images that should lie on each other, one after the other at one place.

The page shows them in turn: what is not aligned jumps.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mrrate_bids.errors import ImageError
from mrrate_bids.reports.figures.canvas import Colour, Frame, paint
from mrrate_bids.reports.figures.contours import CONTOUR
from mrrate_bids.reports.views import View, same_grid

__all__ = ['EDGES', 'Fixed', 'find_edges']

EDGES: Colour = (84, 214, 255)

_SMOOTH = 1.5
"""Of the edges of a template, in pixels."""

_STEEP = 73
"""Percentile of the slopes above which there is an edge."""


class Fixed:
    """An image that others were brought to; it is looked at once.

    Parameters
    ----------
    view
        The image.
    brain
        Mask on its grid; its outline is drawn on both pictures. ``None`` if there is none.
    edges
        Whether edges inside the image are drawn on the moving one, as of a template.
    frame
        The planes; through *brain*, around the head if ``None``.
    """

    def __init__(
        self,
        view: View,
        brain: NDArray[Any] | None,
        *,
        edges: bool = False,
        frame: Frame | None = None,
    ) -> None:
        self.frame = frame or Frame.of(view, brain=brain)
        self._grid = View(np.broadcast_to(np.uint8(0), view.values.shape), view.affine)
        self._brain = brain
        grey = self.frame.grey(view, view.window(brain))
        self._layers: list[tuple[NDArray[np.bool_], Colour]] = []
        if edges:
            self._layers.append((find_edges(grey), EDGES))
        elif brain is not None:
            self._layers.append((self.frame.outline(brain), CONTOUR))
        self.picture = paint(grey, [] if edges else self._layers)

    def over(self, moving: View) -> Image.Image:
        """Return the picture of an image on the same grid.

        Raises
        ------
        ImageError
            When it lies on another one.
        """
        if not same_grid(self._grid, moving):
            raise ImageError('it does not lie on the grid of what it was registered to')
        grey = self.frame.grey(moving, moving.window(self._brain))
        return paint(grey, self._layers)


def find_edges(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the ridges of the slope of a picture, one or two pixels wide.

    Parameters
    ----------
    grey
        Two-dimensional, 0 to 255.
    """
    slope = ndimage.gaussian_gradient_magnitude(grey.astype(np.float32), _SMOOTH)
    inside = slope[slope > 1]
    if not inside.size:
        return np.zeros(grey.shape, dtype=bool)
    strong = slope > np.percentile(inside, _STEEP)
    ridge = np.zeros(grey.shape, dtype=bool)
    for axis in (0, 1):
        before, behind = np.roll(slope, 1, axis), np.roll(slope, -1, axis)
        ridge |= (slope > before) & (slope >= behind)
    return np.asarray(strong & ridge)
