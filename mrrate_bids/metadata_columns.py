"""The columns of the metadata of a release: their order, and their cells from BIDS fields.

>>> column_order(['zeta', 'TE_ms', 'alpha', 'patient_uid'])
['patient_uid', 'TE_ms', 'alpha', 'zeta']
>>> verbatim_cell('TE_ms', 0.01597), verbatim_cell('FlipAngle', 9), format_age(37.4)
('15.97', '9', '037Y')

Sources: the MR-RATE dataset guide, "Metadata"; BIDS 1.10.1, "Magnetic Resonance Imaging"; DICOM
PS3.5, value representation AS.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from mrrate_bids.naming import PLANES, SeriesName
from mrrate_bids.sidecars import AGE_LIMIT, column_scale, is_number
from mrrate_bids.templates import read_toml

__all__ = [
    'column_order',
    'first_columns',
    'format_age',
    'objections_to_name',
    'private_columns',
    'verbatim_cell',
]


@cache
def _table() -> Any:
    return read_toml('foreign.toml')['columns']


def first_columns() -> tuple[str, ...]:
    """Return the columns that every metadata CSV begins with."""
    return tuple(_table()['first'])


def private_columns() -> frozenset[str]:
    """Return the columns that name a site and are not taken from the sidecars of others."""
    return frozenset(_table()['private'])


def column_order(names: Iterable[str]) -> list[str]:
    """Return columns as a release orders them: the known ones first, the rest by alphabet."""
    rank = {name: position for position, name in enumerate(first_columns())}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def verbatim_cell(column: str, value: Any) -> str:
    r"""Return the cell of a metadata column from the value of its BIDS field.

    Numbers are computed in decimal, so seconds become milliseconds without noise; lists are
    joined with a backslash, as DICOM has it. What is no number in a column of numbers gives an
    empty cell.

    >>> verbatim_cell('TE_ms', [0.005, '0.0102']), verbatim_cell('TE_ms', 'short')
    ('5\\10.2', '')
    """
    if isinstance(value, list):
        cells = [verbatim_cell(column, one) for one in value]
        return '\\'.join(cells) if all(cells) else ''
    if not is_number(column):
        return str(value)
    try:
        number = Decimal(str(value)) / Decimal(column_scale(column))
    except ArithmeticError:
        return ''
    # Written out, a number like 1e99999999 would fill the memory.
    if not number.is_finite() or abs(number.adjusted()) > sys.float_info.max_10_exp:
        return ''
    text = f'{number:f}'
    return text.rstrip('0').rstrip('.') if '.' in text else text


def objections_to_name(name: SeriesName, cells: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the columns that contradict a series_id, each with what that says.

    >>> name = SeriesName.parse('flair-raw-axi')
    >>> list(objections_to_name(name, {'acquisition_plane': 'SAGITTAL'}))
    [('acquisition_plane', 'axi')]
    """
    modality = cells.get('classified_modality', '')
    if modality and modality.lower().removeprefix('t2-') != name.modality:
        yield 'classified_modality', name.modality
    plane = cells.get('acquisition_plane', '')
    if plane and plane.upper() != PLANES[name.plane]:
        yield 'acquisition_plane', name.plane


def format_age(years: float) -> str:
    """Return an age as DICOM spells it, as the release does; above 89 it is given as 89.

    >>> format_age(0.5), format_age(93)
    ('006M', '089Y')
    """
    if years < 1:
        return f'{int(years * 12):03d}M'
    return f'{min(int(years), AGE_LIMIT):03d}Y'
