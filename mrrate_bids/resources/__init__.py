"""Weights and templates that commands need and the package does not bring."""

from mrrate_bids.resources.catalogue import File, Resource, read_resources
from mrrate_bids.resources.fetch import fetch
from mrrate_bids.resources.lock import Lock
from mrrate_bids.resources.verify import Verdict, record, state_of, verify

__all__ = [
    'File',
    'Lock',
    'Resource',
    'Verdict',
    'fetch',
    'read_resources',
    'record',
    'state_of',
    'verify',
]
