"""A file at a server that is read like one on a disk.

The directory of a zip stands at its end: the first request is for the tail. What is about to be
read is announced, so that neighbours come with one request. Where a server sends whole files only,
the file is kept on disk for as long as it is read.
"""

import io
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self

from mrrate_bids.errors import (
    AccessError,
    ArchiveError,
    ChangedError,
    DestinationError,
    GoneError,
    NetworkError,
)
from mrrate_bids.fetching.client import Answer, Client, CutError
from mrrate_bids.fetching.losses import BYTES
from mrrate_bids.fetching.ranges import Span
from mrrate_bids.fetching.stream import NoRangesError, Patience, Stream
from mrrate_bids.sources import Remote

__all__ = ['RemoteFile']

_TAIL = 1 << 13
_STEP = 1 << 16
"""A gap of this many bytes is rather read than asked around; and what to ask for unannounced."""

_BLOCK = 1 << 18


class RemoteFile(Remote):
    """A file at a server. One thread at a time may read it.

    Parameters
    ----------
    client
        Whom to ask.
    address
        Of the file.
    size, tag
        What a listing says of it; ``None`` and empty when it does not.
    spool
        Folder for whole files.
    pause
        Seconds before a broken connection is tried again.
    digest
        ``sha256:…`` or ``git:…`` of the file where the listing tells it.
    """

    def __new__(cls, client: Client, address: str, **more: Any) -> Self:  # noqa: ARG004
        """Make an address of it."""
        return super().__new__(cls, address)

    def __init__(
        self,
        client: Client,
        address: str,
        *,
        size: int | None = None,
        tag: str = '',
        spool: Path,
        pause: float = 0.5,
        digest: str = '',
    ) -> None:
        self._client, self._address = client, address
        self._listed, self._looked = (size, tag), False
        self._spool_folder, self._pause = spool, pause
        self.digest = digest
        self.changed = False
        """Whether the file was replaced while it was read."""

        self._forget()

    def _forget(self) -> None:
        self._size, self._listed_tag = self._listed
        self._tag: str | None = None
        self._direct = ''
        self._tail: tuple[int, bytes] | None = None
        self._stream: Stream | None = None
        self._expected: list[Span] = []
        self._spool: BinaryIO | None = None

    @property
    def known_size(self) -> int | None:
        """Bytes, as far as is known without asking."""
        return self._size

    def state(self) -> list[Any]:
        """Return size and tag, which change when the file does."""
        if not (self._listed_tag or self._looked):
            with suppress(GoneError):
                self._listed, self._looked = self._client.look(self._address), True
                size, self._listed_tag = self._listed
                self._size = self._size if size is None else size
        return list(self._listed)

    def open(self) -> BinaryIO:
        """Open it for reading from any position; costs nothing yet."""
        return _Handle(self)  # type: ignore[return-value]

    def size(self) -> int:
        """Return how many bytes it has."""
        if self._size is None:
            self._load_tail()
        if self._size is None:
            raise ArchiveError(f'{self}: the server does not say how long it is')
        return self._size

    def expect(self, spans: Iterable[Span]) -> None:
        """Announce what will be read: a request asks for a span, not for a piece of it."""
        self._expected = list(spans)

    def close(self) -> None:
        """Let go of the connection and of what was kept; the file may be opened again."""
        if self._stream:
            self._stream.close()
        if self._spool:
            self._spool.close()
        self._forget()

    def start_again(self) -> None:
        """Forget everything, also what the listing said: the file is another one."""
        self.close()
        self._listed, self._looked = (None, ''), False
        self._forget()
        self.changed, self.digest = False, ''

    def read_into(self, at: int, view: memoryview) -> int:
        """Fill *view* with the bytes at a position; return how many there were."""
        try:
            if self._spool:
                return os.preadv(self._spool.fileno(), [view], at)
            return self._read_into(at, view)
        except NoRangesError:
            self._keep_whole()
            return self.read_into(at, view)

    def _read_into(self, at: int, view: memoryview) -> int:
        size = self.size()  # where nobody told it, the tail or all of the file is here now
        if not (self._tail or self._spool) and at >= size - _TAIL and not self._span_at(at):
            self._load_tail()
        if self._spool:
            return self.read_into(at, view)
        start, tail = self._tail or (self.size(), b'')
        if at >= start:
            data = tail[at - start : at - start + len(view)]
        else:
            data = self._stream_at(at, start).read(min(len(view), start - at))
        view[: len(data)] = data
        return len(data)

    def _span_at(self, at: int) -> Span | None:
        around = [span for span in self._expected if span.start <= at < span.stop]
        return min(around, key=lambda span: span.stop, default=None)

    def _stream_at(self, at: int, limit: int) -> Stream:
        """Return the stream that goes on at a position: the one there is, or a new one."""
        stream = self._stream
        if stream and stream.at <= at < stream.stop and at - stream.at <= _STEP:
            stream.skip(at - stream.at)
            return stream
        if stream:
            stream.close()
        span = self._span_at(at) or Span(at, at + _STEP)
        self._stream = Stream(self._ask, at, min(span.stop, limit), self._patience())
        return self._stream

    def _patience(self) -> Patience:
        return Patience(
            self,
            pause=self._pause,
            wait=self._client.rate.wait,
            give_up=partial(self._client.losses.lose, BYTES),
        )

    def _ask(self, start: int, stop: int | None) -> Answer:
        answer = self._ask_somewhere(start, stop)
        if self._tag is None:
            self._tag = answer.tag
        if answer.tag != self._tag or (not answer.whole and self._is_of_another_size(answer)):
            answer.close()
            self.changed = True
            raise ChangedError(f'{self}: was replaced at the server while it was read')
        self._direct = answer.address
        return answer

    def _is_of_another_size(self, answer: Answer) -> bool:
        known = self._size is not None and answer.size is not None
        return known and answer.size != self._size

    def _ask_somewhere(self, start: int, stop: int | None) -> Answer:
        """Ask where the server sent us on to; such an address holds for a while only.

        It may be signed, and what is wrong with it is told to nobody.
        """
        if self._direct and self._direct != self._address:
            try:
                return self._client.ask(self._direct, start, stop)
            except (AccessError, NetworkError):
                self._direct = ''
        return self._client.ask(self._address, start, stop)

    def _load_tail(self) -> None:
        """Fetch the end of the file, and learn its size on the way."""
        patience = self._patience()
        while True:
            try:
                self._tail = self._read_tail()
            except CutError as error:
                patience.lose(error)
            except NoRangesError:
                return self._keep_whole()
            else:
                return None

    def _read_tail(self) -> tuple[int, bytes]:
        start = -_TAIL if self._size is None else max(0, self._size - _TAIL)
        answer = self._ask(start, self._size)
        try:
            if answer.size is None or (answer.whole and answer.size > _TAIL):
                raise NoRangesError
            count, parts = answer.size - answer.start, []
            while count > 0 and (part := answer.read(count)):
                parts.append(part)
                count -= len(part)
        finally:
            answer.close()
        if count:
            raise CutError(f'the server sent {count:,} bytes too few')
        self._size = answer.size
        return answer.start, b''.join(parts)

    def _keep_whole(self) -> None:
        """Keep the whole file on disk, under no name, as the server sends nothing smaller."""
        patience = self._patience()
        while True:
            try:
                spool = self._copy_whole()
            except CutError as error:
                patience.lose(error)
            else:
                break
        self._spool, self._size = spool, spool.seek(0, io.SEEK_END)

    def _copy_whole(self) -> BinaryIO:
        answer = self._ask(0, None)
        try:
            self._spool_folder.mkdir(parents=True, exist_ok=True)
            spool = tempfile.TemporaryFile(dir=self._spool_folder, buffering=0)  # noqa: SIM115
        except OSError as error:
            answer.close()
            raise DestinationError(f'{self._spool_folder}: {error.strerror}') from error
        try:
            _pour(answer, spool)
        except OSError as error:
            spool.close()
            raise DestinationError(f'{self._spool_folder}: {error.strerror}') from error
        except BaseException:
            spool.close()
            raise
        finally:
            answer.close()
        return spool


def _pour(answer: Answer, out: Any) -> None:
    total = 0
    while data := answer.read(_BLOCK):
        left = memoryview(data)
        while left:
            left = left[out.write(left) :]
        total += len(data)
    if answer.size is not None and total != answer.size:
        raise CutError(f'the server sent {total:,} of {answer.size:,} bytes')


class _Handle(io.RawIOBase):
    """A remote file that is open: a position in it."""

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            offset += self._file.size()
        elif whence == io.SEEK_CUR:
            offset += self._at
        if offset < 0:
            raise OSError(22, 'Invalid argument')
        self._at = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        """Fill *buffer*; it stays part empty at the end of the file only."""
        view, total = memoryview(buffer), 0
        while total < len(view):
            if self._at >= self._file.size():
                break
            count = self._file.read_into(self._at, view[total:])
            if not count:
                break
            total += count
            self._at += count
        return total
