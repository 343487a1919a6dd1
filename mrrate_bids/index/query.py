"""Answers from an index: the files that a selection is about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mrrate_bids.errors import NamingError, SelectionError
from mrrate_bids.expressions import ALIASES, Expression, nearest, typed
from mrrate_bids.index.shorthand import lengthen
from mrrate_bids.index.store import Index
from mrrate_bids.naming import SeriesName
from mrrate_bids.selection import Selection

__all__ = ['DEFAULT_COLUMNS', 'Query', 'Selected', 'answer']

DEFAULT_COLUMNS = (
    'batch', 'split', 'patient_uid', 'study_uid', 'series_id', 'kind', 'path', 'member',
)  # fmt: skip
_KEYS = ('patient_uid', 'study_uid', 'series_id')
_PATHS = ('path', 'member')
_ABSOLUTE = 'file'


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
    """A row for each, categorical text: the columns that were asked for and those that identify
    it. Paths are in the shorthand of the index."""

    columns: tuple[str, ...]

    @property
    def table(self) -> Any:
        """The columns that were asked for, as text."""
        import pandas as pd  # noqa: PLC0415  (a third of a second)

        cells = {name: self.cells(name) for name in self.columns}
        return pd.DataFrame(cells, index=self.frame.index, dtype=object)

    @property
    def values(self) -> Any:
        """The columns that were asked for, each as what all cells of the release are in it."""
        import pandas as pd  # noqa: PLC0415

        cells = {name: self._typed(name) for name in self.columns}
        return pd.DataFrame(cells, index=self.frame.index)

    def _typed(self, name: str) -> Any:
        if name in _PATHS:
            return self.cells(name)
        column = ALIASES.get(name, name)
        return typed(self.frame[column], name if name == 'age' else column)

    def cells(self, name: str) -> list[str]:
        """Return a column as text."""
        if name == _ABSOLUTE and name not in self.frame:
            return list(self.paths())
        texts: list[str] = self.frame[ALIASES.get(name, name)].tolist()
        if name not in _PATHS:
            return texts
        owners = zip(self.frame['study_uid'], self.frame['patient_uid'], strict=True)
        return [lengthen(text, *owner) for text, owner in zip(texts, owners, strict=True)]

    def with_paths(self) -> 'Selected':
        """Return it with a column more, for what :meth:`paths` tells."""
        return replace(self, columns=(*self.columns, _ABSOLUTE))

    def parts(self, rows: int) -> Iterator['Selected']:
        """Yield it in parts of so many rows."""
        for start in range(0, len(self.frame), rows):
            yield replace(self, frame=self.frame[start : start + rows])

    def counts(self) -> dict[str, int]:
        """Return how many patients, studies, series and files there are."""
        import pandas as pd  # noqa: PLC0415

        study, series = self.frame['study_uid'].cat, self.frame['series_id'].cat
        pairs = study.codes.astype('int64') * len(series.categories) + series.codes
        named = self.frame['series_id'] != ''
        return {
            'patients': self.frame['patient_uid'].nunique(),
            'studies': self.frame['study_uid'].nunique(),
            'series': len(pd.unique(pairs[named])),
            'files': len(self.frame),
        }

    def paths(self) -> Iterator[str]:
        """Yield where each file lies; of a member of a zip ``{zip}!/{member}``."""
        root = self.root.absolute()
        for path, member in zip(self.cells('path'), self.cells('member'), strict=True):
            yield f'{root}/{path}!/{member}' if member else f'{root}/{path}'

    def studies(self) -> list[str]:
        """Return the study_uid of each study, once."""
        return list(self.frame['study_uid'].unique())


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
    _check_columns(query.columns, index.columns)
    asked = [ALIASES.get(name, name) for name in sorted(expression.names if expression else ())]
    told = [*_KEYS, *_PATHS, *(ALIASES.get(name, name) for name in query.columns)]
    table = index.table([*_asked(query), *asked, *told])
    runs = _Runs(table.select(list(dict.fromkeys([*_asked(query), *asked]))))
    keep = _in_selection(runs.frame, query)
    if expression:
        keep &= expression.evaluate(lambda name: runs.frame[ALIASES.get(name, name)])
    found = table.select(list(dict.fromkeys(told))).filter(runs.spread(keep))
    return Selected(index.root, found.unify_dictionaries().to_pandas(), query.columns)


def _check_columns(wanted: Sequence[str], known: Sequence[str]) -> None:
    names = {*known, *ALIASES, *DEFAULT_COLUMNS}
    for name in wanted:
        if name not in names:
            raise SelectionError(
                f'--columns: there is no column {name!r}', hint=nearest(name, names)
            )


def _asked(query: Query) -> list[str]:
    """Return the columns that the short options look at."""
    selection = query.selection
    asked = {
        'kind': query.kinds,
        'batch': selection.batches,
        'patient_uid': selection.patients,
        'study_uid': selection.studies,
        'split': selection.splits,
        'classified_modality': selection.modalities,
        'acquisition_plane': selection.planes,
        'series_id': selection.modalities or selection.planes,
    }
    return [column for column, values in asked.items() if values]


class _Runs:
    """The rows of a table of which nothing changes from one to the next, taken as one.

    The files of a series stand together and so do the series of a study, so there are far fewer
    runs than rows.

    Parameters
    ----------
    table
        An Arrow table of dictionaries, one dictionary for each column.
    """

    def __init__(self, table: Any) -> None:
        import numpy as np  # noqa: PLC0415  (slow)
        import pandas as pd  # noqa: PLC0415

        cells, changes = {}, np.zeros(table.num_rows, dtype=bool)
        changes[:1] = True
        for name in table.column_names:
            cells[name] = codes, _ = _coded(table[name])
            changes[1:] |= codes[1:] != codes[:-1]
        starts = np.flatnonzero(changes)
        self._lengths = np.diff(starts, append=table.num_rows)
        columns = {
            name: pd.Categorical.from_codes(codes[starts], pd.Index(texts, dtype=object))
            for name, (codes, texts) in cells.items()
        }
        self.frame = pd.DataFrame(columns, index=range(len(starts)))
        """A row for each run."""

    def spread(self, keep: Any) -> Any:
        """Return of all rows what is known of their runs, as an Arrow array."""
        import numpy as np  # noqa: PLC0415  (slow)
        import pyarrow as pa  # noqa: PLC0415

        return pa.array(np.repeat(keep, self._lengths))


def _coded(column: Any) -> tuple[Any, Any]:
    """Return the codes of all chunks of a column and what they stand for, each text once.

    To hash Python's strings here is much faster than to let Arrow unify dictionaries of reports.
    """
    import numpy as np  # noqa: PLC0415  (slow)
    import pandas as pd  # noqa: PLC0415

    chunks = [chunk for chunk in column.chunks if len(chunk)]
    if not chunks:
        return np.empty(0, np.int64), np.empty(0, object)
    texts = [chunk.dictionary.to_numpy(zero_copy_only=False) for chunk in chunks]
    places, known = pd.factorize(np.concatenate(texts))
    ends = np.cumsum([len(part) for part in texts])
    starts = [end - len(part) for end, part in zip(ends, texts, strict=True)]
    codes = [
        places[start:end][np.asarray(chunk.indices)]
        for start, end, chunk in zip(starts, ends, chunks, strict=True)
    ]
    return np.concatenate(codes), known


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
        only('patient_uid', frozenset(selection.patients).__contains__)
    if selection.studies:
        only('study_uid', frozenset(selection.studies).__contains__)
    if selection.splits:
        only('split', selection.splits.__contains__)
    if selection.modalities or selection.planes:
        named = frame['series_id'].map(_is_named).to_numpy(dtype=bool)
        mine, keep = keep, np.ones(len(frame), dtype=bool)
        only('series_id', selection.has_series)
        by_name, keep = keep, np.ones(len(frame), dtype=bool)
        if selection.modalities:
            only('classified_modality', _modality_of(selection.modalities))
        if selection.planes:
            planes = {text.lower()[:3] for text in selection.planes}
            only('acquisition_plane', lambda value: value.lower()[:3] in planes)
        keep = mine & np.where(named, by_name, keep)
    return keep


def _is_named(series_id: str) -> bool:
    """Tell whether a series is named as in a release; what others name is known by its columns."""
    try:
        SeriesName.parse(series_id)
    except NamingError:
        return False
    return True


def _modality_of(modalities: Sequence[str]) -> Any:
    wanted = {text.lower().removeprefix('t2-') for text in modalities}
    return lambda value: value.lower().removeprefix('t2-') in wanted
