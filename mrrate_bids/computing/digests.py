"""What tells files with other content from the same file in another place."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from mrrate_bids.digests import digest_of

__all__ = ['Digests', 'Stamps', 'stamps_of']

Stamps = tuple[tuple[str, int, int], ...]
"""Path, bytes, and nanoseconds of the last change of each file."""


class Digests:
    """SHA-256 of files, each read once by this object."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, ...], str] = {}

    def of(self, files: Iterable[Path]) -> str:
        """Return one digest of the content of *files*, in their order; empty where there are none.

        Weights of 120 MB take a tenth of a second, and are asked for with every result.
        """
        paths = tuple(files)
        if paths not in self._known:
            self._known[paths] = _digest(paths) if paths else ''
        return self._known[paths]


def _digest(paths: tuple[Path, ...]) -> str:
    whole = hashlib.sha256()
    for path in paths:
        whole.update(bytes.fromhex(digest_of(path)))
    return whole.hexdigest()


def stamps_of(files: Iterable[Path]) -> Stamps:
    """Return what changes when one of *files* is replaced; no content is read."""
    states = [(str(path), path.stat()) for path in files]
    return tuple((path, state.st_size, state.st_mtime_ns) for path, state in states)
