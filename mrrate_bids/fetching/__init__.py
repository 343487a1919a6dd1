"""Fetching a release, or the part of it that is wanted, from where it is published.

``source`` finds the repositories, ``listing`` and ``hub`` tell what they hold, ``client`` and
``elsewhere`` ask for bytes, ``stream`` goes on after what goes wrong on the way, ``remote`` makes
a file of it that can be read like one on a disk. Plans, transfers and receipts are those of an
export.
"""
