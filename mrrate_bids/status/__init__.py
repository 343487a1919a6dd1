"""What of a release lies on disk: study by study, repository by repository, batch by batch."""

from mrrate_bids.status.board import Board, Cell, studies_table
from mrrate_bids.status.fix_list import FixList
from mrrate_bids.status.holding import Holding
from mrrate_bids.status.remote import Remote, is_local
from mrrate_bids.status.survey import BatchStatus, Survey, open_anything

__all__ = [
    'BatchStatus',
    'Board',
    'Cell',
    'FixList',
    'Holding',
    'Remote',
    'Survey',
    'is_local',
    'open_anything',
    'studies_table',
]
