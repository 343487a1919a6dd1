"""Move brain MRI between the MR-RATE release and BIDS, losing nothing."""

__version__ = '0.1.0'
__released__ = '2026-11-21'

__all__ = ['__released__', '__version__']
