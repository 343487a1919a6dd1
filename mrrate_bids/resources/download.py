"""Fetch a file of a web server, or the rest of it, and check it before it is used."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mrrate_bids.digests import digest_of
from mrrate_bids.errors import (
    AccessError,
    ArchiveError,
    GoneError,
    NetworkError,
    ResourceError,
)
from mrrate_bids.fetching.client import HttpClient, HttpSettings, make_client
from mrrate_bids.fetching.rate import Rate
from mrrate_bids.fetching.remote import RemoteFile
from mrrate_bids.fetching.whole import Progress, fetch_rest, say_nothing

__all__ = ['OFFLINE', 'Progress', 'download', 'get_json', 'say_nothing']

_SETTINGS = HttpSettings(tries=3)
_PAGE = 'Look at the page of the resource: mrrate-bids resources list.'
OFFLINE = 'Fetch it on a machine with network and copy its folder: docs, "Work offline".'
_AGAIN = 'Fetch it again; if that does not help, compare with the page of the resource.'


def download(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    md5: str = '',
    progress: Progress = say_nothing,
) -> None:
    """Fetch a file, or what is missing of it.

    Parameters
    ----------
    url
        From where.
    target
        The file; what has arrived of it lies next to it until it is whole.
    size, md5
        What was published of it, where that is known.
    progress
        Told the bytes as they arrive.

    Raises
    ------
    ResourceError
        When the server does not give it, or what arrived is something else and was thrown away.
    NetworkError
        When the server does not answer.
    DestinationError
        When the folder cannot take it.
    """

    def check(path: Path, count: int) -> None:
        if size not in (None, count):
            raise ArchiveError(f'{url}: what arrived has {count:,} bytes instead of {size:,}')
        if md5 and (found := digest_of(path, 'md5')) != md5:
            raise ArchiveError(f'{url}: what arrived has MD5 {found} instead of {md5}')

    with _in_words_of_resources():
        file = RemoteFile(_client(url), url, spool=target.parent)
        try:
            fetch_rest(file, target, check=check, tell=progress)
        finally:
            file.close()


@contextmanager
def _in_words_of_resources() -> Iterator[None]:
    """Say what to do about a server that is not the one of a release."""
    try:
        yield
    except ArchiveError as error:
        raise ResourceError(f'{error}; it was thrown away', hint=_AGAIN) from error
    except (AccessError, GoneError) as error:
        raise ResourceError(str(error), hint=_PAGE) from error
    except NetworkError as error:
        raise NetworkError(str(error), hint=f'{error.hint} {OFFLINE}') from error


def get_json(url: str) -> dict[str, Any]:
    """Return what a server says of something; nothing when it does not answer."""
    try:
        data, _ = _client(url).get(url)
        content = json.loads(data)
    except (AccessError, NetworkError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _client(url: str) -> HttpClient:
    return make_client(url, Rate(), jobs=1, settings=_SETTINGS)
