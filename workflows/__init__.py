"""Nipype graphs that compute the MR-RATE derivatives for a BIDS dataset."""
