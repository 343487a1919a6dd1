"""What a repository holds: on a disk, at a web server that lists its folders, in a filesystem.

A web server lists a folder as a page of links; nothing but the names of files and folders in that
folder is taken from it.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urljoin

from mrrate_bids.errors import AccessError, GoneError, SourceError
from mrrate_bids.fetching.client import HttpClient
from mrrate_bids.fetching.elsewhere import FsspecClient
from mrrate_bids.fetching.remote import RemoteFile
from mrrate_bids.sources import Location

__all__ = ['Entry', 'FsspecStore', 'HttpStore', 'LocalStore', 'Store', 'leads_back']

_NO_LISTING = 'The server must list its folders; ask who runs it, or fetch from the Hub.'


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder in a folder of a repository."""

    name: str
    location: Location
    folder: bool = False


class Store(ABC):
    """A repository of a release, or a folder that may hold one."""

    @abstractmethod
    def __str__(self) -> str:
        """Return its address."""

    @abstractmethod
    def folder(self, path: str) -> list[Entry]:
        """List a folder by its path in the repository, sorted; empty where there is none.

        Raises
        ------
        AccessError
            When it may not be read, or the server gives nothing to who asks.
        NetworkError
            When it does not deliver.
        SourceError
            When it cannot be listed.
        """

    @abstractmethod
    def inside(self, path: str) -> 'Store':
        """Return a folder as a repository; it need not be there."""

    def walk(self, path: str = '') -> Iterator[tuple[str, Location]]:
        """Yield every file in a folder and in those below it, by its path in the repository.

        Raises
        ------
        AccessError, NetworkError, SourceError
            As :meth:`folder` does.
        """
        for entry in self.folder(path):
            inside = f'{path}/{entry.name}' if path else entry.name
            if not entry.folder:
                yield inside, entry.location
            elif not leads_back(entry.location):
                yield from self.walk(inside)

    @property
    def revision(self) -> str:
        """Which state of the repository is read; empty where it has but one."""
        return ''

    @abstractmethod
    def stop(self) -> None:
        """Let nobody wait for bytes any more."""


def leads_back(folder: Location) -> bool:
    """Tell whether a folder is a link to one that it lies in."""
    return (
        isinstance(folder, Path)
        and folder.is_symlink()
        and folder.resolve() in folder.absolute().parents
    )


class LocalStore(Store):
    """A repository on a disk.

    Parameters
    ----------
    root
        The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def __str__(self) -> str:
        return str(self._root)

    def folder(self, path: str) -> list[Entry]:
        """List a folder; see :meth:`Store.folder`."""
        where = self._root / path
        try:
            found = [child for child in where.iterdir() if not child.name.startswith('.')]
            return [Entry(child.name, child, child.is_dir()) for child in sorted(found)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise AccessError(
                f'{where} cannot be read ({error.strerror})', hint='Ask its owner for access.'
            ) from error

    def inside(self, path: str) -> Store:
        """Return a folder as a repository; it need not be there."""
        return LocalStore(Path(os.path.normpath((self._root / path).absolute())))

    def stop(self) -> None:
        """Do nothing: a disk does not keep anybody waiting."""


class HttpStore(Store):
    """A repository at a web server.

    Parameters
    ----------
    client
        Asks the server.
    address
        Of the folder.
    spool
        Folder for files of a server that sends whole ones only.
    """

    def __init__(self, client: HttpClient, address: str, *, spool: Path) -> None:
        self._client, self._spool = client, spool
        self._address = address.rstrip('/') + '/'

    def __str__(self) -> str:
        return self._address.rstrip('/')

    def folder(self, path: str) -> list[Entry]:
        """List a folder; see :meth:`Store.folder`."""
        address = urljoin(self._address, quote(f'{path}/') if path else '')
        try:
            page, address = self._client.get(address)
        except GoneError:
            return []
        except AccessError as error:
            if not path:
                raise
            raise AccessError(str(error), hint=f'{error.hint} {_NO_LISTING}') from error
        return sorted(self._entries(page, address), key=lambda entry: entry.name)

    def _entries(self, page: bytes, address: str) -> Iterator[Entry]:
        for link in dict.fromkeys(_links(page.decode('utf-8', 'replace'))):
            target = urljoin(address, link).partition('?')[0].partition('#')[0]
            inside = target.removeprefix(address)
            name = unquote(inside.rstrip('/'))
            if inside == target or not name or '/' in name or name.startswith('.'):
                continue
            if inside.endswith('/'):
                yield Entry(name, target, folder=True)
            else:
                yield Entry(name, RemoteFile(self._client, target, spool=self._spool))

    def inside(self, path: str) -> Store:
        """Return a folder as a repository; it need not be there."""
        address = urljoin(self._address, quote(f'{path}/'))
        return HttpStore(self._client, address, spool=self._spool)

    def stop(self) -> None:
        """Let nobody wait for bytes any more."""
        self._client.stop()


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == 'a':
            self.found += [value for name, value in attrs if name == 'href' and value]


def _links(page: str) -> list[str]:
    parser = _Links()
    parser.feed(page)
    return parser.found


def _join(root: str, path: str) -> str:
    """Return a path below a root; that of an archive is empty, and no path in it begins with /."""
    return '/'.join(filter(None, (root, path)))


def _parent(path: str) -> str:
    return path.strip('/').rpartition('/')[0]


class FsspecStore(Store):
    """A repository in a filesystem of fsspec.

    Parameters
    ----------
    client
        Asks the filesystem.
    filesystem, root
        The filesystem and the path of the repository in it.
    spool
        Folder for whole files.
    """

    def __init__(self, client: FsspecClient, filesystem: Any, root: str, *, spool: Path) -> None:
        self._client, self._filesystem, self._spool = client, filesystem, spool
        self._root = root.rstrip('/')

    def __str__(self) -> str:
        return str(self._filesystem.unstrip_protocol(self._root))

    def folder(self, path: str) -> list[Entry]:
        """List a folder; see :meth:`Store.folder`."""
        where = _join(self._root, path)
        try:
            found = self._filesystem.ls(where, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError as error:
            raise AccessError(f'{where}: {error}') from error
        except Exception as error:  # each filesystem has errors of its own
            raise SourceError(f'{where}: cannot be listed ({error})') from error
        # Archives list their root instead of a folder that is not there.
        inside = (facts for facts in found if _parent(str(facts['name'])) == where.strip('/'))
        return sorted(map(self._entry, inside), key=lambda entry: entry.name)

    def _entry(self, facts: dict[str, Any]) -> Entry:
        path = str(facts['name'])
        name = path.rstrip('/').rpartition('/')[2]
        if facts.get('type') == 'directory':
            return Entry(name, path, folder=True)
        size, tag = self._client.describe(facts)
        return Entry(name, RemoteFile(self._client, path, size=size, tag=tag, spool=self._spool))

    def inside(self, path: str) -> Store:
        """Return a folder as a repository; it need not be there."""
        root = self._root
        for part in path.split('/'):
            root = root.rpartition('/')[0] if part == '..' else _join(root, part)
        return FsspecStore(self._client, self._filesystem, root, spool=self._spool)

    def stop(self) -> None:
        """Let nobody wait for bytes any more."""
        self._client.stop()
