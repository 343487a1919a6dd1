"""Images of any BIDS dataset, read as series of a release.

Modality from suffix and entities, plane from the affine, parameters from the sidecar, order from
series number, time and name; what the rules refuse is named with rule and value.

Sources: BIDS 1.10.1, "Magnetic Resonance Imaging" and appendix "Entities"; the MR-RATE dataset
guide, "What is a series ID?"; ``templates/foreign.toml``.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mrrate_bids.acceptance import Facts, Objection, Rules
from mrrate_bids.errors import DataError, ImageError
from mrrate_bids.inheritance import split_name
from mrrate_bids.metadata_columns import private_columns, verbatim_cell
from mrrate_bids.naming import PLANES, SeriesName
from mrrate_bids.sidecars import column_keys
from mrrate_bids.templates import read_toml
from mrrate_bids.volumes import Volume, read_volume

__all__ = [
    'READABLE',
    'Foreign',
    'Image',
    'Rejected',
    'Series',
    'classified_as',
    'grid_cells',
    'modality_of',
    'read_series',
]

READABLE = 'readable'
"""The rule against images that cannot be read at all."""

_REPAIR = 'Repair or remove the image.'
_MAGNITUDE = {'', 'mag'}
_NO_CONTRAST = {'', 'none', 'unknown', 'n/a', 'no'}


@dataclass(frozen=True, slots=True)
class Image:
    """A raw image and what is said of it."""

    path: Path
    name: str
    inside: str
    """Path relative to the dataset."""

    sidecar: dict[str, Any] = field(default_factory=dict)
    acq_time: str = ''


@dataclass(slots=True)
class Series:
    """An image that is accepted."""

    name: SeriesName
    image: Image
    volume: Volume
    cells: dict[str, str]
    """Of the metadata, as far as the image tells them; none is empty."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """An image that is not, and why."""

    image: Image
    rule: str
    value: str
    limit: str


@dataclass(slots=True)
class Foreign:
    """The images of a visit."""

    series: list[Series] = field(default_factory=list)
    """In the order of acquisition."""

    rejected: list[Rejected] = field(default_factory=list)

    @property
    def centre(self) -> SeriesName | None:
        """The earliest T1w."""
        return next((one.name for one in self.series if one.name.modality == 't1w'), None)


def read_series(
    images: Sequence[Image],
    *,
    rules: Rules,
    age: float | None,
    taken: Collection[SeriesName] = (),
) -> Foreign:
    """Read the images of one visit.

    Parameters
    ----------
    images
        Raw images.
    rules
        What is accepted.
    age
        At the visit, in years.
    taken
        Names that other series of the visit have.
    """
    found, used = Foreign(), set(taken)
    stems = Counter[str]()
    for image in sorted(images, key=_order):
        stem = image.inside.partition('.')[0]
        stems[stem] += 1
        if stems[stem] > 1:
            what = Rejected(image, 'duplicate', image.name, 'one image of a name')
            found.rejected.append(what)
            continue
        reading = _read(image, rules, age)
        if isinstance(reading, Rejected):
            found.rejected.append(reading)
            continue
        modality, volume = reading
        name = _next_name(modality, volume.plane, used)
        used.add(name)
        cells = {column: cell for column, cell in _cells(image, name, volume) if cell}
        found.series.append(Series(name, image, volume, cells))
    return found


def _read(image: Image, rules: Rules, age: float | None) -> tuple[str, Volume] | Rejected:
    entities, suffix = split_name(image.name)
    modality = modality_of(suffix, entities)
    known = ', '.join(rules.modalities)
    if not modality:
        return Rejected(image, 'modalities', suffix, known)
    if entities.get('part', '') not in _MAGNITUDE:
        return Rejected(image, 'part', entities['part'], 'magnitude images only')
    if entities.get('echo', '1').lstrip('0') not in {'', '1'}:
        return Rejected(image, 'echo', entities['echo'], 'the first echo of a series')
    try:
        volume = read_volume(image.path, name=image.inside)
    except ImageError as error:
        hint = _REPAIR if error.hint == DataError.default_hint else error.hint
        return Rejected(image, READABLE, str(error).removeprefix(f'{image.inside}: '), hint)
    classified = classified_as(modality)
    fov = tuple(round(extent, 4) for extent in volume.fov)
    derived, plane = _is_derived(image), PLANES[volume.plane]
    facts = Facts(volume.shape, fov, plane, classified, derived=derived, age=age)
    objections: list[Objection] = rules.objections(facts)
    if objections:
        return Rejected(image, *objections[0])
    return modality, volume


@cache
def _table() -> Any:
    return read_toml('foreign.toml')


def classified_as(modality: str) -> str:
    """Return the classified_modality of a row, by the modality of a series_id.

    >>> classified_as('mra'), classified_as('')
    ('MRA', '')
    """
    return str(_table()['classified'].get(modality, ''))


def modality_of(suffix: str, entities: dict[str, str]) -> str:
    """Return the modality of an image; empty when a release has none for it.

    >>> modality_of('T2w', {'acq': 'FLAIR3D'}), modality_of('T2starw', {})
    ('flair', '')
    """
    words = f'{entities.get("acq", "")} {entities.get("rec", "")}'.lower()
    for row in _table()['modality']:
        if row['suffix'] == suffix and row.get('when', '') in words:
            return str(row['modality'])
    return ''


def _is_derived(image: Image) -> bool:
    value = image.sidecar.get('ImageType')
    words = value if isinstance(value, list) else str(value or '').split('\\')
    return 'DERIVED' in [str(word).upper() for word in words]


def _number(image: Image) -> float:
    try:
        number = float(image.sidecar.get('SeriesNumber', 'nan'))
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _order(image: Image) -> tuple[float, str, bool, list[str | int], str]:
    number = _number(image)
    # Contrast is given partway through: where nothing tells the order, it comes after the rest.
    contrast = _has_contrast(split_name(image.name)[0], image.sidecar)
    parts = re.split('([0-9]+)', image.name)
    name = [int(part) if position % 2 else part for position, part in enumerate(parts)]
    return math.inf if math.isnan(number) else number, image.acq_time, contrast, name, image.name


def _next_name(modality: str, plane: str, used: Collection[SeriesName]) -> SeriesName:
    repeat = 1
    while (name := SeriesName(modality, 'raw', plane, repeat)) in used:
        repeat += 1
    return name


def _cells(image: Image, name: SeriesName, volume: Volume) -> Iterator[tuple[str, str]]:
    entities, suffix = split_name(image.name)
    number = _number(image)
    yield 'series_id', str(name)
    yield 'classified_modality', classified_as(name.modality)
    yield 'is_derived', str(_is_derived(image))
    yield 'acquisition_plane', PLANES[name.plane]
    yield 'SeriesNumber', '' if math.isnan(number) else str(number)
    yield 'is_localizer', 'False'
    yield 'is_subtraction', 'False'
    yield 'classification_rule', f'BIDS: suffix {suffix}'
    yield from grid_cells(volume).items()
    for column, key in column_keys().items():
        value = image.sidecar.get(key)
        if value is not None and not isinstance(value, dict) and column not in private_columns():
            yield column, verbatim_cell(column, value)
    if _has_contrast(entities, image.sidecar):
        yield 'contrast_enhanced', 'True'


def grid_cells(volume: Volume) -> dict[str, str]:
    """Return the cells of the metadata that tell the grid of an image."""
    spacing = [round(size, 4) for size in volume.spacing]
    fov = [round(n * size, 4) for n, size in zip(volume.shape, spacing, strict=True)]
    return {
        'array_shape': str(list(volume.shape)),
        'array_spacing_mm': str(spacing),
        'array_fov_mm': str(fov),
    }


def _has_contrast(entities: dict[str, str], sidecar: dict[str, Any]) -> bool:
    agents = (sidecar.get(key) for key in ('ContrastBolusIngredient', 'ContrastBolusAgent'))
    said = (entities.get('ce', ''), *agents)
    return any(str(agent or '').strip().lower() not in _NO_CONTRAST for agent in said)
