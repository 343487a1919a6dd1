"""A study under check: its files in every dataset, its receipts, and where findings go."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mrrate_bids.checks.tally import Tally
from mrrate_bids.checks.tree import Dataset, Tree, read_rows, study_of
from mrrate_bids.errors import NamingError, TableError
from mrrate_bids.images import Header
from mrrate_bids.naming import BidsFile, parse_bids_path, scans_path
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import Receipt

__all__ = ['Study', 'is_yes', 'parse']


@dataclass
class Study:
    """A session of a subject, or what a subject has outside of sessions."""

    tree: Tree
    subject: str
    session: str
    """The label; empty outside of sessions."""

    files: dict[str, list[str]]
    """Paths inside their dataset, by dataset."""

    tally: Tally
    receipts: list[Receipt] = field(default_factory=list)
    headers: dict[str, Header] = field(default_factory=dict)
    """Headers of whole images, by path in the naming table."""

    def each(self, *endings: str) -> Iterator[tuple[Dataset, str, Path]]:
        """Yield dataset, path in the naming table and place of the files with these endings."""
        for name, paths in self.files.items():
            dataset = self.tree.datasets[name]
            for path in paths:
                if path.endswith(endings):
                    yield dataset, dataset.table_path(path), dataset.root / path

    def find(
        self,
        check: str,
        table_path: str,
        message: str,
        remedy: str,
        *,
        severity: str = 'error',
    ) -> None:
        """Keep a finding about a file of this study."""
        parts = table_path.split('/')
        dataset = parts[1] if parts[0] == 'derivatives' else ''
        batch = self.receipts[0].batch if self.receipts else ''
        named = parse(table_path)
        problem = Problem(
            severity,
            f'{parts[-1]}: {message}',
            remedy,
            batch=batch,
            study=study_of(table_path),
            series=str(named.series) if named else '',
            file=table_path,
        )
        self.tally.add(check, dataset, problem)

    @property
    def folder(self) -> str:
        """The folder of the study inside a dataset."""
        return f'{self.subject}/ses-{self.session}' if self.session else self.subject

    @property
    def scans_path(self) -> str:
        """The scans table, as the naming table spells it."""
        return scans_path(self.folder)

    @cached_property
    def scans(self) -> list[dict[str, str]]:
        """The rows of the scans table, which may be that of a raw dataset that is linked to."""
        path = self.tree.locate(self.scans_path)
        try:
            return list(read_rows(path)) if path and path.exists() else []
        except TableError:
            return []  # the check of tables says so

    @cached_property
    def centre(self) -> BidsFile | None:
        """The centre series; ``None`` when none or several are marked."""
        for receipt in self.receipts:
            for output in receipt.outputs:
                if output.kind and output.series == receipt.centre:
                    return parse(output.path)
        marked = [row for row in self.scans if is_yes(row.get('is_center_modality', ''))]
        return parse(f'{self.folder}/{marked[0].get("filename")}') if len(marked) == 1 else None


def is_yes(cell: str) -> bool:
    """Tell whether a cell of ``is_center_modality`` marks the centre."""
    return cell.strip().lower() in {'true', '1'}


def parse(table_path: str) -> BidsFile | None:
    """Read a path by the naming table; ``None`` for a file that no release has."""
    try:
        return parse_bids_path(table_path)
    except (NamingError, ValueError):
        return None
