"""Which packages the nodes of a graph need beyond those that are always there."""

from collections.abc import Set as AbstractSet

from mrrate_bids.computing.brain_choice import EXTRACTORS
from mrrate_bids.interfaces.brain import CarryMask, ExtractBrain
from mrrate_bids.interfaces.register import Coregister, MakeReference, RegisterToAtlas, Resample
from mrrate_bids.interfaces.segment import Segment

__all__ = ['modules_of']

_ANTS = {CarryMask, Coregister, MakeReference, RegisterToAtlas, Resample}


def modules_of(interfaces: AbstractSet[type], extractor: str) -> set[str]:
    """Return the modules that interfaces import when they run.

    Parameters
    ----------
    interfaces
        Classes of the interfaces of a graph.
    extractor
        The one that finds brains; unknown ones need nothing.

    >>> sorted(modules_of({Resample, ExtractBrain}, 'hd-bet'))
    ['ants', 'nnunetv2', 'torch']
    """
    modules = {'ants'} if _ANTS & interfaces else set()
    if ExtractBrain in interfaces:
        modules |= EXTRACTORS[extractor].modules if extractor in EXTRACTORS else set()
    if Segment in interfaces:
        modules |= {'torch', 'monai', 'einops'}
    return modules
