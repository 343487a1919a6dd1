"""How many bytes came, and not more of them in a second than is allowed."""

import threading
import time

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

    def take(self, count: int) -> None:
        """Count bytes that came; returns when the next ones may come."""
        with self._lock:
            self.moved += count
            if not self._limit:
                return
            now = time.monotonic()
            self._due = max(now, self._due) + count / self._limit
            wait = self._due - now
        time.sleep(wait)
