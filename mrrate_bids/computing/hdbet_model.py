"""HD-BET's network, built from its plans and given its weights."""

import io
import warnings
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mrrate_bids.computing.hdbet_weights import (
    CHECKPOINT,
    brief,
    find_weights,
    read_checkpoint,
    read_description,
    unusable,
)
from mrrate_bids.errors import ResourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ['Model', 'check_weights', 'load_model', 'quiet']

_TURNS_TO_RAS = {
    'SimpleITKIO': False,
    'NibabelIO': False,
    'SimpleITKIOWithReorient': True,
    'NibabelIOWithReorient': True,
}
"""nnU-Net's readers of NIfTI, by the name in the plans. All of them give axes z, y, x."""

_ASKED = (
    'patch_size',
    'spacing',
    'normalization_schemes',
    'use_mask_for_norm',
    'preprocessor_class',
    'resampling_fn_data',
    'resampling_fn_seg',
    'resampling_fn_probabilities',
)
"""What nnU-Net asks of a configuration when it comes to an image."""


class Model(NamedTuple):
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


def check_weights(folder: Path | str = '') -> None:
    """Make sure that masks can be found with the weights of a folder; no tensor is read.

    Parameters
    ----------
    folder
        As :func:`~mrrate_bids.computing.hdbet_weights.find_weights` has it.

    Raises
    ------
    ResourceError
        When they are not there or unusable, or a package is not there.
    """
    load_model(find_weights(folder), mapped=True)


def load_model(folder: Path, *, mapped: bool = False) -> Model:
    """Build the network of the plans and give it its weights.

    Parameters
    ----------
    folder
        What :func:`~mrrate_bids.computing.hdbet_weights.find_weights` returns.
    mapped
        Whether the weights stay on the disk until something uses them.

    Raises
    ------
    ResourceError
        When a package is not there, or the weights are unusable.
    """
    plans, dataset = (read_description(folder, f'{name}.json') for name in ('plans', 'dataset'))
    checkpoint = read_checkpoint(folder, mapped=mapped)
    try:
        with quiet():
            model = _build(plans, dataset, checkpoint)
    except ImportError as error:
        raise ResourceError(
            f'HD-BET cannot be used ({error})', hint="pip install 'mrrate-bids[brain]'"
        ) from error
    except Exception as error:
        why = f'does not fit plans.json and dataset.json ({brief(error)})'
        raise unusable(folder, CHECKPOINT, why) from error
    problem = _foreign(model)
    if problem:
        raise unusable(folder, 'plans.json', problem)
    return model


def _build(plans: Any, dataset: dict[str, Any], checkpoint: dict[str, Any]) -> Model:
    """As nnU-Net's trainer builds it, whose module would import all that training needs."""
    import torch  # noqa: PLC0415
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans  # noqa: PLC0415
    from nnunetv2.utilities.label_handling.label_handling import (  # noqa: PLC0415
        determine_num_input_channels,
    )
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager  # noqa: PLC0415

    manager = PlansManager(plans)
    configuration = manager.get_configuration(checkpoint['init_args']['configuration'])
    labels = manager.get_label_manager(dataset)
    with torch.device('meta'):  # without memory or random numbers of its own
        network = get_network_from_plans(
            configuration.network_arch_class_name,
            configuration.network_arch_init_kwargs,
            configuration.network_arch_init_kwargs_req_import,
            determine_num_input_channels(manager, configuration, dataset),
            labels.num_segmentation_heads,
            allow_init=False,
            deep_supervision=False,
        )
    network.load_state_dict(checkpoint['network_weights'], strict=True, assign=True)
    mirrored = tuple(checkpoint.get('inference_allowed_mirroring_axes') or ())
    return Model(network, manager, configuration, labels, dataset, mirrored)


def _foreign(model: Model) -> str:
    """Tell in which way a sound nnU-Net model is none of HD-BET's, or nothing."""
    reader = model.plans.plans['image_reader_writer']
    if reader not in _TURNS_TO_RAS:
        return f'asks for the reader {reader!r}, which is none for NIfTI'
    for name in _ASKED:
        if problem := _lacks(model.configuration, name):
            return problem
    if len(model.configuration.patch_size) != 3:
        return 'is that of a network for slices'
    if model.configuration.previous_stage_name is not None:
        return 'is that of the second stage of a cascade'
    if len(model.configuration.normalization_schemes) != 1:
        return 'is that of a network for several images at once'
    return ''


def _lacks(configuration: Any, name: str) -> str:
    """Tell that a configuration has nothing usable by that name; nnU-Net looks classes up."""
    try:
        with quiet():
            return f'names no {name} of nnU-Net' if getattr(configuration, name) is None else ''
    except KeyError as error:
        return f'lacks {error} in its configuration'
    except Exception as error:  # noqa: BLE001  (nnU-Net raises what its look-ups raise)
        return f'has no usable {name} in its configuration ({brief(error)})'


@contextmanager
def quiet() -> 'Iterator[None]':
    """Keep what nnU-Net prints and warns of from the user, who can do nothing about it."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield
