"""Checks of what the tables say: about a batch, about a study, about a series.

That a table can be read, has its columns and no row too many was found when it was read.

Source: the MR-RATE dataset guide, "What is a series ID?", "Metadata", "Pathology Labels".
"""

import re

from mrrate_bids.catalog import Batch, Study
from mrrate_bids.checks import Tally
from mrrate_bids.metadata_columns import objections_to_name
from mrrate_bids.naming import KINDS, NATIVE
from mrrate_bids.problems import Problem
from mrrate_bids.release_checks.study import Checked, home_of
from mrrate_bids.sidecars import AGE_COLUMNS, years

__all__ = ['check_batch', 'check_centre', 'check_presence', 'check_rows']

_OF_A_BATCH = ('metadata/', 'reports/')
_STUDY_UID = re.compile('[A-Z2-7]{10}')
_CENTRES = {'true', 'false', '1', '0'}
_FLAGS = {'0', '1', '0.0', '1.0'}
_NATIVE_GROUPS = {kind.include for kind in KINDS.values() if kind.repository == NATIVE}
_CORRECT = 'Correct the metadata.'


def check_batch(batch: Batch, tally: Tally) -> None:
    """Keep what was found wrong with the tables of a batch when they were read."""
    own = [table for table in batch.tables if table.name.startswith(_OF_A_BATCH)]
    tally.count('tables', NATIVE, len(own))
    for problem in batch.problems:
        tally.add(problem.check or 'tables', home_of(problem), problem)


def check_presence(
    batch: Batch, here: dict[str, set[str]], damaged: set[str], tally: Tally
) -> None:
    """Name the studies whose native images are not on disk, though others of the batch are.

    Parameters
    ----------
    batch
        The batch.
    here
        The repositories that have files of a study.
    damaged
        Studies of which the native zip or a folder cannot be read, which was said.
    """
    due = [study for study in batch.studies if _is_due(study)]
    absent = [study for study in due if NATIVE not in here.get(study.study, set())]
    remedy = 'Fetch what is missing; the rows of the metadata have no images.'
    if due and len(absent) == len(batch.studies) and not damaged:
        message = f'no native image of the {len(absent):,} studies of the batch is here'
        tally.add('files', NATIVE, Problem('warning', message, remedy, batch=batch.name))
        return
    for study in absent:
        if study.study not in damaged:
            message = 'no native image of the study is here'
            where = {'batch': batch.name, 'study': study.study}
            tally.add('files', NATIVE, Problem('error', message, remedy, **where))


def _is_due(study: Study) -> bool:
    """Tell whether native files of a study should be here: of a part only what was asked for."""
    return study.asked is None or any(group in _NATIVE_GROUPS for _, group in study.asked)


def check_rows(study: Checked) -> None:
    """Check the cells of a study and of its series."""
    uid = study.plan.study.study
    if not _STUDY_UID.fullmatch(uid):
        message = f'study_uid {uid!r} is not of the form [A-Z2-7]{{10}}'
        remedy = 'Give it one, or leave it; nothing depends on it.'
        study.find_in_tables('tables', message, remedy, severity='warning')
    for series_id in study.plan.series:
        _check_name(study, series_id)
        _check_age(study, series_id)
    _check_labels(study)


def _check_name(study: Checked, series_id: str) -> None:
    """Compare a series_id with the columns that say the same."""
    series = study.plan.series[series_id]
    cells = dict(zip(study.plan.study.header, series.record.cells, strict=True))
    for column, said in objections_to_name(series.name, cells):
        message = f'{column} is {cells[column]}, the series_id says {said}'
        study.find_in_tables('tables', message, _CORRECT, series=series_id)


def _check_age(study: Checked, series_id: str) -> None:
    record = study.plan.series[series_id].record
    for column in sorted(AGE_COLUMNS):
        age = study.plan.study.cell(record, column)
        if age and years(age) is None:
            message = f'{column} {age!r} is no age'
            remedy = 'Write years, or a DICOM age such as 042Y.'
            study.find_in_tables('tables', message, remedy, series=series_id, severity='warning')


def _check_labels(study: Checked) -> None:
    for kind, (table, record) in study.plan.study.facts.items():
        if not kind.startswith('labels'):
            continue
        cells = dict(zip(table.header, record.cells, strict=True))
        odd = [
            f'{column} is {cell!r}'
            for column, cell in cells.items()
            if column != 'study_uid' and cell not in _FLAGS
        ]
        if odd:
            more = f' (and {len(odd) - 1} more)' if odd[1:] else ''
            message = f'{table.name}: {odd[0]}{more}, not 0 or 1'
            study.find_in_tables('tables', message, f'Correct the row in {table.name}.')


def check_centre(study: Checked) -> None:
    """Make sure that the centre is a T1w; that there is one, the plan has checked."""
    plan = study.plan
    study.tally.count('centres', NATIVE)
    for series_id, series in plan.series.items():
        cell = plan.study.cell(series.record, 'is_center_modality')
        if cell.strip().lower() not in _CENTRES:
            message = f'is_center_modality is {cell!r}, neither True nor False'
            study.find_in_tables('centres', message, _CORRECT, series=series_id)
    if plan.centre and plan.series[plan.centre].name.modality != 't1w':
        message = f'the centre {plan.centre} is no T1w'
        remedy = 'Choose a T1w as the centre and register the study again.'
        study.find_in_tables('centres', message, remedy, series=plan.centre)
