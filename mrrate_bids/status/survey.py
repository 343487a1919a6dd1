"""A survey of a release on disk, batch by batch.

What there should be is said by another copy of the release where one was listed, else by the
metadata. Nothing is written, and no more than a batch is in memory.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mrrate_bids.ahead import Watch, run_ahead
from mrrate_bids.archives import Place
from mrrate_bids.catalog import Batch, Release, find_repositories
from mrrate_bids.digests import digest_of
from mrrate_bids.errors import NamingError, SourceError, TableError
from mrrate_bids.fetched import find_part
from mrrate_bids.naming import NATIVE, REPOSITORIES, SeriesName
from mrrate_bids.problems import Problem
from mrrate_bids.status.fix_list import FixList
from mrrate_bids.status.holding import Fetched, Holding, hold
from mrrate_bids.status.remote import Entry, Remote
from mrrate_bids.tables import read_table
from mrrate_bids.validation import say_nothing

__all__ = ['BatchStatus', 'Survey', 'open_anything']

_COLUMNS = ('study_uid', 'series_id', 'is_center_modality')
_TABLES = {
    'metadata': 'metadata/{batch}_metadata.csv',
    'reports': 'reports/{batch}_reports.csv',
}
_SHARED = ('splits.csv', 'pathology_labels')

Listed = dict[str, dict[str, bool]]
"""Series of each study in the metadata, and which of them is the centre."""


@dataclass(slots=True)
class BatchStatus:
    """What lies on disk of a batch."""

    name: str
    holdings: list[Holding] = field(default_factory=list)
    """What there is, and what there should be."""

    totals: dict[str, int | None] = field(default_factory=dict)
    """How many studies each repository should have; ``None`` where nothing says that."""

    tables: dict[str, str] = field(default_factory=dict)
    """State of ``metadata`` and ``reports``: ``here``, ``missing``, ``unreadable`` or
    ``outdated``."""

    problems: list[Problem] = field(default_factory=list)

    def of(self, repository: str) -> list[Holding]:
        """Return what concerns a repository."""
        return [holding for holding in self.holdings if holding.repository == repository]


def open_anything(root: Path) -> Release:
    """Find what there is of a release below *root*; it need not have any metadata.

    Raises
    ------
    SourceError
        When it holds no repository.
    """
    if not root.is_dir():
        raise SourceError(f'{root} is not a folder')
    found = find_repositories(root)
    if not found:
        raise SourceError(f'{root} holds no MR-RATE repository (no mri/ and no metadata/ in it)')
    named = [path for path in found.values() if any((path / 'metadata').glob('*_metadata.csv'))]
    native = named[0] if named else found.get(NATIVE, root / NATIVE)
    return Release(root, dict(sorted(found.items())), native)


class Survey:
    """A survey of a release.

    Parameters
    ----------
    release
        What :func:`open_anything` found.
    remote
        Another copy to compare with.
    fixes
        The published lists of studies that were repaired or added.
    deep
        Read every byte.
    """

    def __init__(
        self,
        release: Release,
        *,
        remote: Remote | None = None,
        fixes: FixList | None = None,
        deep: bool = False,
    ) -> None:
        self._release, self._deep = release, deep
        self._remote, self._fixes = remote or Remote(), fixes or FixList()
        self._part = find_part(release.root)

    def unfinished(self) -> Iterator[Problem]:
        """Yield what is to be said of runs of fetch that have not come to their end."""
        for note in self._part.unfinished if self._part else ():
            message = 'a fetch into this folder is at work or was stopped; the rest is not counted'
            remedy = f'Run the same command again; if nobody wants the rest, remove {note}.'
            yield Problem('warning', message, remedy, file=str(note))

    @property
    def batches(self) -> list[str]:
        """The batches on disk and of the other copy."""
        return sorted({*self._release.batches, *self._remote.batches})

    def run(
        self, batches: Iterable[str], *, jobs: int = 2, watch: Watch = say_nothing
    ) -> Iterator[BatchStatus]:
        """Yield the status of one batch after the other.

        Parameters
        ----------
        batches
            Their names.
        jobs
            How many studies to look at at the same time.
        watch
            Called with the progress.
        """
        with ThreadPoolExecutor(jobs, thread_name_prefix='status') as pool:
            for name in batches:
                status, listed = self._read_tables(name)
                places = self._find_places(status)
                look = partial(self._look, name, places, listed)
                studies = sorted({*places, *listed})
                found: dict[str, _Found] = {}
                size = 0
                for done, (study, seen) in enumerate(run_ahead(pool, jobs, look, studies), 1):
                    found[study] = seen
                    size += sum(holding.size for holding in seen.holdings.values())
                    watch(name, done, len(studies), size)
                self._judge(status, found, listed)
                yield status

    def _look(
        self, batch: str, places: dict[str, list[Place]], listed: Listed, study: str
    ) -> '_Found':
        here, series = places.get(study, []), listed.get(study, {})
        fetched = self._fetched(batch, study, here=bool(here))
        holdings = hold(batch, study, here, series, deep=self._deep, fetched=fetched)
        asked = filter(fetched.expects, REPOSITORIES)
        return _Found(holdings, frozenset(asked) | holdings.keys())

    def _fetched(self, batch: str, study: str, *, here: bool) -> Fetched:
        """Return what was fetched of a study; of a release that is no part all was asked for."""
        if self._part is None:
            return Fetched()
        return Fetched(*self._part.look(batch, study, here=here))

    def shared_tables(self) -> dict[str, str]:
        """Return the state of the tables of the whole release."""
        native = self._release.native
        return {name: 'here' if (native / name).exists() else 'missing' for name in _SHARED}

    def _find_places(self, status: BatchStatus) -> dict[str, list[Place]]:
        batch = Batch(status.name, [], [], [])
        try:
            places = self._release.find_places(batch)
        except SourceError as error:
            status.problems.append(Problem.from_error(error, batch=status.name))
            return {}
        status.problems += batch.problems
        return places

    def _read_tables(self, name: str) -> tuple[BatchStatus, Listed]:
        """Tell the state of the tables, and what the metadata say that there is."""
        status, listed = BatchStatus(name), Listed()
        for kind, pattern in _TABLES.items():
            path = self._release.native / pattern.format(batch=name)
            complain = partial(_complain, status, path)
            state = _state_of(path)
            if state == 'unreadable':
                complain('error', f'{path} cannot be read', 'Ask its owner for access.')
            if state == 'here' and kind == 'metadata':
                try:
                    listed = _read_series(path)
                except TableError as error:
                    problem = Problem.from_error(error, batch=name, file=str(path))
                    status.problems.append(problem)
                    state = 'unreadable'
            if state == 'here' and _is_cut(path):
                message = f'{path} ends in the middle of a line: its last row may be cut off'
                complain('warning', message, 'Fetch it again.')
            entry = self._remote.table(pattern.format(batch=name))
            if state == 'here' and entry and entry.size not in (None, path.stat().st_size):
                state = 'outdated'
            status.tables[kind] = state
        return status, listed

    def _judge(self, status: BatchStatus, found: 'dict[str, _Found]', listed: Listed) -> None:
        """Compare what was found with what there should be."""
        for repository in REPOSITORIES:
            there = self._remote.studies(repository, status.name)
            promised = {study for study in listed if repository in found[study].expected}
            expected = promised if there is None else set(there)
            known = bool(listed) or there is not None
            status.totals[repository] = len(expected) if known else None
            here = {study for study, seen in found.items() if repository in seen.holdings}
            strays = here - (set(listed) if there is None else expected) if known else set()
            fixed = self._fixes.studies(repository, status.name)
            for study in sorted({*here, *expected, *fixed}):
                holding = found[study].holdings.get(repository) if study in found else None
                holding = holding or Holding(status.name, study, repository)
                holding.stray = study in strays
                current = _compare(holding, (there or {}).get(study), deep=self._deep)
                self._fixes.mark(holding, current=current)
                status.holdings.append(holding)
            self._name_strays(status, repository, strays)

    def _name_strays(self, status: BatchStatus, repository: str, strays: set[str]) -> None:
        if not strays:
            return
        some = ', '.join(sorted(strays)[:3]) + (', …' if len(strays) > 3 else '')
        who = 'have no row in the metadata'
        if self._remote.studies(repository, status.name) is not None:
            who = 'are not in the other copy'
        message = f'{repository}: {len(strays):,} studies {who} ({some})'
        remedy = 'Fetch the metadata of the batch again, or look where the files come from.'
        status.problems.append(Problem('warning', message, remedy, batch=status.name))


class _Found(NamedTuple):
    """What was found of a study."""

    holdings: dict[str, Holding]
    """By repository."""

    expected: frozenset[str]
    """Repositories that it should be in: all, or those that a fetch in part has asked for, and
    those that it is in."""


def _complain(status: BatchStatus, path: Path, severity: str, said: str, remedy: str) -> None:
    problem = Problem(severity, said, remedy, batch=status.name, file=str(path))
    status.problems.append(problem)


def _state_of(path: Path) -> str:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return 'missing'
    except OSError:
        return 'unreadable'
    return 'here'


def _is_cut(path: Path) -> bool:
    """Tell whether the last line of a table has no end; those that are published have one."""
    try:
        with path.open('rb') as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            return file.read(1) not in {b'', b'\n', b'\r'}
    except OSError:
        return False  # that it cannot be read is said elsewhere


def _read_series(path: Path) -> Listed:
    """Read the series of each study.

    Raises
    ------
    TableError
        When the table cannot be read.
    """
    table = read_table(path, name=path.name, required=_COLUMNS)
    series, centre = (table.header.index(name) for name in _COLUMNS[1:])
    return {
        study: {
            row.cells[series]: row.cells[centre].strip().lower() in {'true', '1'}
            for row in rows
            if _is_series(row.cells[series])
        }
        for study, rows in table.group('study_uid').items()
        if study
    }


def _is_series(series_id: str) -> bool:
    """Tell whether files can be called like this."""
    try:
        SeriesName.parse(series_id)
    except NamingError:
        return False
    return True


def _compare(holding: Holding, entry: Entry | None, *, deep: bool) -> bool:
    """Compare a zip with the other copy; tell whether it is proven to be the same.

    That its size is the same is no proof: a repaired one may have it, too.
    """
    if entry is None or entry.size is None or not holding.zips:
        return False
    proven = deep and bool(entry.sha256 or entry.path)
    for path in holding.zips:
        try:
            size = path.stat().st_size
            if size != entry.size:
                holding.faults.append(
                    f'{path.name} has {size:,} bytes, the other copy {entry.size:,}: wrong size'
                )
            elif deep and _differs(path, entry):
                holding.faults.append(f'{path.name} differs from the other copy (SHA-256)')
            else:
                continue
        except OSError as error:
            if entry.path and error.filename == str(entry.path):
                holding.lacks.append(f'the other copy of {path.name} cannot be read')
        proven = False
    return proven and holding.state == 'whole'


def _differs(path: Path, entry: Entry) -> bool:
    """Tell whether a zip has other bytes than the other copy, as far as those are known.

    Raises
    ------
    OSError
        When one of them cannot be read.
    """
    expected = entry.sha256 or (digest_of(entry.path) if entry.path else '')
    return bool(expected) and digest_of(path) != expected
