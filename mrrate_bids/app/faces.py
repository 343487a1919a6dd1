"""Whose face is taken away, and which studies are set aside because theirs would be shown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mrrate_bids.app.study import Series, Study
from mrrate_bids.descriptions import is_exported
from mrrate_bids.errors import TableError
from mrrate_bids.faces import MARKS
from mrrate_bids.inheritance import Sidecars
from mrrate_bids.naming import COMPUTED, KINDS
from mrrate_bids.problems import Problem
from mrrate_bids.sidecars import VERBATIM

__all__ = ['MASKED', 'MASKS', 'Faces']

MASKED = KINDS['defacing-mask'].dataset
"""The dataset of defacing masks and defaced images."""

MASKS = frozenset({'defacing-mask', 'defaced-image'})
"""A series that has one of them is defaced."""

_SHOWING = {'coreg', 'atlas', COMPUTED['anatref-image'].include}
"""Steps whose images show the head."""

_DEFACE = 'Add deface to --steps, or run --steps mask,deface for it first, with the same options.'
_NOTICE = Problem(
    'warning',
    'no image is defaced and --steps has no deface: what is computed shows faces',
    'Add deface to --steps; or go on, if the images were defaced before.',
)


@dataclass(frozen=True)
class Faces:
    """Which series of a dataset are known to be without a face.

    Parameters
    ----------
    bids
        The raw dataset.
    steps
        What is computed.
    masked
        Where masks of other studies lie: the user takes faces away if there is one.
    """

    bids: Path
    steps: Sequence[str]
    masked: Sequence[Path] = ()

    @cached_property
    def _sidecars(self) -> Sidecars | None:
        return Sidecars(self.bids) if is_exported(self.bids) else None

    def is_released(self, inside: str) -> bool:
        """Tell whether an image, by its path, was exported from a release, which has no faces."""
        if self._sidecars is None:
            return False
        try:
            return VERBATIM in self._sidecars.read(inside)
        except TableError:
            return False

    def go(self, study: Study) -> bool:
        """Tell whether faces of a study are taken away, now or by masks that are there."""
        return 'deface' in self.steps or any(MASKS & set(one.given) for one in study.series)

    def guard(self, studies: list[Study]) -> Iterator[Problem]:
        """Set studies aside whose results would show a face while others are defaced.

        Where nothing is defaced, the user may have other reasons to share faces, or none to fear:
        it is said once.

        Parameters
        ----------
        studies
            Those that are set aside are removed.
        """
        if 'deface' in self.steps or not _SHOWING & set(self.steps):
            return
        bare = {study.label: found for study in studies if (found := self._bare(study))}
        if not bare:
            return
        if not self._takes_faces_away(studies):
            yield _NOTICE
            return
        for study in [one for one in studies if one.label in bare]:
            studies.remove(study)
            yield _refuse(study, bare[study.label])

    def _bare(self, study: Study) -> list[Series]:
        """Return the series that show a face, as far as anybody knows."""
        shown = study.series if {'coreg', 'atlas'} & set(self.steps) else (study.centre,)
        return [s for s in shown if not MASKS & set(s.given) and not self.is_released(s.inside)]

    def _takes_faces_away(self, studies: Sequence[Study]) -> bool:
        if any(MASKS & set(one.given) for study in studies for one in study.series):
            return True
        patterns = [f'sub-*/**/*{mark}*' for mark in MARKS]
        files = (p for root in self.masked for name in patterns for p in root.glob(name))
        return next(files, None) is not None


def _refuse(study: Study, bare: Sequence[Series]) -> Problem:
    more = f' and {len(bare) - 1} more' if len(bare) > 1 else ''
    text = f'{bare[0].inside}{more}: not defaced with these options, as other images are'
    text += '; results would show the face, and are not computed'
    return Problem('error', text, _DEFACE, study=study.label, file=bare[0].inside)
