"""Which studies and series a command is about.

Conditions on the study are checked first, conditions on the series after that. ``--where`` is an
expression over the columns of the metadata, the splits, the labels and the reports, evaluated by
:meth:`pandas.DataFrame.eval`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from mrrate_bids.catalog import Batch, Release, Study
from mrrate_bids.errors import NamingError, SelectionError
from mrrate_bids.expressions import ALIASES, Expression
from mrrate_bids.naming import SeriesName
from mrrate_bids.tables import Record

__all__ = ['Selection', 'Shard', 'check_where', 'select']

_Item = TypeVar('_Item')


@dataclass(frozen=True, slots=True)
class Shard:
    """The part *index* (from 1) of *count* equal parts of a run."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> 'Shard':
        """Read ``I/N``.

        Raises
        ------
        SelectionError
            When it is not of that form, or I is not between 1 and N.
        """
        found = re.fullmatch(r'([0-9]+)/([0-9]+)', text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise SelectionError(
                f'{text!r} is no shard', hint='Write I/N with I from 1 to N: 1/4.'
            )
        return cls(int(found[1]), int(found[2]))

    def has(self, number: int) -> bool:
        """Tell whether the item *number* (from 0) belongs to this part."""
        return number % self.count == self.index - 1

    def of(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """Return those of some items that belong to this part.

        >>> Shard(2, 3).of('abcdef')
        'be'
        """
        return items[self.index - 1 :: self.count]


@dataclass(frozen=True)
class Selection:
    """What to take; an empty field takes everything."""

    batches: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    planes: tuple[str, ...] = ()
    where: str = ''

    @cached_property
    def _people(self) -> tuple[frozenset[str], frozenset[str]]:
        """Patients and studies; a file may name a hundred thousand."""
        return frozenset(self.patients), frozenset(self.studies)

    def has_batch(self, name: str) -> bool:
        """Tell whether a batch is asked for, as ``batch05``, ``05`` or ``5``."""
        numbers = {str(int(b)) if b.isdecimal() else b for b in map(_bare, self.batches)}
        bare = _bare(name)
        return not numbers or (str(int(bare)) if bare.isdecimal() else bare) in numbers

    def has_study(self, study: Study) -> bool:
        """Tell whether a study is asked for, leaving its series aside."""
        patients, studies = self._people
        return (
            (not patients or study.patient in patients)
            and (not studies or study.study in studies)
            and (not self.splits or study.fact('splits', 'split') in self.splits)
        )

    def has_series(self, series_id: str) -> bool:
        """Tell whether a series is asked for, leaving ``--where`` aside."""
        if not self.modalities and not self.planes:
            return True
        try:
            name = SeriesName.parse(series_id)
        except NamingError:
            return False
        modalities = {text.lower().removeprefix('t2-') for text in self.modalities}
        planes = {text.lower()[:3] for text in self.planes}
        return (not modalities or name.modality in modalities) and (
            not planes or name.plane in planes
        )


def _bare(batch: str) -> str:
    return batch.removeprefix('batch')


def select(batch: Batch, selection: Selection) -> Iterator[tuple[Study, list[str]]]:
    """Yield the studies of a batch that are asked for, each with its series.

    Raises
    ------
    SelectionError
        When ``--where`` cannot be evaluated.
    """
    studies = [study for study in batch.studies if selection.has_study(study)]
    pairs = [(study, row) for study in studies for row in study.rows]
    chosen = _evaluate(pairs, selection.where) if selection.where else [True] * len(pairs)
    series: dict[str, list[str]] = {}
    for (study, row), yes in zip(pairs, chosen, strict=True):
        series_id = study.cell(row, 'series_id')
        if yes and selection.has_series(series_id):
            series.setdefault(study.study, []).append(series_id)
    for study in studies:
        if study.study in series:
            yield study, list(dict.fromkeys(series[study.study]))


def check_where(release: Release, where: str) -> None:
    """Make sure that an expression names columns that exist and is one that can be evaluated.

    Raises
    ------
    SelectionError
        When it is no expression; with the nearest column names when one is unknown.
    """
    Expression(where).check(release.columns())


def _evaluate(pairs: Sequence[tuple[Study, Record]], where: str) -> list[bool]:
    import pandas as pd  # noqa: PLC0415  (a third of a second, and most runs have no --where)

    if not pairs:
        return []

    def column(name: str) -> Any:
        return pd.Series([_cell(study, row, name) for study, row in pairs], dtype='category')

    return [bool(value) for value in Expression(where).evaluate(column)]


def _cell(study: Study, row: Record, name: str) -> str:
    if name == 'batch':
        return study.batch
    if name == 'split':
        return study.fact('splits', 'split')
    column = ALIASES.get(name, name)
    cell = study.cell(row, column)
    if cell or column in study.header:
        return cell
    return next((text for kind in study.facts if (text := study.fact(kind, column))), '')
