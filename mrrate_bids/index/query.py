"""Answers from an index: the files that a selection is about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrrate_bids.errors import SelectionError
from mrrate_bids.expressions import ALIASES, Expression
from mrrate_bids.index.store import Index
from mrrate_bids.selection import Selection

__all__ = ['DEFAULT_COLUMNS', 'Query', 'Selected', 'answer']

DEFAULT_COLUMNS = (
    'batch', 'split', 'patient_uid', 'study_uid', 'series_id', 'kind', 'path', 'member',
)  # fmt: skip
_KEYS = ('patient_uid', 'study_uid', 'series_id')


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of an index.

    Parameters
    ----------
    where
        A condition; empty takes everything.
    selection
        The short options of a selection; its own condition is not looked at.
    kinds
        Kinds of files, by their names in the naming table; none takes all.
    columns
        What is told of each file.
    """

    where: str = ''
    selection: Selection = field(default_factory=Selection)
    kinds: tuple[str, ...] = ()
    columns: tuple[str, ...] = DEFAULT_COLUMNS


@dataclass(frozen=True, slots=True)
class Selected:
    """The files that were found."""

    root: Path
    frame: Any
    """A row for each, with the columns that were asked for and those that identify it."""

    columns: tuple[str, ...]

    @property
    def table(self) -> Any:
        """The columns that were asked for, as text."""
        return self.frame[list(self.columns)].astype(str)

    def counts(self) -> dict[str, int]:
        """Return how many patients, studies, series and files there are."""
        names = dict(zip(('patients', 'studies'), _KEYS[:2], strict=True))
        found = {name: int(self.frame[key].nunique()) for name, key in names.items()}
        pairs = self.frame[['study_uid', 'series_id']]
        return found | {'series': int((~pairs.duplicated()).sum()), 'files': len(self.frame)}

    def paths(self) -> Iterator[str]:
        """Yield where each file lies; of a member of a zip ``{zip}!/{member}``."""
        root = self.root.absolute()
        for path, member in zip(self.frame['path'], self.frame['member'], strict=True):
            yield f'{root / path}!/{member}' if member else str(root / path)

    def studies(self) -> list[str]:
        """Return the study_uid of each study, once."""
        return list(dict.fromkeys(map(str, self.frame['study_uid'])))


def answer(index: Index, query: Query) -> Selected:
    """Return the files that a query is about.

    Raises
    ------
    SelectionError
        When it names a column or a kind that does not exist, or its condition makes no sense.
    """
    expression = Expression(query.where) if query.where else None
    if expression:
        expression.check(index.columns)
    known = {*index.columns, *ALIASES, *DEFAULT_COLUMNS}
    for name in query.columns:
        if name not in known:
            raise SelectionError(
                f'--columns: there is no column {name!r}', hint='See the header of the metadata.'
            )
    keep = _matches(index, query, expression)
    wanted = [*_KEYS, 'path', 'member', *(ALIASES.get(name, name) for name in query.columns)]
    frame = index.read(list(dict.fromkeys(wanted)), keep)
    renamed = {name: frame[ALIASES[name]] for name in query.columns if name in ALIASES}
    return Selected(index.root, frame.assign(**renamed), query.columns)


def _matches(index: Index, query: Query, expression: Expression | None) -> Any:
    """Return of all files which a query is about; only the columns that it asks are read."""
    import numpy as np  # noqa: PLC0415  (slow)

    selection = query.selection
    asked = {
        'kind': query.kinds,
        'batch': selection.batches,
        'patient_uid': selection.patients,
        'study_uid': selection.studies,
        'split': selection.splits,
        'classified_modality': selection.modalities,
        'acquisition_plane': selection.planes,
    }
    names = [column for column, values in asked.items() if values]
    names += [ALIASES.get(name, name) for name in sorted(expression.names if expression else ())]
    frame, keep = index.read(list(dict.fromkeys(names))), np.ones(index.rows, dtype=bool)
    if names:
        keep = _in_selection(frame, query)
    if expression:
        keep &= expression.evaluate(lambda name: frame[ALIASES.get(name, name)])
    return keep


def _in_selection(frame: Any, query: Query) -> Any:
    """Return which files the short options let through."""
    import numpy as np  # noqa: PLC0415  (slow)

    selection, keep = query.selection, np.ones(len(frame), dtype=bool)

    def only(column: str, has: Any) -> None:
        nonlocal keep
        cells = frame[column].cat
        good = np.array([bool(has(value)) for value in cells.categories], dtype=bool)
        keep &= good[cells.codes.to_numpy()] if len(good) else keep

    if query.kinds:
        only('kind', query.kinds.__contains__)
    if selection.batches:
        only('batch', selection.has_batch)
    if selection.patients:
        only('patient_uid', selection.patients.__contains__)
    if selection.studies:
        only('study_uid', selection.studies.__contains__)
    if selection.splits:
        only('split', selection.splits.__contains__)
    if selection.modalities:
        only('classified_modality', _modality_of(selection.modalities))
    if selection.planes:
        planes = {text.lower()[:3] for text in selection.planes}
        only('acquisition_plane', lambda value: value.lower()[:3] in planes)
    return keep


def _modality_of(modalities: Sequence[str]) -> Any:
    wanted = {text.lower().removeprefix('t2-') for text in modalities}
    return lambda value: value.lower().removeprefix('t2-') in wanted
