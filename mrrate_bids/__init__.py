"""Move brain MRI between the MR-RATE release and BIDS, losing nothing."""

__version__ = '0.2.0'
__released__ = '2026-11-25'

__all__ = ['__released__', '__version__']
