"""A BIDS dataset that is to become a release: its visits, its tables and the files of a visit.

Sources: BIDS 1.10.1, "Data summary files", "Phenotypic and assessment data", "Storage of derived
datasets".
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from mrrate_bids.checks.tree import find_folders, open_tree, read_rows
from mrrate_bids.descriptions import is_exported
from mrrate_bids.errors import NamingError, TableError
from mrrate_bids.faces import MARKS
from mrrate_bids.files import checksum
from mrrate_bids.importing.measures import Measures
from mrrate_bids.inheritance import Sidecars
from mrrate_bids.naming import KINDS, decode_label, scans_path
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import FOLDER, Receipt, Receipts
from mrrate_bids.tables import unescape_cell

__all__ = ['BidsSource', 'Files', 'Visit']

Files = dict[str, list[str]]
"""Paths inside their dataset, by the name of the dataset; the raw one has the empty name."""

_IMAGES = ('.nii', '.nii.gz')
_CORRECT = 'Correct the table.'


@dataclass(frozen=True, slots=True)
class Visit:
    """A session of a subject: a study of the release."""

    subject: str
    """``sub-01``"""

    session: str
    """``ses-1``; empty where the dataset has no sessions."""

    patient: str = ''
    study: str = ''
    batch: str = ''
    exported: bool = False
    """Whether an export left a receipt of it."""

    @property
    def label(self) -> str:
        """What to call it: its folder in the dataset."""
        return f'{self.subject}/{self.session}' if self.session else self.subject

    @property
    def is_named(self) -> bool:
        """Whether it has the identifiers of a release already."""
        return bool(self.patient and self.study and self.batch)


class BidsSource:
    """A BIDS dataset with its derivatives.

    Parameters
    ----------
    root
        The raw dataset.

    Raises
    ------
    UsageError
        When there is none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = open_tree(root)
        self.sidecars = Sidecars(root)
        self.problems: list[Problem] = []
        self._sessions = lru_cache(maxsize=64)(self._read_sessions)  # asked for again and again
        self.is_ours = self.tree.has_receipts or is_exported(root)
        """Whether an export wrote the tables, so that their cells are escaped."""
        if self.is_ours and not self.tree.has_receipts:
            message = (
                f'{FOLDER}/receipts is missing; rows come back without their old order, and an '
                'image that was replaced is not noticed'
            )
            remedy = 'Restore it, or export the release again.'
            self.note(Problem('warning', message, remedy, file=FOLDER))

    @cached_property
    def takes_faces_away(self) -> bool:
        """Whether somebody took faces away: the release it came from, or who defaced an image."""
        derived = (self.root / 'derivatives').glob('*/sub-*/**/*')
        return self.is_ours or any(mark in path.name for path in derived for mark in MARKS)

    @cached_property
    def participants(self) -> dict[str, dict[str, str]]:
        """The rows of participants.tsv."""
        rows = self.rows('participants.tsv')
        if rows and 'participant_id' not in rows[0]:
            message = 'participants.tsv: has no column participant_id; nobody is found in it'
            self.note(Problem('error', message, _CORRECT, file='participants.tsv'))
            return {}
        labels = Counter(_with('sub-', row['participant_id']) for row in rows)
        for label in [label for label, count in labels.items() if count > 1]:
            message = f'participants.tsv: {label} has {labels[label]} rows; the last was taken'
            self.note(Problem('warning', message, _CORRECT, file='participants.tsv'))
        return {_with('sub-', row['participant_id']): row for row in rows}

    @cached_property
    def measures(self) -> Measures:
        """Reports and labels."""
        return Measures(self)

    def rows(self, inside: str) -> list[dict[str, str]]:
        """Return the rows of a TSV file; none when it is not there or damaged, which is noted."""
        path = self.root / inside
        if not path.exists():
            return []
        try:
            rows = list(read_rows(path))
            return [self._plain(row) for row in rows] if self.is_ours else rows
        except (TableError, ValueError) as error:
            self.note(Problem('error', f'{inside}: {error}', _CORRECT, file=inside))
            return []

    def note(self, problem: Problem) -> None:
        """Note what is wrong with the dataset, once."""
        if problem not in self.problems:
            self.problems.append(problem)

    @staticmethod
    def _plain(row: dict[str, str]) -> dict[str, str]:
        """Undo the escapes of an export."""
        return {column: cell and unescape_cell(cell) for column, cell in row.items()}

    def sessions(self, subject: str) -> dict[str, dict[str, str]]:
        """Return the rows of sessions.tsv of a subject, in their order."""
        return self._sessions(subject)

    def _read_sessions(self, subject: str) -> dict[str, dict[str, str]]:
        rows = self.rows(f'{subject}/{subject}_sessions.tsv')
        return {_with('ses-', row.get('session_id', '')): row for row in rows}

    def visits(self) -> list[Visit]:
        """Return every visit that has a folder; what cannot stand in a release is noted."""
        found: list[Visit] = []
        seen: dict[str, str] = {}
        for subject in self.tree.subjects():
            first = seen.setdefault(subject.casefold(), subject)
            if first == subject:
                found += self._visits_of(subject)
            else:
                message = f'{subject} differs from {first} by case only; it was set aside'
                remedy = 'Rename one of the two folders.'
                self.problems.append(Problem('error', message, remedy, file=subject))
        return found

    def _visits_of(self, subject: str) -> Iterator[Visit]:
        folders = [dataset.root / subject for dataset in self.tree.datasets.values()]
        raw = [
            ses
            for ses in find_folders(self.root / subject, 'ses-')
            if self._is_study(subject, ses)
        ]
        derived = {ses for folder in folders for ses in find_folders(folder, 'ses-')}
        known = [
            ses for ses in sorted(derived - set(raw)) if self._came_without_images(subject, ses)
        ]
        sessions = self.sessions(subject) if raw or known else {}
        for session in sorted([*raw, *known]):
            yield self._named(Visit(subject, session), sessions.get(session, {}))
        if (self.root / subject / 'anat').is_dir():
            yield Visit(subject, '')

    def _is_study(self, subject: str, session: str) -> bool:
        """Tell whether a session has anatomical images, or had them when it was exported."""
        has_images = (self.root / subject / session / 'anat').is_dir()
        return has_images or session[4:] in self.tree.receipts

    def _came_without_images(self, subject: str, session: str) -> bool:
        """Tell whether a session without raw images was exported that way."""
        receipts = (
            self.tree.load_receipt(batch, session[4:])
            for batch in self.tree.receipts.get(session[4:], ())
        )
        outputs = [output.kind for receipt in receipts if receipt for output in receipt.outputs]
        if KINDS['image'].name not in outputs:
            return bool(outputs)
        message = f'{subject}/{session} was removed, its derivatives were not; they are left out'
        self.problems.append(
            Problem('warning', message, 'Remove them as well.', file=f'{subject}/{session}')
        )
        return False

    def _named(self, visit: Visit, row: dict[str, str]) -> Visit:
        """Add the identifiers that an export gave to a visit, from its receipt or its table."""
        label = visit.session.removeprefix('ses-')
        batches = self.tree.receipts.get(label, [])
        batch = batches[0] if batches else row.get('batch_id', '')
        if not batch or not (batches or row.get('study_uid')):
            return visit
        try:
            patient, study = decode_label(visit.subject[4:]), decode_label(label)
            batch = decode_label(batch) if batches else batch
        except NamingError:
            return visit
        return replace(
            visit, patient=patient, study=study, batch=batch, exported=len(batches) == 1
        )

    def receipt(self, visit: Visit) -> Receipt | None:
        """Return what an export did for a visit."""
        if not visit.exported:
            return None
        (batch,) = self.tree.receipts[visit.session.removeprefix('ses-')]
        return self.tree.load_receipt(batch, visit.session.removeprefix('ses-'))

    def exported_at(self, visit: Visit) -> int:
        """Return when the export of a visit that has a receipt had ended, in ns."""
        return Receipts(self.root).written_at(visit.batch, visit.study)

    def checksum(self, inside: str) -> int | None:
        """Return the CRC-32 of a file; ``None`` when it cannot be read."""
        try:
            return checksum(self.root / inside)
        except OSError:
            return None

    def files(self, visit: Visit) -> Files:
        """Return the files of a visit in every dataset.

        What fMRIPrep and others wrote for the subject as a whole belongs to its only session.
        """
        found: Files = {}
        alone = self.is_alone(visit)
        for dataset in self.tree.datasets.values():
            paths = list(_walk(dataset.root, visit.label, skip=not visit.session))
            if visit.session and alone and dataset.name:
                paths += _walk(dataset.root, visit.subject, skip=True)
            found[dataset.name] = paths
        return found

    def is_alone(self, visit: Visit) -> bool:
        """Tell whether a visit is the only one of its subject: what names no session is its."""
        return len(find_folders(self.root / visit.subject, 'ses-')) <= 1

    def images(self, files: Files) -> list[str]:
        """Return the raw images among the files of a visit."""
        return [p for p in files.get('', []) if p.endswith(_IMAGES) and '/anat/' in p]

    def scans(self, visit: Visit) -> dict[str, dict[str, str]]:
        """Return the rows of scans.tsv of a visit, by file name."""
        rows = self.rows(scans_path(visit.label))
        return {row.get('filename', '').rpartition('/')[2]: row for row in rows}


def _with(prefix: str, label: str) -> str:
    return label if label.startswith(prefix) else prefix + label


def _walk(root: Path, inside: str, *, skip: bool) -> Iterator[str]:
    """Yield every file below a folder of a dataset, without its sessions when they are skipped."""
    base = os.fspath(root)
    for folder, folders, names in os.walk(f'{base}/{inside}'):
        if skip:
            folders[:] = [name for name in folders if not name.startswith('ses-')]
        folders.sort()
        place = folder[len(base) + 1 :]
        for name in sorted(names):
            if not name.startswith('.'):
                yield f'{place}/{name}'
