"""A page on which the series of a study can be scrolled, with masks and segmentations.

The images stand in the page itself: a page that is opened from disk may not read files.
"""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from mrrate_bids.files import write_if_changed
from mrrate_bids.reports.facts import StudyFacts
from mrrate_bids.reports.figures.canvas import Frame
from mrrate_bids.reports.figures.segmentation import Label
from mrrate_bids.reports.pages import embed_json, link, load_template
from mrrate_bids.reports.views import View
from mrrate_bids.templates import read_text

__all__ = ['MOST_VOXELS', 'Stack', 'embed', 'write_viewer']

MOST_VOXELS = 4_800_000
"""Of all series of a page together: about 4 MB in the page."""

_GZIP = 31
"""Window of zlib that stands for a gzip file, without time and name."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A series with its overlays, packed for a page: NIfTI, gzip, base64."""

    name: str
    image: str
    mask: str = ''
    labels: str = ''
    legend: tuple[Label, ...] = ()
    is_defaced: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what the script of the page reads."""
        legend = sorted(self.legend)
        return {
            'image': self.image,
            'mask': self.mask,
            'labels': self.labels,
            'legend': {
                'R': [0, *(label.colour[0] for label in legend)],
                'G': [0, *(label.colour[1] for label in legend)],
                'B': [0, *(label.colour[2] for label in legend)],
                'A': [0, *(255 for _ in legend)],
                'I': [0, *(label.number for label in legend)],
                'labels': ['', *(label.name for label in legend)],
            },
        }


def embed(
    name: str,
    view: View,
    *,
    mask: NDArray[Any] | None = None,
    labels: NDArray[Any] | None = None,
    legend: Sequence[Label] = (),
    most: int = MOST_VOXELS,
    is_defaced: bool = False,
) -> Stack:
    """Pack a series: cropped to the head, 8 bits, coarser where it has too many voxels.

    Parameters
    ----------
    name
        What the page calls it.
    view, mask, labels
        The series, and what is laid over it, on its grid.
    legend
        Of the labels.
    most
        Voxels that it may have.
    is_defaced
        Whether the series is known to be without its face; else the page gives a warning.
    """
    box = Frame.of(view, brain=mask).box
    inside = tuple(slice(*edges) for edges in box)
    size = [high - low for low, high in box]
    steps = _steps(size, view.spacing.tolist(), most)
    affine = _coarser(view.affine, [low for low, _ in box], steps)
    grey = view.window().apply(_averaged(view.values[inside], steps))

    def overlay(values: NDArray[Any] | None, dtype: type) -> str:
        if values is None:
            return ''
        return _pack(_thinned(values[inside], steps).astype(dtype), affine)

    return Stack(
        name,
        _pack(grey, affine),
        overlay(mask, np.uint8),
        overlay(labels, np.int16),
        tuple(legend),
        is_defaced,
    )


def _steps(size: Sequence[int], spacing: Sequence[float], most: int) -> list[int]:
    """Return how many voxels become one along each axis, so that they end up nearly cubes."""
    steps = [1, 1, 1]
    while np.prod([n // step for n, step in zip(size, steps, strict=True)]) > most:
        widths = [mm * step for mm, step in zip(spacing, steps, strict=True)]
        steps[int(np.argmin(widths))] += 1
    return steps


def _coarser(
    affine: NDArray[np.float64], start: Sequence[int], steps: Sequence[int]
) -> NDArray[np.float64]:
    """Return the affine of a grid that starts elsewhere and whose voxels are several."""
    change = np.diag([*map(float, steps), 1.0])
    change[:3, 3] = [low + (step - 1) / 2 for low, step in zip(start, steps, strict=True)]
    return np.asarray(affine @ change)


def _averaged(values: NDArray[Any], steps: Sequence[int]) -> NDArray[Any]:
    if max(steps) == 1:
        return values
    blocks = _blocks(values, steps)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))


def _thinned(values: NDArray[Any], steps: Sequence[int]) -> NDArray[Any]:
    a, b, c = (step // 2 for step in steps)
    return np.asarray(_blocks(values, steps)[:, a, :, b, :, c])


def _blocks(values: NDArray[Any], steps: Sequence[int]) -> NDArray[Any]:
    counts = [n // step for n, step in zip(values.shape, steps, strict=True)]
    whole = values[tuple(slice(n * step) for n, step in zip(counts, steps, strict=True))]
    shape = [part for pair in zip(counts, steps, strict=True) for part in pair]
    return whole.reshape(shape)


def _pack(values: NDArray[Any], affine: NDArray[np.float64]) -> str:
    image = nib.Nifti1Image(np.asfortranarray(values), affine)
    packer = zlib.compressobj(level=3, wbits=_GZIP)
    data = packer.compress(image.to_bytes()) + packer.flush()
    return base64.b64encode(data).decode('ascii')


def write_viewer(
    facts: StudyFacts, stacks: Sequence[Stack], target: Path, *, script: Path, page: Path
) -> None:
    """Write the page.

    Parameters
    ----------
    facts, stacks
        The study, and its series.
    target
        The page to write.
    script, page
        The script of NiiVue, and the report; both are linked.

    Raises
    ------
    DestinationError
        When *target* cannot be written.
    """
    text = load_template('report_viewer.html').render(
        facts=facts,
        stacks=stacks,
        faces=[stack.name for stack in stacks if not stack.is_defaced],
        data=embed_json([stack.to_dict() for stack in stacks]),
        css=Markup(read_text('report.css')),  # noqa: S704  (our own)
        code=Markup(read_text('report_viewer.js')),  # noqa: S704
        script=link(script, target.parent),
        page=link(page, target.parent),
    )
    write_if_changed(target, text)
