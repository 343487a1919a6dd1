"""Ask a web server for bytes: connections are reused, refusals waited out.

Sources: RFC 9110, sections 10.2.3 (Retry-After) and 14 (range requests).
"""

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from mrrate_bids import __version__
from mrrate_bids.errors import (
    AccessError,
    GoneError,
    NetworkError,
    OutageError,
    ResourceError,
    SourceError,
)
from mrrate_bids.fetching.rate import Rate

__all__ = [
    'Answer',
    'Client',
    'CutError',
    'HttpClient',
    'HttpSettings',
    'check_address',
    'make_client',
]

_BUSY = (408, 425, 429, 500, 502, 503, 504)
_REFUSED = (401, 403)
_GATED = 'GatedRepo'
_GONE = (404, 410)
_LOST = 8  # requests in a row that came to nothing
_LONGEST_WAIT = 600
_HOST = re.compile(r'[^\s/]+')
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
    """Whoever can be asked for a range of a file."""

    rate: Rate

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

    @abstractmethod
    def stop(self) -> None:
        """Let nobody wait for bytes any more."""


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

        self.rate = rate
        self._home = _origin(home)
        self._settings = settings
        self._help = help
        self._stopped = threading.Event()
        self._lost = 0
        self._broken: type[Exception] = urllib3.exceptions.HTTPError
        self._pool = _make_pool(
            home,
            num_pools=8,
            maxsize=jobs,
            timeout=urllib3.Timeout(connect=settings.timeout, read=settings.timeout),
            retries=urllib3.Retry(
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
            ),
        )

    def ask(self, address: str, start: int, stop: int | None) -> Answer:
        """Ask for bytes of a file; see :meth:`Client.ask`."""
        wanted = f'{start}' if start < 0 else f'{start}-{"" if stop is None else stop - 1}'
        response = self._request('GET', address, {'Range': f'bytes={wanted}'})
        address = _final(address, response)
        tag = _tag_of(response)
        if response.status == 200:
            size = response.headers.get('Content-Length', '')
            known = int(size) if size.isdecimal() else None
            return _HttpAnswer(0, known, tag, True, address, response, self._watch, self._broken)
        found = _RANGE.fullmatch(response.headers.get('Content-Range', ''))
        if found is None or (start >= 0 and int(found[1]) != start):
            response.close()
            raise CutError('the server sent another range than it was asked for')
        size = None if found[3] == '*' else int(found[3])
        return _HttpAnswer(
            int(found[1]), size, tag, False, address, response, self._watch, self._broken
        )

    def get(self, address: str) -> tuple[bytes, str]:
        """Return a small file, or a page that lists a folder, and where it came from."""
        response = self._request('GET', address, {}, preload=True)
        self.rate.take(len(response.data))
        return response.data, _final(address, response)

    def look(self, address: str) -> tuple[int | None, str]:
        """Return size and tag of a file; see :meth:`Client.look`."""
        response = self._request('HEAD', address, {}, preload=True)
        size = response.headers.get('Content-Length', '')
        return int(size) if size.isdecimal() else None, _tag_of(response)

    def stop(self) -> None:
        """Let every read that is under way fail at its next bytes."""
        self._stopped.set()

    def _watch(self, count: int) -> None:
        if self._stopped.is_set():
            raise OutageError('stopped')
        self.rate.take(count)

    def _request(
        self, method: str, address: str, headers: dict[str, str], *, preload: bool = False
    ) -> Any:
        headers |= {'Accept-Encoding': 'identity', 'User-Agent': f'mrrate-bids/{__version__}'}
        if self._settings.token and _origin(address) == self._home:
            headers['Authorization'] = f'Bearer {self._settings.token}'
        if self._stopped.is_set():
            raise OutageError('stopped')
        try:
            response = self._pool.request(
                method, address, headers=headers, preload_content=preload
            )
        except self._broken as error:
            raise self._loss(f'{address}: no answer ({_reason(error)})') from error
        if response.status in (200, 206):
            if method == 'GET':  # that it tells sizes does not mean that it delivers
                self._lost = 0
            return response
        response.drain_conn()
        raise self._refusal(address, response)

    def _refusal(self, address: str, response: Any) -> Exception:
        said = response.headers.get('X-Error-Message') or response.reason or ''
        text = f'{address}: the server answers {response.status} {said}'.strip()
        if response.status in _REFUSED:
            return self._denial(text, address, response)
        if response.status in _GONE:
            return GoneError(text)
        if response.status == 429:
            return self._loss(text, hint='Too many requests: wait, log in, or use fewer --jobs.')
        return self._loss(text)

    def _denial(self, text: str, address: str, response: Any) -> AccessError:
        """Return what is refused: one file, or all to somebody unknown or after many in a row."""
        self._lost += 1
        unknown = response.status == 401 or response.headers.get('X-Error-Code') == _GATED
        everything = unknown or self._lost >= _LOST
        return AccessError(text, hint=self._help(address), everything=everything)

    def _loss(self, text: str, *, hint: str = '') -> NetworkError:
        """Return what a failed request means: after many in a row that nothing can be had."""
        self._lost += 1
        return (OutageError if self._lost >= _LOST else NetworkError)(text, hint=hint)


@dataclass
class _HttpAnswer(Answer):
    response: Any
    watch: Callable[[int], None]
    broken: type[Exception]

    def read(self, count: int) -> bytes:
        try:
            data: bytes = self.response.read(count)
        except (self.broken, OSError) as error:
            raise CutError(f'the connection broke ({_reason(error)})') from error
        self.watch(len(data))
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


def check_address(address: str) -> None:
    """Make sure that a web server can be asked.

    Raises
    ------
    SourceError
        When the address names none, or holds a password: addresses are shown and written down.
    """
    try:
        parts = urlsplit(address)
        if '@' in parts.netloc:
            raise SourceError(
                f'the address of {parts.hostname} holds a name or a password',
                hint='Leave it out; a token is given with --token.',
            )
        known = bool(parts.scheme in {'http', 'https'} and _HOST.fullmatch(parts.hostname or ''))
        parts.port  # noqa: B018  (raises when it is no number)
    except ValueError:
        known = False
    if not known:
        raise SourceError(
            f'{address} is no address of a web server', hint='Write it as https://HOST/FOLDER.'
        )


def _make_pool(home: str, **options: Any) -> Any:
    """Return connections to a server, through the proxy that the environment names for it.

    Raises
    ------
    SourceError
        When the proxy is none.
    """
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415  (slow)

    import urllib3  # noqa: PLC0415

    parts = urlsplit(home)
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.netloc):
        return urllib3.PoolManager(**options)
    proxy = proxy if '://' in proxy else f'http://{proxy}'
    who = urlsplit(proxy)
    known = f'{unquote(who.username)}:{unquote(who.password or "")}' if who.username else None
    headers = urllib3.make_headers(proxy_basic_auth=known)
    try:
        return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
    except urllib3.exceptions.HTTPError as error:
        name = f'{parts.scheme}_proxy'
        raise SourceError(
            f'{name} names no proxy that can be used',
            hint=f'Set {name}=http://HOST:PORT, or unset it.',
        ) from error


def _origin(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc


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
