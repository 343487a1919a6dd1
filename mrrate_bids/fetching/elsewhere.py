"""Ask whatever fsspec can open for bytes: object stores, archives, memory."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any

from mrrate_bids.errors import (
    AccessError,
    GoneError,
    MrRateError,
    NetworkError,
    OutageError,
)
from mrrate_bids.fetching.client import Answer, Client, CutError
from mrrate_bids.fetching.losses import BYTES, FACTS
from mrrate_bids.fetching.rate import Rate

__all__ = ['FsspecClient']

_TAGS = ('ETag', 'etag', 'LastModified', 'mtime', 'created')
_PIECE = 4 << 20  # an object store takes a while to answer at all


class FsspecClient(Client):
    """Ask a filesystem of fsspec.

    Parameters
    ----------
    filesystem
        The filesystem; addresses are paths in it.
    rate
        Counts and limits the bytes.
    """

    def __init__(self, filesystem: Any, rate: Rate) -> None:
        super().__init__(rate)
        self._filesystem = filesystem
        self.turn = _turns(filesystem)

    def ask(self, address: str, start: int, stop: int | None) -> Answer:
        """Ask for bytes of a file; see :meth:`Client.ask`."""
        size, tag = self.look(address)
        if size is None:
            return _StreamAnswer(0, None, tag, True, address, self, self._open(address))
        begin = max(0, size + start) if start < 0 else start
        end = size if stop is None else min(stop, size)
        return _FsspecAnswer(begin, size, tag, False, address, self, end)

    def _open(self, address: str) -> Any:
        try:
            with self.turn:
                return self._filesystem.open(address, 'rb')
        except Exception as error:
            raise self._fault(address, error, BYTES) from error

    def look(self, address: str) -> tuple[int | None, str]:
        """Return size and tag of a file; see :meth:`Client.look`."""
        try:
            with self.turn:
                facts = self._filesystem.info(address)
        except Exception as error:
            raise self._fault(address, error, FACTS) from error
        self.losses.win(FACTS)
        return self.describe(facts)

    def _fault(self, address: str, error: Exception, what: str) -> MrRateError:
        """Return what is wrong; each filesystem has errors of its own beside those of Python."""
        text = f'{address}: cannot be read ({error})'
        if isinstance(error, FileNotFoundError):
            return GoneError(text)
        often = self.losses.lose(what)
        if isinstance(error, PermissionError):
            return AccessError(text, everything=often)
        return (OutageError if often else NetworkError)(text)

    def describe(self, facts: dict[str, Any]) -> tuple[int | None, str]:
        """Return size and tag from what the filesystem says of a file; not all say a size."""
        size, tags = facts.get('size'), (facts.get(key) for key in _TAGS)
        tag = next((str(tag) for tag in tags if tag), '')
        return None if size is None else int(size), tag

    def piece(self, address: str, start: int, stop: int) -> bytes:
        """Return bytes of a file."""
        try:
            with self.turn:
                data: bytes = self._filesystem.cat_file(address, start=start, end=stop)
        except (FileNotFoundError, PermissionError) as error:
            raise self._fault(address, error, BYTES) from error
        except Exception as error:
            raise CutError(str(error) or type(error).__name__) from error
        self.losses.win(BYTES)
        self.rate.take(len(data))
        return data


def _turns(filesystem: Any) -> AbstractContextManager[Any]:
    """Return what lets one thread at a time use a filesystem that is not made for several.

    Object stores are asked through a loop of their own, files of a disk are opened anew. Archives,
    FTP and caches share one connection or one open file.
    """
    from fsspec.implementations.local import LocalFileSystem  # noqa: PLC0415  (slow)

    several = type(filesystem).async_impl or isinstance(filesystem, LocalFileSystem)
    return nullcontext() if several else Lock()


@dataclass
class _StreamAnswer(Answer):
    client: FsspecClient
    file: Any
    """Of unknown size, so that it can only be read from its beginning to its end."""

    def read(self, count: int) -> bytes:
        try:
            with self.client.turn:
                data: bytes = self.file.read(count)
        except Exception as error:
            raise CutError(str(error) or type(error).__name__) from error
        self.client.rate.take(len(data))
        return data

    def close(self) -> None:
        with self.client.turn:
            self.file.close()


@dataclass
class _FsspecAnswer(Answer):
    client: FsspecClient
    stop: int
    _held: bytes = b''

    def read(self, count: int) -> bytes:
        if not self._held:
            end = min(self.start + _PIECE, self.stop)
            self._held = (
                self.client.piece(self.address, self.start, end) if end > self.start else b''
            )
            self.start += len(self._held)
        data, self._held = self._held[:count], self._held[count:]
        return data

    def close(self) -> None:
        self._held = b''
