"""Files that hold others off: what speaks of all studies is written by one process at a time.

The locks are those of the operating system, so that they end with the process that has them,
however that ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mrrate_bids.errors import DestinationError

__all__ = ['held']


@contextmanager
def held(path: Path, *, needed: bool = True) -> Iterator[None]:
    """Hold the lock *path* for a while, and wait for it where another process has it.

    Parameters
    ----------
    path
        An empty file, which stays; its folder is made.
    needed
        Whether to refuse a filesystem that has no locks, as some of clusters. Otherwise one goes
        on without, where the worst that can happen is mended by the next run.

    Raises
    ------
    DestinationError
        When the folder cannot be made or has no locks.
    """
    from filelock import FileLock  # noqa: PLC0415  (it imports asyncio)

    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        if needed:
            raise DestinationError(f'{path.parent}: cannot be locked ({error})') from error
    try:
        yield
    finally:
        lock.release()
