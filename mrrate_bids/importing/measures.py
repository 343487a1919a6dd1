"""Reports and labels of a dataset: where the line of a visit stands in the phenotype tables.

The tables are read once and only the places of the lines are kept, for reports are long.

Source: BIDS 1.10.1, "Phenotypic and assessment data".
"""

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mrrate_bids.errors import TableError
from mrrate_bids.phenotype import file_names
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import FOLDER
from mrrate_bids.tables import unescape_cell

if TYPE_CHECKING:
    from mrrate_bids.importing.source import BidsSource, Visit

__all__ = ['Measures']

_NAME = re.compile(r'(radiology_report|pathology_labels(?:_[0-9A-Za-z]+)?)(?:_visit-[0-9]+)?')
_BARE_QUOTE = re.compile(r'(?<!\\)"')
_IDS = ('participant_id', 'session_id')


@dataclass(frozen=True, slots=True)
class _Place:
    kind: str
    path: Path
    columns: tuple[str, ...]
    offset: int
    number: int


class Measures:
    """The lines of the phenotype tables that speak of reports and labels.

    Parameters
    ----------
    source
        The dataset.
    """

    def __init__(self, source: 'BidsSource') -> None:
        self._escaped = source.is_ours
        self._places: dict[tuple[str, str], list[_Place]] = defaultdict(list)
        self._problems = source.problems
        kinds = _kinds(source.root)
        for path in sorted((source.root / 'phenotype').glob('*.tsv')):
            found = _NAME.fullmatch(path.stem)
            if found:
                name = found[1]
                kind = kinds.get(name) or f'labels {name.removeprefix("pathology_labels_")}'
                self._index(path, kind)

    def _index(self, path: Path, kind: str) -> None:
        try:
            with path.open('rb') as file:
                header = file.readline().decode('utf-8-sig').rstrip('\r\n').split('\t')
                columns = tuple(_verbatim_names(path, header))
                for number, place in enumerate(iter(file.tell, -1), start=1):
                    line = file.readline()
                    if not line:
                        break
                    cells = line.decode().rstrip('\r\n').split('\t')
                    row = dict(zip(header, cells, strict=False))
                    key = tuple(row.get(name, '').rpartition('-')[2] for name in _IDS)
                    entry = _Place(kind, path, columns, place, number)
                    self._places[key[0], key[1].replace('n/a', '')].append(entry)
        except (OSError, UnicodeDecodeError) as error:
            message = f'{path.name}: cannot be read ({error})'
            self._problems.append(
                Problem('error', message, 'Correct the table.', file=f'phenotype/{path.name}')
            )

    def of(self, visit: 'Visit', *, alone: bool) -> dict[str, dict[str, str]]:
        """Return the cells of a visit by table and column of the release.

        Parameters
        ----------
        visit
            The visit.
        alone
            Whether it is the only one of its subject, so that lines without a session are its.

        Raises
        ------
        TableError
            When a line has another number of cells than its header.
        """
        places = self._of(visit, alone=alone)
        return {place.kind: self._read(place) for place in reversed(places)}

    def state(self, visit: 'Visit', *, alone: bool) -> list[str]:
        """Return what changes when a line of a visit does, whether it can be read or not."""
        return [f'{p.kind} {p.columns} {self._line(p)}' for p in self._of(visit, alone=alone)]

    def _of(self, visit: 'Visit', *, alone: bool) -> list[_Place]:
        subject, session = visit.subject[4:], visit.session[4:]
        places = [*self._places.get((subject, session), ())]
        return places + self._places.get((subject, ''), []) if alone and session else places

    def _read(self, place: _Place) -> dict[str, str]:
        try:
            cells = _split(self._line(place))
            plain = [self._unescape(cell) for cell in cells]
            row = dict(zip(place.columns, plain, strict=True))
        except ValueError as error:
            raise TableError(
                f'{place.path.name}: data row {place.number} cannot be read ({error})',
                hint='Correct the table.',
            ) from error
        return {column: cell for column, cell in row.items() if column not in _IDS}

    @staticmethod
    def _line(place: _Place) -> str:
        with place.path.open('rb') as file:
            file.seek(place.offset)
            return file.readline().decode().rstrip('\r\n')

    def _unescape(self, cell: str) -> str:
        if self._escaped:  # who edits a report types quotes as they are
            return unescape_cell(_BARE_QUOTE.sub('\\\\"', cell))
        return '' if cell == 'n/a' else cell

    def strangers(self, visits: Iterable['Visit']) -> Iterator[Problem]:
        """Yield a problem for each line whose subject or session the dataset does not have."""
        known = {(visit.subject[4:], visit.session[4:]) for visit in visits}
        count = Counter(subject for subject, _ in known)
        for (subject, session), places in self._places.items():
            if (subject, session) in known or (not session and count[subject] == 1):
                continue
            several = not session and count[subject] > 1
            what = f'sub-{subject}' + (f' ses-{session}' if session else '')
            why = (
                'which has several sessions, without naming one'
                if several
                else 'which the dataset does not have'
            )
            remedy = 'Name the session.' if several else 'Remove the row, or restore the images.'
            for place in places:
                message = (
                    f'{place.path.name}: data row {place.number} speaks of {what}, {why}; '
                    'it was left out'
                )
                yield Problem('warning', message, remedy, file=f'phenotype/{place.path.name}')


def _split(line: str) -> list[str]:
    """Return the cells of a line; pandas and spreadsheets quote those that hold a quote."""
    if line.startswith('"') or '\t"' in line:
        return next(csv.reader([line], delimiter='\t'))
    return line.split('\t')


def _kinds(root: Path) -> dict[str, str]:
    """Return the tables of the release by the name of their phenotype files."""
    labels = (root / FOLDER / 'tables' / 'pathology_labels').glob('*.json')
    tables = {'reports', 'labels mrrate_labels', *(f'labels {path.stem}' for path in labels)}
    return {name: table for table, name in file_names(tables).items()}


def _verbatim_names(path: Path, header: list[str]) -> Iterator[str]:
    """Yield the names of columns as the release spells them, from the JSON next to the table."""
    try:
        about = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
    except (OSError, ValueError):
        about = {}
    for name in header:
        entry = about.get(name) if isinstance(about, dict) else None
        yield str(entry.get('LongName', name)) if isinstance(entry, dict) else name
