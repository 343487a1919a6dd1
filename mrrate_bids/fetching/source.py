"""Where a release is published, and its repositories there.

>>> parse_hub('hf://datasets/Forithmus/MR-RATE@v1')
('Forithmus/MR-RATE', 'v1')
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrrate_bids.errors import SourceError, UsageError
from mrrate_bids.fetching.addresses import check_address, without_secrets
from mrrate_bids.fetching.client import HttpSettings, make_client
from mrrate_bids.fetching.elsewhere import FsspecClient
from mrrate_bids.fetching.hub import HubStore, endpoint, find_token, help_at, make_api
from mrrate_bids.fetching.listing import FsspecStore, HttpStore, LocalStore, Store
from mrrate_bids.fetching.rate import Rate
from mrrate_bids.naming import KINDS, NATIVE, REPOSITORIES

__all__ = [
    'Repositories',
    'local_folder',
    'open_repositories',
    'open_store',
    'parse_hub',
    'parse_revisions',
    'refuse_secrets',
    'repositories_of',
]

_HUB = re.compile(r'hf://datasets/(?P<id>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?/?')
_FILE = re.compile(r'file://(localhost(?=/))?', re.IGNORECASE)
_SCHEME = re.compile(r'[A-Za-z][A-Za-z0-9+.-]+://|[a-z]+::')


def local_folder(source: str) -> Path | None:
    """Return the folder that a source is on this machine; ``None`` when it is elsewhere.

    >>> local_folder('file:///data'), local_folder('data'), local_folder('s3://bucket/data')
    (PosixPath('/data'), PosixPath('data'), None)
    """
    if found := _FILE.match(source):
        return Path(source[found.end() :])
    return None if _SCHEME.match(source) else Path(source)


def parse_hub(source: str) -> tuple[str, str]:
    """Return id and revision of a repository of the Hub.

    Raises
    ------
    SourceError
        When it is not written as ``hf://datasets/OWNER/NAME``, with ``@REVISION`` or without.
    """
    found = _HUB.fullmatch(source)
    if not found:
        raise SourceError(
            f'{without_secrets(source)} is no dataset of the Hub',
            hint='Write hf://datasets/OWNER/NAME: hf://datasets/Forithmus/MR-RATE.',
        )
    return found['id'], (found['revision'] or '').replace('%2F', '/')


def parse_revisions(texts: Iterable[str]) -> dict[str, str]:
    """Return revisions by repository; the one under the empty name is for all others.

    >>> parse_revisions(['v1', 'MR-RATE-coreg=main'])
    {'': 'v1', 'MR-RATE-coreg': 'main'}

    Raises
    ------
    UsageError
        When it is that of no repository of a release, or none.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, sign, revision = text.partition('=') if '=' in text else ('', '', text)
        if sign and name not in REPOSITORIES:
            raise UsageError(
                f'--revision {text}: {name!r} is no repository of a release',
                hint=f'There are {", ".join(REPOSITORIES)}; without NAME it is that of all.',
            )
        if not revision:
            raise UsageError(
                f'--revision {text!r} names none', hint='Write a branch, a tag or a commit.'
            )
        found[name] = revision
    return found


@dataclass
class Repositories:
    """The repositories of a release.

    Parameters
    ----------
    native
        The one with the tables.
    revisions
        Of each repository by its name in a release.
    beside
        How the address of another one follows from its name.
    rate
        Counts the bytes of all of them.
    """

    native: Store
    rate: Rate
    beside: str = '../{name}'
    revisions: dict[str, str] = field(default_factory=dict)
    _known: dict[str, Store | None] = field(default_factory=dict)

    def get(self, name: str) -> Store | None:
        """Return a repository by its name in a release; ``None`` where there is none."""
        if name == NATIVE:
            return self.native
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> Store | None:
        ending = name.removeprefix(NATIVE)
        revision = self.revisions.get(name, self.revisions.get('', ''))
        at = f'@{revision}' if revision and isinstance(self.native, HubStore) else ''
        store = self.native.inside(self.beside.format(name=name, ending=ending) + at)
        try:
            return store if store.folder('mri') else None
        except SourceError:
            return None

    def require(self, names: Iterable[str]) -> dict[str, Store]:
        """Return repositories by name; of those with segmentations any will do.

        Raises
        ------
        SourceError
            When there is none of a kind that was asked for.
        """
        found = {name: store for name in names if (store := self.get(name)) is not None}
        groups: dict[str, set[str]] = {}
        for kind in KINDS.values():
            groups.setdefault(kind.include, set()).add(kind.repository)
        for members in groups.values():
            wanted = members & set(names)
            if wanted and not wanted & found.keys():
                raise SourceError(
                    f'{" or ".join(sorted(wanted))}: there is none beside {self.native}',
                    hint='Leave it out of --what, or look at the address.',
                )
        return found

    def revisions_read(self) -> dict[str, list[str]]:
        """Return address and revision of each repository that was read, by name."""
        stores = {NATIVE: self.native} | self._known
        return {name: [str(s), s.revision] for name, s in stores.items() if s is not None}

    def stop(self) -> None:
        """Let nobody wait for bytes any more."""
        self.native.stop()


def open_repositories(
    source: str,
    *,
    spool: Path,
    rate: Rate,
    jobs: int,
    revisions: dict[str, str],
    settings: HttpSettings,
) -> Repositories:
    """Find the repository with the tables.

    Parameters
    ----------
    source
        ``hf://datasets/OWNER/NAME``, an address of a web server, any URL of fsspec or a folder:
        of the native repository, or of what holds it.
    spool
        Folder for files of a server that sends whole ones only.
    rate, jobs, settings
        How fast, with how many connections, how patiently.
    revisions
        Of repositories of the Hub; see :func:`parse_revisions`.

    Raises
    ------
    SourceError
        When there is no release.
    """
    how: dict[str, Any] = {'spool': spool, 'rate': rate, 'jobs': jobs, 'settings': settings}
    if source.startswith('hf://'):
        return _open_hub(source, revisions, **how)
    store = _open_folder(source, **how)
    if revisions:
        raise SourceError(
            f'{source} has no revisions', hint='--revision is for repositories of the Hub.'
        )
    for native in (store, store.inside(NATIVE)):
        if native.folder('metadata'):
            return Repositories(native, rate)
    raise SourceError(
        f'{without_secrets(source)} holds no MR-RATE repository '
        f'(no metadata/ and no {NATIVE}/metadata/ in it)',
        hint='Give the address of the repository MR-RATE, or of the folder that holds it.',
    )


def _open_hub(source: str, revisions: dict[str, str], **how: Any) -> Repositories:
    repository, revision = parse_hub(source)
    name = repository.rpartition('/')[2]
    revisions = ({'': revision} if revision else {}) | revisions
    store = _hub_store(repository, revisions.get(NATIVE, revisions.get('', '')), **how)
    return Repositories(store, how['rate'], f'../{name}{{ending}}', revisions)


def _hub_store(
    repository: str, revision: str, *, spool: Path, rate: Rate, jobs: int, settings: HttpSettings
) -> HubStore:
    token = find_token(settings.token)
    settings = HttpSettings(token, settings.timeout, settings.tries, settings.pause)
    client = make_client(_hub(), rate, jobs=jobs, settings=settings, help=help_at)
    return HubStore(make_api(token), client, repository, revision, spool=spool)


def _hub() -> str:
    """Return the address of the Hub.

    Raises
    ------
    SourceError
        When ``HF_ENDPOINT`` names no web server.
    """
    try:
        check_address(endpoint())
    except SourceError as error:
        raise SourceError(
            f'HF_ENDPOINT: {error}', hint='Write it as https://HOST, or unset it.'
        ) from error
    return endpoint()


def open_store(source: str, **how: Any) -> Store:
    """Return a repository, or a folder that may hold several, wherever it is.

    Parameters
    ----------
    source
        As :func:`open_repositories` takes it.
    how
        ``spool``, ``rate``, ``jobs`` and ``settings``, as :func:`open_repositories` takes them.

    Raises
    ------
    SourceError
        When the address is none.
    """
    if source.startswith('hf://'):
        return _hub_store(*parse_hub(source), **how)
    return _open_folder(source, **how)


def refuse_secrets(source: str) -> None:
    """Make sure that no address of a web server in a chain of fsspec holds a password or a query.

    Raises
    ------
    SourceError
        When one does.
    """
    for part in source.split('::'):
        if part.lower().startswith(('http://', 'https://')):
            check_address(part)


def _open_folder(
    source: str, *, spool: Path, rate: Rate, jobs: int, settings: HttpSettings
) -> Store:
    refuse_secrets(source)
    if source.lower().startswith(('http://', 'https://')):
        check_address(source)
        client = make_client(source, rate, jobs=jobs, settings=settings)
        return HttpStore(client, source, spool=spool)
    local = local_folder(source)
    if local:
        return LocalStore(local)
    import fsspec  # noqa: PLC0415  (slow)

    try:
        filesystem, root = fsspec.core.url_to_fs(source)
    except Exception as error:  # each filesystem has errors of its own
        text = without_secrets(f'{source}: {error}')
        raise SourceError(text, hint='See which URLs fsspec can open.') from error
    return FsspecStore(FsspecClient(filesystem, rate), filesystem, root, spool=spool)


def repositories_of(groups: Iterable[str]) -> list[str]:
    """Return the repositories that hold the files of some groups of ``--include``."""
    wanted = set(groups)
    needed = {kind.repository for kind in KINDS.values() if kind.include in wanted}
    return [name for name in REPOSITORIES if name in needed]
