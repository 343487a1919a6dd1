"""Zips that are kept as they are published, instead of the files that are in them."""

from collections.abc import Callable
from pathlib import Path

from mrrate_bids.archives import Member, Place
from mrrate_bids.catalog import Study
from mrrate_bids.errors import ArchiveError
from mrrate_bids.fetching.whole import check_zip, has_published
from mrrate_bids.naming import REPOSITORIES, FileKind, archive_path
from mrrate_bids.plan import Row
from mrrate_bids.receipts import Receipt
from mrrate_bids.sources import state_of

__all__ = ['ZIP', 'KeptZips', 'home_of_path']

ZIP = 'zip'
"""The kind of such a file; the naming table has no zips."""

_KINDS = {name: FileKind(ZIP, ZIP, name, 'each', '', '', '') for name in REPOSITORIES}


class KeptZips:
    """The zips in a release that is fetched.

    Parameters
    ----------
    root
        The folder that holds the repositories.
    home_of
        Tells the repository of a place.
    wanted
        Whether every zip is to be kept.
    """

    def __init__(self, root: Path, *, home_of: Callable[[Place], str], wanted: bool) -> None:
        self._root, self._home_of, self._wanted = root, home_of, wanted

    def places(self, study: Study, earlier: Receipt | None) -> list[Place]:
        """Return the places that are kept: all, or those that are here as zips.

        An earlier run put them here, or somebody else. One beside files of an earlier run is left
        alone.

        Raises
        ------
        ArchiveError
            When one that no receipt knows is not the published zip: readers would take it for
            that, whatever lies beside it.
        """
        if self._wanted and all(place.zipped for place in study.places):
            return study.places
        known = {output.path for output in earlier.outputs} if earlier else set()
        homes = set(map(home_of_path, known))

        def is_kept(place: Place) -> bool:
            target = self.target(study, place)
            path = self._root / target
            if target in known or not path.is_file():
                return path.is_file()
            return self._home_of(place) not in homes and self.may_stay(place, path)

        return [place for place in study.places if place.zipped and is_kept(place)]

    def target(self, study: Study, place: Place) -> str:
        """Return where a zip is kept, below the root."""
        return archive_path(self._home_of(place), study.batch, study.study)

    def row(self, study: Study, place: Place) -> Row:
        """Return what is to be done for a zip."""
        target = self.target(study, place)
        size = state_of(place.path)[0] or 0
        member = Member(place.path, target.rpartition('/')[2], size)
        return Row(_KINDS[self._home_of(place)], '', 'copy', member, target)

    def are_noted(self, study: Study, receipt: Receipt) -> bool:
        """Tell whether a receipt knows all that is to be kept; else it is here as files."""
        here = {output.path for output in receipt.outputs}
        return all(self.target(study, place) in here for place in self.places(study, receipt))

    def may_stay(self, place: Place, path: Path) -> bool:
        """Tell whether a zip that no receipt knows is the published one; else it is replaced.

        Raises
        ------
        ArchiveError
            When it is not, and it is sound, or zips are not wanted.
        """
        if has_published(place, path):
            return True
        what, remedy = 'is not the published zip', 'Move it elsewhere or remove it'
        try:
            check_zip(place._replace(path=path))
        except ArchiveError:
            if self._wanted:
                return False
            what, remedy = 'is damaged', 'Remove it, or add --whole-zips to have it replaced'
        raise ArchiveError(f'{path}: {what}', hint=f'{remedy}, then run the same command again.')


def home_of_path(path: str) -> str:
    """Return the repository that a file in the release belongs to.

    >>> home_of_path('MR-RATE/mri/batch00/A.zip')
    'MR-RATE'
    """
    return path.partition('/')[0]
