"""Packages that some steps need, and how they are installed."""

from collections.abc import Iterable
from importlib.util import find_spec

from mrrate_bids.errors import ResourceError

__all__ = ['require_packages']

_EXTRAS = {
    'ants': ('antspyx', 'compute'),
    'deepbet': ('deepbet', 'compute'),
    'einops': ('einops', 'seg'),
    'monai': ('MONAI', 'seg'),
    'nnunetv2': ('HD-BET', 'brain'),
    'torch': ('torch', 'compute'),
}
"""The name that a module is installed by, and which extra of ours brings it."""


def require_packages(modules: Iterable[str]) -> None:
    """Make sure that modules can be imported, without importing them.

    Raises
    ------
    ResourceError
        When one cannot; all that are missing are named together.
    """
    missing = sorted(_EXTRAS[name] for name in set(modules) if find_spec(name) is None)
    if missing:
        names = ' and '.join(name for name, _ in missing)
        extras = ','.join(sorted({extra for _, extra in missing}))
        raise ResourceError(
            f'{names} {"are" if len(missing) > 1 else "is"} not installed',
            hint=f"pip install 'mrrate-bids[{extras}]'",
        )
