"""The files of a dataset that speak of more than one study, written by one process at the end.

They are made from the receipts alone, so whoever finishes last sees every study, and the result
does not depend on the order in which studies were exported.

Source: BIDS 1.10.1, "Data summary files" and "Phenotypic and assessment data".
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mrrate_bids.descriptions import About, describe_dataset, format_json
from mrrate_bids.files import remove, sweep, write_if_changed
from mrrate_bids.naming import KINDS, SeriesName
from mrrate_bids.phenotype import write_phenotype
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import FOLDER, SPLITS, Receipt, Receipts
from mrrate_bids.tables import Table, format_tsv
from mrrate_bids.visits import Visit, split_conflicts, write_participants

__all__ = ['finalise', 'keep_rest', 'keep_table_facts']

_BINARY = {'', '0', '1'}
_STATES = ('batch', 'patient_uid', 'study_uid', 'state', 'files', 'bytes', 'problems')
_PROBLEMS = ('severity', 'message', 'remedy', 'batch', 'study', 'series', 'file')


@dataclass(slots=True)
class _Overview:
    """What one pass over the receipts finds."""

    visits: dict[str, list[Visit]] = field(default_factory=lambda: defaultdict(list))
    """The studies with raw images, by patient."""

    kinds: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    """Pairs of kind and suffix, by dataset."""

    headers: dict[str, list[str]] = field(default_factory=dict)
    """The columns of reports and label tables; batches may differ."""

    worded: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The columns of these tables that hold more than 0 and 1."""

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
    overview.problems += split_conflicts(overview.visits)
    cap = age_cap != 'none'
    write_participants(root, overview.visits, cap=cap)
    binary = {table: set(h) - overview.worded[table] for table, h in overview.headers.items()}
    write_phenotype(root, receipts, overview.visits, overview.headers, binary)
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
        if any(output.kind == 'image' for output in receipt.outputs):
            overview.visits[receipt.patient].append(Visit.of(receipt))
            for table in receipt.tables.keys() - {SPLITS}:
                header = overview.headers.setdefault(table, [])
                cells = receipt.cells(table)
                header += [column for column in cells if column not in header]
                overview.worded[table] |= {c for c, cell in cells.items() if cell not in _BINARY}
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


def _set_aside(receipt: Receipt) -> Iterator[list[str]]:
    for record in receipt.set_aside:
        cells = [f'{column}={cell}' for column, cell in record['cells'].items() if cell]
        yield [receipt.batch, receipt.study, str(record['row']), '; '.join(cells)]


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


def keep_rest(root: Path, name: str, tables: Iterable[Table]) -> None:
    """Keep, as they stand, the rows of tables that no study of the dataset stands for.

    Parameters
    ----------
    root
        The raw dataset.
    name
        The batch, or ``release`` for the tables of the whole release.
    tables
        The tables; their ``rest`` is kept.
    """
    rest = {
        table.name: [
            [row.number, table.raw(row)] for row in sorted(table.rest, key=lambda row: row.number)
        ]
        for table in tables
        if table.rest
    }
    path = root / FOLDER / 'tables' / 'rest' / f'{name}.json'
    if rest:
        write_if_changed(path, format_json(rest))
    else:
        remove(path)
