"""Multi-label segmentation of a series by NV-Segment-CTMR (VISTA3D)."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mrrate_bids.computing.scans import read_mask, read_scan, write_like
from mrrate_bids.computing.vista3d import Segmenter, Task, find_weights

__all__ = ['segment_scan']


@lru_cache(maxsize=1)
def _load(weights: str, device: str, threads: int) -> Segmenter:
    path = find_weights(Path(weights) if weights else None)
    return Segmenter.load(path, device=device, threads=threads)


def segment_scan(
    image: Path,
    target: Path,
    *,
    task: Task,
    mask: Path | None = None,
    weights: str = '',
    device: str = 'auto',
    threads: int = 1,
) -> dict[str, Any]:
    """Write the segmentation of an image, class numbers of the published dictionary.

    Parameters
    ----------
    image, target
        The series, and where the result goes, on its grid.
    task
        ``brain`` or ``body``.
    mask
        Brain mask, for the task ``brain``.
    weights, device, threads
        Of the network, which is loaded once in a process.

    Raises
    ------
    ResourceError
        When the weights or the device are not there.
    ImageError
        When nothing can be computed from the image.
    """
    scan = read_scan(image)
    brain = None if mask is None else read_mask(mask, like=scan).values
    labels = _load(weights, device, threads).segment(scan, task, brain=brain)
    write_like(scan, labels.astype(np.uint16), target)
    return {'LabelsFound': int(np.count_nonzero(np.unique(labels)))}
