"""Write the tables of ``reference/stored-where.md`` from the tables that the program uses.

    python docs/stored_where.py

A test tells when the page is not what this would write.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mrrate_bids.importing.edits import SCANS
from mrrate_bids.importing.records import table_name
from mrrate_bids.naming import KINDS, REPOSITORIES
from mrrate_bids.sidecars import column_keys

PAGE = Path(__file__).parent / 'reference' / 'stored-where.md'
_MARKS = re.compile(r'(<!-- (\w+) -->\n).*?(<!-- end -->)', re.DOTALL)


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    names = list(header)
    lines = [names, ['---'] * len(names), *map(list, rows)]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def files() -> Iterator[tuple[str, ...]]:
    """Yield where a file of each kind is in both layouts."""
    for kind in KINDS.values():
        member = kind.member.format(study='<S>', series='<series>')
        zipped = REPOSITORIES[kind.repository].format(study='<S>')
        name = kind.bids.format(X='<X>')
        dataset = kind.dataset or 'raw'
        who = {'each': 'each series', 'centre': 'the centre', 'moving': 'all but the centre'}
        centre = kind.centre.format(study='<S>', series='<centre>')
        more = f', of the centre `{centre}`' if centre else ''
        yield (
            kind.name,
            who[kind.scope],
            f'`{kind.repository}`: `{zipped}`: `{member}`{more}',
            f'{dataset}: `<E>{name}`',
        )


def cells() -> Iterator[tuple[str, ...]]:
    """Yield the columns of the metadata that have a reading, and where it is."""
    readings: dict[str, list[str]] = {}
    for column, key in column_keys().items():
        readings.setdefault(column, []).append(f'sidecar: `{key}`')
    for name, column in SCANS.items():
        readings.setdefault(column, []).append(f'scans.tsv: `{name}`')
    more = {
        'anon_study_date': 'sessions.tsv: `anon_study_date`',
        "Patient'sAge": 'sessions.tsv: `session_age`; participants.tsv: `age`',
        "Patient'sSex": 'participants.tsv: `sex`',
        'study_uid': 'sessions.tsv: `study_uid`',
        'patient_uid': 'participants.tsv: `patient_uid`',
    }
    for column, where in more.items():
        readings.setdefault(column, []).append(where)
    for column in sorted(readings, key=str.lower):
        yield f'`{column}`', '; '.join(readings[column])


def tables() -> Iterator[tuple[str, ...]]:
    """Yield where the other tables are."""
    for kind, home in (
        ('reports', 'phenotype/radiology_report_visit-NN.tsv'),
        ('labels mrrate_labels', 'phenotype/pathology_labels_visit-NN.tsv'),
        ('splits', 'sessions.tsv: `study_split`; participants.tsv: `split`'),
    ):
        name = table_name(kind, 'batch<NN>')
        yield f'`MR-RATE/{name}`', home if ':' in home else f'`{home}`'


def render(page: str) -> str:
    """Return the page with its tables written anew."""
    made = {
        'files': table(('kind', 'of', 'in the release', 'in BIDS'), files()),
        'cells': table(('column', 'read as'), cells()),
        'tables': table(('in the release', 'in BIDS'), tables()),
    }
    return _MARKS.sub(lambda found: f'{found[1]}\n{made[found[2]]}\n{found[3]}', page)


if __name__ == '__main__':
    PAGE.write_text(render(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
