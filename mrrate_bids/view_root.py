"""The root of a view: what it says of itself, its tables, and where it may lie.

Sources: BIDS 1.10.1, "Dataset description" (SourceDatasets, DatasetLinks), "BIDS URI", "Data
summary files".
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mrrate_bids import __version__
from mrrate_bids.checks.tree import find_folders, read_rows
from mrrate_bids.descriptions import format_json
from mrrate_bids.errors import DestinationError, TableError, UsageError
from mrrate_bids.files import write_if_changed
from mrrate_bids.inheritance import read_json_object
from mrrate_bids.problems import Problem
from mrrate_bids.templates import read_text

__all__ = ['LINK', 'describe_view', 'read_raw', 'refuse_place', 'write_view_tables']

LINK = 'source'
"""The dataset in ``DatasetLinks`` of a view."""

_MAKER = 'mrrate-bids view'
"""Our name in GeneratedBy. That of an export is another one: it stands for escaped cells."""

_DESCRIPTION = 'dataset_description.json'
_KEPT = (
    *('License', 'Authors', 'Acknowledgements', 'HowToAcknowledge', 'Funding'),
    *('EthicsApprovals', 'ReferencesAndLinks'),
)
"""What a dataset says of itself that holds for a view as well."""


def read_raw(bids: Path) -> dict[str, Any]:
    """Return what a raw dataset says of itself.

    Raises
    ------
    UsageError
        When there is no dataset, or a derivative one.
    """
    try:
        said = read_json_object(bids / _DESCRIPTION)
    except TableError as error:
        raise UsageError(str(error), hint='Name the root of a BIDS dataset.') from error
    if said.get('DatasetType') == 'derivative':
        raise UsageError(
            f'{bids} is a derivative dataset', hint='Name the raw dataset that it comes from.'
        )
    return said


def refuse_place(bids: Path, out: Path) -> None:
    """Refuse a folder that lies in the dataset, or holds something else than a view of it.

    Raises
    ------
    UsageError
        When one of the two lies in the other.
    DestinationError
        When there is a file, or anything else that was not written for a view of this dataset.
    """
    source, target = bids.resolve(), out.resolve()
    if target == source or source in target.parents or target in source.parents:
        raise UsageError(
            f'{out}: the view and the dataset {bids} would lie in one another',
            hint='Choose a folder next to the dataset; nothing was written.',
        )
    names = _names_in(target)
    others = [name for name in names if not name.startswith('.') and name != 'lost+found']
    seen = _source_of(target) if others else source
    if seen is None:
        raise DestinationError(
            f'{out} holds something that is no view: {others[0]}',
            hint='Choose an empty folder; nothing was written.',
        )
    if seen != source:
        raise DestinationError(
            f'{out} is a view of {seen}, not of {bids}',
            hint='Choose another folder; nothing was written.',
        )


def _names_in(out: Path) -> list[str]:
    try:
        return sorted(path.name for path in out.iterdir())
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise DestinationError(f'{out} is a file', hint='Name a folder.') from error
    except OSError as error:
        raise DestinationError(f'{out}: cannot be read ({error.strerror})') from error


def _source_of(out: Path) -> Path | None:
    """Return the dataset that a folder is a view of; ``None`` when it is no view."""
    try:
        said = read_json_object(out / _DESCRIPTION)
    except TableError:
        return None
    makers, links = said.get('GeneratedBy'), said.get('DatasetLinks')
    made = any(isinstance(m, dict) and m.get('Name') == _MAKER for m in makers or ())
    if not made or not isinstance(links, dict) or LINK not in links:
        return None
    return (out / str(links[LINK])).resolve()


def describe_view(bids: Path, out: Path, said: dict[str, Any]) -> None:
    """Write the description, the README and the ignore list.

    Parameters
    ----------
    bids, out
        The dataset and the view.
    said
        The description of the dataset.
    """
    name = f'{said.get("Name", bids.name)}: one T1w a session'
    makers = said.get('GeneratedBy')
    maker = {'Name': _MAKER, 'Version': __version__, 'Description': 'Took the centre T1w'}
    content = {'Name': name, 'BIDSVersion': said.get('BIDSVersion'), 'DatasetType': 'raw'}
    content |= {key: said[key] for key in _KEPT if said.get(key)}
    content['GeneratedBy'] = [*(makers if isinstance(makers, list) else []), maker]
    content['DatasetLinks'] = {LINK: os.path.relpath(bids, out)}
    if doi := said.get('DatasetDOI'):
        content['SourceDatasets'] = [{'DOI': doi}]
    write_if_changed(out / _DESCRIPTION, format_json(content))
    write_if_changed(out / 'README.md', read_text('README-view.md').format(name=name))
    # Sessions inherit from a file at the root, which the older validator takes for a stray one.
    write_if_changed(out / '.bidsignore', 'sessions.json\n')


def write_view_tables(bids: Path, out: Path, subjects: Iterable[str]) -> list[Problem]:
    """Write the rows of the subjects and sessions that the view has; return what is wrong.

    Parameters
    ----------
    bids, out
        The dataset and the view.
    subjects
        Those whose sessions may have changed.
    """
    problems: list[Problem] = []
    tables = [(f'{s}/{s}_sessions.tsv', 'session_id', out / s, 'ses-') for s in subjects]
    if tables:
        tables.append(('participants.tsv', 'participant_id', out, 'sub-'))
    for name, key, folder, prefix in tables:
        try:
            text = _pick_rows(bids / name, key, find_folders(folder, prefix))
        except TableError as error:
            message = f'{name}: {error}; the view has labels only'
            problems.append(Problem('error', message, 'Correct the table.', file=name))
            text = _pick_rows(None, key, find_folders(folder, prefix))
        write_if_changed(out / name, text)
    for name in ('participants.json', 'sessions.json') if tables else ():
        if (bids / name).exists():
            try:
                write_if_changed(out / name, format_json(read_json_object(bids / name)))
            except TableError as error:
                problems.append(Problem.from_error(error, file=name))
    return problems


def _pick_rows(path: Path | None, key: str, labels: Iterable[str]) -> str:
    """Return a table of these labels: its cells as they stand in *path*, as far as it has them."""
    rows = {row.get(key, ''): row for row in _read(path)}
    columns = list(next(iter(rows.values()), {}))
    if key not in columns:
        rows, columns = {}, [key]
    lines = [columns]
    for label in labels:
        row = rows.get(label, {}) | {key: label}
        lines.append([row.get(column) or 'n/a' for column in columns])
    return ''.join('\t'.join(line) + '\n' for line in lines)


def _read(path: Path | None) -> Iterator[dict[str, str]]:
    return read_rows(path) if path and path.exists() else iter(())
