"""Move brain MRI between the MR-RATE release and BIDS, losing nothing."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mrrate_bids.api import open_data as open  # noqa: A004

__version__ = '0.2.0'
__released__ = '2026-11-25'

__all__ = ['__released__', '__version__', 'open']


def __getattr__(name: str) -> Any:
    """Import what is heavy when it is asked for."""
    if name == 'open':
        from mrrate_bids.api import open_data  # noqa: PLC0415

        return open_data
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
