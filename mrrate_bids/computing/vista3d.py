"""Labels of brain and body by NV-Segment-CTMR, a VISTA3D network, through MONAI.

Sources: He et al. 2024, VISTA3D: A unified segmentation foundation model for 3D medical imaging,
arXiv:2406.05285; what is done to an image before and after the network follows
``configs/inference.json`` of github.com/NVIDIA-Medtech/NV-Segment-CTMR at commit c46f994.
"""

import os
import pickle
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.devices import pick_device, torch_threads
from mrrate_bids.computing.scans import Scan
from mrrate_bids.errors import ImageError, ResourceError
from mrrate_bids.templates import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ['ROI', 'VARIABLE', 'Segmenter', 'Task', 'find_weights', 'task_classes']

Task = Literal['brain', 'body']

VARIABLE = 'MRRATE_BIDS_NVSEG_WEIGHTS'
"""The environment variable that names the weights."""

ROI = (192, 192, 128)
"""The published window, in voxels of 1.5 mm. Logits of a window take 4 bytes a class and voxel:
2.5 GB for this one and the brain, and as much again for the image stitched from windows."""

_PLACES = ('model.pt', 'models/model.pt', 'vista3d_pretrained_model/model.pt')
"""In a folder: by itself, as the bundle wants it, as Hugging Face has it."""

_GET = (
    'Fetch them with `hf download nvidia/NV-Segment-CTMR --local-dir DIR` (or `huggingface-cli '
    'download`, the same), then give --nvseg-weights DIR or set '
    f'{VARIABLE}=DIR. They have a licence of their own: huggingface.co/nvidia/NV-Segment-CTMR.'
)
_SPACING, _MARGIN, _PERCENTILES = 1.5, 10, (1, 99)
_WIDTH_OF = 'class_head.class_embeddings.weight'
_HEADS = 8
"""Widths are multiples of it: four heads of attention on half the width."""

_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    RuntimeError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)
"""What torch raises on files that are no weights."""


def find_weights(path: Path | None) -> Path:
    """Return the file of the weights: the one given, else the one of the environment.

    Parameters
    ----------
    path
        A file, or a folder that holds ``model.pt``, ``models/model.pt`` or, as downloaded,
        ``vista3d_pretrained_model/model.pt``; None looks in ``MRRATE_BIDS_NVSEG_WEIGHTS``.

    Raises
    ------
    ResourceError
        When nothing is given, or nothing is there.
    """
    given = path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if given is None:
        raise ResourceError('the weights of NV-Segment-CTMR are not given', hint=_GET)
    for candidate in (given, *(given / place for place in _PLACES)):
        if candidate.is_file():
            return candidate
    there = 'holds no model.pt' if given.is_dir() else 'does not exist'
    raise ResourceError(f'{given}: {there} (weights of NV-Segment-CTMR)', hint=_GET)


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
        network = _build(_read_state(weights), weights)
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


def _read_state(weights: Path) -> dict[str, Any]:
    """Return the tensors of a file by name; nothing of a pickle but tensors is run."""
    try:
        import torch  # noqa: PLC0415
    except ImportError as error:
        raise _missing() from error
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            loaded = torch.load(weights, map_location='cpu', weights_only=True)
        except _BROKEN as error:
            raise _no_weights(weights, f'torch cannot read it ({type(error).__name__})') from error
    state = loaded.get('model', loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(torch.is_tensor(t) for t in state.values()):
        raise _no_weights(weights, 'it is no table of tensors')
    return state


def _build(state: dict[str, Any], weights: Path) -> Any:
    """Return the network of the tensors; made without memory or random numbers of its own."""
    try:
        import torch  # noqa: PLC0415
        from monai.networks.nets.vista3d import vista3d132  # noqa: PLC0415
    except ImportError as error:
        raise _missing() from error
    width = _width(state)
    if not width:
        raise _no_weights(weights, f'it has no {_WIDTH_OF} of two axes')
    with torch.device('meta'):
        network = vista3d132(encoder_embed_dim=width)
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise _no_weights(weights, 'its tensors are not those of the network') from error
    return network.float().eval()


def _width(state: dict[str, Any]) -> int:
    """Return the width that the tensors are made for; 0 when they tell none that can be."""
    shape: tuple[int, ...] = getattr(state.get(_WIDTH_OF), 'shape', ())
    return int(shape[1]) if len(shape) == 2 and shape[1] % _HEADS == 0 else 0


def _missing() -> ResourceError:
    return ResourceError(
        'torch or MONAI is not installed, or not whole', hint="pip install 'mrrate-bids[seg]'"
    )


def _no_weights(weights: Path, why: str) -> ResourceError:
    return ResourceError(f'{weights}: holds no weights of NV-Segment-CTMR, {why}', hint=_GET)


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
