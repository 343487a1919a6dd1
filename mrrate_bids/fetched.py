"""What was asked for when a release was fetched: a folder may hold a part of it on purpose.

Receipts of :mod:`mrrate_bids.fetching` lie in a hidden folder of the release. Who reads the
release learns from them that a file which is not here was not forgotten.
"""

from pathlib import Path

from mrrate_bids.receipts import Output, Receipts

__all__ = ['HOME', 'LOCK', 'UNFINISHED', 'Part', 'find_part']

HOME = '.mrrate-bids/fetch'
"""Where facts about what was fetched live inside a release."""

UNFINISHED = f'{HOME}/unfinished'
"""Where a run notes that it has begun; the note goes when it has looked at every study."""

LOCK = '.lock'
"""In there; held while something is written that several parts of a fetch write."""


class Part:
    """A release that was fetched, as a rule in part.

    Parameters
    ----------
    root
        The folder that holds the repositories.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.unfinished = sorted((root / UNFINISHED).glob('*.json'))
        """The notes of runs that have not come to their end."""

        self._receipts = Receipts(root, root / HOME)

    def asked(self, batch: str, study: str, *, here: bool) -> frozenset[tuple[str, str]] | None:
        """Return the pairs of series and group that were asked for of a study.

        Nothing was asked for of a study without receipt; one that is *here* all the same came
        from elsewhere, and there is no telling.
        """
        return self.look(batch, study, here=here)[0]

    def look(
        self, batch: str, study: str, *, here: bool
    ) -> tuple[frozenset[tuple[str, str]] | None, dict[Path, Output]]:
        """Return what was asked for of a study, and its files by where they were put."""
        receipt = self._receipts.load(batch, study)
        if receipt is None:
            return (None if here else frozenset()), {}
        outputs = {self._root / output.path: output for output in receipt.outputs}
        return frozenset(receipt.wished), outputs


def find_part(root: Path) -> Part | None:
    """Return the part of a release that *root*, or a repository of it at *root*, is."""
    for folder in (root, root.absolute().parent):
        if (folder / HOME).is_dir():
            return Part(folder)
    return None
