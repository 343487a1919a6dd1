"""Ask a web server for bytes: connections are reused, refusals waited out.

Sources: RFC 9110, sections 10.2.3 (Retry-After) and 14 (range requests).
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from mrrate_bids import __version__
from mrrate_bids.errors import (
    AccessError,
    GoneError,
    NetworkError,
    OutageError,
    ResourceError,
)
from mrrate_bids.fetching.addresses import origin_of, pool_for
from mrrate_bids.fetching.losses import BYTES, FACTS, Losses
from mrrate_bids.fetching.rate import Rate

__all__ = [
    'Answer',
    'Client',
    'CutError',
    'HttpClient',
    'HttpSettings',
    'make_client',
]

_BUSY = (408, 425, 429, 500, 502, 503, 504)
_REFUSED = (401, 403)
_GATED = 'GatedRepo'
_GONE = (404, 410)
_LONGEST_WAIT = 600
_RANGE = re.compile(r'bytes (\d+)-(\d+)/(\d+|\*)')


class CutError(Exception):
    """An answer that ended early or is another than was asked for; asking again may help."""


@dataclass
class Answer(ABC):
    """What a server sends: which bytes of a file, and how to recognise the file."""

    start: int
    size: int | None
    """Of the whole file; ``None`` when the server does not say."""

    tag: str
    """Another one when the file is another one; empty when the server does not say."""

    whole: bool
    """Whether all of the file comes, though a range was asked for."""

    address: str
    """Where the bytes come from in the end."""

    @abstractmethod
    def read(self, count: int) -> bytes:
        """Return the next bytes, none at the end.

        Raises
        ------
        CutError
            When the connection breaks.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection."""


class Client(ABC):
    """Whoever can be asked for a range of a file.

    Parameters
    ----------
    rate
        Counts and limits the bytes; once it is stopped, every read fails at its next bytes.
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.losses = Losses()

    @abstractmethod
    def ask(self, address: str, start: int, stop: int | None) -> Answer:
        """Ask for bytes of a file, *start* up to *stop*; a negative start counts from the end.

        Raises
        ------
        AccessError
            When the server gives nothing to who asks.
        NetworkError
            When it does not deliver.
        CutError
            When what it sends is not what was asked for.
        """

    @abstractmethod
    def look(self, address: str) -> tuple[int | None, str]:
        """Return size and tag of a file without its bytes.

        Raises
        ------
        NetworkError
            When it cannot be found out.
        """

    def stop(self) -> None:
        """Let nobody wait for bytes any more."""
        self.rate.stop()


@dataclass(frozen=True)
class HttpSettings:
    """How patient a client is, and who it says it is."""

    token: str = ''
    timeout: float = 60
    """Seconds without a byte after which a connection counts as broken."""

    tries: int = 6
    pause: float = 0.5
    """Seconds before the second try; each further one waits twice as long."""


class HttpClient(Client):
    """Ask one web server, and those that it sends us on to.

    Parameters
    ----------
    home
        An address of the server; the token is for it alone.
    rate
        Counts and limits the bytes.
    jobs
        How many threads will ask at the same time.
    settings
        How patient to be.
    help
        Returns what to do about a refusal of an address.
    """

    def __init__(
        self,
        home: str,
        rate: Rate,
        *,
        jobs: int,
        settings: HttpSettings,
        help: Callable[[str], str] = lambda address: '',  # noqa: A002, ARG005
    ) -> None:
        import urllib3  # noqa: PLC0415  (an extra, and only for what is elsewhere)

        super().__init__(rate)
        self._home = origin_of(home)
        self._settings = settings
        self._help = help
        self._broken: type[Exception] = urllib3.exceptions.HTTPError
        self._pool = pool_for(
            home,
            num_pools=8,
            maxsize=jobs,
            timeout=urllib3.Timeout(connect=settings.timeout, read=settings.timeout),
            retries=_retries(settings, rate),
        )

    def ask(self, address: str, start: int, stop: int | None) -> Answer:
        """Ask for bytes of a file; see :meth:`Client.ask`."""
        wanted = f'{start}' if start < 0 else f'{start}-{"" if stop is None else stop - 1}'
        response = self._request(BYTES, address, {'Range': f'bytes={wanted}'})
        address = _final(address, response)
        tag = _tag_of(response)
        if response.status == 200:
            size = response.headers.get('Content-Length', '')
            known = int(size) if size.isdecimal() else None
            return _HttpAnswer(0, known, tag, True, address, response, self.rate, self._broken)
        found = _RANGE.fullmatch(response.headers.get('Content-Range', ''))
        if found is None or (start >= 0 and int(found[1]) != start):
            response.close()
            raise CutError('the server sent another range than it was asked for')
        size = None if found[3] == '*' else int(found[3])
        return _HttpAnswer(
            int(found[1]), size, tag, False, address, response, self.rate, self._broken
        )

    def get(self, address: str) -> tuple[bytes, str]:
        """Return a small file, or a page that lists a folder, and where it came from."""
        response = self._request(BYTES, address, {}, preload=True)
        self.rate.take(len(response.data))
        return response.data, _final(address, response)

    def look(self, address: str) -> tuple[int | None, str]:
        """Return size and tag of a file; see :meth:`Client.look`."""
        response = self._request(FACTS, address, {}, preload=True)
        size = response.headers.get('Content-Length', '')
        return int(size) if size.isdecimal() else None, _tag_of(response)

    def _request(
        self, method: str, address: str, headers: dict[str, str], *, preload: bool = False
    ) -> Any:
        headers |= {'Accept-Encoding': 'identity', 'User-Agent': f'mrrate-bids/{__version__}'}
        if self._settings.token and origin_of(address) == self._home:
            headers['Authorization'] = f'Bearer {self._settings.token}'
        self.rate.wait(0)
        try:
            response = self._pool.request(
                method, address, headers=headers, preload_content=preload
            )
        except self._broken as error:
            text = f'{address}: no answer ({_reason(error)})'
            raise self._loss(text, method) from error
        if response.status in (200, 206):
            self.losses.win(method)
            return response
        response.drain_conn()
        raise self._refusal(address, response, method)

    def _refusal(self, address: str, response: Any, method: str) -> Exception:
        said = response.headers.get('X-Error-Message') or response.reason or ''
        text = f'{address}: the server answers {response.status} {said}'.strip()
        if response.status in _REFUSED:
            return self._denial(text, address, response, method)
        if response.status in _GONE:
            return GoneError(text)
        if response.status == 429:
            hint = 'Too many requests: wait, log in, or use fewer --jobs.'
            return self._loss(text, method, hint=hint)
        return self._loss(text, method)

    def _denial(self, text: str, address: str, response: Any, method: str) -> AccessError:
        """Return what is refused: one file, or all to somebody unknown or after many in a row."""
        often = self.losses.lose(method)
        unknown = response.status == 401 or response.headers.get('X-Error-Code') == _GATED
        return AccessError(text, hint=self._help(address), everything=unknown or often)

    def _loss(self, text: str, method: str, *, hint: str = '') -> NetworkError:
        """Return what a failed request means: after many in a row that nothing can be had."""
        return (OutageError if self.losses.lose(method) else NetworkError)(text, hint=hint)


def _retries(settings: HttpSettings, rate: Rate) -> Any:
    """Return how often a request is made again, with pauses that a stop ends."""
    import urllib3  # noqa: PLC0415

    class Retries(urllib3.Retry):
        def sleep(self, response: Any = None) -> None:
            asked = None
            with suppress(urllib3.exceptions.InvalidHeader):
                asked = self.get_retry_after(response) if response else None
            rate.wait(asked or self.get_backoff_time())

    return Retries(
        total=None,
        connect=settings.tries,
        read=settings.tries,
        status=settings.tries,
        other=settings.tries,
        redirect=10,
        status_forcelist=_BUSY,
        backoff_factor=settings.pause,
        backoff_jitter=settings.pause,
        backoff_max=60,
        raise_on_status=False,
        retry_after_max=_LONGEST_WAIT,
    )


@dataclass
class _HttpAnswer(Answer):
    response: Any
    rate: Rate
    broken: type[Exception]

    def read(self, count: int) -> bytes:
        try:
            data: bytes = self.response.read(count)
        except (self.broken, OSError) as error:
            raise CutError(f'the connection broke ({_reason(error)})') from error
        self.rate.take(len(data))
        return data

    def close(self) -> None:
        """Return the connection when all was read; else it is of no more use."""
        if self.response.closed:
            self.response.release_conn()
        else:
            self.response.close()


def make_client(home: str, rate: Rate, **options: Any) -> HttpClient:
    """Return a client for a web server.

    Raises
    ------
    ResourceError
        When the packages that it needs are not installed.
    """
    try:
        return HttpClient(home, rate, **options)
    except ImportError as error:
        raise ResourceError(
            f'fetching needs {error.name}, which is not installed',
            hint="Install the extra hub: pip install '.[hub]'.",
        ) from error


def _tag_of(response: Any) -> str:
    headers = response.headers
    return str(headers.get('ETag') or headers.get('Last-Modified') or '')


def _final(address: str, response: Any) -> str:
    """Return where redirections led to."""
    for step in response.retries.history if response.retries else ():
        if step.redirect_location:
            address = urljoin(address, step.redirect_location)
    return address


def _reason(error: Exception) -> str:
    """Return the bottom of what urllib3 says; its wrappings name objects in memory."""
    while isinstance(reason := getattr(error, 'reason', None), Exception):
        error = reason
    text = str(error).rpartition(': ')[2] if 'object at 0x' in str(error) else str(error)
    return text or type(error).__name__
