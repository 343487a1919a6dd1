"""Fetch a file over HTTP: it goes on where it broke off, and is checked before it is used.

Sources: RFC 9110, sections 13.1.5 (If-Range) and 14.2 (Range).
"""

import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mrrate_bids.errors import DestinationError, ResourceError
from mrrate_bids.files import remove, write_text

__all__ = ['Download', 'Progress', 'get_json', 'say_nothing']

_BLOCK = 1 << 20
_TIMEOUT_S = 60
_AGAIN = 'Give the same command again: it goes on where it stopped.'
_NETWORK = (OSError, http.client.HTTPException)
_HEADERS = {'User-Agent': 'mrrate-bids', 'Accept-Encoding': 'identity'}

Progress = Callable[[int, int], None]
"""Told the bytes that are there and the bytes of the whole, 0 when that is unknown."""


def say_nothing(here: int, total: int) -> None:
    """Keep the progress to oneself."""


class Download:
    """A file that is being fetched into a folder.

    Parameters
    ----------
    url
        From where.
    folder
        Where what has arrived lies until :meth:`discard`.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        name = url.rpartition('/')[2]
        self.path = folder / f'.{name}.download'
        self._notes = folder / f'.{name}.download.json'

    def run(self, progress: Progress) -> None:
        """Fetch what is missing.

        Raises
        ------
        ResourceError
            When the server does not give it, or the connection breaks.
        DestinationError
            When the folder cannot take it.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            here = self._here()
            answer = self._ask(here)
        except OSError as error:
            raise _full(self.path, error) from error
        with answer:
            if answer.status == http.client.OK:  # all of it, whatever was asked for
                here = 0
            total = here + int(answer.headers.get('Content-Length') or 0)
            note = {'url': self.url, 'etag': answer.headers.get('ETag') or ''}
            write_text(self._notes, json.dumps(note))
            self._receive(answer, here, total, progress)

    def check(self, *, size: int | None = None, md5: str = '', sha256: str = '') -> str:
        """Compare what has arrived with what should have; return its SHA-256.

        Raises
        ------
        ResourceError
            When it differs; it is thrown away.
        """
        found = {name: hashlib.new(name) for name in ('md5', 'sha256')}
        length = 0
        with self.path.open('rb') as file:
            while block := file.read(_BLOCK):
                length += len(block)
                for each in found.values():
                    each.update(block)
        digests = {name: each.hexdigest() for name, each in found.items()}
        if size not in (None, length):
            raise self._wrong(f'{length:,} bytes instead of {size:,}')
        for name, wanted in (('md5', md5), ('sha256', sha256)):
            if wanted and digests[name] != wanted:
                raise self._wrong(f'{name.upper()} {digests[name]} instead of {wanted}')
        return digests['sha256']

    def discard(self) -> None:
        """Remove what has arrived."""
        remove(self.path)
        remove(self._notes)

    def _wrong(self, what: str) -> ResourceError:
        self.discard()
        return ResourceError(
            f'{self.url}: what arrived has {what}; it was thrown away',
            hint='Fetch it again; if that does not help, compare with the page of the resource.',
        )

    def _here(self) -> int:
        """Return how many bytes an earlier call has fetched of this very file."""
        if not self._etag():
            return 0
        with suppress(FileNotFoundError):
            return self.path.stat().st_size
        return 0

    def _etag(self) -> str:
        """Return the mark by which the server knows the version that was begun."""
        try:
            note = json.loads(self._notes.read_text(encoding='utf-8'))
            return str(note['etag']) if note['url'] == self.url else ''
        except (OSError, ValueError, KeyError, TypeError):
            return ''

    def _ask(self, here: int) -> Any:
        headers = dict(_HEADERS)
        if here:
            headers |= {'Range': f'bytes={here}-', 'If-Range': self._etag()}
        try:
            return _open(self.url, headers)
        except urllib.error.HTTPError as error:
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not here:
                raise _refused(self.url, error) from error
        except _NETWORK as error:
            raise _unreachable(self.url, error) from error
        self.discard()  # there is more of it than the server has
        return self._ask(0)

    def _receive(self, answer: Any, here: int, total: int, progress: Progress) -> None:
        with self.path.open('r+b' if here else 'wb') as file:
            file.seek(here)
            while True:
                try:
                    block = answer.read(_BLOCK)
                except _NETWORK as error:
                    raise self._broken(here, total) from error
                if not block:
                    break
                try:
                    file.write(block)
                except OSError as error:
                    raise _full(self.path, error) from error
                here += len(block)
                progress(here, total)
            file.flush()
            os.fsync(file.fileno())
        if total and here < total:
            raise self._broken(here, total)

    def _broken(self, here: int, total: int) -> ResourceError:
        return ResourceError(
            f'{self.url}: the connection broke off at {here:,} of {total:,} bytes', hint=_AGAIN
        )


def get_json(url: str) -> dict[str, Any]:
    """Return what a server says of something; nothing when it does not answer."""
    try:
        with _open(url, dict(_HEADERS)) as answer:
            content = json.load(answer)
    except (*_NETWORK, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _open(url: str, headers: dict[str, str]) -> Any:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  (checked above)
    return urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310


def _refused(url: str, error: urllib.error.HTTPError) -> ResourceError:
    return ResourceError(
        f'{url}: the server answers {error.code} ({error.reason})',
        hint='Look at the page of the resource: mrrate-bids resources list.',
    )


def _unreachable(url: str, error: Exception) -> ResourceError:
    reason = getattr(error, 'reason', None) or error
    return ResourceError(
        f'{url} cannot be reached ({reason})',
        hint='Fetch it on a machine with network and copy its folder: docs, "Work offline".',
    )


def _full(path: Path, error: OSError) -> DestinationError:
    return DestinationError(f'{path}: cannot be written ({error.strerror or error})')
