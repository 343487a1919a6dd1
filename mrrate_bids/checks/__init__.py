"""Checks of BIDS datasets that the BIDS validator does not make.

A subject is looked at as a whole: its folders in every dataset, its tables and the receipts of
its studies. Nothing is kept from one subject to the next but counts and findings.
"""

from mrrate_bids.checks.subject import check_receipt_alone, check_subject
from mrrate_bids.checks.tables import Participants, check_datasets
from mrrate_bids.checks.tally import CHECKS, Finding, Tally
from mrrate_bids.checks.tree import Dataset, Tree, open_tree

__all__ = [
    'CHECKS',
    'Dataset',
    'Finding',
    'Participants',
    'Tally',
    'Tree',
    'check_datasets',
    'check_receipt_alone',
    'check_subject',
    'open_tree',
]
