"""The tables of a release: what a selection is made by, and what makes a release of images."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from mrrate_bids.ahead import run_ahead
from mrrate_bids.errors import SelectionError, SourceError
from mrrate_bids.fetched import HOME, LOCK
from mrrate_bids.fetching.listing import Entry, Store
from mrrate_bids.fetching.whole import fetch_file, is_published
from mrrate_bids.files import write_if_changed
from mrrate_bids.locks import held
from mrrate_bids.naming import NATIVE
from mrrate_bids.selection import Selection
from mrrate_bids.sources import state_of

__all__ = ['Tables', 'find_tables', 'sizes']

_METADATA, _REPORTS = '_metadata.csv', '_reports.csv'


def find_tables(native: Store, selection: Selection, *, everything: bool) -> dict[str, Entry]:
    """Return the tables to fetch, by their path in the repository.

    Parameters
    ----------
    native
        The repository with the tables.
    selection
        Its batches are the only ones whose tables are fetched.
    everything
        Whether reports and labels are wanted, too.

    Raises
    ------
    SourceError
        When there are no tables.
    SelectionError
        When there is a batch that there is not.
    """
    found = dict(_of_batches(native, 'metadata', _METADATA))
    batches = [path.partition('/')[2].removesuffix(_METADATA) for path in found]
    if not found:
        raise SourceError(f'{native} has no metadata/batchXX_metadata.csv')
    for batch in selection.batches:
        if not any(map(Selection(batches=(batch,)).has_batch, batches)):
            raise SelectionError(
                f'there is no batch {batch}', hint=f'The release has {", ".join(batches)}.'
            )
    if everything:
        found |= _of_batches(native, 'reports', _REPORTS)
    wanted = {path: entry for path, entry in found.items() if _is_of(path, selection)}
    wanted |= {e.name: e for e in native.folder('') if e.name == 'splits.csv'}
    if everything:
        wanted |= _of_batches(native, 'pathology_labels', '.csv')
    return wanted


def _of_batches(native: Store, folder: str, ending: str) -> Iterator[tuple[str, Entry]]:
    for entry in native.folder(folder):
        if entry.name.endswith(ending) and not entry.folder:
            yield f'{folder}/{entry.name}', entry


def _is_of(path: str, selection: Selection) -> bool:
    name = path.partition('/')[2]
    return selection.has_batch(name.removesuffix(_METADATA).removesuffix(_REPORTS))


class Tables:
    """The tables in a folder, and which state of each was fetched.

    Parameters
    ----------
    root
        The folder that holds the repositories.
    verify
        Whether to trust no table that is here before it was read; one that cannot be compared with
        anything is fetched anew.
    """

    def __init__(self, root: Path, *, verify: bool = False) -> None:
        self._verify = verify
        self._native = root / NATIVE
        self._record = root / HOME / 'tables.json'
        self._known: dict[str, list[Any]] = {}

    def fetch(
        self, tables: dict[str, Entry], *, jobs: int, watch: Callable[[int, int], None]
    ) -> None:
        """Fetch those that are not here or have changed.

        Of several parts of a fetch that begin together, one does and the others wait.

        Parameters
        ----------
        tables
            By their path in the repository.
        jobs
            How many at the same time.
        watch
            Called with how many are here and how many there are.
        """
        with (
            held(self._record.with_name(LOCK), needed=False),
            ThreadPoolExecutor(jobs, thread_name_prefix='tables') as pool,
        ):
            self._load()
            done = run_ahead(pool, jobs, self._fetch, tables.items())
            for number, ((path, _), states) in enumerate(done, 1):
                self._known[path] = states
                watch(number, len(tables))
            self._save(self._known)

    def _load(self) -> None:
        with suppress(OSError, ValueError):
            known = json.loads(self._record.read_text(encoding='utf-8'))
            self._known = known if isinstance(known, dict) else {}

    def _fetch(self, item: tuple[str, Entry]) -> list[Any]:
        path, entry = item
        target = self._native / path
        there = state_of(entry.location)
        with suppress(OSError):
            # Without a tag there is no telling whether the table is another one by now.
            known = all(there) and self._known.get(path) == [there, state_of(target)]
            if known and (not self._verify or self._is_sound(entry, target)):
                return [there, state_of(target)]
        fetch_file(entry.location, target)
        return [there, state_of(target)]

    @staticmethod
    def _is_sound(entry: Entry, target: Path) -> bool:
        return bool(getattr(entry.location, 'digest', '')) and is_published(entry.location, target)

    def _save(self, known: dict[str, list[Any]]) -> None:
        text = json.dumps(dict(sorted(known.items())), indent=1) + '\n'
        write_if_changed(self._record, text)


def sizes(tables: Iterable[Entry]) -> int:
    """Return how many bytes tables have, as far as their source says so."""
    return sum(state_of(entry.location)[0] or 0 for entry in tables)
