"""ANTs in this process: imported once, with a fixed number of threads.

With one thread and a seed the same images give the same bytes. The number of threads is read by
ITK when it is loaded, so it stands in the environment before the import; setting it later is
too late once an image was read.

Source: Tustison et al. 2021, The ANTsX ecosystem, Scientific Reports 11:9068.
"""

import os
import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.presets import SEED
from mrrate_bids.computing.scans import Scan, refuse_shear
from mrrate_bids.errors import ResourceError

__all__ = ['REPEATABLE', 'THREADS', 'Session', 'from_ants', 'load_ants', 'pointer_to', 'to_ants']

THREADS = 'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS'
"""The variable that ITK reads."""

_LPS = np.diag([-1.0, -1.0, 1.0])


class Session(NamedTuple):
    """How ANTs runs in this process."""

    seed: int = SEED
    """Of all registrations."""

    threads: int = 1


REPEATABLE = Session()
"""One thread and the seed of the release."""


def load_ants(session: Session) -> Any:
    """Return the module ``ants``, with the threads of a session.

    Raises
    ------
    ResourceError
        When antspyx is not installed, or was imported with another number of threads.
    """
    threads = session.threads
    loaded = 'ants' in sys.modules
    if loaded and os.environ.get(THREADS) != str(threads):
        raise ResourceError(
            f'ANTs was loaded in this process with {os.environ.get(THREADS, "all")} threads, '
            f'not {threads}',
            hint=f'Set {THREADS}={threads} before ants is imported.',
        )
    os.environ[THREADS] = str(threads)
    try:
        import ants  # noqa: PLC0415  (slow)
    except ImportError as error:
        raise ResourceError(
            'antspyx is not installed', hint="pip install 'mrrate-bids[compute]'"
        ) from error
    return ants


def to_ants(scan: Scan, values: NDArray[Any] | None = None) -> Any:
    """Return a scan, or other voxels on its grid, as an image of ANTs (float32, LPS).

    Raises
    ------
    ImageError
        When the axes of the grid are not at right angles; ITK has no such grids.
    """
    import ants  # noqa: PLC0415

    refuse_shear(scan)
    data = np.asarray(scan.values if values is None else values, dtype=np.float32)
    return ants.from_numpy(
        data,
        origin=tuple(_LPS @ scan.affine[:3, 3]),
        spacing=tuple(scan.spacing),
        direction=_LPS @ (scan.affine[:3, :3] / scan.spacing),
    )


def pointer_to(image: Any) -> str:
    """Return how a command of ANTs is told of an image in memory, which must outlive it."""
    from ants.internal import get_pointer_string  # noqa: PLC0415

    return str(get_pointer_string(image))


def from_ants(image: Any) -> NDArray[np.float32]:
    """Return the voxels of an image of ANTs."""
    values: NDArray[np.float32] = image.numpy()
    return values
