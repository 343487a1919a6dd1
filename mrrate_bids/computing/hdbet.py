"""Brain masks of MRI of any contrast by HD-BET 2, in this process, one load for many images.

The command ``hd-bet`` starts twelve further Python processes for every call, and its module of
predictions replaces ``sys.stdout``. Here the same steps run one after the other, with nnU-Net's
own functions for all of them but the loop over tiles.

Sources: Isensee et al. 2019, Automated brain extraction of multisequence MRI using artificial
neural networks, Human Brain Mapping 40(17):4952-4964; Isensee et al. 2021, nnU-Net: a
self-configuring method for deep learning-based biomedical image segmentation, Nature Methods
18:203-211.
"""

import io
import itertools
import json
import math
import os
import warnings
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrrate_bids.computing.devices import pick_device, torch_threads
from mrrate_bids.computing.scans import Scan
from mrrate_bids.errors import ImageError, QualityError, ResourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ['ENVIRONMENT', 'Extractor', 'find_weights']

ENVIRONMENT = 'MRRATE_BIDS_HDBET_WEIGHTS'
"""The variable that names the folder of the weights."""

_OWN_FOLDER = '~/hd-bet_params/release_2.0.0'
_CHECKPOINT = 'fold_all/checkpoint_final.pth'
_HINT = (
    f'Fetch them into {_OWN_FOLDER} with: python -c "from HD_BET.checkpoint_download import '
    'maybe_download_parameters; maybe_download_parameters()" (it does nothing where that folder '
    f'has a checkpoint); or name a folder that has them in {ENVIRONMENT}.'
)

_KEYS = {
    'dataset.json': ('labels', 'channel_names|modality'),
    'plans.json': (
        'configurations',
        'image_reader_writer',
        'transpose_forward',
        'transpose_backward',
        'label_manager',
        'foreground_intensity_properties_per_channel|foreground_intensity_properties_by_modality',
    ),
}
"""What nnU-Net needs of each file; ``|`` parts names of different versions."""

_CPU_VOXELS = 2**20
"""In a batch; half of a tile of 128 voxels along every axis."""

_TURNS_TO_RAS = {
    'SimpleITKIO': False,
    'NibabelIO': False,
    'SimpleITKIOWithReorient': True,
    'NibabelIOWithReorient': True,
}
"""nnU-Net's readers of NIfTI, by the name in the plans. All of them give axes z, y, x."""


def find_weights(folder: Path | None = None) -> Path:
    """Return the folder of the weights: *folder*, that of the environment, or HD-BET's own.

    Raises
    ------
    ResourceError
        When it lacks a file, or one of them is not of nnU-Net's format.
    """
    named = os.environ.get(ENVIRONMENT)
    found = folder or Path(named or _OWN_FOLDER).expanduser()
    if not found.is_dir():
        raise ResourceError(f'the weights of HD-BET are not there: no folder {found}', hint=_HINT)
    for name in _KEYS:
        _read_json(found, name)
    if not (found / _CHECKPOINT).is_file():
        raise _unusable(found, _CHECKPOINT, 'is missing')
    return found


def _unusable(folder: Path, name: str, why: str) -> ResourceError:
    return ResourceError(f'{folder}: the weights of HD-BET are unusable, {name} {why}', hint=_HINT)


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    """Read a description of the network and check that it has what nnU-Net asks of it."""
    try:
        content = json.loads((folder / name).read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise _unusable(folder, name, 'is missing') from error
    except (OSError, ValueError) as error:
        raise _unusable(folder, name, f'cannot be read ({error})') from error
    if not isinstance(content, dict):
        raise _unusable(folder, name, 'holds no JSON object')
    for key in _KEYS[name]:
        if not any(each in content for each in key.split('|')):
            raise _unusable(folder, name, f'lacks {key.split("|")[0]!r}')
    return content


def _read_checkpoint(folder: Path) -> dict[str, Any]:
    import torch  # noqa: PLC0415

    try:
        # nnU-Net stores its training log beside the weights, which only a full unpickling reads.
        content = torch.load(folder / _CHECKPOINT, map_location='cpu', weights_only=False)
    except Exception as error:
        raise _unusable(folder, _CHECKPOINT, f'cannot be loaded ({_brief(error)})') from error
    if not isinstance(content, dict) or 'network_weights' not in content:
        raise _unusable(folder, _CHECKPOINT, "lacks 'network_weights'")
    arguments = content.get('init_args')
    if not isinstance(arguments, dict) or 'configuration' not in arguments:
        raise _unusable(folder, _CHECKPOINT, "lacks 'init_args' with a 'configuration'")
    return content


def _brief(error: Exception) -> str:
    """Return the kind of an error and the first line of what it says."""
    said = str(error).strip().splitlines()
    return f'{type(error).__name__}: {said[0].rstrip(":")}' if said else type(error).__name__


class _Model(NamedTuple):
    """A network and nnU-Net's managers of what surrounds it.

    Parameters
    ----------
    network
        From (N, 1, z, y, x) to logits (N, heads, z, y, x).
    plans, configuration, labels
        nnU-Net's PlansManager, ConfigurationManager and LabelManager.
    dataset
        The content of dataset.json.
    mirrored
        The axes along which a tile may be mirrored; 0 is the first one behind N and channel.
    """

    network: Any
    plans: Any
    configuration: Any
    labels: Any
    dataset: dict[str, Any]
    mirrored: tuple[int, ...]

    @property
    def turns_to_ras(self) -> bool:
        """Whether the network was trained on images turned to RAS+."""
        return _TURNS_TO_RAS[self.plans.plans['image_reader_writer']]


def _load_model(folder: Path) -> _Model:
    """Build the network of the plans and give it its weights."""
    plans, dataset = _read_json(folder, 'plans.json'), _read_json(folder, 'dataset.json')
    checkpoint = _read_checkpoint(folder)
    try:
        model = _build(plans, dataset, checkpoint)
        model.network.load_state_dict(checkpoint['network_weights'])
    except ImportError as error:
        raise ResourceError(
            f'HD-BET cannot be used ({error})', hint="pip install 'mrrate-bids[brain]'"
        ) from error
    except Exception as error:
        why = f'does not fit plans.json and dataset.json ({_brief(error)})'
        raise _unusable(folder, _CHECKPOINT, why) from error
    problem = _foreign(model)
    if problem:
        raise _unusable(folder, 'plans.json', problem)
    return model


def _build(plans: Any, dataset: dict[str, Any], checkpoint: dict[str, Any]) -> _Model:
    """As nnU-Net's trainer builds it, whose module would import all that training needs."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans  # noqa: PLC0415
    from nnunetv2.utilities.label_handling.label_handling import (  # noqa: PLC0415
        determine_num_input_channels,
    )
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager  # noqa: PLC0415

    manager = PlansManager(plans)
    configuration = manager.get_configuration(checkpoint['init_args']['configuration'])
    labels = manager.get_label_manager(dataset)
    network = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        determine_num_input_channels(manager, configuration, dataset),
        labels.num_segmentation_heads,
        allow_init=False,
        deep_supervision=False,
    )
    mirrored = tuple(checkpoint.get('inference_allowed_mirroring_axes') or ())
    return _Model(network, manager, configuration, labels, dataset, mirrored)


def _foreign(model: _Model) -> str:
    """Tell in which way a sound nnU-Net model is none of HD-BET's, or nothing."""
    reader = model.plans.plans['image_reader_writer']
    if reader not in _TURNS_TO_RAS:
        return f'asks for the reader {reader!r}, which is none for NIfTI'
    if len(model.configuration.patch_size) != 3:
        return 'is that of a network for slices'
    if model.configuration.previous_stage_name is not None:
        return 'is that of the second stage of a cascade'
    if len(model.configuration.normalization_schemes) != 1:
        return 'is that of a network for several images at once'
    return ''


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

    def __init__(self, model: _Model, *, device: Any, tta: bool, threads: int) -> None:
        axes = model.mirrored if tta else ()
        counts = range(len(axes) + 1)
        self._flips = [flip for n in counts for flip in itertools.combinations(axes, n)]
        self._model, self._device, self._threads = model, device, threads
        self.flips_at_once = len(self._flips) if device.type == 'cuda' else self._fitting()
        """Mirrored copies in one batch; with 1 the sums are those of nnU-Net to the last bit."""

    def _fitting(self) -> int:
        """Return how many copies go into one batch on a CPU.

        Tiles as large as those of the true network take gigabytes each and gain nothing.
        """
        voxels: int = math.prod(self._model.configuration.patch_size)
        return max(1, min(len(self._flips), _CPU_VOXELS // voxels))

    @classmethod
    def load(
        cls, weights: Path, *, device: str = 'auto', tta: bool = True, threads: int = 1
    ) -> 'Extractor':
        """Load the folder that :func:`find_weights` returns.

        The checkpoint is unpickled, as nnU-Net does: load only weights that you trust.

        Raises
        ------
        UsageError
            When *device* is no name of a device.
        ResourceError
            When the device or a package is not there, or the weights are unusable.
        """
        use = pick_device(device)
        with _quiet():
            model = _load_model(weights)
        model.network.eval().to(use)
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
        with torch_threads(self._threads), _quiet():
            mask = self._segment(scan)
        return (_largest(mask) if largest else mask).astype(np.uint8)

    def _segment(self, scan: Scan) -> NDArray[np.bool_]:
        """Crop to what is not zero, normalise, resample, predict, and undo all of it."""
        import torch  # noqa: PLC0415
        from nnunetv2.inference.export_prediction import (  # noqa: PLC0415
            convert_predicted_logits_to_segmentation_with_correct_shape as to_labels,
        )

        model, turn = self._model, _turn(scan, to_ras=self._model.turns_to_ras)
        values, properties = _as_nnunet_reads(scan, turn)
        preprocessor = model.configuration.preprocessor_class(verbose=False)
        prepared = preprocessor.run_case_npy(
            values, None, properties, model.plans, model.configuration, model.dataset
        )[0]
        logits = self._predict(torch.from_numpy(prepared))
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
        return _turn_back(np.asarray(labels).T > 0, turn)

    def _predict(self, image: Any) -> Any:
        """Return the logits (heads, z, y, x), half precision, of an image (1, z, y, x)."""
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


def _turn(scan: Scan, *, to_ras: bool) -> NDArray[np.float64]:
    """Return nibabel's orientation, (3, 2), that takes the voxels to the axes of the network."""
    import nibabel as nib  # noqa: PLC0415

    if to_ras:
        return np.asarray(nib.io_orientation(scan.affine))
    return np.array([[0.0, 1], [1, 1], [2, 1]])


def _as_nnunet_reads(
    scan: Scan, turn: NDArray[np.float64]
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return the voxels, (1, z, y, x), and their spacing in mm in the same order."""
    from nibabel.orientations import apply_orientation  # noqa: PLC0415

    values = apply_orientation(scan.values.astype(np.float32), turn)
    spacing = _spacing(scan)[np.argsort(turn[:, 0])]
    return np.ascontiguousarray(values.T)[None], {'spacing': spacing[::-1].tolist()}


def _spacing(scan: Scan) -> NDArray[np.float64]:
    """Return the spacing along i, j, k in mm, to the last bit as ITK has it.

    The last bit decides whether 45 voxels of 0.9 mm become 40 or 41 of 1 mm, and ITK takes the
    spacing of the header.
    """
    stored = np.array(scan.image.header.get_zooms()[:3], np.float64)
    return stored if np.allclose(stored, scan.spacing, rtol=1e-4, atol=0) else scan.spacing


def _turn_back(mask: NDArray[np.bool_], turn: NDArray[np.float64]) -> NDArray[np.bool_]:
    from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform  # noqa: PLC0415

    return np.asarray(apply_orientation(mask, ornt_transform(axcodes2ornt('RAS'), turn)))


def _tiles(shape: tuple[int, ...], patch: tuple[int, ...]) -> 'Iterator[tuple[slice, ...]]':
    """Yield the places of the tiles in nnU-Net's order."""
    from nnunetv2.inference.sliding_window_prediction import (  # noqa: PLC0415
        compute_steps_for_sliding_window,
    )

    steps = compute_steps_for_sliding_window(shape, patch, 0.5)
    for corner in itertools.product(*steps):
        yield tuple(slice(at, at + size) for at, size in zip(corner, patch, strict=True))


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage  # noqa: PLC0415

    components, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count < 2:
        return mask
    sizes = np.bincount(components.ravel())
    return np.asarray(components == 1 + sizes[1:].argmax())


@contextmanager
def _quiet() -> 'Iterator[None]':
    """Keep what nnU-Net prints and warns of from the user, who can do nothing about it."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield
