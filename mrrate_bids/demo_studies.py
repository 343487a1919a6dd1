"""The patients, studies and series of the demonstration release. All of it is invented."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mrrate_bids.phantom_shapes import Point

__all__ = ['PATIENTS', 'STUDIES', 'Patient', 'Report', 'Series', 'Study']


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


def _cells(
    rule: str, family: str, flip: int, te: float, tr: float, ti: float | None = None, **more: str
) -> dict[str, str]:
    """Return cells as pandas prints columns of floats: ``9.0``, and nothing for a missing one."""
    return {
        'classification_rule': rule,
        'sequence_family': family,
        'FlipAngle': repr(float(flip)),
        'TI_ms': '' if ti is None else repr(float(ti)),
        'TE_ms': repr(float(te)),
        'TR_ms': repr(float(tr)),
        **more,
    }


_SKYRA = {'FieldStrength_T': '3.0', 'Manufacturer': 'Siemens', "Manufacturer'sModelName": 'Skyra'}
_SIGNA = {
    'FieldStrength_T': '1.5',
    'Manufacturer': 'GE MEDICAL SYSTEMS',
    "Manufacturer'sModelName": 'SIGNA Explorer',
    'SoftwareVersions': "['28', 'LX', 'SIGNA_LX1.MR28.0_R04_2031.b']",
    'StationName': 'MR2',
}
_INGENIA = {
    'FieldStrength_T': '1.5',
    'Manufacturer': 'Philips Medical Systems',
    "Manufacturer'sModelName": 'Ingenia Ambition X',
}

PATIENTS: tuple[Patient, ...] = (
    Patient(
        '10482',
        'F',
        'train',
        (0.97, 0.96, 0.98),
        0.0,
        (
            ((22, -24, 27), (4, 8, 4)),
            ((-23, -8, 27), (4, 7, 4)),
            ((27, 22, 20), (5, 4, 4)),
            ((-30, -50, 22), (5, 6, 5)),
            ((-40, 4, 32), (3, 3, 3)),
        ),
    ),
    Patient(
        '7731',
        'M',
        'test',
        (1.02, 1.01, 1.0),
        0.45,
        (
            ((24, 30, 14), (8, 6, 7)),
            ((-24, 30, 14), (8, 6, 7)),
            ((26, -42, 22), (8, 10, 8)),
            ((-27, -44, 22), (8, 9, 8)),
            ((27, -8, 30), (4, 9, 4)),
            ((-28, 0, 30), (3, 6, 3)),
        ),
    ),
)
"""The patients of the release."""

_FIRST_EXAM = Study(
    'K5QZ7MWB2D',
    '10482',
    'batch00',
    '2016-03-14',
    '037Y',
    _SKYRA,
    (7, -2, 3),
    (3, 12, -9),
    (
        Series(
            't1w-raw-sag',
            2,
            'PSR',
            (240, 240, 176),
            (1, 1, 1),
            't1w',
            _cells(
                "TIER1: SequenceName contains 'tfl3d'",
                'Siemens-MPRAGE (turboFLASH 3D)',
                9,
                2.32,
                2300,
                900,
            ),
            centre=(0, -6, -22),
            noise=2.6,
        ),
        Series(
            't1w-raw-axi',
            3,
            'RAS',
            (208, 238, 170),
            (0.9, 0.9, 5),
            't1w',
            _cells(
                'TIER1: SequenceName TSE + short TE/TR',
                'Siemens-TSE T1-weighted',
                150,
                9.1,
                520,
            ),
            tilt=(-6, 0, 0),
        ),
        Series(
            't2w-raw-axi',
            4,
            'LAS',
            (208, 238, 170),
            (0.8, 0.8, 5),
            't2w',
            _cells(
                'TIER1: SequenceName TSE/SPACE + TE>60',
                'Siemens-TSE/SPACE T2-weighted',
                150,
                96,
                5200,
            ),
            tilt=(-6, 0, 0),
            gain=1.4,
        ),
        Series(
            'flair-raw-axi',
            5,
            'RAS',
            (208, 238, 170),
            (0.9, 0.9, 5),
            'flair',
            _cells(
                'TIER1: SequenceName TSE/SPACE + FLAIR keyword',
                'Siemens-TSE/SPACE + FLAIR keyword',
                150,
                87,
                9000,
                2500,
            ),
            tilt=(-6, 0, 0),
            gain=0.7,
            noise=2.6,
        ),
        Series(
            'swi-raw-axi',
            7,
            'LAS',
            (208, 238, 170),
            (0.9, 0.9, 2),
            'swi',
            _cells(
                "TIER1: SequenceName 'fl3d' + SWI keyword",
                'Siemens-SWI (FLASH 3D + SWI keyword)',
                15,
                20,
                27,
            ),
            noise=1.8,
            gain=0.5,
        ),
        Series(
            't1w-raw-axi-2',
            11,
            'RAS',
            (208, 238, 170),
            (0.9, 0.9, 5),
            't1w-gd',
            _cells(
                'TIER1: SequenceName TSE + short TE/TR',
                'Siemens-TSE T1-weighted',
                150,
                9.1,
                520,
            ),
            tilt=(-6, 0, 0),
        ),
    ),
    report=Report(
        'Numbness of the left arm, "pins and needles" since [date_1]. Demyelinating disease?',
        'Sagittal 3D T1; axial T1, T2, FLAIR and SWI; axial T1 after IV contrast.',
        'There are ovoid, periventricular and juxtacortical foci of high signal on T2 and FLAIR, '
        'some of them perpendicular to the lateral ventricles; the largest, beside the right '
        'ventricle, measures 16 mm.\nAfter contrast, several lesions enhance. The ventricles, '
        'cisterns and sulci are of normal width, and SWI shows no microbleeds.\n'
        'Compared with the report of [hospital_1], there is no earlier imaging.',
        '— Periventricular and juxtacortical white matter lesions, "Dawson\'s fingers", '
        'consistent with demyelinating disease.\n— Enhancing lesions, i.e. active disease.\n'
        '— Signed by [radiologist_1] on [date_2].',
    ),
    findings=frozenset({'Demyelinating disease of central nervous system'}),
)

_SECOND_EXAM = Study(
    'V3NHT6RYPC',
    '10482',
    'batch01',
    '2017-04-02',
    '038Y',
    _SIGNA,
    (-4, 3, -2),
    (-2, 18, 6),
    (
        Series(
            't1w-raw-sag',
            2,
            'PSR',
            (230, 230, 165),
            (0.9, 0.9, 5.5),
            't1w',
            _cells(
                'TIER2: ScanSeq=SE + TE<30 + TR<1000',
                'SE-based T1w',
                90,
                9.2,
                550,
                MRAcquisitionType='2D',
                ScanningSequence='SE',
                SequenceVariant='SK',
                SequenceName='',
            ),
            centre=(0, -6, -14),
            gain=2.1,
        ),
        Series(
            't2w-raw-obl',
            3,
            'RAS',
            (208, 234, 165),
            (0.8, 0.8, 5),
            't2w',
            _cells(
                'TIER2: ScanSeq=SE + 60<=TE<=200 + TR>2000',
                'SE-based T2w',
                142,
                104.5,
                4850,
                MRAcquisitionType='2D',
                ScanningSequence='SE',
                SequenceVariant='SK',
                SequenceName='fse-xl',
            ),
            tilt=(-31, 4, 0),
            gain=2.6,
        ),
        Series(
            'flair-raw-cor',
            4,
            'LIA',
            (208, 190, 195),
            (0.9, 0.9, 5),
            'flair',
            _cells(
                'TIER2: ScanSeq has IR + TE>100 + TR>4000',
                'IR-based T2-FLAIR',
                160,
                118,
                8800,
                2340,
                MRAcquisitionType='2D',
                ScanningSequence="['SE', 'IR']",
                SequenceVariant='SK',
                SequenceName='flair',
            ),
            centre=(0, -16, -4),
            noise=3.0,
            dtype='float32',
        ),
        Series(
            'mra-raw-axi',
            6,
            'LAS',
            (200, 224, 141),
            (0.8, 0.8, 1.5),
            'mra',
            _cells(
                'TIER2: ScanSeq=GR + MRA keyword',
                'GR-based MRA/TOF',
                20,
                2.7,
                23,
                MRAcquisitionType='3D',
                ScanningSequence='GR',
                SequenceVariant="['SS', 'SP']",
                SequenceName='tof3d',
            ),
            centre=(0, -8, -10),
            noise=1.8,
            gain=0.9,
        ),
    ),
    segmented=False,
    report=Report(
        '',
        'Sagittal T1, oblique T2, coronal FLAIR, 3D TOF angiography, all without contrast.',
        'The known periventricular lesions are unchanged against [date_1], in number and size. '
        'No new lesion is seen.\nThe internal carotid, vertebral, basilar, anterior, middle and '
        'posterior cerebral arteries are patent.',
        '— Stable demyelinating lesions, no sign of progression.\n— Normal TOF angiography.',
    ),
    findings=frozenset({'Demyelinating disease of central nervous system'}),
)

_OLD_EXAM = Study(
    '2END5JBWVA',
    '7731',
    'batch00',
    '2018-11-20',
    '091Y',
    _INGENIA,
    (10, 1, -4),
    (1, 22, -14),
    (
        Series(
            't1w-raw-axi',
            301,
            'RAS',
            (212, 240, 170),
            (0.9, 0.9, 5),
            't1w',
            _cells(
                'TIER4: TE<20 + TR<3000',
                'Numeric T1w (short TE, appropriate TR)',
                69,
                12,
                576,
            ),
            noise=2.8,
            gain=1.7,
            dtype='float32',
        ),
        Series(
            't2w-raw-cor',
            401,
            'SLA',
            (190, 212, 200),
            (0.9, 0.9, 5),
            't2w',
            _cells(
                'TIER1: PulseSequenceName=T2TSE/T2SE',
                'Philips-T2TSE (Turbo Spin Echo)',
                90,
                100,
                4120,
            ),
            centre=(0, -16, -4),
            gain=1.2,
            noise=2.8,
        ),
        Series(
            'flair-raw-axi',
            501,
            'LAS',
            (212, 240, 170),
            (0.9, 0.9, 5),
            'flair',
            _cells(
                'TIER3: FLAIR keyword',
                'Keyword-matched FLAIR',
                90,
                125,
                10000,
                2800,
            ),
            noise=3.2,
            gain=1.5,
        ),
        Series(
            'swi-raw-axi',
            601,
            'RAS',
            (212, 240, 170),
            (0.9, 0.9, 2),
            'swi',
            _cells(
                'TIER1: PulseSequenceName=SWIp',
                'Philips-SWIp (Susceptibility-Weighted Imaging)',
                17,
                12.5,
                51,
            ),
            noise=2.2,
            gain=0.8,
        ),
    ),
)

STUDIES: tuple[Study, ...] = (_FIRST_EXAM, _SECOND_EXAM, _OLD_EXAM)
"""The studies of the release."""
