"""Reports and labels of a dataset: a TSV file per table and visit, below ``phenotype/``.

Source: BIDS 1.10.1, "Phenotypic and assessment data".
"""

import re
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, TextIO

from mrrate_bids.descriptions import format_json
from mrrate_bids.files import insist, open_if_changed, remove, write_if_changed
from mrrate_bids.naming import encode_label
from mrrate_bids.receipts import REPORTS, Receipts
from mrrate_bids.tables import escape_cell
from mrrate_bids.templates import read_json
from mrrate_bids.visits import Visit

__all__ = ['column_names', 'file_names', 'write_phenotype']

_IDS = ('participant_id', 'session_id')
_OURS = re.compile(
    r'(radiology_report|pathology_labels(_[0-9A-Za-z]*)?)_visit-[0-9]{2,}\.(tsv|json)'
)
"""Names of files that this module writes; others below ``phenotype/`` are not its business."""


def write_phenotype(
    root: Path,
    receipts: Receipts,
    patients: dict[str, list[Visit]],
    headers: dict[str, list[str]],
    binary: dict[str, set[str]],
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
    binary
        Those of them that hold nothing but 0 and 1.
    """
    folder = root / 'phenotype'
    names = file_names(headers)
    written: set[Path] = set()
    ranked = sorted(patients.items(), key=lambda item: encode_label(item[0]))
    for number in range(1, 1 + max(map(len, patients.values()), default=0)):
        nth = [visits[number - 1] for _, visits in ranked if len(visits) >= number]
        paths = {table: folder / f'{name}_visit-{number:02d}.tsv' for table, name in names.items()}
        for table in insist(partial(_write_visits, receipts, nth, headers, paths)):
            about = paths[table].with_suffix('.json')
            write_if_changed(about, format_json(_describe(headers[table], binary[table])))
            written |= {paths[table], about}
    for stale in set(folder.glob('*_visit-*')) - written:
        if _OURS.fullmatch(stale.name):
            remove(stale)


def _write_visits(
    receipts: Receipts,
    visits: Iterable[Visit],
    headers: dict[str, list[str]],
    paths: dict[str, Path],
) -> set[str]:
    """Write the tables of these visits line by line; return those that have a line."""
    files: dict[str, TextIO] = {}
    with ExitStack() as stack:
        for visit in visits:
            receipt = receipts.load(visit.batch, visit.study)
            if receipt is None:
                continue
            ids = [f'sub-{encode_label(visit.patient)}', f'ses-{encode_label(visit.study)}']
            for table in receipt.tables.keys() & headers.keys():
                if table not in files:
                    files[table] = stack.enter_context(open_if_changed(paths[table]))
                    files[table].write('\t'.join([*_IDS, *column_names(headers[table])]) + '\n')
                cells = receipt.cells(table)
                row = [*ids, *(cells.get(column, '') for column in headers[table])]
                files[table].write('\t'.join(map(escape_cell, row)) + '\n')
    return set(files)


def _describe(header: list[str], binary: set[str]) -> dict[str, Any]:
    about = read_json('columns.json')['reports']
    described: dict[str, Any] = {name: about[name] for name in _IDS}
    for name, column in zip(column_names(header), header, strict=True):
        levels = {'Levels': {'0': 'absent', '1': 'present'}} if column in binary else {}
        described[name] = {'LongName': column} | (about.get(column) or levels)
    return described


def file_names(tables: Iterable[str]) -> dict[str, str]:
    """Return the names of phenotype files by table, all different.

    >>> file_names(['labels b', 'labels -b'])
    {'labels -b': 'pathology_labels_b', 'labels b': 'pathology_labels_bx'}
    """
    names: dict[str, str] = {}
    for table in sorted(tables):
        name = _tool_name(table)
        while name in names.values():
            name += 'x'
        names[table] = name
    return names


def _tool_name(table: str) -> str:
    """Return the name of a phenotype file.

    >>> _tool_name('reports'), _tool_name('labels mrrate_labels'), _tool_name('labels merged-14')
    ('radiology_report', 'pathology_labels', 'pathology_labels_merged14')
    """
    known = {REPORTS: 'radiology_report', 'labels mrrate_labels': 'pathology_labels'}
    bare = re.sub('[^A-Za-z0-9]', '', table.removeprefix('labels '))
    return known.get(table) or f'pathology_labels_{bare}'


def column_names(header: list[str]) -> list[str]:
    """Return column names in snake case, all different.

    >>> column_names(['study_uid', 'White matter disease', 'white-matter disease'])
    ['study_uid', 'white_matter_disease', 'white_matter_disease_2']
    """
    names: list[str] = []
    for column in header:
        name = re.sub('[^a-z0-9]+', '_', column.lower()).strip('_') or 'column'
        spellings = chain([name], (f'{name}_{number}' for number in count(2)))
        taken = {*names, 'participant_id', 'session_id'}
        names.append(next(spelling for spelling in spellings if spelling not in taken))
    return names
