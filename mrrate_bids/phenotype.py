"""Reports and labels of a dataset: a TSV file per table and visit, below ``phenotype/``.

Source: BIDS 1.10.1, "Phenotypic and assessment data".
"""

import re
from collections import defaultdict
from itertools import chain, count
from pathlib import Path

from mrrate_bids.descriptions import format_json
from mrrate_bids.files import remove, write_if_changed
from mrrate_bids.naming import encode_label
from mrrate_bids.receipts import REPORTS, Receipts
from mrrate_bids.tables import escape_cell
from mrrate_bids.templates import read_json
from mrrate_bids.visits import Visit

__all__ = ['write_phenotype']


def write_phenotype(
    root: Path,
    receipts: Receipts,
    patients: dict[str, list[Visit]],
    headers: dict[str, list[str]],
) -> None:
    """Write reports and labels, one file per visit, for a subject may stand in a file once.

    Parameters
    ----------
    root
        The raw dataset.
    receipts
        Those of the dataset; a report is read when its line is written.
    patients
        The visits of each patient in order of time.
    headers
        The columns of each table, over all batches.
    """
    folder = root / 'phenotype'
    written: set[Path] = set()
    ranked = sorted(patients.items(), key=lambda item: encode_label(item[0]))
    for number in range(1, 1 + max(map(len, patients.values()), default=0)):
        lines: dict[str, list[str]] = defaultdict(list)
        for patient, visits in ranked:
            if len(visits) < number:
                continue
            visit = visits[number - 1]
            receipt = receipts.load(visit.batch, visit.study)
            ids = [f'sub-{encode_label(patient)}', f'ses-{encode_label(visit.study)}']
            for table in (receipt.tables.keys() if receipt else set()) & headers.keys():
                cells = receipt.cells(table) if receipt else {}
                row = [*ids, *(cells.get(column, '') for column in headers[table])]
                lines[table].append('\t'.join(map(escape_cell, row)))
        for table, body in lines.items():
            written |= _write_visit(folder, table, number, headers[table], body)
    for stale in set(folder.glob('*_visit-*')) - written:
        remove(stale)


def _write_visit(
    folder: Path, table: str, number: int, header: list[str], lines: list[str]
) -> set[Path]:
    columns = _column_names(header)
    path = folder / f'{_tool_name(table)}_visit-{number:02d}.tsv'
    head = ['participant_id', 'session_id', *columns]
    write_if_changed(path, '\n'.join(['\t'.join(head), *lines, '']))
    about = read_json('columns.json')['reports']
    described = {name: about[name] for name in head[:2]}
    for name, column in zip(columns, header, strict=True):
        known = {'LongName': column, 'Levels': {'0': 'absent', '1': 'present'}}
        described[name] = about.get(column) or known
    write_if_changed(path.with_suffix('.json'), format_json(described))
    return {path, path.with_suffix('.json')}


def _tool_name(table: str) -> str:
    """Return the name of a phenotype file.

    >>> _tool_name('reports'), _tool_name('labels mrrate_labels'), _tool_name('labels merged-14')
    ('radiology_report', 'pathology_labels', 'pathology_labels_merged14')
    """
    known = {REPORTS: 'radiology_report', 'labels mrrate_labels': 'pathology_labels'}
    bare = re.sub('[^A-Za-z0-9]', '', table.removeprefix('labels '))
    return known.get(table) or f'pathology_labels_{bare}'


def _column_names(header: list[str]) -> list[str]:
    """Return column names in snake case, all different.

    >>> _column_names(['study_uid', 'White matter disease', 'white-matter disease'])
    ['study_uid', 'white_matter_disease', 'white_matter_disease_2']
    """
    names: list[str] = []
    for column in header:
        name = re.sub('[^a-z0-9]+', '_', column.lower()).strip('_') or 'column'
        spellings = chain([name], (f'{name}_{number}' for number in count(2)))
        taken = {*names, 'participant_id', 'session_id'}
        names.append(next(spelling for spelling in spellings if spelling not in taken))
    return names
