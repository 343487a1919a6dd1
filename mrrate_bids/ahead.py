"""Work in threads, a few items ahead of the one that is waited for.

>>> from concurrent.futures import ThreadPoolExecutor
>>> with ThreadPoolExecutor(2) as pool:
...     sorted(run_ahead(pool, 2, abs, [-1, 2]))
[(-1, 1), (2, 2)]
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from itertools import islice
from typing import TypeVar

__all__ = ['Watch', 'run_ahead']

Watch = Callable[[str, int, int, int], None]
"""Told what is worked on, how many are done, how many there are and the bytes so far."""

_Item = TypeVar('_Item')
_Result = TypeVar('_Result')


def run_ahead(
    pool: Executor, jobs: int, function: Callable[[_Item], _Result], items: Iterable[_Item]
) -> Iterator[tuple[_Item, _Result]]:
    """Yield each item with what *function* makes of it, in the order in which they are done.

    Twice *jobs* items are taken from *items* ahead of the one that is waited for, so that no
    thread idles and no long list of results builds up. When a call fails, or nobody wants the
    rest, what has not begun is cancelled.

    Parameters
    ----------
    pool
        Where to work.
    jobs
        How many calls it makes at the same time.
    function
        Called with one item; what it raises is raised here.
    items
        Read as they are needed.
    """
    queue = iter(items)
    waiting: dict[Future[_Result], _Item] = {}
    try:
        while True:
            for item in islice(queue, 2 * jobs - len(waiting)):
                waiting[pool.submit(function, item)] = item
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future.result()
    except BaseException:
        for future in waiting:
            future.cancel()
        raise
