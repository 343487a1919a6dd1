"""What the script of the page gets: the table column by column, compact.

A column of text is a list of its different texts, in order, and a number for each row; so it is
sorted as numbers are. Measures are lists of numbers.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mrrate_bids.group.measures import Measure
from mrrate_bids.group.outliers import LIMIT, Scores, worst
from mrrate_bids.group.rows import Row
from mrrate_bids.reports.places import link_to_report

__all__ = ['make_payload', 'natural']

_TEXTS: tuple[tuple[str, str, Callable[[Row], str]], ...] = (
    ('series', 'Image', lambda row: row.series),
    ('suffix', 'Modality', lambda row: row.suffix),
    ('scanner', 'Scanner', lambda row: str(row.scanner) if row.image else ''),
    ('state', 'State', lambda row: row.state),
    ('outdated', 'Outdated', lambda row: ', '.join(row.outdated)),
    ('problems', 'Problems', lambda row: '\n'.join(row.problems)),
)


def make_payload(
    rows: Sequence[Row],
    scores: Sequence[Scores],
    measures: Sequence[Measure],
    reports: set[str],
) -> dict[str, Any]:
    """Return the table for the script, its rows in the given order.

    Parameters
    ----------
    rows, scores, measures
        As :func:`~mrrate_bids.group.table.write_table` takes them.
    reports
        Names of the pages of studies that are there.
    """
    studies = _text('study', 'Study', (row.study for row in rows))
    studies['links'] = [link_to_report(study, reports) for study in studies['levels']]
    columns = [
        studies,
        *_scores(scores),
        *(_text(name, title, map(read, rows)) for name, title, read in _TEXTS),
        *(_measure(measure, rows, scores) for measure in measures),
    ]
    return {'rows': len(rows), 'limit': LIMIT, 'columns': columns}


def natural(text: str) -> list[Any]:
    """Return a key that puts numbers in their order, and no two texts in the same place.

    >>> sorted(['sub-10', 'sub-9', 'sub-09'], key=natural)
    ['sub-09', 'sub-9', 'sub-10']
    """
    parts = re.split('([0-9]+)', text)
    return [[int(part) if place % 2 else part for place, part in enumerate(parts)], text]


def _text(name: str, title: str, cells: Iterable[str]) -> dict[str, Any]:
    found = list(cells)
    levels = sorted(set(found) - {''}, key=natural)
    codes: dict[str, int | None] = {level: code for code, level in enumerate(levels)}
    codes[''] = None
    return {
        'name': name,
        'title': title,
        'levels': levels,
        'values': [codes[cell] for cell in found],
    }


def _scores(scores: Sequence[Scores]) -> list[dict[str, Any]]:
    found = [worst(one) for one in scores]
    titles = (best[1].title if best and best[0] > LIMIT else '' for best in found)
    score = {
        'name': 'score',
        'title': 'Outlier score',
        'help': 'Largest robust z-score of the image',
        'values': [best and best[0] for best in found],
    }
    return [score, _text('outlier', 'Outlier', titles)]


def _measure(measure: Measure, rows: Sequence[Row], scores: Sequence[Scores]) -> dict[str, Any]:
    far = {place: one[measure] for place, one in enumerate(scores) if one.get(measure, 0) > LIMIT}
    return {
        'name': measure.column,
        'step': measure.step,
        'title': measure.name,
        'units': measure.units,
        'help': measure.description,
        'values': [row.numbers.get(measure) for row in rows],
        'far': far,
    }
