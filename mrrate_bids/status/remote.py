"""What another copy of the release has: names and sizes, without fetching any of it.

A copy is whatever can be fetched from (a folder, ``http://`` with an index,
``hf://datasets/…``, any URL of fsspec), or a table of names and sizes (``.tsv``). It holds one
repository, or several side by side.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mrrate_bids.ahead import run_ahead
from mrrate_bids.catalog import study_of
from mrrate_bids.errors import NamingError, NetworkError, SourceError, TableError
from mrrate_bids.fetching.addresses import check_address
from mrrate_bids.fetching.client import HttpSettings, make_client
from mrrate_bids.fetching.listing import Store, leads_back
from mrrate_bids.fetching.rate import Rate
from mrrate_bids.fetching.source import local_folder, open_store
from mrrate_bids.naming import REPOSITORIES, parse_member
from mrrate_bids.sources import Location, open_source, state_of
from mrrate_bids.status.holding import home_of_zip
from mrrate_bids.tables import read_tsv

__all__ = ['Entry', 'Remote', 'is_local']

_HINT = 'Give a folder, a URL that can be listed, or a .tsv with the columns path and size.'
_JOBS = 8
_SETTINGS = HttpSettings(tries=3)


class Entry(NamedTuple):
    """A file of the other copy."""

    size: int | None = None
    """In bytes; ``None`` where the listing does not tell, or for a folder."""

    sha256: str = ''
    path: Path | None = None
    """Where it can be read on this machine."""


def _every(batch: str) -> bool:  # noqa: ARG001
    return True


class Remote:
    """The other copy, as far as it was listed.

    Parameters
    ----------
    has_batch
        Tells whether a batch is asked for; the others are neither listed nor kept.
    """

    def __init__(self, has_batch: Callable[[str], bool] = _every) -> None:
        self._has_batch = has_batch
        self._studies: dict[tuple[str, str], dict[str, Entry]] = {}
        self._tables: dict[str, Entry] = {}
        self._passed_over = set[str]()
        """Repositories of which a batch was passed over."""

        self._found = False

    def add(self, source: str) -> None:
        """List a source.

        Raises
        ------
        AccessError
            When who asks may not have it.
        SourceError
            When it cannot be listed, or holds no release.
        """
        self._found = False
        with ThreadPoolExecutor(_JOBS, thread_name_prefix='listing') as pool:
            for (home, _), entry in run_ahead(pool, _JOBS, _look, self._wanted(source)):
                self._keep(home, entry)
        if not self._found:
            raise SourceError(f'{source or repr(source)} lists no file of a release', hint=_HINT)

    def _wanted(self, source: str) -> Iterator[tuple['_Home', 'Entry | Location']]:
        """Yield the files of the batches that are asked for, and what they are of."""
        for path, file in _list(source, self._has_batch) if source else ():
            home = _home_of(path)
            if file is None:
                home = _Home(repository=_repository_of(path, source))
            if home is None:
                continue
            self._found = True
            batch = home.batch or _batch_of(home.table)
            if file is not None and (not batch or self._has_batch(batch)):
                yield home, file
            elif home.repository:
                self._passed_over.add(home.repository)

    def studies(self, repository: str, batch: str) -> dict[str, Entry] | None:
        """Return the studies of a batch; ``None`` when the repository was not listed."""
        if repository not in self.repositories:
            return None
        return self._studies.get((repository, batch), {})

    def table(self, path: str) -> Entry | None:
        """Return a table by its path in the native repository; ``None`` when it has none."""
        return self._tables.get(path)

    @property
    def repositories(self) -> set[str]:
        """The repositories that were listed."""
        return {repository for repository, _ in self._studies} | self._passed_over

    @property
    def batches(self) -> set[str]:
        """The batches that were listed."""
        return {batch for _, batch in self._studies}

    def _keep(self, home: '_Home', entry: Entry) -> None:
        if home.table:
            self._tables[home.table] = entry
            return
        studies = self._studies.setdefault((home.repository, home.batch), {})
        if studies.get(home.study, Entry()).size is None:  # a zip says more than a folder
            studies[home.study] = entry


class _Home(NamedTuple):
    """What a file is of: a table, or a study in a repository."""

    table: str = ''
    repository: str = ''
    batch: str = ''
    study: str = ''
    zipped: bool = False


def _home_of(path: str) -> _Home | None:
    """Return what a file is of, named from the root of a listing; ``None`` if of no release."""
    parts = path.split('/')
    for name in ('metadata', 'reports', 'pathology_labels'):
        if name in parts[:-1]:
            return _Home('/'.join(parts[parts.index(name) :]))
    if parts[-1] == 'splits.csv':
        return _Home('splits.csv')
    if 'mri' not in parts:
        return None
    inside = parts[parts.index('mri') + 1 :]
    if len(inside) == 2 and inside[1].endswith('.zip'):
        study = study_of(inside[1])
        return _Home('', home_of_zip(inside[1], study), inside[0], study, zipped=True)
    return _home_of_extracted(*inside) if len(inside) > 2 else None


def _home_of_extracted(batch: str, study: str, *rest: str) -> _Home | None:
    try:
        repository = parse_member(study, '/'.join(rest)).kind.repository
    except NamingError:
        return None
    return _Home('', repository, batch, study)


def _repository_of(path: str, source: str) -> str:
    """Return the repository of a folder of a batch; empty where no name tells it."""
    names = [*source.rstrip('/').split('/'), *path.split('/')[:-2]]
    name = names[-1].partition('@')[0]
    return name if name in REPOSITORIES else ''


def _batch_of(table: str) -> str:
    """Return the batch of a table; empty for one of the whole release.

    >>> _batch_of('metadata/batch00_metadata.csv'), _batch_of('splits.csv')
    ('batch00', '')
    """
    name, mark, _ = table.rpartition('/')[2].partition('_')
    return name if mark and name.startswith('batch') else ''


def is_local(source: str) -> bool:
    """Tell whether a source can be listed without network.

    >>> is_local('/data'), is_local('file:///data'), is_local('hf://datasets/a/b')
    (True, True, False)
    """
    return local_folder(source) is not None


def _list(
    source: str, has_batch: Callable[[str], bool]
) -> Iterator[tuple[str, Entry | Location | None]]:
    """Yield the files of a source by their paths in it, and folders of batches passed over.

    Raises
    ------
    AccessError
        When who asks may not have it.
    SourceError
        When it cannot be listed.
    """
    if source.endswith('.tsv'):
        yield from _read_index(source)
        return
    spool = Path(tempfile.gettempdir())  # nothing of a file is read
    store = open_store(source, spool=spool, rate=Rate(), jobs=_JOBS, settings=_SETTINGS)
    try:
        yield from _walk(store, '', has_batch)
    except NetworkError as error:
        raise SourceError(f'{source} cannot be listed ({error})', hint=_HINT) from error


def _walk(
    store: Store, path: str, has_batch: Callable[[str], bool]
) -> Iterator[tuple[str, Location | None]]:
    """Yield every file, and of folders of batches that are not asked for only the name."""
    of_batches = path.rpartition('/')[2] == 'mri'
    for entry in store.folder(path):
        inside = f'{path}/{entry.name}' if path else entry.name
        if not entry.folder:
            yield inside, entry.location
        elif of_batches:
            yield from store.walk(inside) if has_batch(entry.name) else [(inside, None)]
        elif not leads_back(entry.location):
            yield from _walk(store, inside, has_batch)


def _look(found: tuple[_Home, Entry | Location]) -> Entry:
    """Return what is known of a file; where no listing tells its size its server is asked."""
    home, file = found
    if not (home.table or home.zipped):
        return Entry()
    if isinstance(file, Entry):
        return file
    size = getattr(file, 'known_size', None)
    kind, _, digest = getattr(file, 'digest', '').partition(':')
    if size is None:
        with suppress(NetworkError, OSError):
            size = state_of(file)[0]
    here = file if isinstance(file, Path) else None
    return Entry(size, digest if kind == 'sha256' else '', here)


def _read_index(source: str) -> Iterator[tuple[str, Entry]]:
    try:
        local = local_folder(source)
        rows = read_tsv(local) if local else _fetch_rows(source)
        entries = [_entry(row) for row in rows]
    except (OSError, ValueError, KeyError, NetworkError, TableError) as error:
        missing = f'it has no column {error}' if isinstance(error, KeyError) else error
        reason = getattr(error, 'strerror', None) or missing
        raise SourceError(f'{source} cannot be read as a table ({reason})', hint=_HINT) from error
    return iter(entries)


def _entry(row: dict[str, str]) -> tuple[str, Entry]:
    return row['path'], Entry(int(row['size']), row.get('sha256', ''))


def _fetch_rows(source: str) -> Iterable[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, 'index.tsv')
        copy.write_bytes(_fetch(source))
        return read_tsv(copy)


def _fetch(source: str) -> bytes:
    if source.lower().startswith(('http://', 'https://')):
        check_address(source, folder=False)
        return make_client(source, Rate(), jobs=1, settings=_SETTINGS).get(source)[0]
    try:
        with open_source(source) as file:
            return file.read()
    except Exception as error:  # each filesystem has errors of its own
        raise NetworkError(f'{type(error).__name__}: {error}') from error
