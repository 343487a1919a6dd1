"""A study as the graphs see it: the images of one session, one of them the centre."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mrrate_bids.naming import COMPUTED, KINDS, FileKind, derived_name, study_stem

__all__ = ['Series', 'Study', 'kind_of', 'node_name']


def kind_of(name: str) -> FileKind:
    """Return a file kind, of a release or computed only, by its name."""
    return KINDS[name] if name in KINDS else COMPUTED[name]


def node_name(text: str) -> str:
    """Return a text as the name of a node or graph may be."""
    return re.sub('[^A-Za-z0-9]', '_', text)


@dataclass(frozen=True, slots=True)
class Series:
    """An image of a study.

    Parameters
    ----------
    image
        The raw image.
    inside
        Its path relative to the dataset.
    given
        Results that exist already, by file kind.
    handed
        The kinds among them that the user gave; an earlier run made the others.
    carried
        Whether the brain mask among them was carried over from the centre.
    """

    image: Path
    inside: str
    given: Mapping[str, Path] = field(default_factory=dict)
    handed: frozenset[str] = frozenset()
    carried: bool = False

    @property
    def folder(self) -> str:
        """The folder inside the dataset."""
        return self.inside.rpartition('/')[0]

    @property
    def stem(self) -> str:
        """The name without suffix and extension."""
        return self.image.name.partition('.')[0].rpartition('_')[0]

    @property
    def suffix(self) -> str:
        """The BIDS suffix."""
        return self.image.name.partition('.')[0].rpartition('_')[2]

    @property
    def key(self) -> str:
        """A name for nodes: the entities that tell it from its siblings, and the suffix."""
        parts = [p for p in self.stem.split('_') if not p.startswith(('sub-', 'ses-'))]
        return node_name('_'.join([*parts, self.suffix]))


@dataclass(frozen=True, slots=True)
class Study:
    """A session of a subject."""

    subject: str
    """``sub-01``"""

    session: str
    """``ses-1``; empty where the dataset has no sessions."""

    series: tuple[Series, ...]
    centre: Series

    @property
    def label(self) -> str:
        """Its folder in the dataset."""
        return f'{self.subject}/{self.session}' if self.session else self.subject

    @property
    def key(self) -> str:
        """A name for its graph."""
        return node_name(self.label)

    @property
    def moving(self) -> tuple[Series, ...]:
        """All series but the centre."""
        return tuple(one for one in self.series if one is not self.centre)

    def has(self, series: Series, kind: FileKind) -> bool:
        """Tell whether a series has files of a kind."""
        return kind.belongs_to(centre=series.inside == self.centre.inside)

    def path(self, series: Series, kind: FileKind) -> str:
        """Return where a result of a series goes, relative to its dataset."""
        if kind.scope == 'session':
            name = derived_name(kind, study_stem(self.label), series.suffix)
            return f'{self.label}/anat/{name}'
        return f'{series.folder}/{derived_name(kind, series.stem, series.suffix)}'
