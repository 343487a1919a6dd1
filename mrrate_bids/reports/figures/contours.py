"""The outline of the brain mask on the planes of a series."""

from typing import Any

from numpy.typing import NDArray
from PIL import Image

from mrrate_bids.reports.figures.canvas import Colour, Frame, paint
from mrrate_bids.reports.views import View

__all__ = ['CONTOUR', 'draw_contours']

CONTOUR: Colour = (255, 159, 67)


def draw_contours(view: View, brain: NDArray[Any]) -> Image.Image:
    """Draw nine planes of a series with the outline of its brain mask.

    Parameters
    ----------
    view
        The series.
    brain
        The mask, on its grid.
    """
    frame = Frame.of(view, brain=brain)
    grey = frame.grey(view, view.window(brain))
    return paint(grey, [(frame.outline(brain), CONTOUR)])
