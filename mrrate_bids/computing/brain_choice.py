"""Which network finds brains, and how it runs; nothing is loaded for saying so."""

from typing import NamedTuple

__all__ = ['EXTRACTORS', 'HD_BET', 'Choice']

EXTRACTORS = ('hd-bet', 'deepbet')


class Choice(NamedTuple):
    """Which extractor, and how it runs."""

    name: str
    """``hd-bet`` for any contrast, ``deepbet`` for T1w."""

    weights: str = ''
    """Folder of HD-BET; where it puts them itself if empty."""

    device: str = 'auto'
    threads: int = 1


HD_BET = Choice('hd-bet')
