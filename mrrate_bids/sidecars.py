"""JSON sidecars: how a metadata row of the release reads in BIDS, and what a file was made from.

The cell of the CSV is the truth and is kept verbatim in the object ``MRRATE``; the BIDS key next
to it is only its reading. Empty cells are left out.

>>> read_cell('TE_ms', '15.97'), read_cell('TI_ms', '0'), read_cell('MRAcquisitionType', 'n/a')
(('EchoTime', 0.01597), None, None)
>>> years('037Y'), years('006M'), years('91'), years('')
(37.0, 0.5, 91.0, None)

Sources: BIDS 1.10.1, "Magnetic Resonance Imaging" and "Common data types and metadata", BIDS
URIs; DICOM PS3.5, value representation AS.
"""

import re
import sys
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import cache
from typing import Any

from mrrate_bids.naming import FileKind
from mrrate_bids.templates import read_toml

__all__ = [
    'AGE_COLUMN',
    'AGE_COLUMNS',
    'AGE_LIMIT',
    'SEX_COLUMN',
    'SHOWN',
    'VERBATIM',
    'bids_uri',
    'cap_age',
    'column_keys',
    'column_scale',
    'derived_sidecar',
    'image_sidecar',
    'inherited',
    'is_number',
    'link_name',
    'read_cell',
    'read_sex',
    'reads_as_contrast',
    'sidecar_path',
    'years',
]

AGE_LIMIT = 89
"""Ages above are published as this number (BIDS, "Participants file")."""

AGE_COLUMN = "Patient'sAge"
AGE_COLUMNS = {AGE_COLUMN, 'PatientAge'}
SEX_COLUMN = "Patient'sSex"

VERBATIM = 'MRRATE'
"""Cells of the release, in the sidecar of an image that came from there."""

SHOWN = 'shown'
"""Among sources: the defaced image of a series if there is one, else its image."""

_AGE = re.compile(r'([0-9]+(?:\.[0-9]+)?)\s*([YMWD]?)', re.IGNORECASE)
_SEXES = {'f': 'F', 'female': 'F', 'm': 'M', 'male': 'M', 'o': 'O', 'other': 'O'}
_PER_YEAR = {'Y': 1, 'M': 12, 'W': 52, 'D': 365}


@cache
def _tables() -> Any:
    return read_toml('sidecars.toml')


def column_keys() -> dict[str, str]:
    """Return the BIDS key of every metadata column that has one.

    >>> column_keys()['TE_ms']
    'EchoTime'
    """
    return {column: rule['key'] for column, rule in _tables()['column'].items()}


def is_number(column: str) -> bool:
    """Tell whether the BIDS field of a column is a number."""
    return bool(_tables()['column'].get(column, {}).get('type') == 'number')


def column_scale(column: str) -> str:
    """Return what a cell of a column is multiplied with to give its BIDS field.

    >>> column_scale('TE_ms'), column_scale('FlipAngle')
    ('0.001', '1')
    """
    return str(_tables()['column'].get(column, {}).get('scale', '1'))


def read_cell(column: str, cell: str) -> tuple[str, str | float] | None:
    """Return BIDS key and value of a metadata cell; ``None`` when it cannot be read as BIDS."""
    rule = _tables()['column'].get(column)
    if rule is None or not cell:
        return None
    if rule['type'] == 'string':
        return (rule['key'], cell) if cell in rule.get('values', (cell,)) else None
    try:
        number = float(Decimal(cell) * Decimal(rule.get('scale', '1')))
    except (ArithmeticError, ValueError):
        return None
    if not rule['above'] < number <= rule.get('most', sys.float_info.max):
        return None
    return rule['key'], number


def years(age: str) -> float | None:
    """Return a DICOM age string, or a plain number, in years."""
    found = _AGE.fullmatch(age.strip())
    if found is None:
        return None
    return round(float(found[1]) / _PER_YEAR[found[2].upper() or 'Y'], 2)


def read_sex(cell: str) -> str:
    """Return the sex as BIDS has it; empty for what it has no word for.

    >>> read_sex('F'), read_sex('male'), read_sex('unknown')
    ('F', 'M', '')
    """
    return _SEXES.get(cell.strip().lower(), '')


def cap_age(age: str) -> str:
    """Return *age* as it stands, or 89 years in the same notation when it is more.

    What cannot be read as an age may be anything, so nothing is left of it.

    >>> cap_age('091Y'), cap_age('037Y'), cap_age('95'), cap_age('old')
    ('089Y', '037Y', '89', '')
    """
    value = years(age)
    if value is None:
        return ''
    if value <= AGE_LIMIT:
        return age
    return f'{AGE_LIMIT:03d}Y' if age.strip().upper().endswith('Y') else str(AGE_LIMIT)


def image_sidecar(
    header: Iterable[str], cells: Iterable[str], *, contrast: bool, cap: bool
) -> dict[str, Any]:
    """Return the sidecar of a raw image.

    Parameters
    ----------
    header, cells
        The metadata row of the series.
    contrast
        Whether the release says that the series is contrast-enhanced.
    cap
        Whether ages above 89 are capped in the verbatim cells as well.
    """
    verbatim = {column: cell for column, cell in zip(header, cells, strict=True) if cell}
    if cap:
        for column in AGE_COLUMNS & verbatim.keys():
            verbatim[column] = cap_age(verbatim[column])
        verbatim = {column: cell for column, cell in verbatim.items() if cell}
    read = (read_cell(column, cell) for column, cell in verbatim.items())
    sidecar: dict[str, Any] = dict(pair for pair in read if pair)
    if contrast:
        sidecar['ContrastBolusIngredient'] = 'GADOLINIUM'
    return sidecar | {VERBATIM: verbatim}


def bids_uri(path: str, *, dataset: str) -> str:
    """Return the BIDS URI of *path* (relative to the raw root) as seen from *dataset*.

    >>> bids_uri('sub-1/a.nii.gz', dataset='mrrate-coreg')
    'bids:raw:sub-1/a.nii.gz'
    >>> bids_uri('derivatives/mrrate-coreg/sub-1/a.nii.gz', dataset='mrrate-coreg')
    'bids::sub-1/a.nii.gz'
    """
    home, inside = '', path
    if path.startswith('derivatives/'):
        _, home, inside = path.split('/', 2)
    return f'bids:{"" if home == dataset else link_name(home)}:{inside}'


def link_name(dataset: str) -> str:
    """Return the name of a dataset in ``DatasetLinks``, where hyphens are not allowed.

    >>> link_name(''), link_name('mrrate-coreg')
    ('raw', 'coreg')
    """
    return dataset.removeprefix('mrrate-') or 'raw'


def derived_sidecar(
    kind: FileKind,
    series: str,
    centre: str,
    find: Callable[[str, str], str | None],
) -> dict[str, Any]:
    """Return the sidecar of a derivative: what it was made from and which grid it lies on.

    Parameters
    ----------
    kind, series, centre
        The file, and the centre series of its study.
    find
        Returns the path of a file of the study, by kind and series, or ``None`` when it is not
        part of the dataset. References to such files are left out, so none dangles.
    """

    def locate(name: str, owner: str) -> str | None:
        if name == SHOWN:
            return find('defaced-image', owner) or find('image', owner)
        return find(name, owner)

    def uris(names: list[str]) -> list[str]:
        wanted = (name.partition('@') for name in names)
        paths = (locate(name, centre if where else series) for name, _, where in wanted)
        return list(dict.fromkeys(bids_uri(p, dataset=kind.dataset) for p in paths if p))

    sidecar: dict[str, Any] = {}
    if sources := uris(_tables()['sources'].get(kind.name, [])):
        sidecar['Sources'] = sources
    if grids := uris(_tables()['spatial_reference'].get(kind.name, [])):
        sidecar['SpatialReference'] = grids[0]
    ends = _tables()['transform'].get(kind.name, {})
    found = {key: [name] if '://' in name else uris([name]) for key, name in ends.items()}
    if all(found.values()):
        sidecar |= {key: place for key, (place,) in found.items()}
    return sidecar


def inherited(
    kind: str, suffix: str, *, released: bool = False
) -> tuple[str, dict[str, Any], str]:
    """Return what is true of every file of a kind: file name, JSON content, label table.

    The label table is the name of a template, empty for most kinds. What is true of the files of a
    release (*released*) is more than what is true of those of any run.

    Raises
    ------
    KeyError
        For raw images, which inherit nothing.
    """
    content = dict(_tables()['inherited'][kind])
    if released:
        content |= _tables()['released'].get(kind, {})
    name, labels = content.pop('file').format(X=suffix), content.pop('labels', '')
    return name, content, labels


def sidecar_path(path: str) -> str:
    """Return the path of the sidecar of an image or transform.

    >>> sidecar_path('sub-1/sub-1_T1w.nii.gz'), sidecar_path('sub-1/a_xfm.mat')
    ('sub-1/sub-1_T1w.json', 'sub-1/a_xfm.json')
    """
    return f'{path.removesuffix(".gz").rpartition(".")[0]}.json'


def reads_as_contrast(cell: str) -> bool:
    """Tell whether a cell of ``contrast_enhanced`` or ``is_contrast_enhanced`` says yes."""
    return cell.strip().lower() in {'true', '1', 'yes'}
