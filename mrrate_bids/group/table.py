"""``group.tsv``: a row for each image of each study; and what its columns mean.

Source: BIDS 1.10.1, "Tabular files".
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrrate_bids.descriptions import format_json
from mrrate_bids.files import write_if_changed
from mrrate_bids.group.measures import Measure
from mrrate_bids.group.outliers import Scores, worst
from mrrate_bids.group.rows import Row
from mrrate_bids.reports.known import describe_columns
from mrrate_bids.reports.places import DICTIONARY, TABLE
from mrrate_bids.tables import format_tsv

__all__ = ['format_number', 'write_table']

_BETWEEN = '; '


def write_table(
    folder: Path, rows: Sequence[Row], scores: Sequence[Scores], measures: Sequence[Measure]
) -> None:
    """Write the table and its data dictionary.

    Parameters
    ----------
    folder
        Where they go.
    rows, scores
        The images, and what :func:`~mrrate_bids.group.outliers.find_scores` says of them.
    measures
        The columns, in order.

    Raises
    ------
    DestinationError
        When *folder* cannot take files.
    """
    described = describe_columns()
    header = [*described, *(measure.column for measure in measures)]
    cells = (
        [*_facts(row, score), *(format_number(row.numbers.get(measure)) for measure in measures)]
        for row, score in zip(rows, scores, strict=True)
    )
    write_if_changed(folder / TABLE, format_tsv(header, cells))
    described |= {measure.column: _describe(measure) for measure in measures}
    write_if_changed(folder / DICTIONARY, format_json(described))


def _facts(row: Row, scores: Scores) -> list[str]:
    """Return the cells that hold no measure, in the order of the template."""
    found = worst(scores)
    return [
        row.subject,
        row.session,
        row.image,
        row.suffix,
        *row.scanner,
        row.state,
        _BETWEEN.join(row.outdated),
        _BETWEEN.join(row.problems),
        *((format_number(found[0]), found[1].column) if found else ('', '')),
    ]


def format_number(value: float | None) -> str:
    """Return a number as a cell.

    >>> format_number(133.0), format_number(0.9122), format_number(None)
    ('133', '0.9122', '')
    """
    return '' if value is None else f'{value:.10g}'


def _describe(measure: Measure) -> dict[str, Any]:
    side = {'low': 'Low', 'high': 'High'}.get(measure.worse, 'Unusual')
    text = f'{measure.description}. {side} values are suspicious.'
    facts = {'LongName': measure.title, 'Description': text}
    return facts | ({'Units': measure.units} if measure.units else {})
