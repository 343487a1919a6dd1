"""Brain masks of T1w images by deepbet, whose weights are part of its wheel.

Source: Fisch et al. 2024, deepbet: Fast brain extraction of T1-weighted MRI using convolutional
neural networks, Computers in Biology and Medicine 179:108845. It was trained on T1w images of
adults; other contrasts are not its matter.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.devices import pick_device, torch_threads
from mrrate_bids.computing.scans import Scan
from mrrate_bids.errors import ImageError, ResourceError

__all__ = ['DeepBet']

_PROBABILITY = 0.5


class DeepBet:
    """The network, loaded once for any number of images.

    Parameters
    ----------
    network
        A ``deepbet.bet.BrainExtraction``.
    threads
        Of torch, while it works.
    """

    def __init__(self, network: Any, *, threads: int = 1) -> None:
        self._network, self._threads = network, threads

    @classmethod
    def load(cls, *, device: str = 'auto', threads: int = 1) -> 'DeepBet':
        """Load the weights of the wheel.

        Raises
        ------
        ResourceError
            When the package or the device is not there.
        """
        use = pick_device(device)
        try:
            from deepbet.bet import BrainExtraction  # noqa: PLC0415  (imports torch)
        except ImportError as error:
            raise ResourceError(
                'deepbet is not installed', hint="pip install 'mrrate-bids[compute]'"
            ) from error
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)  # torch.jit.load
            network = BrainExtraction(no_gpu=True)
        # By itself it takes the first GPU, whichever was asked for; images follow its weights.
        network.model, network.bbox_model = network.model.to(use), network.bbox_model.to(use)
        return cls(network, threads=threads)

    def mask(self, scan: Scan) -> NDArray[np.uint8]:
        """Return the brain mask on the grid of *scan*, uint8; one thread gives the same each time.

        The largest connected component, holes filled, as deepbet itself has it.

        Raises
        ------
        ImageError
            When no brain is found.
        """
        import nibabel as nib  # noqa: PLC0415

        image = nib.Nifti1Image(scan.values.astype(np.float32), scan.affine)
        with torch_threads(self._threads), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            try:
                found = self._network.run(image)[1]
            # Its words for a box without foreground, and for a mask without a component.
            except (AssertionError, ValueError) as error:
                raise _no_brain(scan) from error
        mask: NDArray[np.uint8] = np.asarray(found.dataobj).astype(np.uint8)
        if not mask.any():
            raise _no_brain(scan)
        return mask


def _no_brain(scan: Scan) -> ImageError:
    return ImageError(
        f'{scan.path.name}: deepbet finds no brain in it',
        hint='Is it a T1w image of a head? Leave it out, or give a mask (--derivatives).',
    )
