"""What was changed in the tables of a dataset since it was exported.

A cell of scans.tsv, sessions.tsv or participants.tsv is the reading of a verbatim cell. Where the
two differ, the one that is as the export left it gives way to the other; when both were changed,
the study is set aside and both are named.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mrrate_bids.importing.intake import CONTRAST, Intake, Scan
from mrrate_bids.importing.records import new_record
from mrrate_bids.importing.source import BidsSource
from mrrate_bids.metadata_columns import format_age, objections_to_name
from mrrate_bids.naming import scans_path
from mrrate_bids.receipts import SPLITS, Receipt
from mrrate_bids.sidecars import (
    AGE_COLUMN,
    SEX_COLUMN,
    read_sex,
    sidecar_path,
    years,
)
from mrrate_bids.visits import read_age, read_date

__all__ = ['SCANS', 'settle_tables']

_AGREE = 'Make the two agree, then import again.'
SCANS = {
    'series_id': 'series_id',
    'series_number': 'SeriesNumber',
    'acquisition_plane': 'acquisition_plane',
    'classified_modality': 'classified_modality',
    'is_center_modality': 'is_center_modality',
    'body_part': 'body_part',
    'contrast_enhanced': 'contrast_enhanced',
}
"""Column of the metadata by column of scans.tsv."""

Readings = tuple[str, ...]
"""The spellings of one cell in a table; they differ where ages are capped or not."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell of a table next to the verbatim cell that it is the reading of."""

    file: str
    column: str
    now: str
    base: Readings
    """What the export wrote; nothing when that is not known."""


def settle_tables(source: BidsSource, intake: Intake, receipt: Receipt | None) -> None:
    """Bring changes of scans.tsv, sessions.tsv and participants.tsv into the rows of a visit.

    Parameters
    ----------
    source
        The dataset.
    intake
        The visit; cells of its series and of its record in the splits are changed, conflicts are
        noted.
    receipt
        What the export said of the visit, if it is there.
    """
    changed = {id(scan): _is_changed(source, intake, scan) for scan in intake.scans.values()}

    def settle(cell: _Cell, scan: Scan, target: str, reading: Callable[[str], Readings]) -> None:
        verbatim = scan.cells.get(target, '')
        if cell.now in reading(verbatim) or cell.now in cell.base:
            return
        if changed[id(scan)] or not receipt:
            _report(intake, cell, scan, target, verbatim)
        elif target == AGE_COLUMN:
            scan.cells[target] = _spell_age(cell.now, verbatim)
        elif cell.column == 'acq_time':
            scan.cells[target] = _spell_date(cell.now, verbatim)
        else:
            scan.cells[target] = cell.now
            _refuse_contradiction(intake, scan, cell, target)

    for scan, cell in _scans_cells(source, intake):
        target = next((c for c in CONTRAST if c in scan.cells), SCANS[cell.column])
        settle(cell, scan, target if cell.column in CONTRAST else SCANS[cell.column], _as_is)
    for cell, target, reading in _study_cells(source, intake, receipt):
        for scan in intake.scans.values():
            settle(cell, scan, target, reading)
    _settle_centre(source, intake, receipt)
    _settle_identity(source, intake)
    _settle_split(source, intake, receipt)
    _drop_empty(intake)


def _refuse_contradiction(intake: Intake, scan: Scan, cell: _Cell, target: str) -> None:
    """Refuse a cell that was changed to something else than the series_id says."""
    said = dict(objections_to_name(scan.name, {target: cell.now})).get(target)
    if said:
        message = (
            f'{cell.file}: {cell.column} is {cell.now!r}, the series_id {scan.name} says {said}'
        )
        intake.complain(message, _AGREE, file=cell.file, series=str(scan.name), fatal=True)


def _as_is(cell: str) -> Readings:
    return (cell,)


def _ages(cell: str) -> Readings:
    return read_age(cell, cap=True), read_age(cell, cap=False)


def _dates(cell: str) -> Readings:
    return (read_date(cell),)


def _is_changed(source: BidsSource, intake: Intake, scan: Scan) -> bool:
    """Tell whether the sidecar of a series is not as the export left it."""
    path = sidecar_path(scan.image) if scan.image else ''
    return bool(path) and not intake.is_as_exported(path, source.checksum(path))


def _scans_cells(source: BidsSource, intake: Intake) -> Iterator[tuple[Scan, _Cell]]:
    path = scans_path(intake.visit.label)
    if intake.is_as_exported(path, source.checksum(path)):
        return  # as the export left it: whatever differs was changed in the sidecar
    rows = source.scans(intake.visit)
    for scan in intake.scans.values():
        row = rows.get(scan.image.rpartition('/')[2], {}) if scan.image else {}
        for column in SCANS.keys() & row.keys():
            if column not in CONTRAST or row[column]:
                yield scan, _Cell(path, column, row[column], ())


def _study_cells(
    source: BidsSource, intake: Intake, receipt: Receipt | None
) -> Iterator[tuple[_Cell, str, Callable[[str], Readings]]]:
    """Yield the cells that speak of all series of the study, with their column and reading."""
    visit = intake.visit
    sessions = source.sessions(visit.subject)
    row, path = sessions.get(visit.session, {}), f'{visit.subject}/{visit.subject}_sessions.tsv'
    base = receipt or Receipt('', '', '', '')
    if 'anon_study_date' in row:
        cell = _Cell(path, 'anon_study_date', row['anon_study_date'], (base.date,))
        yield cell, 'anon_study_date', _as_is
    if 'acq_time' in row:
        cell = _Cell(path, 'acq_time', row['acq_time'], _dates(base.date))
        yield cell, 'anon_study_date', _dates
    if 'session_age' in row:
        yield _Cell(path, 'session_age', row['session_age'], _ages(base.age)), AGE_COLUMN, _ages
    person = source.participants.get(visit.subject, {})
    if 'sex' in person:
        cell = _Cell('participants.tsv', 'sex', person['sex'], (read_sex(base.sex),))
        yield cell, SEX_COLUMN, lambda text: (read_sex(text), text)
    if 'age' in person and visit.session == next(iter(sessions), None):
        cell = _Cell('participants.tsv', 'age', person['age'], _ages(base.age))
        yield cell, AGE_COLUMN, _ages


def _spell_age(now: str, verbatim: str) -> str:
    """Write an age of a table in the notation of the cell that it replaces."""
    value = years(now)
    if value is None or not (verbatim[-1:].isalpha() or not verbatim):
        return now
    return format_age(value)


def _spell_date(now: str, verbatim: str) -> str:
    """Write a date of a table in the notation of the cell that it replaces."""
    day = now.partition('T')[0]
    return day.replace('-', '') if verbatim.isdecimal() else day


def _settle_centre(source: BidsSource, intake: Intake, receipt: Receipt | None) -> None:
    """Let a centre that was named anew in sessions.tsv appear in the rows."""
    visit = intake.visit
    row = source.sessions(visit.subject).get(visit.session, {})
    now = row.get('center_series_id', '')
    if not receipt or not now or now == receipt.centre:
        return
    if now not in intake.scans:
        message = f'{visit.subject}_sessions.tsv: center_series_id {now!r} is no series of it'
        intake.complain(message, 'Name one of its series.', fatal=True)
        return
    for series_id, scan in intake.scans.items():
        scan.cells['is_center_modality'] = str(series_id == now)


def _settle_identity(source: BidsSource, intake: Intake) -> None:
    """Refuse tables whose identifiers are not those of the folders."""
    visit = intake.visit
    row = source.sessions(visit.subject).get(visit.session, {})
    expected = {'study_uid': visit.study, 'batch_id': visit.batch}
    for column, value in expected.items():
        if row.get(column, value) != value:
            message = f'{visit.subject}_sessions.tsv: {column} is {row[column]!r}, not {value!r}'
            intake.complain(message, _AGREE, fatal=True)
    person = source.participants.get(visit.subject, {})
    if person.get('patient_uid', visit.patient) != visit.patient:
        message = f'participants.tsv: patient_uid is {person["patient_uid"]!r}'
        intake.complain(f'{message}, not {visit.patient!r}', _AGREE, fatal=True)


def _settle_split(source: BidsSource, intake: Intake, receipt: Receipt | None) -> None:
    """Bring a split that was changed in sessions.tsv or participants.tsv into its record."""
    visit, sessions = intake.visit, source.sessions(intake.visit.subject)
    base = (receipt.cells(SPLITS) if receipt else {}).get('split', '')
    in_sessions = sessions.get(visit.session, {}).get('study_split', base)
    of_patient = next((r['study_split'] for r in sessions.values() if r.get('study_split')), base)
    person = source.participants.get(visit.subject, {}).get('split', of_patient)
    changed = {in_sessions} - {base} | {person} - {base, of_patient}
    if not receipt or not changed:
        return
    if len(changed) > 1:
        message = (
            f'{visit.subject}_sessions.tsv has the split {in_sessions!r}, participants.tsv '
            f'{person!r}, and both were changed'
        )
        intake.complain(message, _AGREE, fatal=True)
        return
    (split,) = changed
    others = {row.get('study_split') for row in sessions.values()} - {split, '', None}
    if in_sessions == split and others:
        message = (
            f'{visit.subject}_sessions.tsv has the split {split!r} for {visit.session} and '
            f'{others.pop()!r} for another session'
        )
        remedy = 'All sessions of a subject belong to one split; make them agree.'
        intake.complain(message, remedy, fatal=True)
        return
    record = intake.tables.setdefault(SPLITS, new_record(visit, SPLITS))
    record['cells'] = list(record['cells'])
    record['cells'][record['header'].index('split')] = split


def _report(intake: Intake, cell: _Cell, scan: Scan, target: str, verbatim: str) -> None:
    message = (
        f'{cell.file}: {cell.column} is {cell.now!r}, the verbatim {target} of {scan.name} is '
        f'{verbatim!r}, and it cannot be told which was changed'
    )
    intake.complain(message, _AGREE, file=cell.file, series=str(scan.name), fatal=True)


def _drop_empty(intake: Intake) -> None:
    for scan in intake.scans.values():
        scan.cells = {column: cell for column, cell in scan.cells.items() if cell}
