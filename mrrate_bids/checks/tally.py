"""What the checks counted and found."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from mrrate_bids.problems import Problem

__all__ = ['CHECKS', 'Finding', 'Tally']

CHECKS: dict[str, tuple[str, str]] = {
    'receipts': ('equal to receipts', 'no receipts'),
    'images': ('images whole', 'no images'),
    'masks': ('masks uint8, 0 or 1', 'no masks'),
    'transforms': ('transforms rigid', 'no transforms'),
    'grids': ('same grids', 'no known grids'),
    'references': ('BIDS URIs', 'no BIDS URIs'),
    'centres': ('one centre per study', 'no centres'),
    'tables': ('tables and folders', 'no tables'),
    'splits': ('one split per patient', 'no study_split'),
}
"""Every check: its line in the table, and why it had nothing to do."""


class Finding(NamedTuple):
    """A problem, with the check that found it and the dataset it was found in."""

    check: str
    dataset: str
    problem: Problem


@dataclass(slots=True)
class Tally:
    """Counts and findings of a part of the work."""

    files: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Files by check and dataset."""

    findings: list[Finding] = field(default_factory=list)
    bytes: int = 0
    studies: set[str] = field(default_factory=set)
    """Session labels that were seen; the receipts of all others are looked at on their own."""

    def count(self, check: str, dataset: str, number: int = 1) -> None:
        """Count files that a check looked at."""
        self.files[check, dataset] += number

    def add(self, check: str, dataset: str, problem: Problem) -> None:
        """Keep a finding."""
        self.findings.append(Finding(check, dataset, problem))

    def merge(self, other: 'Tally') -> None:
        """Add what another part of the work found."""
        self.files += other.files
        self.findings += other.findings
        self.bytes += other.bytes
        self.studies |= other.studies
