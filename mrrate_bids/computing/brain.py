"""The brain mask of a series: found in its image, carried over from the centre, or taken over.

An extractor is loaded once in a process and serves all images that the process is given.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.ants_session import REPEATABLE, Session
from mrrate_bids.computing.brain_choice import EXTRACTORS, HD_BET, Choice
from mrrate_bids.computing.brain_volume import judge_found, judge_given, read_brain
from mrrate_bids.computing.digests import Stamps, stamps_of
from mrrate_bids.computing.hdbet_weights import find_weights, weight_files
from mrrate_bids.computing.registration import resample
from mrrate_bids.computing.scans import Scan, read_mask, read_scan, write_mask
from mrrate_bids.release_image import convert_mask
from mrrate_bids.volumes import read_volume

__all__ = [
    'EXTRACTORS',
    'HD_BET',
    'Choice',
    'carry_mask',
    'extract_brain',
    'files_of',
    'load_extractor',
    'take_mask',
]


class _Extractor(Protocol):
    def mask(self, scan: Scan) -> NDArray[np.uint8]: ...


def files_of(choice: Choice) -> tuple[Path, ...]:
    """Return the files that a user may replace by others: the weights of HD-BET, if there."""
    return weight_files(choice.weights) if choice.name == HD_BET.name else ()


def load_extractor(choice: Choice) -> _Extractor:
    """Load the network of an extractor; the second call in a process returns the first one's.

    Weights that were replaced since are loaded anew.

    Raises
    ------
    ResourceError
        When its package, weights or device are not there.
    """
    return _load(choice, stamps_of(files_of(choice)))


@lru_cache(maxsize=1)
def _load(choice: Choice, stamps: Stamps) -> _Extractor:  # noqa: ARG001  (a key of the cache)
    if choice.name == 'deepbet':
        from mrrate_bids.computing.deepbet import DeepBet  # noqa: PLC0415  (imports torch)

        return DeepBet.load(device=choice.device, threads=choice.threads)
    from mrrate_bids.computing.hdbet import Extractor  # noqa: PLC0415

    weights = find_weights(choice.weights)
    return Extractor.load(weights, device=choice.device, threads=choice.threads)


def extract_brain(image: Path, target: Path, *, choice: Choice) -> dict[str, Any]:
    """Find the brain in an image and write its mask, uint8 on the grid of the image.

    Raises
    ------
    ImageError
        When nothing can be computed from the image, or no brain is found.
    QualityError
        When the mask is too small for a head, or too large for a brain.
    """
    scan = read_scan(image)
    mask = load_extractor(choice).mask(scan)
    volume = judge_found(mask, scan)
    write_mask(scan, mask, target)
    return _describe(volume)


def carry_mask(
    image: Path,
    target: Path,
    *,
    centre: Path,
    mask: Path,
    transform: Path,
    session: Session = REPEATABLE,
) -> dict[str, Any]:
    """Bring the brain mask of the centre to the grid of another series of the study.

    Parameters
    ----------
    image, target
        The series, and where its mask goes.
    centre, mask
        The centre and its brain mask.
    transform
        From points of the centre to points of the series, as co-registration found it.
    session
        Threads of ANTs.

    Raises
    ------
    ImageError
        When nothing can be computed from the image.
    QualityError
        When next to nothing of the brain lies inside it, or the mask of the centre cannot be one.
    """
    scan, fixed = read_scan(image), read_scan(centre)
    brain = read_brain(mask, like=fixed)
    carried = resample(
        fixed,
        brain,
        like=scan,
        transforms=[transform],
        inverse=True,
        nearest=True,
        session=session,
    ).astype(np.uint8)
    volume = judge_found(carried, scan)
    write_mask(scan, carried, target)
    return _describe(volume)


def take_mask(image: Path, target: Path, *, mask: Path) -> dict[str, Any]:
    """Take over a mask that another pipeline drew, turned to the grid of the image.

    Raises
    ------
    ImageError
        When it is no mask, or does not lie on the grid of the image.
    QualityError
        When it is too small for a head, or too large for a brain.
    """
    convert_mask(mask, target, like=read_volume(image, name=image.name))
    scan = read_scan(image)
    taken = read_mask(target, like=scan, allow_empty=True).values
    return _describe(judge_given(taken, scan, name=mask.name))


def _describe(volume: float) -> dict[str, Any]:
    return {'BrainVolumeMl': round(volume, 1)}
