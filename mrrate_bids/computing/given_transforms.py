"""Transforms of the user, judged before anything follows from them."""

from pathlib import Path

from mrrate_bids.computing.agreement import compare, mask_dice
from mrrate_bids.computing.atlas import Atlas, atlas_brain
from mrrate_bids.computing.brain_volume import read_brain
from mrrate_bids.computing.presets import find_limits, least_given_sharpness
from mrrate_bids.computing.scans import read_scan
from mrrate_bids.computing.transforms import read_rigid
from mrrate_bids.errors import QualityError

__all__ = ['check_atlas_transform', 'check_transform']

_HINT = 'Give another with --derivatives, or leave it out to have it computed.'


def check_transform(given: Path, *, centre: Path, mask: Path, moving: Path) -> None:
    """Make sure that a series and the centre meet under a transform.

    Less is asked than of a transform that was computed: the user may know better.

    Parameters
    ----------
    given
        ITK ``.mat``, from points of the centre to points of the series.
    centre, mask
        The centre T1w and its brain mask.
    moving
        The series.

    Raises
    ------
    QualityError
        When under the transform the images tell no more of each other than elsewhere.
    DataError
        When it is no rigid transform.
    """
    fixed, matrix = read_scan(centre), read_rigid(given)
    found = compare(fixed, read_brain(mask, like=fixed), read_scan(moving), matrix).sharpness
    limit = least_given_sharpness()
    if found < limit:
        raise QualityError(
            f'{given.name}: does not bring {moving.name} to {centre.name} (sharpness {found:.2f}; '
            f'at least {limit} is needed)',
            hint=_HINT,
        )


def check_atlas_transform(given: Path, *, atlas: Atlas, centre: Path, mask: Path) -> None:
    """Make sure that the centre lies on a template.

    Parameters
    ----------
    given
        ITK ``.mat``, from points of the template to points of the centre.
    atlas
        The template.
    centre, mask
        The centre T1w and its brain mask.

    Raises
    ------
    QualityError
        When they fit worse than a result that was computed may.
    DataError
        When it is no rigid transform.
    """
    template, scan, matrix = read_scan(atlas.image), read_scan(centre), read_rigid(given)
    brain, own = atlas_brain(atlas, template), read_brain(mask, like=scan)
    found = compare(template, brain, scan, matrix).sharpness
    overlap, limits = mask_dice(template, brain, scan, own, matrix), find_limits('atlas')
    if found < limits.sharpness or overlap < limits.dice:
        raise QualityError(
            f'{given.name}: does not bring {centre.name} to the template (sharpness {found:.2f}, '
            f'Dice of the brain masks {overlap:.2f}; at least {limits.sharpness} and '
            f'{limits.dice} are needed)',
            hint=_HINT,
        )
