"""Whether a file that was fetched is still what came: by its size, or by every byte of it."""

from pathlib import Path

from mrrate_bids.archives import Place
from mrrate_bids.errors import ArchiveError
from mrrate_bids.fetching.whole import check_zip
from mrrate_bids.receipts import Output, is_unchanged

__all__ = ['Proof']


class Proof:
    """Tell of files that were fetched whether they are here.

    Parameters
    ----------
    root
        The folder that holds the repositories.
    reads
        Whether to read them; else a file counts that has its size.
    """

    def __init__(self, root: Path, *, reads: bool = False) -> None:
        self._root, self.reads = root, reads

    def has(self, output: Output, study: str) -> bool:
        """Tell whether a file of a study is here as it came."""
        path = self._root / output.path
        try:
            if not self.reads:
                return path.stat().st_size == output.size
            return self._is_sound(path, output, study)
        except OSError:
            return False

    def is_edited(self, output: Output) -> bool:
        """Tell whether a file is here, and is another one than came; it is read for that."""
        path = self._root / output.path
        try:
            return not is_unchanged(path, output)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # who cannot read it does not know

    def _is_sound(self, path: Path, output: Output, study: str) -> bool:
        """Read a file; a zip has no checksum in the receipt, but those of its files inside."""
        if not is_unchanged(path, output):
            return False
        if output.crc32 is None:
            try:
                check_zip(Place(path, study, True))
            except ArchiveError:
                return False
        return True
