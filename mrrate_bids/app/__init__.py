"""Compute derivatives of a BIDS dataset: which studies, which files, one run over all of them."""
