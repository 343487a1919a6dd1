"""A series with the images that its figures share, each read when it is first asked for."""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from numpy.typing import NDArray

from mrrate_bids.reports.facts import Result, SeriesFacts
from mrrate_bids.reports.figures.segmentation import Label, list_labels
from mrrate_bids.reports.views import View, read_labels, read_overlay, read_view
from mrrate_bids.templates import read_text

__all__ = ['SEGMENTATIONS', 'SeriesImages']

SEGMENTATIONS = ('nvseg-brain', 'nvseg-body', 'vista-seg')
_LABELS = 'nvsegctmr_labels.tsv'


@cache
def _label_names() -> dict[int, str]:
    rows = (line.split('\t') for line in read_text(_LABELS).splitlines()[1:])
    return {int(row[0]): row[1] for row in rows}


@dataclass(frozen=True)
class SeriesImages:
    """The images of a series.

    Reading one raises :exc:`~mrrate_bids.errors.ImageError` when it cannot be read, or lies on
    another grid than the series.
    """

    facts: SeriesFacts
    segmentation: Result | None = None
    """The one that is drawn, if any."""

    @cached_property
    def raw(self) -> View:
        """As it is in the dataset."""
        return read_view(self.facts.series.image)

    @cached_property
    def defaced(self) -> View | None:
        """Without its face, where that was taken away."""
        path = self.facts.path('defaced-image')
        return read_view(path) if path else None

    @property
    def shown(self) -> View:
        """As it may be published: without its face where that was taken away."""
        return self.raw if self.defaced is None else self.defaced

    @property
    def is_defaced(self) -> bool:
        """Whether what is shown is defaced."""
        return 'defaced-image' in self.facts.results

    @property
    def has_before(self) -> bool:
        """Whether there is an image with its face; one of a release is its own defaced image."""
        return self.facts.path('defaced-image') != self.facts.series.image

    @cached_property
    def mask(self) -> NDArray[Any] | None:
        """Its brain mask."""
        return self._overlay('brain-mask')

    @cached_property
    def keep(self) -> NDArray[Any] | None:
        """Its defacing mask."""
        return self._overlay('defacing-mask')

    @cached_property
    def labels(self) -> View | None:
        """Its segmentation."""
        found = self.segmentation
        return read_labels(found.path, like=self.shown) if found else None

    @cached_property
    def legend(self) -> tuple[Label, ...]:
        """The labels of its segmentation."""
        return tuple(list_labels(self.labels, _label_names())) if self.labels else ()

    def _overlay(self, kind: str) -> NDArray[Any] | None:
        path = self.facts.path(kind)
        return read_overlay(path, like=self.shown).values if path else None
