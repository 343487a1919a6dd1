"""The patients, studies and series of the demonstration release, from ``templates/demo.toml``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mrrate_bids.phantom_shapes import Point
from mrrate_bids.templates import read_toml

__all__ = ['Patient', 'Report', 'Series', 'Study', 'patients', 'studies']


@dataclass(frozen=True)
class Patient:
    """A person: what the tables say, and the shape of the head.

    Parameters
    ----------
    uid, sex, split
        As in the CSVs.
    scale
        Size of the head along x, y and z; 1 is the MNI brain.
    atrophy
        As :func:`~mrrate_bids.phantom.build_head` takes it.
    lesions
        Centre and radii in mm, in head space.
    """

    uid: str
    sex: str
    split: str
    scale: tuple[float, float, float]
    atrophy: float
    lesions: tuple[tuple[Point, Point], ...]


@dataclass(frozen=True)
class Series:
    """A series: how it was scanned, and its own cells of the metadata CSV.

    Parameters
    ----------
    uid
        The ``series_id``.
    number
        The ``SeriesNumber``.
    codes, field, spacing, centre, tilt
        The grid: direction of the voxel axes, least field of view and spacing in mm along them,
        centre in head space in mm, and tilt in degrees about x, y, z.
    contrast
        One of the contrasts of the phantom.
    noise
        In percent of the signal of fat in T1w.
    gain
        What the signal is multiplied with.
    dtype
        ``uint16`` or ``float32``.
    cells
        Columns that differ between series.
    """

    uid: str
    number: int
    codes: str
    field: tuple[float, float, float]
    spacing: tuple[float, float, float]
    contrast: str
    cells: Mapping[str, str]
    centre: Point = (0, -8, 6)
    tilt: tuple[float, float, float] = (0, 0, 0)
    noise: float = 2.2
    gain: float = 1.0
    dtype: str = 'uint16'


@dataclass(frozen=True)
class Report:
    """A radiology report by section."""

    clinical_information: str
    technique: str
    findings: str
    impression: str

    @property
    def text(self) -> str:
        """The whole report."""
        sections = (
            ('Clinical Information', self.clinical_information),
            ('Technique', self.technique),
            ('Findings', self.findings),
            ('Impression', self.impression),
        )
        return '\n\n'.join(f'{name}:\n{text}' for name, text in sections if text)


@dataclass(frozen=True)
class Study:
    """An examination.

    Parameters
    ----------
    uid, patient, batch, date, age
        As in the CSVs.
    cells
        Columns that are the same for all its series.
    turn, shift
        How the head lies in the scanner, in degrees and mm.
    series
        In the order of the exam; the first T1w is the centre.
    segmented
        Whether the release has segmentations of it.
    report
        ``None`` when it has none.
    findings
        Labels that are positive.
    """

    uid: str
    patient: str
    batch: str
    date: str
    age: str
    cells: Mapping[str, str]
    turn: tuple[float, float, float]
    shift: tuple[float, float, float]
    series: tuple[Series, ...]
    segmented: bool = True
    report: Report | None = None
    findings: frozenset[str] = field(default_factory=frozenset)


@cache
def patients() -> tuple[Patient, ...]:
    """Return the people of the demonstration."""
    return tuple(Patient(**_frozen(record)) for record in read_toml('demo.toml')['patient'])


@cache
def studies() -> tuple[Study, ...]:
    """Return their examinations, in the order of the metadata."""
    return tuple(map(_study, read_toml('demo.toml')['study']))


def _study(record: dict[str, Any]) -> Study:
    series = tuple(Series(**_frozen(scan)) for scan in record.pop('series'))
    report = Report(**record.pop('report')) if 'report' in record else None
    findings = frozenset(record.pop('findings', ()))
    return Study(**_frozen(record), series=series, report=report, findings=findings)


def _frozen(record: dict[str, Any]) -> dict[str, Any]:
    return {key: _as_tuple(value) for key, value in record.items()}


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
