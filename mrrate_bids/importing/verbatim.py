"""The rows of a visit that an export wrote: the verbatim cells, and what was changed since.

A cell stands in the object ``MRRATE`` of a sidecar, and its reading once more in a BIDS key of the
same sidecar. When the two disagree it cannot be told which was changed, for they share a file:
nothing is guessed, the study is set aside and both values are named.
"""

from typing import Any

from mrrate_bids.errors import ImageError, MrRateError, NamingError
from mrrate_bids.foreign import grid_cells
from mrrate_bids.importing.faces import defaced_image
from mrrate_bids.importing.intake import CONTRAST, Intake, Scan
from mrrate_bids.importing.source import BidsSource
from mrrate_bids.metadata_columns import verbatim_cell
from mrrate_bids.naming import KINDS, BidsFile, SeriesName, parse_bids_path
from mrrate_bids.receipts import METADATA, Output, Receipt, is_unchanged
from mrrate_bids.release_image import needs_conversion
from mrrate_bids.sidecars import VERBATIM, column_keys, read_cell, reads_as_contrast, sidecar_path
from mrrate_bids.volumes import read_volume

__all__ = ['read_verbatim']

_IMAGE = KINDS['image'].name
_AGREE = 'Make the two agree, then import again.'


def read_verbatim(source: BidsSource, intake: Intake, receipt: Receipt | None) -> list[str]:
    """Read the series of a visit that have verbatim cells.

    Parameters
    ----------
    source
        The dataset.
    intake
        What the visit brings; series, rows and problems are added to it.
    receipt
        What the export said of the visit, if it is there.

    Returns
    -------
    strangers
        Images that no export wrote: they have no verbatim cells.
    """
    if receipt:
        intake.exported = {output.path: output for output in receipt.outputs}
        intake.exported_at = source.exported_at(intake.visit)
        intake.extra = [dict(row) for row in receipt.set_aside]
    strangers = []
    for image in source.images(intake.files):
        cells = _cells_of(source, intake, image)
        if cells is None:
            strangers.append(image)
        elif cells:
            _add(intake, image, cells, receipt)
    published = {o.series: o for o in intake.exported.values() if o.kind == _IMAGE}
    for series_id, scan in intake.scans.items():
        _follow_image(source, intake, scan, published.get(series_id))
    if receipt:
        _add_without_image(intake, receipt, strangers)
    return strangers


def _cells_of(source: BidsSource, intake: Intake, image: str) -> dict[str, str] | None:
    """Return the verbatim cells of an image: ``None`` for a stranger, nothing for a broken one."""
    try:
        sidecar = source.sidecars.read(image)
    except MrRateError as error:
        intake.complain(str(error), error.hint, file=sidecar_path(image), fatal=True)
        return {}
    verbatim = sidecar.get(VERBATIM)
    if verbatim is None and image not in intake.exported:
        return None
    if not isinstance(verbatim, dict) or not all(isinstance(v, str) for v in verbatim.values()):
        message = f'{sidecar_path(image)}: has lost the verbatim cells ({VERBATIM}) of its row'
        remedy = 'Export the study again; its row cannot be written back without them.'
        intake.complain(message, remedy, file=sidecar_path(image), fatal=True)
        return {}
    cells = {column: cell for column, cell in verbatim.items() if cell}
    _settle_keys(intake, image, sidecar, cells)
    return cells


def _settle_keys(
    intake: Intake, image: str, sidecar: dict[str, Any], cells: dict[str, str]
) -> None:
    """Compare the BIDS keys of a sidecar with its verbatim cells; fill a cell that is empty."""
    for column, key in column_keys().items():
        cell, value = cells.get(column, ''), sidecar.get(key)
        if value is None or (read_cell(column, cell) or (key, None))[1] == value:
            continue
        if not cell:
            cells[column] = verbatim_cell(column, value)
            continue
        message = f'{sidecar_path(image)}: {key} is {value!r}, the verbatim {column} is {cell!r}'
        intake.complain(message, _AGREE, file=sidecar_path(image), fatal=True)


def _add(intake: Intake, image: str, cells: dict[str, str], receipt: Receipt | None) -> None:
    try:
        name = SeriesName.parse(cells.get('series_id', ''))
    except NamingError as error:
        intake.complain(str(error), _AGREE, file=sidecar_path(image), fatal=True)
        return
    _compare_identity(intake, image, cells)
    file = _parse(image)
    if file is None or file.series != name:
        message = f'{image}: the verbatim series_id is {name}, the file is named otherwise'
        intake.complain(message, _AGREE, file=image, series=str(name), fatal=True)
        return
    _settle_contrast(cells, file)
    known = (receipt.series if receipt else {}).get(str(name), {})
    scan = Scan(name, cells, image, known.get('row'), known.get('raw'))
    intake.scans[str(name)] = scan
    for row in [row for row in intake.extra if row['cells'].get('series_id') == str(name)]:
        if scan.number is None:  # its image came back
            scan.number, scan.raw = row['row'], row['raw']
            intake.extra.remove(row)


def _follow_image(source: BidsSource, intake: Intake, scan: Scan, exported: Output | None) -> None:
    """Store an image that was replaced as a release does, and let its row tell its grid."""
    if exported is None:  # where all receipts were lost, verbatim cells are all that tells
        scan.released = source.is_ours and not source.tree.has_receipts
        return
    place = source.root / scan.image
    try:
        scan.released = is_unchanged(place, exported, since=intake.exported_at)
        if scan.released:
            return
        volume = read_volume(place, name=scan.image)
    except (OSError, ImageError):
        return  # it is named when its turn comes
    if defaced_image(intake.files, scan.image) or not intake.guarded:
        intake.remark_replaced(scan.image, str(scan.name))
    scan.convert = needs_conversion(volume, scan.image)
    cells = grid_cells(volume).items()
    scan.cells |= {column: cell for column, cell in cells if column in scan.cells}


def _compare_identity(intake: Intake, image: str, cells: dict[str, str]) -> None:
    expected = {'patient_uid': intake.visit.patient, 'study_uid': intake.visit.study}
    for column, uid in expected.items():
        if cells.get(column, '') != uid:
            sidecar = sidecar_path(image)
            message = f'{column} is {cells.get(column, "")!r}, the folder says {uid!r}'
            intake.complain(f'{sidecar}: {message}', _AGREE, file=sidecar, fatal=True)


def _parse(image: str) -> BidsFile | None:
    try:
        return parse_bids_path(image)
    except NamingError:
        return None


def _settle_contrast(cells: dict[str, str], file: BidsFile) -> None:
    """Let an entity ``ce`` that was added to a name, or taken out, appear in the row."""
    if any(reads_as_contrast(cells.get(column, '')) for column in CONTRAST) != file.contrast:
        present = [column for column in CONTRAST if column in cells] or [CONTRAST[0]]
        cells |= dict.fromkeys(present, str(file.contrast))


def _add_without_image(intake: Intake, receipt: Receipt, strangers: list[str]) -> None:
    """Add the series whose image was not exported; note those whose image was removed."""
    centre_first = sorted(receipt.series, key=lambda series_id: series_id != receipt.centre)
    for series_id in centre_first:
        known = receipt.series[series_id]
        if series_id in intake.scans:
            continue
        if 'cells' in known:
            scan = Scan(SeriesName.parse(series_id), dict(known['cells']), '', known['row'])
            scan.raw = known['raw']
            intake.scans[series_id] = scan
        elif not intake.set_aside and not any(_is(image, series_id) for image in strangers):
            intake.gone.setdefault(METADATA, set()).add(known['row'])


def _is(image: str, series_id: str) -> bool:
    file = _parse(image)
    return file is not None and str(file.series) == series_id
