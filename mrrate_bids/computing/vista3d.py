"""Labels of brain and body by NV-Segment-CTMR, a VISTA3D network, through MONAI.

Sources: He et al. 2024, VISTA3D: A unified segmentation foundation model for 3D medical imaging,
arXiv:2406.05285; what is done to an image before and after the network follows
``configs/inference.json`` of github.com/NVIDIA-Medtech/NV-Segment-CTMR at commit c46f994.
"""

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.devices import pick_device, torch_threads
from mrrate_bids.computing.scans import Scan
from mrrate_bids.computing.vista3d_network import load_network
from mrrate_bids.errors import ImageError
from mrrate_bids.templates import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ['ROI', 'SMALL_ROI', 'Segmenter', 'Task', 'task_classes']

Task = Literal['brain', 'body']

ROI = (192, 192, 128)
"""The published window, in voxels of 1.5 mm. Logits of a window take 4 bytes a class and voxel:
2.5 GB for this one and the brain, and as much again for the image stitched from windows."""

SMALL_ROI = (96, 96, 96)
"""A window for machines with little memory: a fifth of the voxels, and labels that differ a little
where the network would have seen further."""

_SPACING, _MARGIN, _PERCENTILES = 1.5, 10, (1, 99)


def task_classes(task: Task) -> tuple[int, ...]:
    """Return the class numbers of a task, in the published order.

    >>> len(task_classes('brain')), len(task_classes('body'))
    (132, 50)
    """
    return tuple(read_toml('nvseg_tasks.toml')[task]['classes'])


class Segmenter:
    """The network, loaded once for any number of images.

    Done as published: resampling to 1.5 mm (linear), crop to the voxels above 0 with a margin
    of 10 voxels, percentiles 1 to 99 to [0, 1], RAS, windows of *roi*, the largest logit, and
    the way back (nearest neighbour). For the task 'brain' the publisher first prepares a T1w
    image: skull strip (SynthStrip), N4, normalisation by KDE, 1 mm, affine registration to
    the LUMIR template. Of these only the skull strip is done here, with the mask in *brain*;
    N4, KDE and the registration are NOT done: for labels as good as the published ones, do
    them before, and map the labels back after.

    Parameters
    ----------
    network
        A ``monai.networks.nets.vista3d.VISTA3D`` on its device.
    device
        Where it computes, a ``torch.device``.
    threads
        Of torch, while it works.
    """

    def __init__(self, network: Any, device: Any, *, threads: int = 1) -> None:
        self._network, self._device, self._threads = network, device, threads

    @classmethod
    def load(cls, weights: Path, *, device: str = 'auto', threads: int = 1) -> 'Segmenter':
        """Load the weights at *weights*, a file; the width of the network is read off them.

        Raises
        ------
        ResourceError
            When the file is not what it should be, or a package or the device is not there.
        """
        use = pick_device(device)
        network = load_network(weights).float().eval()
        return cls(network.to(use), use, threads=threads)

    def segment(
        self,
        scan: Scan,
        task: Task,
        *,
        brain: NDArray[Any] | None = None,
        roi: tuple[int, int, int] = ROI,
    ) -> NDArray[np.uint16]:
        """Return labels on the grid of *scan*; the same number of threads gives the same labels.

        Parameters
        ----------
        scan
            Any orientation and spacing, background 0.
        task
            'brain' (132 classes of T1w images) or 'body' (50 classes).
        brain
            A mask of the shape of *scan*; voxels outside are 0 to the network and in the labels.
            None takes *scan* as it is, for the brain an image that is stripped already.
        roi
            The window in voxels of 1.5 mm along R, A and S; see :data:`ROI` for its memory.

        Returns
        -------
        labels
            Shape of *scan*, 0 or a class number of ``nvsegctmr_labels.tsv``.

        Raises
        ------
        ImageError
            When no voxel is above 0, in the mask if there is one.
        """
        values = scan.values if brain is None else np.where(brain > 0, scan.values, 0)
        if not (values > 0).any():
            raise ImageError(f'{scan.path.name}: has nothing above 0 to be segmented')
        with _settings(self._threads):
            image, prepare = _prepared(values, scan.affine)
            labels = _restored(self._labels(image, task_classes(task), roi), image, prepare)
        return labels if brain is None else np.where(brain > 0, labels, np.uint16(0))

    def _labels(self, image: Any, classes: tuple[int, ...], roi: tuple[int, int, int]) -> Any:
        """Return a float tensor of the shape of *image*, 1xIxJxK: class numbers and 0.

        Every window passes through the network once, for all classes.
        """
        import torch  # noqa: PLC0415
        from monai.inferers.inferer import SlidingWindowInfererAdapt  # noqa: PLC0415

        windows = SlidingWindowInfererAdapt(
            roi_size=roi, sw_batch_size=1, with_coord=True, padding_mode='replicate'
        )
        prompts = torch.tensor(classes, device=self._device)
        half = torch.autocast(self._device.type, enabled=self._device.type == 'cuda')
        with torch.inference_mode(), half:
            logits = windows(
                image.as_tensor()[None].to(self._device, torch.float32),
                self._network,
                transpose=True,
                class_vector=prompts[:, None],
            )[0]
            best, index = logits.max(0)
            found = prompts.to(index.device)[index] * (best > 0)
        return found[None].float().cpu()


def _prepared(values: NDArray[Any], affine: NDArray[np.float64]) -> tuple[Any, Any]:
    """Return the image as the network wants it, 1xIxJxK, and the transforms that made it so."""
    import torch  # noqa: PLC0415
    from monai.data.meta_tensor import MetaTensor  # noqa: PLC0415
    from monai.transforms.compose import Compose  # noqa: PLC0415
    from monai.transforms.croppad.array import CropForeground  # noqa: PLC0415
    from monai.transforms.intensity.array import ScaleIntensityRangePercentiles  # noqa: PLC0415
    from monai.transforms.spatial.array import Orientation, Spacing  # noqa: PLC0415

    low, high = _PERCENTILES
    prepare = Compose(
        [
            Spacing(pixdim=(_SPACING,) * 3, mode='bilinear'),
            CropForeground(allow_smaller=True, margin=_MARGIN),
            ScaleIntensityRangePercentiles(low, high, b_min=0, b_max=1, clip=True),
            Orientation(axcodes='RAS'),
        ]
    )
    tensor = torch.from_numpy(values[None].astype(np.float32))
    return prepare(MetaTensor(tensor, affine=torch.from_numpy(affine))), prepare


def _restored(labels: Any, image: Any, prepare: Any) -> NDArray[np.uint16]:
    """Return the labels of a prepared image on the grid it had before, by nearest neighbour."""
    from monai.data.meta_tensor import MetaTensor  # noqa: PLC0415
    from monai.transforms.utils import convert_applied_interp_mode  # noqa: PLC0415

    found = MetaTensor(labels, meta=image.meta)
    found.applied_operations = convert_applied_interp_mode(image.applied_operations, 'nearest')
    restored: NDArray[np.uint16] = prepare.inverse(found)[0].numpy().astype(np.uint16)
    return restored


@contextmanager
def _settings(threads: int) -> 'Iterator[None]':
    """Let torch use so many threads, and of cuDNN only what repeats, for a while."""
    from torch.backends import cudnn  # noqa: PLC0415

    repeatable = cudnn.flags(enabled=True, deterministic=True)
    with torch_threads(threads), repeatable, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield
