"""A series on the grid of the centre T1w of its study."""

from pathlib import Path
from typing import Any, NamedTuple

from mrrate_bids.computing.alignment import Target, align
from mrrate_bids.computing.ants_session import REPEATABLE, Session
from mrrate_bids.computing.brain_volume import read_brain
from mrrate_bids.computing.presets import find_limits, find_preset
from mrrate_bids.computing.registration import resample
from mrrate_bids.computing.scans import read_grid, read_scan, write_like

__all__ = ['Fixed', 'coregister', 'resample_series']


class Fixed(NamedTuple):
    """What is registered to."""

    image: Path
    mask: Path
    """Its brain mask."""

    preset: str
    session: Session = REPEATABLE


def coregister(
    fixed: Fixed, moving: Path, *, transform: Path, mask: Path | None = None
) -> dict[str, Any]:
    """Register a series to the centre.

    Parameters
    ----------
    fixed
        The centre.
    moving, mask
        The series, and its own brain mask where there is one: it judges the result.
    transform
        Where the ``.mat`` goes.

    Returns
    -------
    dict
        Quality and seconds inside ANTs.

    Raises
    ------
    QualityError
        When no good transform is found, or a mask cannot be that of a brain.
    DataError
        When ANTs gives up at every start.
    """
    centre, other = read_scan(fixed.image), read_scan(moving)
    target = Target(
        centre,
        read_brain(fixed.mask, like=centre),
        find_preset(fixed.preset, 'coreg'),
        find_limits('coreg'),
        fixed.session,
    )
    own = None if mask is None else read_brain(mask, like=other)
    found = align(target, other, mask=own, transform=transform)
    return found.describe() | {'seconds': found.rigid.seconds}


def resample_series(
    image: Path, target: Path, *, like: Path, transforms: list[Path], session: Session
) -> None:
    """Write a series on another grid, interpolated linearly and once, float32.

    Parameters
    ----------
    image, target
        The series, and where the result goes.
    like
        An image on the grid.
    transforms
        ``.mat`` files; the one that starts from the series stands last.
    """
    scan, grid = read_scan(image), read_grid(like)
    values = resample(scan, scan.values, like=grid, transforms=transforms, session=session)
    write_like(grid, values, target)
