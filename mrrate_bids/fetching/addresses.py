"""Addresses of web servers: which are one, whose they are, and the proxy on the way to them."""

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from mrrate_bids.errors import SourceError

__all__ = ['check_address', 'origin_of', 'pool_for', 'without_secrets']

_HOST = re.compile(r'[^\s/]+')
_WHO = re.compile(r'(?<=://)[^/\s]+@')
_QUERY = re.compile(r'(://[^\s?]*)\?\S*')


def check_address(address: str, *, folder: bool = True) -> None:
    """Make sure that a web server can be asked.

    Parameters
    ----------
    address
        The address.
    folder
        Whether files below it are asked for.

    Raises
    ------
    SourceError
        When the address names none, or holds a password: addresses are shown and written down.
        When that of a folder has a query: no file below it would be asked for with it.
    """
    try:
        parts = urlsplit(address)
        if '@' in parts.netloc or (folder and parts.query):
            what = 'a name or a password' if '@' in parts.netloc else 'a query'
            raise SourceError(
                f'the address of {parts.hostname} holds {what}',
                hint='Leave it out; a token is given with --token.',
            )
        known = bool(parts.scheme in {'http', 'https'} and _HOST.fullmatch(parts.hostname or ''))
        parts.port  # noqa: B018  (raises when it is no number)
    except ValueError:
        known = False
    if not known:
        raise SourceError(
            f'{without_secrets(address)} is no address of a web server',
            hint='Write it as https://HOST/FOLDER.',
        )


def without_secrets(text: str) -> str:
    """Return a text with addresses in it without names, passwords and queries.

    >>> without_secrets('simplecache::ftp://me:se@cret@host/a?key=1 gives no answer')
    'simplecache::ftp://…@host/a?… gives no answer'
    """
    return _QUERY.sub(r'\1?…', _WHO.sub('…@', text))


def origin_of(address: str) -> tuple[str, str]:
    """Return scheme and host of an address.

    >>> origin_of('https://host:8000/a/b')
    ('https', 'host:8000')
    """
    parts = urlsplit(address)
    return parts.scheme, parts.netloc


def pool_for(home: str, **options: Any) -> Any:
    """Return connections to a server, through the proxy that the environment names for it.

    Parameters
    ----------
    home
        An address of the server.
    options
        Of the ``PoolManager`` of urllib3.

    Raises
    ------
    SourceError
        When the proxy is none.
    """
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415  (slow)

    import urllib3  # noqa: PLC0415

    scheme, host = origin_of(home)
    proxy = getproxies().get(scheme)
    if not proxy or proxy_bypass(host):
        return urllib3.PoolManager(**options)
    proxy = proxy if '://' in proxy else f'http://{proxy}'
    who = urlsplit(proxy)
    known = f'{unquote(who.username)}:{unquote(who.password or "")}' if who.username else None
    headers = urllib3.make_headers(proxy_basic_auth=known)
    try:
        return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
    except urllib3.exceptions.HTTPError as error:
        name = f'{scheme}_proxy'
        raise SourceError(
            f'{name} names no proxy that can be used',
            hint=f'Set {name}=http://HOST:PORT, or unset it.',
        ) from error
