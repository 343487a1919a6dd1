"""The network of NV-Segment-CTMR, as wide as its tensors say."""

from pathlib import Path
from typing import Any

from mrrate_bids.computing.vista3d_weights import find_weights, no_weights, read_tensors
from mrrate_bids.errors import ResourceError

__all__ = ['check_weights', 'load_network']

_WIDTH_OF = 'class_head.class_embeddings.weight'
_HEADS = 8
"""Widths are multiples of it: four heads of attention on half the width."""


def check_weights(path: Path | str = '') -> None:
    """Make sure that the weights are those of the network; no tensor is read.

    Parameters
    ----------
    path
        As :func:`~mrrate_bids.computing.vista3d_weights.find_weights` has it.

    Raises
    ------
    ResourceError
        When they are not there or of something else, or a package is not there.
    """
    load_network(find_weights(path), mapped=True)


def load_network(weights: Path, *, mapped: bool = False) -> Any:
    """Return the network of a file; made without memory or random numbers of its own.

    Parameters
    ----------
    weights
        What :func:`~mrrate_bids.computing.vista3d_weights.find_weights` returns.
    mapped
        Whether the weights stay on the disk until something uses them.

    Raises
    ------
    ResourceError
        When the file is not what it should be, or a package is not there.
    """
    try:
        import torch  # noqa: PLC0415
        from monai.networks.nets.vista3d import vista3d132  # noqa: PLC0415
    except ImportError as error:
        raise ResourceError(
            'torch or MONAI is not installed, or not whole', hint="pip install 'mrrate-bids[seg]'"
        ) from error
    state = read_tensors(weights, mapped=mapped)
    width = _width(state)
    if not width:
        raise no_weights(weights, f'it has no {_WIDTH_OF} of two axes')
    with torch.device('meta'):
        network = vista3d132(encoder_embed_dim=width)
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise no_weights(weights, 'its tensors are not those of the network') from error
    return network


def _width(state: dict[str, Any]) -> int:
    """Return the width that the tensors are made for; 0 when they tell none that can be."""
    shape: tuple[int, ...] = getattr(state.get(_WIDTH_OF), 'shape', ())
    return int(shape[1]) if len(shape) == 2 and shape[1] % _HEADS == 0 else 0
