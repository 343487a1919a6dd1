"""The centre of a study in atlas space, with its masks."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mrrate_bids.computing.alignment import Target, align
from mrrate_bids.computing.ants_session import Session
from mrrate_bids.computing.brain_volume import read_brain
from mrrate_bids.computing.presets import find_limits, find_preset
from mrrate_bids.computing.registration import resample
from mrrate_bids.computing.scans import Scan, read_grid, read_mask, read_scan, write_mask

__all__ = ['Atlas', 'atlas_brain', 'register_to_atlas', 'resample_mask']


class Atlas(NamedTuple):
    """A template."""

    image: Path
    brain: Path | None
    """Its brain mask; where it has none, its voxels above 0 stand for one."""


def register_to_atlas(
    atlas: Atlas, image: Path, mask: Path, *, transform: Path, preset: str, session: Session
) -> dict[str, Any]:
    """Register the centre of a study to a template, rigidly.

    Parameters
    ----------
    atlas
        The template.
    image, mask
        The centre and its brain mask.
    transform
        Where the ``.mat`` goes: from points of the template to points of the centre.
    preset, session
        How.

    Returns
    -------
    dict
        Quality, with the overlap of the two brains, and seconds inside ANTs.

    Raises
    ------
    QualityError
        When no good transform is found, or the mask cannot be that of a brain.
    DataError
        When ANTs gives up at every start.
    """
    template, centre = read_scan(atlas.image), read_scan(image)
    target = Target(
        template,
        atlas_brain(atlas, template),
        find_preset(preset, 'atlas'),
        find_limits('atlas'),
        session,
        other_person=True,
    )
    brain = read_brain(mask, like=centre)
    found = align(target, centre, mask=brain, transform=transform)
    quality = found.describe()
    quality['AtlasBrainDice'] = quality.pop('BrainDice')
    return quality | {'seconds': found.rigid.seconds}


def atlas_brain(atlas: Atlas, template: Scan) -> Any:
    """Return the brain mask of a template on its grid, uint8."""
    if atlas.brain is not None:
        return read_mask(atlas.brain, like=template).values
    return (template.values > 0).astype(np.uint8)


def resample_mask(
    image: Path, mask: Path, target: Path, *, like: Path, transforms: list[Path], session: Session
) -> None:
    """Write a mask of a series on another grid: the nearest voxel, uint8, 0 outside."""
    scan, grid = read_scan(image), read_grid(like)
    values = read_mask(mask, like=scan).values
    result = resample(
        scan, values, like=grid, transforms=transforms, nearest=True, session=session
    )
    write_mask(grid, result, target)
