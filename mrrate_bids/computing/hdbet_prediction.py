"""HD-BET's network over an image: tiles that overlap, each seen in all its mirrored copies."""

import itertools
import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from mrrate_bids.computing.hdbet_model import Model
from mrrate_bids.errors import ResourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ['Predictor']

_CPU_VOXELS = 2**20
"""In a batch; half of a tile of 128 voxels along every axis."""


class Predictor:
    """A network with a place to work.

    Parameters
    ----------
    model
        What :func:`~mrrate_bids.computing.hdbet_model.load_model` built, on *device*.
    device
        A ``torch.device``.
    tta
        Whether to average over all mirrored copies of a tile (test-time augmentation).
    """

    def __init__(self, model: Model, device: Any, *, tta: bool) -> None:
        axes = model.mirrored if tta else ()
        counts = range(len(axes) + 1)
        self._flips = [flip for n in counts for flip in itertools.combinations(axes, n)]
        self._model, self._device = model, device
        self.flips_at_once = len(self._flips) if device.type == 'cuda' else self._fitting()
        """Mirrored copies in one batch; with 1 the sums are those of nnU-Net to the last bit."""

    def _fitting(self) -> int:
        """Return how many copies go into one batch on a CPU.

        Tiles as large as those of the true network take gigabytes each and gain nothing.
        """
        voxels: int = math.prod(self._model.configuration.patch_size)
        return max(1, min(len(self._flips), _CPU_VOXELS // voxels))

    def predict(self, image: Any) -> Any:
        """Return the logits (heads, z, y, x), half precision, of an image (1, z, y, x).

        Raises
        ------
        ResourceError
            When the memory of the GPU is too small.
        """
        import torch  # noqa: PLC0415

        precision: Any = nullcontext()
        kernels: Any = nullcontext()
        if self._device.type == 'cuda':
            precision = torch.autocast('cuda')
            kernels = torch.backends.cudnn.flags(enabled=True, deterministic=True)
        with torch.inference_mode(), precision, kernels:
            try:
                return self._slide(image).cpu()
            except torch.cuda.OutOfMemoryError as error:
                raise ResourceError(
                    'the memory of the GPU is too small for HD-BET',
                    hint='Use a GPU that nothing else uses, or --device cpu.',
                ) from error

    def _slide(self, image: Any) -> Any:
        """Average over tiles that overlap by half, weighted by a Gaussian around their centres."""
        import torch  # noqa: PLC0415
        from acvl_utils.cropping_and_padding.padding import (  # type: ignore[import-untyped]  # noqa: PLC0415
            pad_nd_image,
        )
        from nnunetv2.inference.sliding_window_prediction import compute_gaussian  # noqa: PLC0415

        patch = tuple(self._model.configuration.patch_size)
        padded, inside = pad_nd_image(image, patch, 'constant', {'value': 0}, True, None)
        padded = padded.to(self._device)
        weight = compute_gaussian(
            patch, sigma_scale=1 / 8, value_scaling_factor=10, device=self._device
        )
        heads, shape = self._model.labels.num_segmentation_heads, padded.shape[1:]
        logits = torch.zeros((heads, *shape), dtype=torch.half, device=self._device)
        weights = torch.zeros(shape, dtype=torch.half, device=self._device)
        for tile in _tiles(shape, patch):
            logits[:, *tile] += self._average(padded[:, *tile][None].contiguous()) * weight
            weights[tile] += weight
        logits /= weights
        return logits[:, *inside[1:]]

    def _average(self, tile: Any) -> Any:
        """Return the mean logits (heads, z, y, x) over mirrored copies of a tile (1, 1, z, y, x).

        Where a GPU cannot hold all copies at once, they follow one another from then on.
        """
        import torch  # noqa: PLC0415

        try:
            return self._mean(tile)
        except torch.cuda.OutOfMemoryError:
            if self.flips_at_once == 1:
                raise
        self.flips_at_once = 1
        torch.cuda.empty_cache()
        return self._mean(tile)

    def _mean(self, tile: Any) -> Any:
        """In the order of nnU-Net's sum, for the last bits depend on it."""
        import torch  # noqa: PLC0415

        total: Any = None
        for first in range(0, len(self._flips), self.flips_at_once):
            flips = self._flips[first : first + self.flips_at_once]
            copies = torch.cat([tile.flip([axis + 2 for axis in flip]) for flip in flips])
            for logits, flip in zip(self._model.network(copies), flips, strict=True):
                back = logits.flip([axis + 1 for axis in flip])
                total = back if total is None else total + back
        return total / len(self._flips)


def _tiles(shape: tuple[int, ...], patch: tuple[int, ...]) -> 'Iterator[tuple[slice, ...]]':
    """Yield the places of the tiles in nnU-Net's order."""
    from nnunetv2.inference.sliding_window_prediction import (  # noqa: PLC0415
        compute_steps_for_sliding_window,
    )

    steps = compute_steps_for_sliding_window(shape, patch, 0.5)
    for corner in itertools.product(*steps):
        yield tuple(slice(at, at + size) for at, size in zip(corner, patch, strict=True))
