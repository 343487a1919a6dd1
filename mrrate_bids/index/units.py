"""The parts of a release or a dataset that are indexed on their own, and what is in them.

A unit of a release is a batch, a unit of a dataset the studies of a batch or a group of subjects.
Its state tells cheaply whether it may have changed: sizes and times of its tables and folders. A
file that is edited in place, in a folder that stays as it is, is not noticed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrrate_bids.archives import list_place
from mrrate_bids.catalog import Batch, Release, Study, find_repositories, open_release
from mrrate_bids.checks.tree import find_folders, is_dataset
from mrrate_bids.errors import DataError, NamingError, UsageError
from mrrate_bids.foreign import classified_as, modality_of
from mrrate_bids.importing.source import BidsSource, Visit
from mrrate_bids.index.states import people_tables, state_of_all
from mrrate_bids.inheritance import split_name
from mrrate_bids.naming import KINDS, derived_name, parse_member
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import FOLDER, SPLITS
from mrrate_bids.sidecars import AGE_COLUMN, SEX_COLUMN, VERBATIM

__all__ = ['Entry', 'File', 'Unit', 'find_units']

_GROUP = 500
_INSIDE = sorted({kind.member.partition('/')[0] for kind in KINDS.values()})
_DATA = ('.nii', '.nii.gz', '.mat')


@dataclass(frozen=True, slots=True)
class File:
    """A file, where it lies relative to the folder that is indexed."""

    kind: str
    home: str
    """The repository or the dataset."""

    path: str
    member: str
    """Its name inside the zip; empty for a file on its own."""

    size: int


@dataclass(slots=True)
class Entry:
    """A series: its cells and its files."""

    cells: dict[str, str]
    files: list[File] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unit:
    """A part that is indexed on its own."""

    name: str
    state: str
    """What changes when it changes."""

    read: Callable[[list[Problem]], Iterator[Entry]]
    """Yields its series; what is wrong is added to the list."""


def find_units(root: Path, problems: list[Problem]) -> list[Unit]:
    """Return the units of a release or a dataset.

    Parameters
    ----------
    root
        The folder.
    problems
        What is wrong with its folders is added here.

    Raises
    ------
    UsageError
        When the folder is neither.
    """
    if is_dataset(root):
        source = BidsSource(root)
        if '' not in source.tree.datasets:
            raise UsageError(
                f'{root} is a derivative dataset',
                hint='Point DIR at the raw dataset; its derivatives are indexed with it.',
            )
        units = list(_dataset_units(source))
        problems += _errors(source.problems)
        return units
    if root.is_dir() and find_repositories(root):
        return list(_release_units(root, open_release(root)))
    raise UsageError(
        f'{root} is neither a release nor a BIDS dataset',
        hint='Point DIR at the folder of a release, or at the root of a dataset.',
    )


def _errors(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity == 'error']


def _release_units(root: Path, release: Release) -> Iterator[Unit]:
    for batch in release.batches:
        paths = [
            *release.study_tables.values(),
            *([release.metadata[batch]] if batch in release.metadata else []),
            release.native / 'reports' / f'{batch}_reports.csv',
        ]
        places = [path.relative_to(root).as_posix() for path in paths]
        for home in release.repositories.values():
            places += _folders(root, (home / 'mri' / batch).relative_to(root).as_posix())
        state = state_of_all(root, places)
        yield Unit(batch, state, _reader(root, release, batch))


def _folders(root: Path, batch: str) -> Iterator[str]:
    """Yield the folder of a batch, and those of extracted studies that may hold files."""
    yield batch
    for name in find_folders(root / batch, ''):
        yield from (f'{batch}/{name}/{inside}' for inside in _INSIDE)


def _reader(root: Path, release: Release, name: str) -> Callable[[list[Problem]], Iterator[Entry]]:
    def read(problems: list[Problem]) -> Iterator[Entry]:
        batch = release.read_batch(name)
        problems += _errors([*release.problems, *batch.problems])
        for study in batch.studies:
            yield from _study_entries(root, release, study, batch, problems)

    return read


def _study_entries(
    root: Path, release: Release, study: Study, batch: Batch, problems: list[Problem]
) -> Iterator[Entry]:
    shared: dict[str, str] = {'batch': batch.name}
    for table, record in study.facts.values():
        for column, cell in zip(table.header, record.cells, strict=True):
            shared.setdefault(column, cell)
    entries: dict[str, Entry] = {}
    for row in study.rows:
        cells = shared | dict(zip(study.header, row.cells, strict=True))
        entries.setdefault(study.cell(row, 'series_id'), Entry(cells))
    homes = {folder: name for name, folder in release.repositories.items()}
    for place in study.places:
        try:
            members = list_place(place).members
        except DataError as error:
            where = {'batch': batch.name, 'study': study.study, 'file': str(place.path)}
            problems.append(Problem.from_error(error, **where))
            continue
        path = Path(place.path)
        home = homes[path.parents[2]]
        for member in members:
            try:
                found = parse_member(study.study, member.name)
            except NamingError:
                continue
            series_id = str(found.series)
            ids = {'patient_uid': study.patient, 'study_uid': study.study, 'series_id': series_id}
            entry = entries.setdefault(series_id, Entry(shared | ids))  # without a row, too
            if entry:
                inside = Path(member.path).relative_to(root).as_posix()
                name = f'{study.study}/{member.name}' if place.zipped else ''
                entry.files.append(File(found.kind.name, home, inside, name, member.size))
    yield from entries.values()


def _dataset_units(source: BidsSource) -> Iterator[Unit]:
    root, people = source.root, people_tables(source.root)
    grouped: dict[str, list[Visit]] = {}
    for number, visit in enumerate(source.visits()):
        name = visit.batch if visit.exported else f'group{number // _GROUP:03d}'
        grouped.setdefault(name, []).append(visit)
    for name, visits in sorted(grouped.items()):
        paths = [path for visit in visits for path in _places(source, visit)]
        state = state_of_all(root, [*people, f'{FOLDER}/receipts/{name}', *paths])
        yield Unit(name, state, _visits_reader(source, visits))


def _places(source: BidsSource, visit: Visit) -> Iterator[str]:
    """Yield the folders and tables that change when a visit does."""
    yield visit.subject
    yield f'{visit.subject}/{visit.subject}_sessions.tsv'
    for name in source.tree.datasets:
        yield f'{source.tree.datasets[name].table_path(visit.label)}/anat'


def _visits_reader(
    source: BidsSource, visits: list[Visit]
) -> Callable[[list[Problem]], Iterator[Entry]]:
    def read(problems: list[Problem]) -> Iterator[Entry]:
        known = len(source.problems)
        for visit in visits:
            try:
                yield from _visit_entries(source, visit)
            except (DataError, OSError) as error:
                message = f'{visit.label}: {error}'
                place = {'study': visit.study, 'file': visit.label}
                problems.append(Problem('error', message, 'Correct it, or remove it.', **place))
        problems += _errors(source.problems[known:])

    return read


def _visit_entries(source: BidsSource, visit: Visit) -> Iterator[Entry]:
    files, shared = source.files(visit), _visit_cells(source, visit)
    entries: dict[str, Entry] = {}
    made: dict[str, tuple[str, str]] = {}
    for image in source.images(files):
        sidecar = _sidecar(source, visit, image)
        cells = _image_cells(image, sidecar) | shared | _verbatim(sidecar)
        entries[image] = Entry(cells, [_file(source, KINDS['image'].name, '', image)])
        stem, _, suffix = image.rpartition('/')[2].partition('.')[0].rpartition('_')
        for kind in KINDS.values():
            made[f'{kind.dataset}/{derived_name(kind, stem, suffix)}'] = image, kind.name
    for dataset, paths in files.items():
        for path in paths:
            if dataset and path.endswith(_DATA):
                name = path.rpartition('/')[2]
                other = visit.label, split_name(name)[1]
                owner, what = made.get(f'{dataset}/{name}', other)
                entry = entries.setdefault(owner, Entry(dict(shared)))
                entry.files.append(_file(source, what, dataset, path))
    yield from entries.values()


def _sidecar(source: BidsSource, visit: Visit, image: str) -> dict[str, Any]:
    """Return what the sidecars say of an image; of one that is damaged nothing, which is noted."""
    try:
        return source.sidecars.read(image)
    except DataError as error:
        source.note(Problem.from_error(error, study=visit.study, file=visit.label))
        return {}


def _visit_cells(source: BidsSource, visit: Visit) -> dict[str, str]:
    person = source.participants.get(visit.subject, {})
    session = source.sessions(visit.subject).get(visit.session, {})
    cells = {column: cell for column, cell in (person | session).items() if cell}
    for table in source.measures.of(visit, alone=source.is_alone(visit)).values():
        cells = table | cells
    receipt = source.receipt(visit)
    cells = (receipt.cells(SPLITS) if receipt else {}) | cells
    study_split = session.get('study_split') or person.get('split', '')
    known = {
        'patient_uid': visit.patient or visit.subject[4:],
        'study_uid': visit.study or visit.label,
        'batch': visit.batch,
        'split': study_split,
        AGE_COLUMN: session.get('session_age') or session.get('age') or person.get('age', ''),
        SEX_COLUMN: person.get('sex', ''),
    }
    return cells | {column: cell for column, cell in known.items() if cell}


def _image_cells(image: str, sidecar: dict[str, Any]) -> dict[str, str]:
    entities, suffix = split_name(image.rpartition('/')[2])
    values = (sidecar | entities | {'suffix': suffix}).items()
    cells = {key: str(value) for key, value in values if not isinstance(value, dict)}
    name = image.rpartition('/')[2].partition('.')[0]
    own = '_'.join(part for part in name.split('_') if not part.startswith(('sub-', 'ses-')))
    modality = classified_as(modality_of(suffix, entities))
    return cells | {'series_id': own, 'classified_modality': modality}


def _verbatim(sidecar: dict[str, Any]) -> dict[str, str]:
    cells = sidecar.get(VERBATIM)
    return {str(k): str(v) for k, v in cells.items()} if isinstance(cells, dict) else {}


def _file(source: BidsSource, kind: str, dataset: str, path: str) -> File:
    place = source.tree.datasets[dataset].root / path
    inside = source.tree.datasets[dataset].table_path(path)
    return File(kind, dataset or 'raw', inside, '', place.stat().st_size)
