"""A visit as it will stand in the release: its series with their rows, and what else is said."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mrrate_bids.importing.source import Files, Visit
from mrrate_bids.naming import SeriesName, StudyName
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import METADATA, Output
from mrrate_bids.sidecars import reads_as_contrast

__all__ = ['CONTRAST', 'Intake', 'Rejected', 'Scan']

CONTRAST = ('contrast_enhanced', 'is_contrast_enhanced')
"""Columns of the metadata that tell whether a contrast agent was given."""


@dataclass(slots=True)
class Scan:
    """A series: its image in the dataset and its row of the metadata."""

    name: SeriesName
    cells: dict[str, str]
    """The cells that are not empty, by column."""

    image: str = ''
    """Path of the raw image inside the dataset; empty where it was not exported."""

    number: int | None = None
    """Where its row stood in the table it came from."""

    raw: str | None = None
    """The row as it stood, where it was spelt in an odd way."""

    convert: bool = False
    """Whether the image must be stored in another way first."""

    released: bool = False
    """Whether the image is as a release published it: it has no face."""

    @property
    def stem(self) -> str:
        """The name of the image without its suffix, and so of what was made from it."""
        return self.image.rpartition('/')[2].partition('.')[0].rpartition('_')[0]

    @property
    def contrast(self) -> bool:
        """Whether its row says that a contrast agent was given."""
        return any(reads_as_contrast(self.cells.get(column, '')) for column in CONTRAST)

    @property
    def suffix(self) -> str:
        """The BIDS suffix of the image."""
        return self.image.rpartition('/')[2].partition('.')[0].rpartition('_')[2]


@dataclass(frozen=True, slots=True)
class Rejected:
    """An image that does not come into the release, and the rule that keeps it out."""

    image: str
    rule: str
    value: str
    limit: str


@dataclass
class Intake:
    """What a visit brings into the release."""

    visit: Visit
    files: Files
    scans: dict[str, Scan] = field(default_factory=dict)
    """By series_id, the centre first."""

    centre: str = ''
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Its records in reports, labels and splits, as a receipt has them."""

    extra: list[dict[str, Any]] = field(default_factory=list)
    """Rows of the metadata that have no image, as a receipt has them."""

    gone: dict[str, set[int]] = field(default_factory=dict)
    """Numbers of the rows that an export took over and that were removed since, by table."""

    exported: dict[str, Output] = field(default_factory=dict)
    """What was exported, by path relative to the raw dataset."""

    exported_at: int = 0
    """When it had ended, in ns."""

    rejected: list[Rejected] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    guarded: bool = False
    """Whether nothing of it may show a face."""

    set_aside: bool = False
    """Whether nothing of it may be written: it contradicts itself, or lacks what it must have."""

    @property
    def name(self) -> StudyName:
        """Patient and study."""
        return StudyName(self.visit.patient, self.visit.study)

    @property
    def is_removed(self) -> bool:
        """Whether every series that was exported is gone, and none came instead."""
        return bool(self.gone.get(METADATA)) and not self.scans and not self.rejected

    def is_as_exported(self, path: str, crc: int | None) -> bool:
        """Tell whether the export knew a file by this checksum; ``None`` stands for no file."""
        exported = self.exported.get(path)
        return crc == (exported.crc32 if exported else None)

    def complain(
        self, message: str, remedy: str, *, file: str = '', series: str = '', fatal: bool = False
    ) -> None:
        """Note an error; a *fatal* one keeps the whole study out of the release."""
        self.set_aside = self.set_aside or fatal
        self._note('error', message, remedy, file=file, series=series)

    def remark(self, message: str, remedy: str = '', *, file: str = '', series: str = '') -> None:
        """Note a warning."""
        self._note('warning', message, remedy, file=file, series=series)

    def remark_replaced(self, file: str, series: str) -> None:
        """Note, once, that a file is not the one that was exported."""
        message = f'{file}: is not the file that was exported; the new one was taken'
        if not any(problem.message == message for problem in self.problems):
            self.remark(message, file=file, series=series)

    def _note(self, severity: str, message: str, remedy: str, *, file: str, series: str) -> None:
        visit = self.visit
        place = {'batch': visit.batch, 'study': visit.study, 'series': series}
        self.problems.append(Problem(severity, message, remedy, file=file or visit.label, **place))

    def column(self, name: str) -> Iterator[tuple[Scan, str]]:
        """Yield each series with its cell of a column."""
        for scan in self.scans.values():
            yield scan, scan.cells.get(name, '')
