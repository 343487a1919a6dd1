"""A segmentation over the planes of a series, and the legend of its labels."""

import colorsys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mrrate_bids.reports.figures.canvas import Colour, Frame
from mrrate_bids.reports.views import View

__all__ = ['Label', 'colour_of', 'draw_segmentation', 'list_labels']

_OPACITY = 0.5
_GOLDEN = 0.618034
"""Neighbours in number get distant hues."""


class Label(NamedTuple):
    """A label that a segmentation holds."""

    number: int
    name: str
    volume_ml: float
    colour: Colour

    @property
    def hex(self) -> str:
        """The colour as CSS has it."""
        return '#{:02x}{:02x}{:02x}'.format(*self.colour)


def colour_of(index: int) -> Colour:
    """Return the colour of a label; the same in every report.

    >>> colour_of(1) == colour_of(1) != colour_of(2)
    True
    """
    bright = 1.0 if index % 2 else 0.85
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.8, bright)
    return round(red * 255), round(green * 255), round(blue * 255)


def list_labels(labels: View, names: Mapping[int, str]) -> list[Label]:
    """Return the labels of a segmentation, the largest first.

    Parameters
    ----------
    labels
        Whole numbers from 0, which is background.
    names
        By number.
    """
    numbers, counts = np.unique(labels.values.astype(np.int32), return_counts=True)
    voxel = float(abs(np.linalg.det(labels.affine[:3, :3]))) / 1000
    found = [
        Label(index, names.get(index, f'label {index}'), count * voxel, colour_of(index))
        for index, count in zip(numbers.tolist(), counts.tolist(), strict=True)
        if index
    ]
    return sorted(found, key=lambda label: -label.volume_ml)


def draw_segmentation(view: View, labels: NDArray[Any]) -> Image.Image:
    """Draw nine planes of a series with its labels in colours.

    Parameters
    ----------
    view
        The series.
    labels
        Whole numbers on its grid; 0 is left as it is.
    """
    frame = Frame.of(view, brain=labels if labels.any() else None)
    grey = frame.grey(view, view.window(labels)) & np.uint8(0xFC)  # packs better
    drawn = frame.labels(labels)
    colours = np.array([(0, 0, 0), *map(colour_of, range(1, int(drawn.max(initial=0)) + 1))])
    picture = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    inside = drawn > 0
    picture[inside] *= 1 - _OPACITY
    picture[inside] += _OPACITY * colours[drawn[inside]]
    return Image.fromarray(picture.astype(np.uint8))
