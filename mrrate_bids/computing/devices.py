"""Where the networks run, and with how many threads."""

import os
import re
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from mrrate_bids.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

__all__ = ['pick_device', 'read_device', 'torch_threads', 'uses_gpu']

_DEVICE = re.compile(r'(?P<kind>auto|cpu|cuda)|cuda:(?P<index>[0-9]{1,3})')


def pick_device(device: str) -> 'torch.device':
    """Return the device of that name: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    ``auto`` is the first GPU where torch finds one, otherwise the CPU.

    Raises
    ------
    UsageError
        When *device* is none of these.
    ResourceError
        When torch is not installed, or does not find the GPU asked for.
    """
    index = read_device(device)
    library = _import_torch()
    gpus = 0 if device == 'cpu' else _count_gpus(library)
    if device.startswith('cuda') and index >= gpus:
        raise _absent(device, gpus)
    if device == 'auto':
        device = 'cuda' if gpus else 'cpu'
    use: torch.device = library.device(device)
    return use


def read_device(device: str) -> int:
    """Return the number of a GPU; 0 where the name has none. It need not be there.

    Raises
    ------
    UsageError
        When *device* is no name of one.
    """
    asked = _DEVICE.fullmatch(device)
    if not asked:
        raise UsageError(f'{device!r} is no device', hint='Use auto, cpu, cuda or cuda:N.')
    return int(asked['index'] or 0)


def uses_gpu(device: str) -> bool:
    """Tell whether a network on that device takes a GPU; only for ``auto`` torch is asked.

    Where torch cannot be imported the answer is no: :func:`pick_device` tells.
    """
    return device.startswith('cuda') or (device == 'auto' and _finds_gpu())


@cache
def _finds_gpu() -> bool:
    """Asked for every network of every study; what a process finds stays so."""
    try:
        return _count_gpus(_import_torch()) > 0
    except ResourceError:
        return False


def _count_gpus(library: Any) -> int:
    """Return how many GPUs torch finds."""
    return library.cuda.device_count() if library.cuda.is_available() else 0


def _import_torch() -> Any:
    # Asked in the usual way, CUDA could not be used in processes that are forked afterwards.
    os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')
    try:
        import torch  # noqa: PLC0415  (takes a second)
    except ImportError as error:
        raise ResourceError(
            f'torch cannot be imported ({error})', hint="pip install 'mrrate-bids[compute]'"
        ) from error
    return torch


def _absent(device: str, gpus: int) -> ResourceError:
    if gpus:
        return ResourceError(
            f'{device}: torch finds {gpus} GPU{"s" * (gpus > 1)} here, counted from 0',
            hint=f'Use cuda:0 to cuda:{gpus - 1}, or auto.' if gpus > 1 else 'Use cuda or auto.',
        )
    return ResourceError(
        f'{device}: torch finds no GPU here',
        hint='Use cpu or auto; with a GPU in the machine, check its driver (nvidia-smi) and '
        'that torch was installed with CUDA.',
    )


@contextmanager
def torch_threads(count: int) -> 'Iterator[None]':
    """Let torch use *count* threads for a while."""
    import torch  # noqa: PLC0415

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
