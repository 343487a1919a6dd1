"""Checks of files against each other: what they were made from, and the grid they share.

Sources: BIDS 1.10.1, "BIDS URI", "Common data types and metadata" (Sources, SpatialReference).
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mrrate_bids.checks.study import Study, is_yes, parse
from mrrate_bids.checks.tree import Dataset
from mrrate_bids.errors import ImageError
from mrrate_bids.images import Header, peek_file, same_grid
from mrrate_bids.naming import KINDS, BidsFile, bids_path
from mrrate_bids.sidecars import VERBATIM

__all__ = ['check_centre', 'check_grids', 'check_references', 'objections_to_json']

_AGAIN = 'Run the export again, or correct the reference.'
_URI = re.compile(r'bids:([^:/]*):(.+)')
_SPACES = {KINDS[kind].dataset for kind in ('coreg-image', 'atlas-image')}


def check_references(study: Study) -> None:
    """Make sure that every BIDS URI in the sidecars of a study points at a file."""
    for dataset, table_path, path in study.each('.json'):

        def count(dataset: Dataset = dataset) -> None:
            study.tally.count('references', dataset.name)

        for message in objections_to_json(dataset, path, count):
            study.find('references', table_path, message, _AGAIN)


def objections_to_json(dataset: Dataset, path: Path, count: Callable[[], None]) -> Iterator[str]:
    """Yield what is wrong with the BIDS URIs of a JSON file; *count* a file that has some."""
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig', errors='surrogatepass'))
    except (OSError, ValueError) as error:
        yield f'is not readable as JSON ({error})'
        return
    uris = sorted(set(_uris(content)))
    if uris:
        count()
    for uri in uris:
        if message := _objection_to_uri(dataset, uri):
            yield message


def _uris(content: Any) -> Iterator[str]:
    """Yield the BIDS URIs of a sidecar; verbatim cells of a release are not read."""
    if isinstance(content, str):
        if content.startswith('bids:'):
            yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            if key != VERBATIM:
                yield from _uris(value)
    elif isinstance(content, list):
        for value in content:
            yield from _uris(value)


def _objection_to_uri(dataset: Dataset, uri: str) -> str:
    found = _URI.fullmatch(uri)
    if found is None:
        return f'{uri} is not a BIDS URI'
    link, path = found.groups()
    if link and not dataset.described:
        return ''  # said once, for the dataset
    if link and link not in dataset.links:
        return f'{uri}: DatasetLinks has no {link!r}'
    root = dataset.folders.get(link)
    if root is None or (root / path).exists() or (root / unquote(path)).exists():
        return ''
    return f'{uri} points at nothing'


def check_grids(study: Study) -> None:
    """Make sure that masks, segmentations and images share the grids that they must share."""
    for table_path, header in list(study.headers.items()):
        file = parse(table_path)
        if file is None or not file.kind.grid:
            continue
        reference = next(_references(study, file), None)
        other = _header(study, reference) if reference and reference != table_path else None
        if reference and other:
            study.tally.count('grids', file.kind.dataset)
            if not same_grid(header, other):
                name = reference.rpartition('/')[2]
                message = f'lies on another grid than {name}'
                remedy = 'Fetch or make the study again; the two do not belong together.'
                study.find('grids', table_path, message, remedy)


def _references(study: Study, file: BidsFile) -> Iterator[str]:
    """Yield the images that define the grid of a file, as far as they exist; best first."""
    grid = file.kind.grid
    if grid == 'image':
        owners: Iterable[tuple[BidsFile | None, str]] = [(file, 'image')]
    elif grid == 'coreg-image':
        owners = [(study.centre, 'image'), (study.centre, 'coreg-image')]
    else:
        owners = [(study.centre, grid)]
    for owner, kind in owners:
        if owner:
            path = bids_path(owner.study, owner.series, KINDS[kind], contrast=owner.contrast)
            place = study.tree.locate(path)
            if path in study.headers or (place and place.exists()):
                yield path


def _header(study: Study, table_path: str) -> Header | None:
    """Return the header of an image; ``None`` when it is damaged, which another check says."""
    place = study.tree.locate(table_path)
    if table_path not in study.headers and place:
        try:
            return peek_file(place, name=table_path)
        except (ImageError, OSError):
            return None
    return study.headers.get(table_path)


def check_centre(study: Study) -> None:
    """Make sure that exactly one series of a study defines its spaces."""
    in_spaces = any(study.files.get(name) for name in _SPACES)
    if '' not in study.files or not any('is_center_modality' in row for row in study.scans):
        return
    marked = [row for row in study.scans if is_yes(row['is_center_modality'])]
    if not in_spaces and not marked:
        return
    study.tally.count('centres', '')
    if len(marked) == 1 or (not marked and _centre_not_exported(study)):
        return
    names = ', '.join(row.get('series_id') or row.get('filename', '') for row in marked)
    message = f'{len(marked)} series are marked as the centre' + (f' ({names})' if names else '')
    remedy = 'Set is_center_modality to True in exactly one row of the study; export it again.'
    study.find('centres', study.scans_path, message, remedy)


def _centre_not_exported(study: Study) -> bool:
    """Tell whether the receipt names a centre whose image was not asked for."""
    return any(
        receipt.centre and receipt.centre not in receipt.series for receipt in study.receipts
    )
