"""A release on disk: which repositories, batches and studies there are, and what is said of them.

A batch is read at a time, so memory does not grow with the number of batches. A study knows its
rows of every table and the places (zips and folders) that hold its files; nothing is opened yet.

Source: the MR-RATE dataset guide, "Repository Overview" and "Connecting the Pieces".
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mrrate_bids.archives import Place
from mrrate_bids.errors import SourceError, TableError
from mrrate_bids.naming import REPOSITORIES
from mrrate_bids.problems import Problem
from mrrate_bids.tables import Record, Table, read_table

__all__ = ['Batch', 'Release', 'Study', 'open_release']

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
    def splits(self) -> dict[str, tuple[Table, Record]]:
        """The record of ``splits.csv`` of each study."""
        return self._by_study(self.native / 'splits.csv')

    @cached_property
    def labels(self) -> dict[str, dict[str, tuple[Table, Record]]]:
        """The records of each study in each table of ``pathology_labels/``, by table name."""
        found = sorted((self.native / 'pathology_labels').glob('*.csv'))
        return {path.stem: self._by_study(path) for path in found}

    def columns(self) -> list[str]:
        """Return the metadata columns of all batches, without reading the rows."""
        names: dict[str, None] = {}
        for path in self.metadata.values():
            try:
                header = path.open(encoding='utf-8-sig', newline='').readline()
            except (OSError, UnicodeDecodeError):
                continue  # the batch itself will say so
            names.update(dict.fromkeys(header.rstrip('\r\n').split(',')))
        return list(names)

    def read_batch(self, name: str) -> Batch:
        """Read the tables of a batch and find the places of its studies."""
        batch = Batch(name, [], [], [])
        places = self._places(name)
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
            batch.problems.append(Problem.from_error(error, batch=name, file=str(path)))
            return batch
        batch.studies = list(_studies(table, name))
        self._join(batch, places)
        return batch

    def _join(self, batch: Batch, places: dict[str, list[Place]]) -> None:
        reports: dict[str, tuple[Table, Record]] = {}
        path = self.native / 'reports' / f'{batch.name}_reports.csv'
        if path.exists():
            reports = self._by_study(path, batch)
        for study in batch.studies:
            study.places = places.pop(study.study, [])
            sources = {'reports': reports, 'splits': self.splits, **self.labels}
            for kind, records in sources.items():
                if study.study in records:
                    study.facts[kind] = records[study.study]
        for uid, where in sorted(places.items()):
            batch.problems.append(
                Problem(
                    'error',
                    f'{where[0].path.name} has no row in the metadata',
                    'Fetch the metadata of the batch again, or remove the file.',
                    batch=batch.name,
                    study=uid,
                    file=str(where[0].path),
                )
            )

    def _by_study(self, path: Path, batch: Batch | None = None) -> dict[str, tuple[Table, Record]]:
        problems = self.problems if batch is None else batch.problems
        name = batch.name if batch else ''
        if not path.exists():
            return {}
        try:
            table = self._read(path, required=('study_uid',), batch=batch)
        except TableError as error:
            problems.append(Problem.from_error(error, batch=name, file=str(path)))
            return {}
        records: dict[str, tuple[Table, Record]] = {}
        for uid, rows in table.group('study_uid').items():
            records[uid] = (table, rows[0])
            if len(rows) > 1:
                numbers = ', '.join(str(row.number + 1) for row in rows)
                problems.append(
                    Problem(
                        'error',
                        f'{table.name}: data rows {numbers} speak of the same study; '
                        'the first was taken',
                        'Remove the rows that are wrong.',
                        batch=name,
                        study=uid,
                        file=str(path),
                    )
                )
        return records

    def _read(self, path: Path, *, required: tuple[str, ...], batch: Batch | None) -> Table:
        table = read_table(path, name=path.relative_to(self.native).as_posix(), required=required)
        problems = self.problems if batch is None else batch.problems
        for row in table.ragged:
            problems.append(
                Problem(
                    'error',
                    f'{table.name}: data row {row.number + 1} has {len(row.cells)} cells, '
                    f'the header has {len(table.header)}',
                    'Repair the row, or fetch the table again from the release.',
                    batch=batch.name if batch else '',
                    file=str(path),
                )
            )
        if batch is not None:
            batch.tables.append(table)
        return table

    def _places(self, batch: str) -> dict[str, list[Place]]:
        """Find the zips and folders of each study, zips before folders."""
        zips: dict[str, list[Place]] = {}
        folders: dict[str, list[Place]] = {}
        for repository in self.repositories.values():
            for entry in _entries(repository / 'mri' / batch):
                if entry.name.startswith('.'):
                    continue
                if entry.name.endswith('.zip'):
                    uid = _study_of(entry.name)
                    zips.setdefault(uid, []).append(Place(Path(entry.path), uid, True))
                elif entry.is_dir():
                    place = Place(Path(entry.path), entry.name, False)
                    folders.setdefault(entry.name, []).append(place)
        for uid, places in folders.items():
            zips.setdefault(uid, []).extend(places)
        return zips


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _folders(folder: Path) -> Iterator[os.DirEntry[str]]:
    return (e for e in _entries(folder) if e.is_dir() and not e.name.startswith('.'))


_ARCHIVES = sorted(
    (pattern.removeprefix('{study}') for pattern in REPOSITORIES.values()), key=len, reverse=True
)


def _study_of(name: str) -> str:
    """Return the study that a zip belongs to.

    >>> _study_of('2END5JBWVA_coreg.zip'), _study_of('2END5JBWVA.zip')
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
    found = {source.name: source} if _is_repository(source) else {}
    if not found:
        found = {
            entry.name: Path(entry.path)
            for entry in _folders(source)
            if _is_repository(Path(entry.path))
        }
    if not found:
        raise SourceError(f'{source} holds no MR-RATE repository (no mri/ and no metadata/ in it)')
    native = [path for path in found.values() if any((path / 'metadata').glob('*_metadata.csv'))]
    if not native:
        raise SourceError(
            f'{source} has images but no metadata/batchXX_metadata.csv',
            hint='Fetch the metadata folder of the repository MR-RATE; it is small.',
        )
    return Release(source, dict(sorted(found.items())), native[0])


def _is_repository(folder: Path) -> bool:
    metadata = folder / 'metadata'
    return (folder / 'mri').is_dir() or (
        metadata.is_dir() and any(re.search('_metadata.csv$', e.name) for e in _entries(metadata))
    )
