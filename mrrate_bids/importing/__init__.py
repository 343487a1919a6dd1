"""From BIDS to a release of MR-RATE: the way of an export, read from right to left.

``source`` finds the visits of a dataset, ``intake`` reads one (``verbatim`` where an export wrote
it, ``stranger`` where anybody did), ``plan`` says which file goes where, ``importer`` carries it
out, ``run`` does so for all of them and ``ledger`` writes the tables.
"""
