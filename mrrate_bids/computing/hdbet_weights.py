"""The folder of HD-BET's weights: where it is, and what is read of it."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

from mrrate_bids.errors import ResourceError
from mrrate_bids.resources.catalogue import Resource, folder_for, read_resources

__all__ = [
    'CHECKPOINT',
    'ENVIRONMENT',
    'brief',
    'find_weights',
    'read_checkpoint',
    'read_description',
    'unusable',
    'weight_files',
]

ENVIRONMENT = 'MRRATE_BIDS_HDBET_WEIGHTS'
"""The variable that names the folder of the weights."""

CHECKPOINT = 'fold_all/checkpoint_final.pth'
"""The file of the tensors, inside the folder."""

_RESOURCE = 'hd-bet'

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


def find_weights(folder: Path | str = '') -> Path:
    """Return the folder of the weights: *folder*, that of the environment, or HD-BET's own.

    HD-BET's own is where ``mrrate-bids resources fetch`` puts them.

    Parameters
    ----------
    folder
        The one that was asked for; empty where none was.

    Raises
    ------
    ResourceError
        When it lacks a file, or one of them is not of nnU-Net's format.
    """
    found = _place(folder)
    if not found.is_dir():
        what = f'{found} is a file' if found.exists() else f'no folder {found}'
        raise ResourceError(f'the weights of HD-BET are not there: {what}', hint=_hint(found))
    for name in _KEYS:
        read_description(found, name)
    if not (found / CHECKPOINT).is_file():
        raise unusable(found, CHECKPOINT, 'is missing')
    return found


def weight_files(folder: Path | str = '') -> tuple[Path, ...]:
    """Return the files that decide what the network finds; none where one is missing."""
    found = _place(folder)
    files = tuple(found / name for name in (*_KEYS, CHECKPOINT))
    return files if all(path.is_file() for path in files) else ()


def _place(folder: Path | str) -> Path:
    return Path(folder or os.environ.get(ENVIRONMENT) or _resource().usual).expanduser()


def _resource() -> Resource:
    return read_resources()[_RESOURCE]


def unusable(folder: Path, name: str, why: str) -> ResourceError:
    """Return the error that tells what is wrong with a file of the folder, and what to do."""
    said = f'{folder}: the weights of HD-BET are unusable, {name} {why}'
    return ResourceError(said, hint=_hint(folder, spoilt=name))


def _hint(named: Path, *, spoilt: str = '') -> str:
    """Return how weights get to where *named* leads, and how another folder is named."""
    there = spoilt if spoilt and (named / spoilt).exists() else ''
    folder, option = _folder_for(named), _option(named)
    return _resource().remedy(folder, named=named, option=option, spoilt=there)


def _folder_for(named: Path) -> Path:
    """Return the folder that was meant, also by the name of its checkpoint."""
    folder, inner = folder_for(named), Path(CHECKPOINT).parent.name
    return folder.parent if folder != named and folder.name == inner else folder


def _option(place: Path) -> str:
    """Return where the user says which folder it is: where *place* was named."""
    named = os.environ.get(ENVIRONMENT)
    if named and Path(named).expanduser().resolve() == place.resolve():
        return f'in {ENVIRONMENT}'
    return 'with --hdbet-weights'


def read_description(folder: Path, name: str) -> dict[str, Any]:
    """Read a description of the network and check that it has what nnU-Net asks of it.

    Parameters
    ----------
    folder
        The weights.
    name
        ``dataset.json`` or ``plans.json``.

    Raises
    ------
    ResourceError
        When it is missing, or not of nnU-Net's format.
    """
    try:
        content = json.loads((folder / name).read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise unusable(folder, name, 'is missing') from error
    except (OSError, ValueError) as error:
        raise unusable(folder, name, f'cannot be read ({error})') from error
    if not isinstance(content, dict):
        raise unusable(folder, name, 'holds no JSON object')
    for key in _KEYS[name]:
        if not any(each in content for each in key.split('|')):
            raise unusable(folder, name, f'lacks {key.split("|")[0]!r}')
    return content


def read_checkpoint(folder: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read the tensors of the network, with what nnU-Net stores beside them.

    The checkpoint is unpickled, as nnU-Net does: read only weights that you trust.

    Parameters
    ----------
    folder
        The weights.
    mapped
        Whether tensors stay on the disk until something uses them.

    Raises
    ------
    ResourceError
        When it is no checkpoint of nnU-Net.
    """
    import torch  # noqa: PLC0415

    path = folder / CHECKPOINT
    try:
        # nnU-Net stores its training log beside the weights, which only a full unpickling reads.
        content = torch.load(
            path,
            map_location='cpu',
            weights_only=False,
            mmap=mapped and zipfile.is_zipfile(path),  # files of before torch 1.6 are no archives
        )
    except Exception as error:
        raise unusable(folder, CHECKPOINT, f'cannot be loaded ({brief(error)})') from error
    if not isinstance(content, dict) or 'network_weights' not in content:
        raise unusable(folder, CHECKPOINT, "lacks 'network_weights'")
    arguments = content.get('init_args')
    if not isinstance(arguments, dict) or 'configuration' not in arguments:
        raise unusable(folder, CHECKPOINT, "lacks 'init_args' with a 'configuration'")
    return content


def brief(error: Exception) -> str:
    """Return the kind of an error and the first line of what it says."""
    said = str(error).strip().splitlines()
    return f'{type(error).__name__}: {said[0].rstrip(":")}' if said else type(error).__name__
