"""The file of NV-Segment-CTMR's weights: where it is, and the tensors in it."""

import os
import pickle
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

from mrrate_bids.errors import ResourceError
from mrrate_bids.resources.catalogue import Resource, folder_for, read_resources

__all__ = ['VARIABLE', 'find_weights', 'no_weights', 'read_tensors', 'weight_files']

VARIABLE = 'MRRATE_BIDS_NVSEG_WEIGHTS'
"""The environment variable that names the weights."""

_RESOURCE = 'nvseg-ctmr'
_PLACES = ('model.pt', 'models/model.pt', 'vista3d_pretrained_model/model.pt')
"""In a folder: by itself, as the bundle wants it, as Hugging Face has it."""

_LICENCE = 'They have a licence of their own: huggingface.co/nvidia/NV-Segment-CTMR.'

_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    RuntimeError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)
"""What torch raises on files that are no weights."""


def find_weights(path: Path | str = '') -> Path:
    """Return the file of the weights: the one given, that of the environment, or what was fetched.

    Parameters
    ----------
    path
        A file, or a folder that holds ``model.pt``, ``models/model.pt`` or, as downloaded,
        ``vista3d_pretrained_model/model.pt``; where nothing was asked for, what
        ``MRRATE_BIDS_NVSEG_WEIGHTS`` names, else where ``mrrate-bids resources fetch`` puts them.

    Raises
    ------
    ResourceError
        When nothing is there.
    """
    given = Path(path or os.environ.get(VARIABLE) or _resource().usual).expanduser()
    for candidate in (given, *(given / place for place in _PLACES)):
        if candidate.is_file():
            return candidate
    there = 'holds no model.pt' if given.is_dir() else 'does not exist'
    raise ResourceError(f'{given}: {there} (weights of NV-Segment-CTMR)', hint=_hint(given))


def weight_files(path: Path | str = '') -> tuple[Path, ...]:
    """Return the file that decides what the network finds; none where it is not there."""
    try:
        return (find_weights(path),)
    except ResourceError:
        return ()


def no_weights(weights: Path, why: str) -> ResourceError:
    """Return the error that tells what is wrong with a file, and what to do."""
    return ResourceError(
        f'{weights}: holds no weights of NV-Segment-CTMR, {why}',
        hint=f'Move it away. {_hint(weights)}',
    )


def _home(path: Path) -> Path:
    """Return the folder into which weights are fetched where *path* was looked for."""
    for place in map(Path, reversed(_PLACES)):
        if path.parts[-len(place.parts) :] == place.parts:
            path = Path(*path.parts[: -len(place.parts)])
            break
    return folder_for(path)


def _resource() -> Resource:
    return read_resources()[_RESOURCE]


def _hint(named: Path) -> str:
    """Return how weights get to where *named* leads, and how another folder is named."""
    folder = _home(named)
    remedy = _resource().remedy(folder, named=named, option=_option(folder))
    return f'{remedy} {_LICENCE}'


def _option(folder: Path) -> str:
    """Return where the user says which folder it is: where they named what cannot be used."""
    named = os.environ.get(VARIABLE)
    is_variable = named and _home(Path(named).expanduser()).resolve() == folder.resolve()
    return f'in {VARIABLE}' if is_variable else 'with --nvseg-weights'


def read_tensors(weights: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Return the tensors of a file by name; nothing of a pickle but tensors is run.

    Parameters
    ----------
    weights
        What :func:`find_weights` returns.
    mapped
        Whether tensors stay on the disk until something uses them.

    Raises
    ------
    ResourceError
        When it is no table of tensors.
    """
    import torch  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            loaded = torch.load(
                weights,
                map_location='cpu',
                weights_only=True,
                mmap=mapped and zipfile.is_zipfile(weights),  # older files are no archives
            )
        except _BROKEN as error:
            raise no_weights(weights, f'torch cannot read it ({type(error).__name__})') from error
    state = loaded.get('model', loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(torch.is_tensor(t) for t in state.values()):
        raise no_weights(weights, 'it is no table of tensors')
    return state
