"""Checks of images against each other: the grids that they must share, and that of the atlas.

Source: the MR-RATE dataset guide, "Co-registered Space" and "Atlas Space"; TemplateFlow,
tpl-MNI152NLin2009cSym, resolution 1.
"""

from functools import cache
from typing import Any

from mrrate_bids.atlas_grid import ATLAS_ORIGIN, ATLAS_SHAPE
from mrrate_bids.images import Header, nibabel_header, same_grid
from mrrate_bids.naming import ATLAS
from mrrate_bids.release_checks.study import Checked

__all__ = ['check_atlas', 'check_grids']


def check_grids(study: Checked) -> None:
    """Make sure that masks, segmentations and registered images share the grids they must share.

    A file whose reference is missing or damaged is left to the checks that say so.
    """
    for row, header in study.images():
        kind = row.kind
        if not kind.grid:
            continue
        for key in _references(study, kind.grid, row.series):
            if key in study.headers and key != (kind.name, row.series):
                study.count('grids', row)
                if not same_grid(header, study.headers[key]):
                    study.find('grids', row, f'lies on another grid than the {_describe(key)}')
                break


def _references(study: Checked, grid: str, series: str) -> list[tuple[str, str]]:
    """Return the images that define a grid, the best first."""
    centre = study.plan.centre
    if grid == 'image':
        return [('image', series)]
    if grid == 'coreg-image':
        return [('image', centre), ('coreg-image', centre)]
    return [(grid, centre)]


def _describe(key: tuple[str, str]) -> str:
    kind, series = key
    return f'{kind} of {series}'


def check_atlas(study: Checked) -> None:
    """Make sure that the grid of the atlas images is the one that the release is published on."""
    images = [row for row, _ in study.images('atlas-image')]
    for row in images:
        study.count('atlas', row)
    first = next(study.images('atlas-image'), None)
    if first and not same_grid(first[1], _atlas_grid()):
        row, header = first
        message = f'the atlas images lie on the grid {_name(header)}, not on {ATLAS} at 1 mm'
        remedy = 'Resample them, or say which atlas they are in.'
        study.find('atlas', row, message, remedy, severity='warning')


@cache
def _atlas_grid() -> Header:
    import numpy as np  # noqa: PLC0415  (slow)
    from nibabel import Nifti1Header  # noqa: PLC0415

    affine = np.eye(4)
    affine[:3, 3] = ATLAS_ORIGIN
    kind: Any = Nifti1Header
    header = kind()
    header.set_data_shape(ATLAS_SHAPE)
    header.set_sform(affine, code=1)
    return Header(header.binaryblock, 0, ())


def _name(header: Header) -> str:
    known = nibabel_header(header)
    shape = '×'.join(map(str, known.get_data_shape()))
    zooms = ' × '.join(f'{zoom:.4g}' for zoom in known.get_zooms()[:3])
    origin = ' '.join(f'{x:.4g}' for x in known.get_best_affine()[:3, 3])
    return f'{shape} ({zooms} mm from {origin})'
