"""Which network finds brains, and how it runs; nothing is loaded for saying so.

All that is said of an extractor elsewhere follows from this table; its texts in ``templates/``
have the same names.
"""

from typing import NamedTuple

__all__ = ['EXTRACTORS', 'HD_BET', 'Choice', 'Network']


class Network(NamedTuple):
    """A network that finds brains."""

    title: str
    """What it is called, and its package."""

    modules: frozenset[str]
    """What it imports when it runs."""

    told: str
    """What the help says of it."""

    any_contrast: bool = False
    """Whether it masks every series, and not T1w only."""


EXTRACTORS = {
    'hd-bet': Network(
        'HD-BET',
        frozenset({'torch', 'nnunetv2'}),
        'finds the brain in every series',
        any_contrast=True,
    ),
    'deepbet': Network(
        'deepbet',
        frozenset({'torch', 'deepbet'}),
        'brings its weights, and finds it in the centre T1w; the other series get that mask '
        'through their transforms',
    ),
}
"""By the name of the option."""


class Choice(NamedTuple):
    """Which extractor, and how it runs."""

    name: str
    """Of :data:`EXTRACTORS`."""

    weights: str = ''
    """Folder of HD-BET; where it puts them itself if empty."""

    device: str = 'auto'
    threads: int = 1


HD_BET = Choice('hd-bet')
