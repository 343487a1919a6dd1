"""Checks of the tables of a dataset against its folders and files.

Source: BIDS 1.10.1, "Data summary files".
"""

from collections import Counter
from dataclasses import dataclass, field

from mrrate_bids.checks.relations import objections_to_json
from mrrate_bids.checks.study import Study
from mrrate_bids.checks.tally import Tally
from mrrate_bids.checks.tree import Dataset, Tree, find_folders, read_rows, study_of
from mrrate_bids.errors import TableError
from mrrate_bids.problems import Problem

__all__ = ['Participants', 'check_datasets', 'check_scans', 'check_sessions']

_FINISH = 'Run the export again; it writes the tables anew.'
_CORRECT = 'Correct the table, or restore what it names.'


@dataclass(slots=True)
class Participants:
    """What participants.tsv says, as far as other checks need it."""

    splits: dict[str, str] = field(default_factory=dict)
    """The split, or nothing, of every subject that has a row."""

    exists: bool = False


def check_datasets(tree: Tree, tally: Tally) -> Participants:
    """Check what stands once per dataset: its description, its links, its participants."""
    for dataset in tree.datasets.values():
        _check_description(dataset, tally)
    raw = tree.datasets.get('')
    return _check_participants(tree, raw, tally) if raw else Participants()


def _check_description(dataset: Dataset, tally: Tally) -> None:
    def find(path: str, message: str, remedy: str, severity: str = 'error') -> None:
        file = dataset.table_path(path)
        problem = Problem(severity, f'{file}: {message}', remedy, file=file)
        tally.add('references', dataset.name, problem)

    if not dataset.described:
        message = 'is missing or not readable; links to other datasets are not followed'
        find('dataset_description.json', message, _FINISH)
    for link, folder in dataset.folders.items():
        if folder is None:
            where = f'{link!r} ({dataset.links[link]})'
            message = f'the dataset {where} is not here; its files are not looked for'
            remedy = 'Put it there, or correct DatasetLinks.'
            find('dataset_description.json', message, remedy, 'warning')
    for path in sorted(dataset.root.glob('*.json')):

        def count() -> None:
            tally.count('references', dataset.name)

        if path.name != 'dataset_description.json':
            for message in objections_to_json(dataset, path, count):
                find(path.name, message, 'Correct the reference.')


def _check_participants(tree: Tree, raw: Dataset, tally: Tally) -> Participants:
    found = Participants()
    folders = find_folders(raw.root, 'sub-')
    rows: Counter[str] = Counter()

    def find(message: str, severity: str = 'error') -> None:
        remedy = _FINISH if tree.has_receipts else _CORRECT
        problem = Problem(severity, f'participants.tsv: {message}', remedy)
        tally.add('tables', '', problem)

    if not (raw.root / 'participants.tsv').exists():
        if tree.has_receipts and folders:
            find('is missing')
        return found
    found.exists = True
    tally.count('tables', '')
    try:
        for row in read_rows(raw.root / 'participants.tsv'):
            rows[row.get('participant_id', '')] += 1
            found.splits[row.get('participant_id', '')] = row.get('split', '')
    except TableError as error:
        find(str(error))
    for name, number in rows.items():
        if number > 1:
            find(f'has {number} rows for {name}')
    for name in sorted(rows.keys() - set(folders)):
        find(f'{name} has a row and no folder', 'error' if tree.has_receipts else 'warning')
    for name in sorted(set(folders) - rows.keys()):
        find(f'{name} has a folder and no row')
    return found


def check_sessions(study: Study, participants: Participants) -> None:
    """Compare sessions.tsv with the folders of a subject, and its splits with each other."""
    raw = study.tree.datasets.get('')
    sessions = find_folders(raw.root / study.subject, 'ses-') if raw else []
    path = f'{study.subject}/{study.subject}_sessions.tsv'
    place = raw.root / path if raw else None
    if place is None or not place.exists():
        if study.tree.has_receipts and sessions:
            study.find('tables', path, 'is missing', _FINISH)
        return
    study.tally.count('tables', '')
    try:
        rows = list(read_rows(place))
    except TableError as error:
        study.find('tables', path, str(error), _FINISH)
        return
    _compare(study, path, [row.get('session_id', '') for row in rows], sessions, 'folder')
    if any('study_split' in row for row in rows):
        study.tally.count('splits', '')
        _check_splits(study, path, rows, participants)


def _check_splits(
    study: Study, path: str, rows: list[dict[str, str]], participants: Participants
) -> None:
    splits = {row.get('session_id', ''): row.get('study_split', '') for row in rows}
    splits = {session: split for session, split in splits.items() if split}
    remedy = 'Correct splits.csv: all studies of a patient belong to one split.'
    if len(set(splits.values())) > 1:
        listed = ', '.join(f'{study_of(ses)} in {split}' for ses, split in sorted(splits.items()))
        study.find('splits', path, f'one patient, several splits: {listed}', remedy)
    elif split := participants.splits.get(study.subject, ''):
        listed = ', '.join(study_of(ses) for ses, other in splits.items() if other != split)
        if listed:
            message = f'{listed} in {splits.popitem()[1]}, participants.tsv says {split}'
            study.find('splits', path, message, remedy)


def check_scans(study: Study) -> None:
    """Compare scans.tsv with the images of a study."""
    path = study.scans_path
    place = study.tree.locate(path)
    if '' not in study.files or place is None or not place.exists():
        return
    study.tally.count('tables', '')
    try:
        listed = [row.get('filename', '') for row in read_rows(place)]
    except TableError as error:
        study.find('tables', path, str(error), _FINISH)
        return
    missing = [f for f in listed if not (place.parent / f).exists()]
    images = [
        table_path.removeprefix(f'{study.folder}/')
        for dataset, table_path, _ in study.each('.nii.gz', '.nii')
        if not dataset.name
    ]
    present = [f for f in {*images, *listed} if f not in missing]
    _compare(study, path, listed, present, 'file')


def _compare(study: Study, path: str, rows: list[str], present: list[str], what: str) -> None:
    """Report rows that stand for nothing, rows that repeat, and things without a row."""
    ours = study.tree.has_receipts
    remedy = _FINISH if ours else _CORRECT
    for name in sorted(set(rows) - set(present)):
        study.find('tables', path, f'{name} has a row and no {what}', remedy)
    for name in sorted(set(present) - set(rows)):
        severity = 'error' if ours else 'warning'
        message = f'{name} has a {what} and no row' if what == 'folder' else f'{name} has no row'
        study.find('tables', path, message, remedy, severity=severity)
    for name, number in Counter(rows).items():
        if number > 1:
            study.find('tables', path, f'has {number} rows for {name}', remedy)
