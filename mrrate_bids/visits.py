"""Subjects and sessions of a dataset: ``participants.tsv`` and a ``sessions.tsv`` for each.

Source: BIDS 1.10.1, "Data summary files".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mrrate_bids.descriptions import format_json
from mrrate_bids.files import remove, write_if_changed
from mrrate_bids.naming import encode_label
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import SPLITS, Receipt
from mrrate_bids.sidecars import AGE_LIMIT, read_sex, years
from mrrate_bids.tables import format_tsv
from mrrate_bids.templates import read_json

__all__ = ['Visit', 'read_age', 'read_date', 'split_conflicts', 'write_participants']

_PARTICIPANTS = ('participant_id', 'patient_uid', 'age', 'sex', 'split', 'split_batch_id')
_SESSIONS = (
    'session_id',
    'acq_time',
    'study_uid',
    'batch_id',
    'anon_study_date',
    'session_age',
    'center_series_id',
    'study_split',
)
_DATE = re.compile(r'(\d{4})-?(\d{2})-?(\d{2})(?:[ T].*)?')


@dataclass(slots=True)
class Visit:
    """What the tables of a dataset need of a study; small, for there are many."""

    patient: str
    study: str
    batch: str
    date: str
    age: str
    sex: str
    centre: str
    split: str
    split_batch: str

    @classmethod
    def of(cls, receipt: Receipt) -> 'Visit':
        """Return the visit that a receipt speaks of."""
        facts = receipt.cells(SPLITS)
        return cls(
            receipt.patient,
            receipt.study,
            receipt.batch,
            receipt.date,
            receipt.age,
            receipt.sex,
            receipt.centre,
            facts.get('split', ''),
            facts.get('batch_id', ''),
        )


def split_conflicts(patients: dict[str, list[Visit]]) -> Iterator[Problem]:
    """Yield a problem for each patient whose studies are in several splits."""
    for patient, visits in sorted(patients.items()):
        splits = sorted({visit.split for visit in visits if visit.split})
        if len(splits) > 1:
            yield Problem(
                'error',
                f'patient {patient} is in the splits {" and ".join(splits)}; '
                'participants.tsv has the first',
                'Correct splits.csv: all studies of a patient belong to one split.',
                study=visits[0].study,
            )


def read_age(text: str, *, cap: bool) -> str:
    """Return an age of the release as the tables of a dataset have it, in years.

    >>> read_age('037Y', cap=True), read_age('091Y', cap=True), read_age('', cap=True)
    ('37', '89', '')
    """
    value = years(text)
    if value is None:
        return ''
    value = min(value, AGE_LIMIT) if cap else value
    return f'{value:g}'


def write_participants(root: Path, patients: dict[str, list[Visit]], *, cap: bool) -> None:
    """Write ``participants.tsv``, the sessions of each subject and what describes their columns.

    Parameters
    ----------
    root
        The raw dataset.
    patients
        The visits of each patient in order of time.
    cap
        Whether ages above 89 are given as 89.
    """
    if not patients:
        return
    rows = []
    for patient, visits in sorted(patients.items(), key=lambda item: encode_label(item[0])):
        label, first = f'sub-{encode_label(patient)}', visits[0]
        split = next((visit for visit in visits if visit.split), first)
        age = read_age(first.age, cap=cap)
        rows.append([label, patient, age, read_sex(first.sex), split.split, split.split_batch])
        sessions = [_session(visit, cap=cap) for visit in visits]
        path = root / label / f'{label}_sessions.tsv'
        write_if_changed(path, format_tsv(_SESSIONS, sessions))
    write_if_changed(root / 'participants.tsv', format_tsv(_PARTICIPANTS, rows))
    labels = {row[0] for row in rows}
    for stale in root.glob('sub-*/sub-*_sessions.tsv'):
        if stale.parent.name not in labels and not _has_sessions(stale.parent):
            remove(stale)
    columns = read_json('columns.json')
    for name in ('participants', 'sessions', 'scans'):
        write_if_changed(root / f'{name}.json', format_json(columns[name]))


def _has_sessions(subject: Path) -> bool:
    """Tell whether a subject still has files of a session, whoever wrote them."""
    return any(path.is_symlink() or path.is_file() for path in subject.glob('ses-*/**/*'))


def read_date(text: str) -> str:
    """Return a date of the release as BIDS has it; empty when it is none.

    >>> read_date('20190304'), read_date('2019-03-04'), read_date('spring')
    ('2019-03-04T00:00:00', '2019-03-04T00:00:00', '')
    """
    found = _DATE.fullmatch(text)
    return f'{found[1]}-{found[2]}-{found[3]}T00:00:00' if found else ''


def _session(visit: Visit, *, cap: bool) -> list[str]:
    return [
        f'ses-{encode_label(visit.study)}',
        read_date(visit.date),
        visit.study,
        visit.batch,
        visit.date,
        read_age(visit.age, cap=cap),
        visit.centre,
        visit.split,
    ]
