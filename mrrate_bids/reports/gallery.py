"""What a report shows of a study: cards of pictures, notes of what could not be drawn."""

from dataclasses import dataclass, field
from typing import NamedTuple

from mrrate_bids.reports.figures.segmentation import Label
from mrrate_bids.reports.viewer import Stack

__all__ = ['Card', 'Gallery', 'Note', 'Picture']


class Picture(NamedTuple):
    """A picture of a page."""

    url: str
    alt: str
    width: int
    height: int
    label: str = ''
    """Written under it."""


class Card(NamedTuple):
    """What a page shows of one series: pictures side by side, or in turn."""

    section: str
    title: str
    pictures: tuple[Picture, ...]
    mode: str = 'plain'
    """``plain``, ``face`` (small, side by side) or ``flicker`` (in turn)."""

    caption: str = ''
    legend: tuple[Label, ...] = ()


class Note(NamedTuple):
    """A figure that could not be drawn."""

    title: str
    reason: str


@dataclass
class Gallery:
    """What was drawn of a study."""

    cards: list[Card] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    stacks: list[Stack] = field(default_factory=list)
    faces: list[str] = field(default_factory=list)
    """Names of what is shown and may have a face."""

    hidden: list[str] = field(default_factory=list)
    """Names of what is not shown, for it may have one."""
