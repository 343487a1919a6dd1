"""What a result follows from, as receipts keep it."""

from pathlib import Path
from typing import NamedTuple

from mrrate_bids.receipts import signature

__all__ = ['Origin', 'sign_images']

_BETWEEN = '/'


class Origin(NamedTuple):
    """Digests of what a result follows from."""

    images: str
    options: str
    weights: str = ''
    """Of the networks behind it; empty without networks, or where their weights are not there."""

    given: str = ''
    """Of files that the user gave; empty without such files."""

    def __str__(self) -> str:
        return _BETWEEN.join(self)

    @classmethod
    def parse(cls, text: str) -> 'Origin':
        """Read what ``str`` wrote; an older form agrees with nothing."""
        parts = text.split(_BETWEEN)
        return cls(*parts) if len(parts) == len(cls._fields) else cls(parts[0], '')

    def agrees(self, other: 'Origin') -> bool:
        """Tell whether two results would be the same.

        A machine without the weights takes what one that has them computed.
        """
        known = {self.weights, other.weights} - {''}
        return len(known) < 2 and self._replace(weights='') == other._replace(weights='')


def sign_images(series: tuple[str, Path], centre: tuple[str, Path]) -> str:
    """Return a digest of name, size and time of an image and of the centre of its study.

    Parameters
    ----------
    series, centre
        Path in the dataset, and the file.

    Raises
    ------
    OSError
        When a file is not there.
    """
    stats = [path.stat() for _, path in (series, centre)]
    return signature(series[0], centre[0], [(one.st_size, one.st_mtime_ns) for one in stats])
