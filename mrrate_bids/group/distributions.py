"""How a measure is distributed over the scanners: one drawing for each modality.

The drawings are made here and not by a script in the page: they are small, need nothing that would
have to be loaded, and are sharp on paper.

Source: Tukey 1977, Exploratory Data Analysis (box plots: whiskers of 1.5 interquartile ranges).
"""

import base64
import io
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mrrate_bids.group.measures import Measure
from mrrate_bids.group.rows import Row

__all__ = ['Drawing', 'draw_distributions']

_SCANNERS = 12
"""Drawn on their own; the others are one group."""

_OTHERS = 'other scanners'
_LONGEST = 44
_WIDTH, _ROW, _TOP, _BOTTOM = 4.0, 0.34, 0.26, 0.28
"""Inches: a drawing fits on a phone without being made smaller."""

_PIXELS = 96
"""Of an inch, on a screen."""

_MOST_POINTS = 40
"""So many outliers are drawn of a box, the farthest."""

_STYLE: Any = {
    'font.family': 'sans-serif',
    'font.size': 8,
    'text.parse_math': False,  # a dollar is a dollar
    'svg.fonttype': 'none',  # text stays text: small, and sharp
    'svg.hashsalt': 'group',  # the same numbers give the same bytes
    'axes.spines.top': False,
    'axes.spines.left': False,
    'axes.spines.right': False,
}
_BOX = {'facecolor': '#c9dcf2', 'edgecolor': '#2b5c94', 'linewidth': 0.8}
_MEDIAN = {'color': '#173a61', 'linewidth': 1.6}
_LINE = {'color': '#2b5c94', 'linewidth': 0.8}
_POINT = {
    'marker': 'o',
    'markersize': 2.2,
    'markerfacecolor': '#b3261e',
    'markeredgewidth': 0,
    'alpha': 0.6,
}


class Drawing(NamedTuple):
    """A measure of a modality, scanner by scanner."""

    image: str
    """An SVG file as a ``data:`` address."""

    text: str
    """What it shows, in words."""

    width: int
    height: int
    """Pixels."""


def draw_distributions(rows: Sequence[Row], measure: Measure) -> Iterator[Drawing]:
    """Yield a drawing for each modality that has numbers of a measure."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if measure in row.numbers:
            found[row.suffix][str(row.scanner)].append(row.numbers[measure])
    for suffix, scanners in sorted(found.items()):
        groups, size = _largest(scanners), (_WIDTH, _height(len(scanners)))
        title = f'{suffix}, {measure.name}{f" in {measure.units}" if measure.units else ""}'
        svg = base64.b64encode(_draw(groups, title, size)).decode('ascii')
        text = _describe(title, scanners)
        width, height = (round(inches * _PIXELS) for inches in size)
        yield Drawing(f'data:image/svg+xml;base64,{svg}', text, width, height)


def _height(scanners: int) -> float:
    return _TOP + _ROW * min(scanners, _SCANNERS) + _BOTTOM


def _largest(scanners: dict[str, list[float]]) -> list[tuple[str, list[float]]]:
    """Return the scanners with the most numbers, and all others as one."""
    ordered = sorted(scanners.items(), key=lambda item: (-len(item[1]), item[0]))
    if len(ordered) <= _SCANNERS:
        return ordered
    rest = [value for _, values in ordered[_SCANNERS - 1 :] for value in values]
    return [*ordered[: _SCANNERS - 1], (_OTHERS, rest)]


def _describe(title: str, scanners: dict[str, list[float]]) -> str:
    values = [value for found in scanners.values() for value in found]
    low, middle, high = (f'{value:.4g}' for value in np.percentile(values, [25, 50, 75]))
    plural = '' if len(scanners) == 1 else 's'
    return (
        f'{title}: {len(values)} images of {len(scanners)} scanner{plural}, '
        f'median {middle}, half of them between {low} and {high}'
    )


def _draw(
    groups: Sequence[tuple[str, list[float]]], title: str, size: tuple[float, float]
) -> bytes:
    """Return an SVG file of a *size* in inches, with a box for each group."""
    from matplotlib import rc_context  # noqa: PLC0415  (slow)
    from matplotlib.figure import Figure  # noqa: PLC0415

    bottom, top = _BOTTOM / size[1], 1 - _TOP / size[1]
    with rc_context(_STYLE), io.BytesIO() as file, warnings.catch_warnings():
        # The font of the browser has the letters that the one which is measured with may lack.
        warnings.filterwarnings('ignore', 'Glyph', UserWarning)
        figure = Figure(figsize=size)
        axes = figure.add_axes((0.03, bottom, 0.94, top - bottom))
        axes.bxp([_box(values) for _, values in groups], **_looks(len(groups)))
        axes.set_title(title, loc='left', size=9, weight='bold')
        axes.set(yticks=[], ylim=(-len(groups) + 0.45, 0.85))
        axes.locator_params(axis='x', nbins=5)
        axes.grid(axis='x', color='#e3e3e3', linewidth=0.6)
        axes.set_axisbelow(True)
        for place, (name, values) in enumerate(groups):
            text = f'{_shorten(name)} ({len(values):,})'
            across = axes.get_yaxis_transform()
            axes.text(0, 0.3 - place, text, size=7.5, transform=across)
        figure.savefig(file, format='svg', metadata={'Date': None, 'Creator': None})
        return file.getvalue()


def _looks(count: int) -> dict[str, Any]:
    return {
        'positions': [-place for place in range(count)],
        'widths': 0.34,
        'orientation': 'horizontal',
        'patch_artist': True,
        'boxprops': _BOX,
        'medianprops': _MEDIAN,
        'whiskerprops': _LINE,
        'capprops': _LINE,
        'flierprops': _POINT,
        'manage_ticks': False,
    }


def _box(values: list[float]) -> dict[str, Any]:
    """Return the numbers of a box plot, with few of its outliers."""
    from matplotlib.cbook import boxplot_stats  # noqa: PLC0415  (slow)

    (box,) = boxplot_stats(values)
    points = sorted(box['fliers'], key=lambda value: -abs(value - box['med']))
    return {**box, 'fliers': points[:_MOST_POINTS]}


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST else f'{name[: _LONGEST - 1]}…'
