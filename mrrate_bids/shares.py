"""Splits: patients are shared among train, val and test, so that no patient is in two of them.

>>> shares = Shares.parse('50,25,25')
>>> list(shares.deal(4, {'train': 0, 'val': 0, 'test': 0}))
['train', 'val', 'test', 'train']
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mrrate_bids.errors import SelectionError

__all__ = ['SPLIT_NAMES', 'Shares']

SPLIT_NAMES = ('train', 'val', 'test')


@dataclass(frozen=True, slots=True)
class Shares:
    """The percentage of the patients in each split."""

    train: float = 90
    val: float = 4
    test: float = 6

    @classmethod
    def parse(cls, text: str) -> 'Shares':
        """Read ``TRAIN,VAL,TEST``.

        Raises
        ------
        SelectionError
            When these are not three percentages that sum to 100.
        """
        try:
            parts = [float(part) for part in text.split(',')]
        except ValueError:
            parts = []
        good = len(parts) == 3 and min(parts, default=-1) >= 0
        if not good or abs(sum(parts) - 100) > 1e-9:
            raise SelectionError(
                f'--split: {text!r} are not three percentages that sum to 100',
                hint='Write TRAIN,VAL,TEST: 90,4,6.',
            )
        return cls(*parts)

    def deal(self, count: int, known: Mapping[str, int]) -> Iterator[str]:
        """Yield a split for each of *count* patients: the one that lacks most.

        Parameters
        ----------
        count
            How many patients to share.
        known
            How many patients each split has already.
        """
        sizes = {name: known.get(name, 0) for name in SPLIT_NAMES}
        shares = dict(zip(SPLIT_NAMES, (self.train, self.val, self.test), strict=True))
        for _ in range(count):
            total = sum(sizes.values()) + 1
            split = max(SPLIT_NAMES, key=lambda name: shares[name] * total / 100 - sizes[name])
            sizes[split] += 1
            yield split
