"""Nipype interfaces, each a thin wrapper over a function of :mod:`mrrate_bids.computing`."""
