"""A picture of a study: every series in three planes, with its brain mask and segmentation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from numpy.typing import NDArray

from mrrate_bids.errors import ImageError
from mrrate_bids.files import appear

__all__ = ['Panel', 'draw_study']

_INK, _PAPER, _CONTOUR = '#e8eaed', '#0d0f12', '#ff9f43'

# Sagittal, coronal, axial: the canonical axes across and up, the axis cut through, the edges.
_PLANES = (((1, 2), 0, 'PA'), ((0, 2), 1, 'LR'), ((0, 1), 2, 'LR'))


@dataclass(frozen=True)
class Panel:
    """A series of the picture.

    Parameters
    ----------
    label
        Its title, such as its BIDS name.
    image
        A 3-D NIfTI image.
    mask
        A mask on the same grid, drawn as a contour.
    segmentation
        Labels on the same grid, drawn in colours.
    """

    label: str
    image: Path
    mask: Path | None = None
    segmentation: Path | None = None


@dataclass(frozen=True)
class _Layers:
    """What a panel shows, in canonical orientation (RAS+), with its spacing in mm."""

    image: NDArray[np.floating[Any]]
    mask: NDArray[np.bool_]
    labels: NDArray[np.integer[Any]]
    spacing: NDArray[np.floating[Any]]


def draw_study(images: Sequence[Panel], out: Path, *, title: str) -> None:
    """Draw every panel as a row of three orthogonal planes and write the picture as PNG.

    All planes have the same scale in mm. Left is left: the planes are shown as seen from above
    and from behind.

    Parameters
    ----------
    images
        One panel per row.
    out
        The PNG file.
    title
        The heading.

    Raises
    ------
    ImageError
        When there is nothing to draw, an image cannot be read, or a mask has another grid.
    DestinationError
        When the folder of *out* cannot take the file.
    """
    if not images:
        raise ImageError(f'{out.name}: no image to draw')
    rows = [_load(panel) for panel in images]
    # The widest row and the tallest field of view give every plane the same millimetres.
    sizes = np.array([row.spacing * row.image.shape for row in rows])
    widths = [float(sizes[:, across].max()) for (across, _), _, _ in _PLANES]
    heights = [float(max(size[1], size[2])) for size in sizes]
    figure, grid = _page(widths, heights, title=title)
    for number, (panel, layers) in enumerate(zip(images, rows, strict=True)):
        axes = [figure.add_subplot(grid[number, column]) for column in range(3)]
        axes[0].set_title(panel.label, color=_INK, size=9, loc='left', pad=4)
        _draw_row(axes, layers, widths=widths, height=heights[number])
    with appear(out.absolute()) as draft:
        # Without the name of the software, the same study gives the same bytes.
        figure.savefig(draft, format='png', dpi=110, facecolor=_PAPER, metadata={'Software': None})


def _page(
    widths: Sequence[float], heights: Sequence[float], *, title: str
) -> tuple[Figure, GridSpec]:
    """Return a page with its heading, and its cells; *widths* and *heights* are in mm."""
    inch = 2.6 / max(heights)
    gaps = 0.34 * len(heights)
    height = sum(heights) * inch + gaps + 0.5
    figure = Figure(figsize=(sum(widths) * inch + 0.4, height), facecolor=_PAPER)
    grid = figure.add_gridspec(
        len(heights),
        3,
        width_ratios=widths,
        height_ratios=heights,
        left=0.01,
        right=0.99,
        bottom=0.1 / height,
        top=1 - 0.75 / height,
        wspace=0.02,
        hspace=gaps / (sum(heights) * inch),
    )
    figure.text(
        0.5, 1 - 0.24 / height, title, color=_INK, size=13, weight='bold', ha='center', va='center'
    )
    return figure, grid


def _load(panel: Panel) -> _Layers:
    """Read the files of *panel* and turn them to canonical orientation."""
    image, spacing = _read(panel.image)
    empty = np.zeros(image.shape, dtype=np.int32)
    overlays = []
    for path in (panel.mask, panel.segmentation):
        data = empty if path is None else _read(path)[0].astype(np.int32)
        if data.shape != image.shape:
            raise ImageError(f'{path}: its grid is not that of {panel.image.name}')
        overlays.append(data)
    return _Layers(image, overlays[0] > 0, overlays[1], spacing)


def _read(path: Path) -> tuple[NDArray[Any], NDArray[np.floating[Any]]]:
    """Return the data, canonical, and the spacing in mm of a 3-D image."""
    try:
        native = nib.Nifti1Image.from_filename(path)
        image = nib.as_closest_canonical(native)  # type: ignore[no-untyped-call]
        data = np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise ImageError(f'{path}: {error}') from error
    if data.ndim != 3:
        raise ImageError(f'{path}: {data.ndim} dimensions, not 3')
    return data, np.array(image.header.get_zooms()[:3], dtype=float)


def _draw_row(
    axes: Sequence[Axes], layers: _Layers, *, widths: Sequence[float], height: float
) -> None:
    """Draw the three planes through the middle of the brain, or else of the image."""
    found = np.argwhere(layers.mask)
    middle = found.mean(0) if len(found) else np.array(layers.image.shape) / 2
    signal = layers.image[layers.image > 0]
    bright = float(np.percentile(signal, 99)) if signal.size else 1.0
    for axis, ((across, up), through, edges), width in zip(axes, _PLANES, widths, strict=True):
        cut = int(middle[through])
        size = layers.spacing * layers.image.shape
        extent = (0.0, size[across], 0.0, size[up])
        axis.imshow(
            _slice(layers.image, through, cut),
            cmap='gray',
            vmin=0,
            vmax=bright,
            extent=extent,
            origin='lower',
            interpolation='bilinear',
        )
        _overlay(axis, _slice(layers.labels, through, cut), extent)
        _outline(axis, _slice(layers.mask, through, cut), extent)
        for text, x, side in ((edges[0], 0.02, 'left'), (edges[1], 0.98, 'right')):
            axis.text(
                x, 0.5, text, color=_INK, size=7, ha=side, va='center', transform=axis.transAxes
            )
        # The image sits in the middle of a cell that is the same for all rows.
        axis.set_xlim(size[across] / 2 - width / 2, size[across] / 2 + width / 2)
        axis.set_ylim(size[up] / 2 - height / 2, size[up] / 2 + height / 2)
        axis.set_aspect('equal')
        axis.set_axis_off()


def _slice(data: NDArray[Any], through: int, cut: int) -> NDArray[Any]:
    """Return a plane of a canonical volume with rows upwards."""
    return np.asarray(data.take(cut, axis=through).T)


def _overlay(axis: Axes, labels: NDArray[Any], extent: tuple[float, float, float, float]) -> None:
    """Colour the labels of a plane; neighbours in number get distant colours."""
    if not labels.any():
        return
    colours = colormaps['gist_rainbow']((labels * 0.618034) % 1)
    colours[..., 3] = np.where(labels > 0, 0.35, 0)
    axis.imshow(colours, extent=extent, origin='lower', interpolation='nearest')


def _outline(axis: Axes, mask: NDArray[Any], extent: tuple[float, float, float, float]) -> None:
    """Draw the border of a mask."""
    if mask.any() and not mask.all():
        axis.contour(
            mask.astype(float),
            levels=[0.5],
            colors=_CONTOUR,
            linewidths=0.8,
            extent=extent,
            origin='lower',
        )
