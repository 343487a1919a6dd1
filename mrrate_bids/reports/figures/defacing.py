"""A series before and after its face was taken away, in three planes."""

from typing import Any, NamedTuple

from numpy.typing import NDArray
from PIL import Image

from mrrate_bids.errors import ImageError
from mrrate_bids.reports.figures.canvas import Colour, Frame, paint
from mrrate_bids.reports.views import View, same_grid

__all__ = ['EDGE', 'Pair', 'draw_defacing']

EDGE: Colour = (255, 92, 92)


class Pair(NamedTuple):
    """Two pictures of one size; there is no second one where no defaced image was written."""

    before: Image.Image
    after: Image.Image | None


def draw_defacing(
    raw: View,
    defaced: View | None,
    keep: NDArray[Any] | None,
    *,
    brain: NDArray[Any] | None = None,
) -> Pair:
    """Draw three planes of a series with its face and without.

    Parameters
    ----------
    raw, defaced
        The series; both on one grid.
    keep
        The defacing mask, 1 what was kept; its edge is drawn before.
    brain
        Brain mask: what is bright in it becomes white.

    Raises
    ------
    ImageError
        When the two lie on different grids.
    """
    frame, window = Frame.of(raw, count=1), raw.window(brain)
    edge = [] if keep is None else [(frame.outline(keep), EDGE)]
    before = paint(frame.grey(raw, window), edge)
    if defaced is None:
        return Pair(before, None)
    if not same_grid(raw, defaced):
        raise ImageError('the defaced image does not lie on the grid of the raw one')
    return Pair(before, paint(frame.grey(defaced, window)))
