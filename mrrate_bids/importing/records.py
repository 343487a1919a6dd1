"""The records of a visit in the tables with a row per study: reports, labels and splits.

An export left them in its receipt as published and wrote their reading into the phenotype
tables. A cell that differs there was changed since, and a line that is gone was removed.
"""

from typing import Any

from mrrate_bids.errors import TableError
from mrrate_bids.importing.intake import Intake
from mrrate_bids.importing.source import BidsSource, Visit
from mrrate_bids.naming import KINDS
from mrrate_bids.receipts import REPORTS, SPLITS, Receipt

__all__ = ['SPLIT_COLUMNS', 'new_record', 'settle_records', 'table_name']

SPLIT_COLUMNS = ('batch_id', 'patient_uid', 'study_uid', 'split')


def table_name(kind: str, batch: str) -> str:
    """Return where a table lies in the native repository.

    >>> table_name('reports', 'batch00'), table_name('labels mrrate_labels', 'batch00')
    ('reports/batch00_reports.csv', 'pathology_labels/mrrate_labels.csv')
    """
    if kind == SPLITS:
        return 'splits.csv'
    if kind == REPORTS:
        return f'reports/{batch}_reports.csv'
    if kind.startswith('labels '):
        return f'pathology_labels/{kind.removeprefix("labels ")}.csv'
    return f'metadata/{batch}_metadata.csv'


def new_record(visit: Visit, kind: str, cells: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a record that no table has yet, as a receipt holds it."""
    known = {'batch_id': visit.batch, 'patient_uid': visit.patient, 'study_uid': visit.study}
    columns = SPLIT_COLUMNS if kind == SPLITS else dict.fromkeys(['study_uid', *(cells or {})])
    row = dict.fromkeys(columns, '') | (cells or {})
    row |= {column: cell for column, cell in known.items() if column in row}
    place = {'table': table_name(kind, visit.batch), 'row': None, 'raw': None}
    return place | {'header': list(row), 'cells': list(row.values())}


def settle_records(source: BidsSource, intake: Intake, receipt: Receipt | None) -> None:
    """Add the records of a visit to it, with what was changed since the export.

    Parameters
    ----------
    source
        The dataset.
    intake
        The visit; a line that cannot be read is noted.
    receipt
        What the export said of the visit, if it is there.
    """
    visit = intake.visit
    try:
        now = source.measures.of(visit, alone=source.is_alone(visit))
    except TableError as error:
        intake.complain(str(error), error.hint, fatal=True)
        return
    intake.tables = {
        kind: dict(record) for kind, record in (receipt.tables if receipt else {}).items()
    }
    was_written = receipt is not None and any(
        output.kind == KINDS['image'].name for output in receipt.outputs
    )
    for kind in [kind for kind in intake.tables if kind != SPLITS]:
        if kind in now:
            _change(intake.tables[kind], now.pop(kind))
        elif was_written:
            intake.gone.setdefault(kind, set()).add(intake.tables.pop(kind)['row'])
    for kind, cells in now.items():
        intake.tables[kind] = new_record(visit, kind, cells)


def _change(record: dict[str, Any], now: dict[str, str]) -> None:
    """Bring what the phenotype table says into a record."""
    cells = dict(zip(record['header'], record['cells'], strict=True))
    cells |= {column: cell for column, cell in now.items() if column in cells or cell}
    record['header'], record['cells'] = list(cells), list(cells.values())
