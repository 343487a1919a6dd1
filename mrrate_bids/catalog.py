"""A release on disk: which repositories, batches and studies there are, and what is said of them.

A batch is read at a time, so memory does not grow with the number of batches. A study knows its
rows of every table and the places (zips and folders) that hold its files; nothing is opened yet.

Source: the MR-RATE dataset guide, "Repository Overview" and "Connecting the Pieces".
"""

import csv
import os
import re
from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from mrrate_bids.archives import Place
from mrrate_bids.errors import SourceError, TableError
from mrrate_bids.fetched import find_part
from mrrate_bids.naming import REPOSITORIES
from mrrate_bids.problems import Problem
from mrrate_bids.sources import name_of
from mrrate_bids.table_index import TableIndex
from mrrate_bids.tables import Record, Table, read_table

__all__ = [
    'Batch',
    'Release',
    'Study',
    'find_repositories',
    'is_repository',
    'open_release',
    'study_of',
]

SERIES_COLUMNS = ('study_uid', 'patient_uid', 'series_id', 'is_center_modality')


@dataclass(slots=True)
class Study:
    """A study: its rows in the tables of the release and the places that hold its files."""

    batch: str
    patient: str
    study: str
    header: list[str]
    """Columns of :attr:`rows`."""

    rows: list[Record]
    """The metadata records of its series, in file order."""

    places: list[Place] = field(default_factory=list)
    facts: dict[str, tuple[Table, Record]] = field(default_factory=dict)
    """Its record in the reports, the labels and the splits, by the name of the table's kind."""

    asked: frozenset[tuple[str, str]] | None = None
    """Of a release that was fetched in part: the pairs of series and group that were asked for.
    ``None`` where everything should be here."""

    def cell(self, row: Record, column: str) -> str:
        """Return a metadata cell, empty when the batch has no such column."""
        return row.cells[self.header.index(column)] if column in self.header else ''

    def fact(self, table: str, column: str) -> str:
        """Return a cell of the study's record in another table; empty when there is none."""
        if table not in self.facts:
            return ''
        source, record = self.facts[table]
        position = source.column(column)
        return '' if position is None else record.cells[position]


@dataclass(slots=True)
class Batch:
    """A batch: its tables, its studies and what is wrong with them."""

    name: str
    studies: list[Study]
    tables: list[Table]
    problems: list[Problem]
    asked: set[str] = field(default_factory=set)
    """The studies that the run's selection is about."""


class Release:
    """A release, whole or in part, below one folder.

    Parameters
    ----------
    root
        The folder that was asked for.
    repositories
        The folders that hold ``mri/``, by name. Several may have the same contents merged.
    native
        The repository with the tables.
    """

    def __init__(self, root: Path, repositories: dict[str, Path], native: Path) -> None:
        self.root = root
        self.repositories = repositories
        self.native = native
        self.problems: list[Problem] = []
        self._indexes: dict[Path, TableIndex] = {}

    @cached_property
    def metadata(self) -> dict[str, Path]:
        """The metadata CSV of each batch, in order of the batches."""
        found = sorted((self.native / 'metadata').glob('*_metadata.csv'))
        return {path.name.removesuffix('_metadata.csv'): path for path in found}

    @cached_property
    def batches(self) -> list[str]:
        """The names of all batches that have metadata or images."""
        names = set(self.metadata)
        for repository in self.repositories.values():
            names.update(entry.name for entry in _folders(repository / 'mri'))
        return sorted(names)

    @cached_property
    def study_tables(self) -> dict[str, Path]:
        """The tables with a row per study of the whole release: splits and labels, by kind."""
        labels = sorted((self.native / 'pathology_labels').glob('*.csv'))
        found = {'splits': self.native / 'splits.csv'}
        found |= {f'labels {path.stem}': path for path in labels}  # none is called like another
        return {kind: path for kind, path in found.items() if _is_there(path)}

    def columns(self) -> list[str]:
        """Return the columns of all tables, without reading the rows."""
        names: dict[str, None] = {}
        reports = sorted((self.native / 'reports').glob('*_reports.csv'))
        for path in [*self.metadata.values(), *self.study_tables.values(), *reports]:
            try:
                with path.open(encoding='utf-8-sig', newline='') as file:
                    header = next(csv.reader(file), [])
            except (OSError, UnicodeDecodeError, csv.Error):
                continue  # the batch itself will say so
            names.update(dict.fromkeys(header))
        return list(names)

    def values(self, batch: str, column: str) -> set[str]:
        """Return what the metadata of a batch have in a column.

        Raises
        ------
        TableError
            When they cannot be read, or have no such column.
        """
        found: set[str] = set()

        def keep(cell: str) -> bool:
            found.add(cell)
            return False

        path = self.metadata[batch]
        read_table(path, name=path.name, required=(column,), keep=keep)
        return found

    def read_batch(self, name: str) -> Batch:
        """Read the tables of a batch and find the places of its studies."""
        batch = Batch(name, [], [], [])
        places = self.find_places(batch)
        path = self.metadata.get(name)
        if path is None:
            message = (
                f'metadata/{name}_metadata.csv is missing: {len(places):,} studies have no row'
            )
            remedy = 'Fetch the metadata of the batch from the release.'
            batch.problems.append(Problem('error', message, remedy, batch=name))
            return batch
        try:
            table = self._read(path, required=SERIES_COLUMNS, batch=batch)
        except TableError as error:
            self._complain(batch, Problem.from_error(error, file=str(path)), path)
            return batch
        batch.studies = list(_studies(table, name))
        self._join(batch, places)
        return batch

    def _join(self, batch: Batch, places: dict[str, list[Place]]) -> None:
        uids = {study.study for study in batch.studies}
        reports = self.native / 'reports' / f'{batch.name}_reports.csv'
        tables = {'reports': reports} if _is_there(reports) else {}
        for kind, path in (tables | self.study_tables).items():
            asked = uids if kind in self.study_tables else None
            records = self._by_study(path, batch, asked=asked)
            for study in batch.studies:
                if study.study in records:
                    study.facts[kind] = records.pop(study.study)
            if records:
                self._set_aside(batch, [records[uid] for uid in sorted(records)], path)
        part = find_part(self.root)
        for study in batch.studies:
            study.places = places.pop(study.study, [])
            if part:
                study.asked = part.asked(batch.name, study.study, here=bool(study.places))
        for uid, where in sorted(places.items()):
            batch.problems.append(
                Problem(
                    'error',
                    f'{name_of(where[0].path)} has no row in the metadata',
                    'Fetch the metadata of the batch again, or remove the file.',
                    batch=batch.name,
                    study=uid,
                    file=str(where[0].path),
                    check='files',
                )
            )

    def _set_aside(self, batch: Batch, strays: list[tuple[Table, Record]], path: Path) -> None:
        """Set aside the records of studies that the metadata do not have."""
        table = strays[0][0]
        table.rest += [record for _, record in strays]
        message = f'{table.name}: {len(strays):,} rows belong to no study of the metadata'
        remedy = 'Fetch both tables again; the rows are kept apart, nothing of them is lost.'
        where = {'batch': batch.name, 'file': str(path)}
        batch.problems.append(Problem('warning', message, remedy, **where))

    def strays(self, known: Set[str]) -> list[Table]:
        """Return the tables of the whole release, each with the rows of no known study.

        What is wrong with the tables is not said again.
        """
        tables = []
        for path in self.study_tables.values():
            name = path.relative_to(self.native).as_posix()
            with suppress(TableError):
                tables.append(
                    read_table(
                        path,
                        name=name,
                        required=('study_uid',),
                        keep=lambda uid: uid not in known,
                    )
                )
        return tables

    def _by_study(
        self, path: Path, batch: Batch, *, asked: Set[str] | None
    ) -> dict[str, tuple[Table, Record]]:
        """Read the records of the studies of a batch; of several for one study, the first."""
        try:
            table = self._read(path, required=('study_uid',), batch=batch, asked=asked)
        except TableError as error:
            self._complain(batch, Problem.from_error(error, file=str(path)), path)
            return {}
        records: dict[str, tuple[Table, Record]] = {}
        for uid, rows in table.group('study_uid').items():
            records[uid] = (table, rows[0])
            table.rest += rows[1:]
            if len(rows) > 1:
                numbers = ', '.join(str(row.number + 1) for row in rows)
                message = (
                    f'{table.name}: data rows {numbers} speak of the same study; '
                    'the first was taken'
                )
                remedy = 'Remove the rows that are wrong.'
                where = {'batch': batch.name, 'study': uid, 'file': str(path)}
                batch.problems.append(Problem('error', message, remedy, **where))
        return records

    def _read(
        self,
        path: Path,
        *,
        required: tuple[str, ...],
        batch: Batch,
        asked: Set[str] | None = None,
    ) -> Table:
        name = path.relative_to(self.native).as_posix()
        if asked is None:
            table = read_table(path, name=name, required=required)
        else:
            table = self._index(path, name=name, required=required).read(asked)
        for row in table.ragged:
            message = (
                f'{table.name}: data row {row.number + 1} has {len(row.cells)} cells, '
                f'the header has {len(table.header)}'
            )
            remedy = 'Repair the row, or fetch the table again from the release.'
            self._complain(batch, Problem('error', message, remedy, file=str(path)), path)
        batch.tables.append(table)
        return table

    def _index(self, path: Path, *, name: str, required: tuple[str, ...]) -> TableIndex:
        known = self._indexes.get(path)
        if known is None or not known.is_current:
            known = self._indexes[path] = TableIndex(path, name=name, required=required)
        return known

    def _complain(self, batch: Batch, problem: Problem, path: Path) -> None:
        """Note a defect of a table: once for one that all batches share."""
        if path not in self.study_tables.values():
            batch.problems.append(replace(problem, batch=batch.name))
        elif problem not in self.problems:
            self.problems.append(problem)

    def find_places(self, batch: Batch) -> dict[str, list[Place]]:
        """Find the zips and folders of each study, zips before folders.

        Raises
        ------
        SourceError
            When the folder of the batch cannot be read.
        """
        zips: dict[str, list[Place]] = {}
        folders: dict[str, list[Place]] = {}
        for repository in self.repositories.values():
            for entry in _entries(repository / 'mri' / batch.name):
                path = Path(entry.path)
                if entry.name.startswith('.'):
                    continue
                if entry.name.endswith('.zip'):
                    uid = study_of(entry.name)
                    zips.setdefault(uid, []).append(Place(path, uid, True))
                elif path.is_dir():
                    folders.setdefault(entry.name, []).append(Place(path, entry.name, False))
                else:
                    message = f'{entry.name} is neither a zip nor a folder; it was left out'
                    where = {'batch': batch.name, 'file': str(path), 'check': 'archives'}
                    remedy = 'Keep it elsewhere, or finish its download.'
                    batch.problems.append(Problem('warning', message, remedy, **where))
        for uid, places in folders.items():
            zips.setdefault(uid, []).extend(places)
        return zips


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SourceError(
            f'{folder} cannot be read ({error.strerror})', hint='Ask its owner for access.'
        ) from error


def _folders(folder: Path) -> Iterator[os.DirEntry[str]]:
    return (
        entry
        for entry in _entries(folder)
        if Path(entry.path).is_dir() and not entry.name.startswith('.')
    )


def _is_there(path: Path) -> bool:
    """Tell whether there is a file, or a link to one that was not fetched."""
    return path.exists() or path.is_symlink()


_ARCHIVES = sorted(
    (pattern.removeprefix('{study}') for pattern in REPOSITORIES.values()), key=len, reverse=True
)


def study_of(name: str) -> str:
    """Return the study that a zip belongs to.

    >>> study_of('2END5JBWVA_coreg.zip'), study_of('2END5JBWVA.zip')
    ('2END5JBWVA', '2END5JBWVA')
    """
    ending = next(ending for ending in _ARCHIVES if name.endswith(ending))
    return name.removesuffix(ending)


def _studies(table: Table, batch: str) -> Iterator[Study]:
    patient = table.header.index('patient_uid')
    for uid, rows in table.group('study_uid').items():
        yield Study(batch, rows[0].cells[patient], uid, table.header, rows)


def open_release(source: Path) -> Release:
    """Find the repositories of a release below *source*.

    Parameters
    ----------
    source
        The folder of one repository (it holds ``mri/`` or ``metadata/``) or the folder that
        holds several side by side.

    Raises
    ------
    SourceError
        When there is no release, or no metadata to go with it.
    """
    if not source.is_dir():
        raise SourceError(f'{source} is not a folder')
    found = find_repositories(source)
    if not found:
        raise SourceError(f'{source} holds no MR-RATE repository (no mri/ and no metadata/ in it)')
    native = [path for path in found.values() if any((path / 'metadata').glob('*_metadata.csv'))]
    if not native:
        raise SourceError(
            f'{source} has images but no metadata/batchXX_metadata.csv',
            hint='Fetch the metadata folder of the repository MR-RATE; it is small.',
        )
    if len(native) > 1:
        names = ' and '.join(sorted(path.name for path in native))
        raise SourceError(
            f'{source} holds several releases: {names} have metadata',
            hint='Point SOURCE at one of them, or move the other away.',
        )
    return Release(source, dict(sorted(found.items())), native[0])


def find_repositories(source: Path) -> dict[str, Path]:
    """Return the repositories that *source* is or holds, by name; of no release there is none."""
    if is_repository(source):
        return {source.name: source}
    folders = (Path(entry.path) for entry in _folders(source))
    return {folder.name: folder for folder in folders if is_repository(folder)}


def is_repository(folder: Path) -> bool:
    """Tell whether a folder is a repository of a release."""
    metadata = folder / 'metadata'
    return (folder / 'mri').is_dir() or (
        metadata.is_dir() and any(re.search('_metadata.csv$', e.name) for e in _entries(metadata))
    )
