"""Bring derivative repositories into the tree of the native one, so that it can be undone."""

from mrrate_bids.merging.merge import Merge, Summary
from mrrate_bids.merging.plan import Step, StudyMerge

__all__ = ['Merge', 'Step', 'StudyMerge', 'Summary']
