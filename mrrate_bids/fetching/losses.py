"""How many requests in a row came to nothing: one may be bad luck, many are an outage.

>>> losses = Losses(most=2)
>>> losses.lose('GET'), losses.win('GET'), losses.lose('GET'), losses.lose('GET')
(False, None, False, True)
"""

import threading
from collections import Counter

__all__ = ['BYTES', 'FACTS', 'Losses']

BYTES, FACTS = 'GET', 'HEAD'
"""What is asked for: the bytes of a file, or its size and tag."""

_MOST = 8


class Losses:
    """Count requests that came to nothing, for all threads.

    Parameters
    ----------
    most
        So many in a row, and nothing can be had any more.
    """

    def __init__(self, *, most: int = _MOST) -> None:
        self._most = most
        self._counts = Counter[str]()
        self._lock = threading.Lock()

    def win(self, what: str) -> None:
        """Begin anew; that a server tells sizes does not mean that it delivers."""
        with self._lock:
            if what == BYTES:
                self._counts.clear()
            else:
                self._counts[what] = 0

    def lose(self, what: str) -> bool:
        """Count a request in vain; tell whether there were too many."""
        with self._lock:
            self._counts[what] += 1
            return self._counts[what] >= self._most
