"""Checks of a release: what the dataset guide promises, and the defects that were published.

What the tables and the directories of zips can tell is found by the plan of a full export. Here
the headers of images are held against each other, and with ``deep`` their voxels, too. Nothing is
kept from one study to the next but counts, findings and the split of each patient.
"""

from mrrate_bids.release_checks.splits import Splits
from mrrate_bids.release_checks.study import CHECKS, home_of
from mrrate_bids.release_checks.tables import check_batch, check_presence
from mrrate_bids.release_checks.whole import Outcome, check_study

__all__ = [
    'CHECKS',
    'Outcome',
    'Splits',
    'check_batch',
    'check_presence',
    'check_study',
    'home_of',
]
