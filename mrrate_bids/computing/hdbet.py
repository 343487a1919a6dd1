"""Brain masks of MRI of any contrast by HD-BET 2, in this process, one load for many images.

The command ``hd-bet`` starts twelve further Python processes for every call, and its module of
predictions replaces ``sys.stdout``. Here the same steps run one after the other, with nnU-Net's
own functions for all of them but the loop over tiles.

Sources: Isensee et al. 2019, Automated brain extraction of multisequence MRI using artificial
neural networks, Human Brain Mapping 40(17):4952-4964; Isensee et al. 2021, nnU-Net: a
self-configuring method for deep learning-based biomedical image segmentation, Nature Methods
18:203-211.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.devices import pick_device, torch_threads
from mrrate_bids.computing.hdbet_grid import as_nnunet_reads, turn_back, turn_of
from mrrate_bids.computing.hdbet_model import Model, load_model, quiet
from mrrate_bids.computing.hdbet_prediction import Predictor
from mrrate_bids.computing.scans import Scan
from mrrate_bids.errors import ImageError, QualityError

__all__ = ['Extractor']


class Extractor:
    """HD-BET's network, loaded once for any number of images.

    Parameters
    ----------
    model
        What :meth:`load` built.
    device
        Where it works.
    tta
        Whether to average over all mirrored copies of a tile (test-time augmentation).
    threads
        Of torch, while it works.
    """

    def __init__(self, model: Model, *, device: Any, tta: bool, threads: int) -> None:
        self._model, self._threads = model, threads
        self.predictor = Predictor(model, device, tta=tta)
        """What passes an image through the network."""

    @classmethod
    def load(
        cls, weights: Path, *, device: str = 'auto', tta: bool = True, threads: int = 1
    ) -> 'Extractor':
        """Load the folder that ``find_weights`` of ``hdbet_weights`` returns.

        The checkpoint is unpickled, as nnU-Net does: load only weights that you trust.

        Raises
        ------
        UsageError
            When *device* is no name of a device.
        ResourceError
            When the device or a package is not there, or the weights are unusable.
        """
        use = pick_device(device)
        model = load_model(weights)
        model.network.float().eval().to(use)
        return cls(model, device=use, tta=tta, threads=threads)

    def mask(self, scan: Scan, *, largest: bool = True) -> NDArray[np.uint8]:
        """Return the brain mask on the grid of *scan*, uint8, 0 and 1; it may be empty.

        Parameters
        ----------
        scan
            Of any contrast, orientation and spacing.
        largest
            Keep only the largest connected component (26 neighbours; the first one of several).
            HD-BET 1 did so; HD-BET 2 leaves what nnU-Net gives, and nnU-Net removes components
            only in a step of its own that HD-BET does not call. False gives what the command
            ``hd-bet`` gives, voxel by voxel.

        Raises
        ------
        ImageError
            When the image is zero everywhere.
        QualityError
            When the network overflows.
        ResourceError
            When the memory of the GPU is too small.
        """
        if not scan.values.any():
            raise ImageError(f'{scan.path.name}: every voxel is 0')
        with torch_threads(self._threads), quiet():
            mask = self._segment(scan)
        return (_largest(mask) if largest else mask).astype(np.uint8)

    def _segment(self, scan: Scan) -> NDArray[np.bool_]:
        """Crop to what is not zero, normalise, resample, predict, and undo all of it."""
        import torch  # noqa: PLC0415
        from nnunetv2.inference.export_prediction import (  # noqa: PLC0415
            convert_predicted_logits_to_segmentation_with_correct_shape as to_labels,
        )

        model, turn = self._model, turn_of(scan, to_ras=self._model.turns_to_ras)
        values, properties = as_nnunet_reads(scan, turn)
        preprocessor = model.configuration.preprocessor_class(verbose=False)
        prepared = preprocessor.run_case_npy(
            values, None, properties, model.plans, model.configuration, model.dataset
        )[0]
        logits = self.predictor.predict(torch.from_numpy(prepared))
        if not bool(torch.isfinite(logits).all()):
            raise QualityError(f'{scan.path.name}: the network of HD-BET overflows on it')
        labels = to_labels(
            logits,
            model.plans,
            model.configuration,
            model.labels,
            properties,
            num_threads_torch=self._threads,
        )
        return turn_back(np.asarray(labels).T > 0, turn)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage  # noqa: PLC0415

    components, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count < 2:
        return mask
    sizes = np.bincount(components.ravel())
    return np.asarray(components == 1 + sizes[1:].argmax())
