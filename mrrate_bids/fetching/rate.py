"""How many bytes came, not more of them in a second than is allowed, and none after a stop."""

import threading
import time

from mrrate_bids.errors import OutageError

__all__ = ['Rate']


class Rate:
    """Count bytes for all threads, and let them wait where they would be too fast.

    Parameters
    ----------
    limit
        Bytes in a second, all threads together; 0 for no limit.
    """

    def __init__(self, limit: float = 0) -> None:
        self.moved = 0
        self._limit = limit
        self._due = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def take(self, count: int) -> None:
        """Count bytes that came; returns when the next ones may come.

        Raises
        ------
        OutageError
            When they may not come any more.
        """
        with self._lock:
            self.moved += count
            now = time.monotonic()
            self._due = max(now, self._due) + (count / self._limit if self._limit else 0)
            wait = self._due - now
        self.wait(wait)

    def wait(self, seconds: float) -> None:
        """Wait a while.

        Raises
        ------
        OutageError
            At once when nobody is to wait any more.
        """
        if self._stopped.wait(seconds):
            raise OutageError('stopped')

    @property
    def is_stopped(self) -> bool:
        """Whether nobody is to wait any more."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Let nobody wait any more, and no more bytes come."""
        self._stopped.set()
