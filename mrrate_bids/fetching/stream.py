"""Bytes of a file one after the other, whatever happens to the connections on the way."""

import random
import time
from collections.abc import Callable

from mrrate_bids.errors import NetworkError, OutageError
from mrrate_bids.fetching.client import Answer, CutError

__all__ = ['NoRangesError', 'Patience', 'Stream']

_ENOUGH = 1 << 20
"""Bytes after which a server has shown that it delivers."""


class NoRangesError(Exception):
    """The server sends whole files only."""


class Patience:
    """Wait before a request is made again, longer each time, and give up in the end.

    Parameters
    ----------
    name
        What is read.
    tries
        How often to try without getting on.
    pause
        Seconds before the second try.
    wait
        Waits so many seconds, or raises when nobody is to wait any more.
    give_up
        Told of a file that is given up; tells whether nothing can be had any more.
    """

    def __init__(
        self,
        name: str,
        *,
        tries: int = 6,
        pause: float = 0.5,
        wait: Callable[[float], None] = time.sleep,
        give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._name, self._tries, self._pause = name, tries, pause
        self._wait, self._give_up = wait, give_up
        self._failed, self._gained = 0, 0

    def gain(self, count: int) -> None:
        """Count bytes that came; enough of them, and what went wrong is forgotten."""
        self._gained += count
        if self._gained >= _ENOUGH:
            self._failed = self._gained = 0

    def lose(self, error: Exception) -> None:
        """Wait for the next try.

        Raises
        ------
        NetworkError
            When there is none.
        OutageError
            When there was none for many files in a row.
        """
        self._failed += 1
        if self._failed >= self._tries:
            kind = OutageError if self._give_up() else NetworkError
            raise kind(f'{self._name}: {error}, {self._failed} times') from error
        wait = self._pause * 2 ** (self._failed - 1)
        self._wait(min(30.0, wait) * random.uniform(0.5, 1))  # noqa: S311  (spreads the load)


class Stream:
    """The bytes from *start* up to *stop* of a file.

    Parameters
    ----------
    ask
        Asks the server for bytes from a position up to another.
    start, stop
        Which bytes.
    patience
        How often to ask again.
    """

    def __init__(
        self, ask: Callable[[int, int], Answer], start: int, stop: int, patience: Patience
    ) -> None:
        self.at, self.stop = start, stop
        self._ask, self._patience = ask, patience
        self._answer: Answer | None = None

    def read(self, count: int) -> bytes:
        """Return the next bytes, *count* or fewer; none at the end.

        Raises
        ------
        NoRangesError
            When the server sends all of the file instead of a part.
        NetworkError
            When it does not deliver.
        """
        count = min(count, self.stop - self.at)
        while count > 0:
            try:
                data = self._next(count)
            except CutError as error:
                self.close()
                self._patience.lose(error)
            else:
                self.at += len(data)
                self._patience.gain(len(data))
                return data
        return b''

    def _next(self, count: int) -> bytes:
        data = self._running().read(count)
        if not data:
            raise CutError(f'the server sent {self.stop - self.at:,} bytes too few')
        return data

    def skip(self, count: int) -> None:
        """Read some bytes in vain."""
        while count > 0:
            count -= len(self.read(count))

    def close(self) -> None:
        """Let go of the connection."""
        if self._answer:
            self._answer.close()
        self._answer = None

    def _running(self) -> Answer:
        if self._answer is None:
            answer = self._ask(self.at, self.stop)
            if answer.whole and not (self.at == 0 and answer.size == self.stop):
                answer.close()
                raise NoRangesError
            self._answer = answer
        return self._answer
