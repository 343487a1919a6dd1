"""Where the real heads and the peers are."""

import os
from pathlib import Path

SHARED = Path(
    os.environ.get('MRRATE_BIDS_SHARED_DATA', Path(__file__).parents[3] / 'shared' / 'data')
)
"""Folder of the real heads; cases that need them are left out, with a word, where it is absent."""

BRAINLES = os.environ.get('MRRATE_BIDS_BRAINLES_PYTHON', '')
"""Python of an environment with brainles-preprocessing 0.6.14."""

PYDEFACE = Path(os.environ.get('MRRATE_BIDS_PYDEFACE', 'pydeface'))
"""Folder ``data`` of pydeface 2.1.0, which holds its average head and face mask."""
