"""The files of a dataset that speak of more than one study, written by one process at the end.

They are made from the receipts alone, so whoever finishes last sees every study, and the result
does not depend on the order in which studies were exported.

Source: BIDS 1.10.1, "Data summary files" and "Phenotypic and assessment data".
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path

from mrrate_bids.descriptions import About, describe_dataset, format_json
from mrrate_bids.files import remove, sweep, write_if_changed
from mrrate_bids.naming import KINDS, SeriesName, encode_label
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import FOLDER, Receipt, Receipts
from mrrate_bids.sidecars import AGE_LIMIT, years
from mrrate_bids.tables import Table, escape_cell, format_tsv
from mrrate_bids.templates import read_json

__all__ = ['finalise', 'keep_table_facts']

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
_STATES = ('batch', 'patient_uid', 'study_uid', 'state', 'files', 'bytes', 'problems')
_PROBLEMS = ('severity', 'message', 'remedy', 'batch', 'study', 'series', 'file')
_REPORTS = 'reports'
_SPLITS = 'splits'
_DATE = re.compile(r'(\d{4})-?(\d{2})-?(\d{2})(?:[ T].*)?')


@dataclass(slots=True)
class _Visit:
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


@dataclass(slots=True)
class _Overview:
    """What one pass over the receipts finds."""

    visits: dict[str, list[_Visit]] = field(default_factory=lambda: defaultdict(list))
    """The studies with raw images, by patient."""

    kinds: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    """Pairs of kind and suffix, by dataset."""

    headers: dict[str, list[str]] = field(default_factory=dict)
    """The columns of reports and label tables; batches may differ."""

    states: list[list[str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    set_aside: list[list[str]] = field(default_factory=list)


def finalise(
    root: Path, *, about: About, age_cap: str, problems: Iterable[Problem] = ()
) -> list[Problem]:
    """Write every file of the datasets below *root* that speaks of more than one study.

    Parameters
    ----------
    root
        The raw dataset.
    about
        Name, licence and source of the data.
    age_cap
        ``none`` leaves ages above 89 as they are.
    problems
        What is wrong beyond the studies.

    Returns
    -------
    problems
        Those given, those of the receipts and those that only the whole shows.
    """
    _tidy(root)
    receipts = Receipts(root)
    overview = _survey(receipts)
    told = set(overview.problems)
    overview.problems[:0] = [problem for problem in problems if problem not in told]
    for visits in overview.visits.values():
        visits.sort(key=lambda visit: (visit.date, visit.study))
    overview.problems += _split_conflicts(overview.visits)
    cap = age_cap != 'none'
    _write_participants(root, overview.visits, cap=cap)
    _write_phenotype(root, receipts, overview.visits, overview.headers)
    _write_descriptions(root, overview.kinds, about)
    _write_bookkeeping(root, overview)
    return overview.problems


def _tidy(root: Path) -> None:
    """Remove what killed runs left half-written where no study lies."""
    for pattern in ('phenotype', 'derivatives/*', 'sub-*', FOLDER, f'{FOLDER}/*', f'{FOLDER}/*/*'):
        for folder in root.glob(pattern):
            sweep(folder)
    sweep(root)


def _survey(receipts: Receipts) -> _Overview:
    overview = _Overview()
    for receipt in receipts:
        for output in receipt.outputs:
            if output.kind:
                suffix = SeriesName.parse(output.series).suffix
                dataset = KINDS[output.kind].dataset
                overview.kinds[dataset].add((output.kind, suffix))
        if receipt.series:
            overview.visits[receipt.patient].append(_visit(receipt))
            for table in receipt.tables.keys() - {_SPLITS}:
                header = overview.headers.setdefault(table, [])
                header += [c for c in receipt.tables[table]['header'] if c not in header]
        found = [Problem.from_dict(problem) for problem in receipt.problems]
        size = sum(output.size for output in receipt.outputs)
        overview.states.append(
            [
                receipt.batch,
                receipt.patient,
                receipt.study,
                receipt.state,
                str(len(receipt.outputs)),
                str(size),
                str(len(found)),
            ]
        )
        overview.problems += found
        overview.set_aside += _set_aside(receipt)
    return overview


def _visit(receipt: Receipt) -> _Visit:
    facts = _cells(receipt, _SPLITS)
    return _Visit(
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


def _cells(receipt: Receipt, table: str) -> dict[str, str]:
    record = receipt.tables.get(table)
    return dict(zip(record['header'], record['cells'], strict=True)) if record else {}


def _set_aside(receipt: Receipt) -> Iterator[list[str]]:
    for record in receipt.set_aside:
        cells = [f'{column}={cell}' for column, cell in record['cells'].items() if cell]
        yield [receipt.batch, receipt.study, str(record['row']), '; '.join(cells)]


def _split_conflicts(patients: dict[str, list[_Visit]]) -> Iterator[Problem]:
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


def _age(text: str, *, cap: bool) -> str:
    value = years(text)
    if value is None:
        return ''
    value = min(value, AGE_LIMIT) if cap else value
    return f'{value:g}'


def _write_participants(root: Path, patients: dict[str, list[_Visit]], *, cap: bool) -> None:
    if not patients:
        return
    rows = []
    for patient, visits in sorted(patients.items(), key=lambda item: encode_label(item[0])):
        label, first = f'sub-{encode_label(patient)}', visits[0]
        split = next((visit for visit in visits if visit.split), first)
        age = _age(first.age, cap=cap)
        rows.append([label, patient, age, first.sex, split.split, split.split_batch])
        sessions = [_session(visit, cap=cap) for visit in visits]
        path = root / label / f'{label}_sessions.tsv'
        write_if_changed(path, format_tsv(_SESSIONS, sessions))
    write_if_changed(root / 'participants.tsv', format_tsv(_PARTICIPANTS, rows))
    labels = {row[0] for row in rows}
    for stale in root.glob('sub-*/sub-*_sessions.tsv'):
        if stale.parent.name not in labels:
            remove(stale)
    columns = read_json('columns.json')
    for name in ('participants', 'sessions', 'scans'):
        write_if_changed(root / f'{name}.json', format_json(columns[name]))


def _session(visit: _Visit, *, cap: bool) -> list[str]:
    found = _DATE.fullmatch(visit.date)
    return [
        f'ses-{encode_label(visit.study)}',
        f'{found[1]}-{found[2]}-{found[3]}T00:00:00' if found else '',
        visit.study,
        visit.batch,
        visit.date,
        _age(visit.age, cap=cap),
        visit.centre,
        visit.split,
    ]


def _write_phenotype(
    root: Path,
    receipts: Receipts,
    patients: dict[str, list[_Visit]],
    headers: dict[str, list[str]],
) -> None:
    """Write reports and labels, one file per visit, for a subject may stand in a file once."""
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
                cells = _cells(receipt, table) if receipt else {}
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

    >>> _tool_name('reports'), _tool_name('mrrate_labels'), _tool_name('merged-14')
    ('radiology_report', 'pathology_labels', 'pathology_labels_merged14')
    """
    known = {_REPORTS: 'radiology_report', 'mrrate_labels': 'pathology_labels'}
    return known.get(table) or f'pathology_labels_{re.sub("[^A-Za-z0-9]", "", table)}'


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


def _write_descriptions(
    root: Path, datasets: dict[str, set[tuple[str, str]]], about: About
) -> None:
    derivatives = sorted(datasets.keys() - {''})
    describe_dataset(root, '', about=about, siblings=derivatives, kinds=set())
    for name in derivatives:
        describe_dataset(
            root / 'derivatives' / name,
            name,
            about=about,
            siblings=derivatives,
            kinds=datasets[name],
        )


def _write_bookkeeping(root: Path, overview: _Overview) -> None:
    folder = root / FOLDER
    tables: dict[str, tuple[Iterable[str], list[list[str]]]] = {
        'studies.tsv': (_STATES, overview.states),
        'problems.tsv': (_PROBLEMS, [problem.row() for problem in overview.problems]),
        'set_aside.tsv': (('batch', 'study_uid', 'row', 'cells'), overview.set_aside),
    }
    for name, (header, rows) in tables.items():
        write_if_changed(folder / name, format_tsv(tuple(header), rows))


def keep_table_facts(root: Path, table: Table) -> None:
    """Keep what the cells of a dataset cannot tell about a table of the release."""
    path = root / FOLDER / 'tables' / f'{table.name.removesuffix(".csv")}.json'
    write_if_changed(path, format_json(table.facts()))
