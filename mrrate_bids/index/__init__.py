"""An index of files: one row for each, with every column of every table.

``units`` finds the parts of a release or a dataset and reads one, ``store`` keeps them as Parquet
and renews those that changed, ``query`` answers.
"""

from mrrate_bids.index.query import Query, Selected, answer
from mrrate_bids.index.store import Index

__all__ = ['Index', 'Query', 'Selected', 'answer']
