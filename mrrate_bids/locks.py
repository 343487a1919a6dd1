"""One process at a time: locks on a file, the same way everywhere.

A lock is the kernel's, so it ends with the process that holds it, however that ends; the file
stays and means nothing by itself. While it is held it tells who holds it.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from mrrate_bids.errors import DestinationError, UsageError

__all__ = ['held']

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextmanager
def held(
    path: Path,
    *,
    wait: bool = True,
    busy: str = 'another process is at work',
    remedy: str = '',
    needed: bool = True,
    given_up: Callable[[], bool] | None = None,
) -> Iterator[None]:
    """Hold a lock for a while.

    Parameters
    ----------
    path
        The file of the lock; its folder is made.
    wait
        Whether to wait until another process lets go, however long that takes.
    busy
        What to say when another process holds it, and nobody waits.
    remedy
        What to do where the folder cannot be written; that of the error when empty.
    needed
        Whether a lock must be had; else the folder or its filesystem may refuse it. One that must
        be had is a file that means something where the filesystem has no locks of the kernel.
    given_up
        Tells whether nobody wants to wait any more.

    Raises
    ------
    UsageError
        When another process holds it, and nobody waits.
    DestinationError
        When it cannot be had.
    """
    from filelock import FileLock, Timeout, UnixFileLock  # noqa: PLC0415  (it imports asyncio)

    lock = FileLock(path, fallback_to_soft=needed)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=-1 if wait else 0, cancel_check=given_up)
    except Timeout as error:
        raise UsageError(
            f'{path.parent}: {busy}{_holder(path)}', hint='Wait until it has ended, or end it.'
        ) from error
    except (OSError, NotImplementedError) as error:
        if needed:
            raise _refused(path.parent, error, remedy) from error
    # Where the filesystem has no locks the file itself is one, and not to be written.
    mine = isinstance(lock, UnixFileLock) and lock.is_locked
    try:
        with _signed(path) if mine else nullcontext():
            yield
    finally:
        lock.release()


@contextmanager
def _signed(path: Path) -> Iterator[None]:
    """Keep in the file who holds it; a disk that is full is no reason not to."""
    with suppress(OSError):
        path.write_text(f'process {os.getpid()} on {socket.gethostname()}\n', encoding='utf-8')
    try:
        yield
    finally:
        with suppress(OSError):
            os.truncate(path, 0)


def _holder(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        said = path.read_text(encoding='utf-8').strip()
        return f' ({said})' if said.startswith('process ') else ''
    return ''


def _refused(folder: Path, error: Exception, remedy: str) -> DestinationError:
    reason = getattr(error, 'strerror', None) or error
    what = 'locked' if getattr(error, 'errno', errno.ENOSYS) in _NO_LOCKS else 'written'
    return DestinationError(f'{folder}: cannot be {what} ({reason})', hint=remedy)
