"""Multi-label segmentation of a series by NV-Segment-CTMR (VISTA3D)."""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mrrate_bids.computing.brain_volume import read_brain
from mrrate_bids.computing.digests import Stamps, stamps_of
from mrrate_bids.computing.scans import read_scan, write_like
from mrrate_bids.computing.vista3d import ROI, SMALL_ROI, Segmenter, Task
from mrrate_bids.computing.vista3d_weights import find_weights

__all__ = ['Network', 'load_segmenter', 'segment_scan']


class Network(NamedTuple):
    """Which weights, and how they run."""

    weights: str = ''
    """``model.pt`` or its folder; what the environment names if empty."""

    device: str = 'auto'
    threads: int = 1
    low_mem: bool = False
    """Whether it sees smaller windows."""


USUAL = Network()


def load_segmenter(weights: str, *, device: str = 'auto', threads: int = 1) -> Segmenter:
    """Load the network; the second call in a process returns the first one's.

    Weights that were replaced since are loaded anew.

    Raises
    ------
    ResourceError
        When its package, weights or device are not there.
    """
    path = find_weights(weights)
    return _load(path, stamps_of([path]), device, threads)


@lru_cache(maxsize=1)
def _load(
    weights: Path,
    stamps: Stamps,  # noqa: ARG001  (a key of the cache)
    device: str,
    threads: int,
) -> Segmenter:
    return Segmenter.load(weights, device=device, threads=threads)


def segment_scan(
    image: Path,
    target: Path,
    *,
    task: Task,
    mask: Path | None = None,
    network: Network = USUAL,
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
    network
        What is loaded, once in a process.

    Raises
    ------
    ResourceError
        When the weights or the device are not there.
    ImageError
        When nothing can be computed from the image.
    QualityError
        When the mask cannot be that of a brain.
    """
    scan = read_scan(image)
    brain = None if mask is None else read_brain(mask, like=scan)
    segmenter = load_segmenter(network.weights, device=network.device, threads=network.threads)
    roi = SMALL_ROI if network.low_mem else ROI
    labels = segmenter.segment(scan, task, brain=brain, roi=roi)
    write_like(scan, labels.astype(np.uint16), target)
    return {'LabelsFound': int(np.count_nonzero(np.unique(labels)))}
