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
from mrrate_bids.computing.digests import Stamps, stamps_of
from mrrate_bids.computing.hdbet_weights import find_weights, weight_files
from mrrate_bids.computing.presets import least_brain_ml, most_brain_ml
from mrrate_bids.computing.registration import resample
from mrrate_bids.computing.scans import Scan, read_mask, read_scan, write_like
from mrrate_bids.errors import QualityError
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
        When the mask is too small for a head.
    """
    scan = read_scan(image)
    mask = load_extractor(choice).mask(scan)
    quality = _measure(scan, mask)
    write_like(scan, mask, target)
    return quality


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
        When next to nothing of the brain lies inside it.
    """
    scan, fixed = read_scan(image), read_scan(centre)
    brain = read_mask(mask, like=fixed).values
    carried = resample(
        fixed,
        brain,
        like=scan,
        transforms=[transform],
        inverse=True,
        nearest=True,
        session=session,
    ).astype(np.uint8)
    quality = _measure(scan, carried)
    write_like(scan, carried, target)
    return quality


def take_mask(image: Path, target: Path, *, mask: Path) -> dict[str, Any]:
    """Take over a mask that another pipeline drew, turned to the grid of the image.

    Raises
    ------
    ImageError
        When it is no mask, or does not lie on the grid of the image.
    QualityError
        When it is too small for a head.
    """
    convert_mask(mask, target, like=read_volume(image, name=image.name))
    scan = read_scan(image)
    return _measure(scan, read_mask(target, like=scan).values)


def _measure(scan: Scan, mask: NDArray[np.uint8]) -> dict[str, Any]:
    volume = float(np.count_nonzero(mask)) * scan.voxel_volume
    if volume < least_brain_ml():
        raise QualityError(
            f'{scan.path.name}: its brain mask is {"empty" if not volume else "too small"} '
            f'({volume:.0f} mL, at least {least_brain_ml():.0f} mL for a head)',
            hint='Is it a spine or a phantom? Leave the image out (--bids-filter-file), or give '
            'a mask of your own (--derivatives).',
        )
    if volume > most_brain_ml():
        raise QualityError(
            f'{scan.path.name}: its brain mask is too large ({volume:.0f} mL, at most '
            f'{most_brain_ml():.0f} mL for a brain)',
            hint='Look at the image; give a mask of your own (--derivatives), or leave it out.',
        )
    return {'BrainVolumeMl': round(volume, 1)}
