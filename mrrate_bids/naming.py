"""The bijection between MR-RATE names and BIDS names.

The rows are data, in ``templates/naming.toml``; this module reads them in both directions and is
the only one that knows what a file is called. It does no I/O beyond that table.

>>> series = SeriesName.parse('swi-raw-axi-2')
>>> study = StudyName(patient='10482', study='2END5JBWVA')
>>> path = bids_path(study, series, KINDS['image'])
>>> path
'sub-10482/ses-2END5JBWVA/anat/sub-10482_ses-2END5JBWVA_acq-axi_rec-SWI_run-02_T2starw.nii.gz'
>>> parse_bids_path(path) == BidsFile(study, series, KINDS['image'])
True
>>> member_path('2END5JBWVA', series, KINDS['coreg-image'])
'coreg_img/2END5JBWVA_coreg_swi-raw-axi-2.nii.gz'
>>> parse_member('2END5JBWVA', 'coreg_img/2END5JBWVA_coreg_swi-raw-axi-2.nii.gz').kind.name
'coreg-image'

Sources: BIDS 1.10.1, "Magnetic Resonance Imaging", "Derivatives/Imaging data types" and the
entity table; the MR-RATE dataset guide, "What is a series ID?".
"""

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from mrrate_bids.errors import NamingError
from mrrate_bids.templates import read_toml

__all__ = [
    'ATLAS',
    'COMPUTED',
    'INCLUDES',
    'KINDS',
    'NATIVE',
    'PLANES',
    'REPOSITORIES',
    'BidsFile',
    'FileKind',
    'Member',
    'SeriesName',
    'StudyName',
    'archive_path',
    'bids_path',
    'decode_label',
    'derived_name',
    'encode_label',
    'in_template',
    'member_path',
    'parse_bids_path',
    'parse_member',
    'scans_path',
    'study_folder',
    'study_stem',
]

ATLAS = 'MNI152NLin2009cSym'
"""The template of a release, as TemplateFlow calls it."""

_TABLE: dict[str, Any] = read_toml('naming.toml')
_MODALITIES: dict[str, dict[str, str]] = _TABLE['modality']
_ROLES: dict[str, str] = _TABLE['role']

PLANES: dict[str, str] = _TABLE['plane']
"""Acquisition plane of the metadata CSV by the plane of a series_id."""

REPOSITORIES: dict[str, str] = _TABLE['repository']
"""Pattern of the zip name by repository of the release."""

_PLAIN = frozenset(b'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz')
_SERIES_ID = re.compile(
    rf'({"|".join(_MODALITIES)})-({"|".join(_ROLES)})-({"|".join(PLANES)})'
    r'(?:-([2-9]|[1-9][0-9]{1,8}))?',
)


def encode_label(text: str) -> str:
    """Return *text* as a BIDS label: ``[A-Za-z0-9]`` as is, any other UTF-8 byte as ``+HH``.

    >>> encode_label('2END5JBWVA'), encode_label('a-b'), encode_label('é')
    ('2END5JBWVA', 'a+2Db', '+C3+A9')

    Raises
    ------
    NamingError
        For an empty text, which no label can stand for.
    """
    if text.isascii() and text.isalnum():
        return text
    if not text:
        raise NamingError('an empty identifier cannot become a BIDS label')
    data = text.encode('utf-8', 'surrogatepass')
    return ''.join(chr(byte) if byte in _PLAIN else f'+{byte:02X}' for byte in data)


def decode_label(label: str) -> str:
    """Return the text that :func:`encode_label` made *label* from.

    >>> decode_label('a+2Db')
    'a-b'

    Raises
    ------
    NamingError
        When no text encodes to *label*.
    """
    if label.isascii() and label.isalnum():
        return label
    try:
        data = re.sub(r'\+([0-9A-F]{2})', lambda m: chr(int(m[1], 16)), label).encode('latin-1')
        text = data.decode('utf-8', 'surrogatepass')
    except UnicodeError:
        text = ''
    if not text or encode_label(text) != label:
        raise NamingError(f'{label!r} is not a label that this package writes')
    return text


@dataclass(frozen=True, slots=True)
class StudyName:
    """A patient and a study of the release: a subject and a session in BIDS."""

    patient: str
    study: str

    @property
    def prefix(self) -> str:
        """The first two entities of every file of the study."""
        return f'sub-{encode_label(self.patient)}_ses-{encode_label(self.study)}'

    @property
    def folder(self) -> str:
        """The study's folder inside a dataset."""
        return self.prefix.replace('_ses-', '/ses-', 1)


@dataclass(frozen=True, slots=True)
class SeriesName:
    """A series of a study: one volume."""

    modality: str
    role: str
    plane: str
    repeat: int = 1

    @classmethod
    def parse(cls, series_id: str) -> 'SeriesName':
        """Read a ``series_id`` of the release.

        Raises
        ------
        NamingError
            When it is not of the form ``{modality}-{role}-{plane}[-{repeat}]``.
        """
        found = _SERIES_ID.fullmatch(series_id)
        if found is None:
            raise NamingError(f'series_id {series_id!r} is not in the naming table')
        modality, role, plane, repeat = found.groups()
        return cls(modality, role, plane, int(repeat or 1))

    def __str__(self) -> str:
        repeat = f'-{self.repeat}' if self.repeat > 1 else ''
        return f'{self.modality}-{self.role}-{self.plane}{repeat}'

    @property
    def suffix(self) -> str:
        """The BIDS suffix of the image."""
        return _MODALITIES[self.modality]['suffix']

    @property
    def reconstruction(self) -> str:
        """The value of the ``rec`` entity; empty where the name has none."""
        return _MODALITIES[self.modality].get('rec', '') + _ROLES[self.role]

    def entities(self, *, contrast: bool = False) -> str:
        """Return the entities between session and suffix; *contrast* adds ``ce-gadolinium``."""
        ce = '_ce-gadolinium' if contrast else ''
        rec = f'_rec-{self.reconstruction}' if self.reconstruction else ''
        return f'acq-{self.plane}{ce}{rec}_run-{self.repeat:02d}'


@dataclass(frozen=True, slots=True)
class FileKind:
    """A row of the naming table: a kind of file in both layouts."""

    name: str
    include: str
    repository: str
    scope: str
    member: str
    dataset: str
    bids: str
    centre: str = ''
    grid: str = ''
    folder: str = field(init=False)

    def __post_init__(self) -> None:
        folder = f'derivatives/{self.dataset}/' if self.dataset else ''
        object.__setattr__(self, 'folder', folder)

    def belongs_to(self, *, centre: bool) -> bool:
        """Tell whether the centre series, or a moving one, has a file of this kind."""
        # What a session has once, the centre stands for.
        return self.scope == 'each' or (self.scope != 'moving') == centre


def _without_kind(row: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in row.items() if key != 'kind'}


KINDS: dict[str, FileKind] = {
    row['kind']: FileKind(row['kind'], **_without_kind(row)) for row in _TABLE['file']
}
"""Every file kind by its name, in the order in which a study is written."""

NATIVE = KINDS['image'].repository
"""The repository of the native images and of all tables."""

COMPUTED: dict[str, FileKind] = {
    row['kind']: FileKind(name=row['kind'], repository='', member='', **_without_kind(row))
    for row in _TABLE['computed']
}
"""Kinds that no release has, by name."""

INCLUDES: tuple[str, ...] = tuple(dict.fromkeys(kind.include for kind in KINDS.values()))
"""The groups that ``--include`` knows."""


class BidsFile(NamedTuple):
    """What the path of a file in BIDS says."""

    study: StudyName
    series: SeriesName
    kind: FileKind
    contrast: bool = False


class Member(NamedTuple):
    """What the path of a file in a study folder of the release says."""

    series: SeriesName
    kind: FileKind
    centre: bool | None
    """Whether the name says that the series is the centre; ``None`` where it leaves that open."""


_LATE = (
    *('mod', 'echo', 'flip', 'inv', 'mt', 'part', 'proc', 'hemi', 'space', 'split', 'recording'),
    *('chunk', 'seg', 'res', 'den', 'label', 'from', 'to', 'mode', 'desc'),
)
"""The entities from ``mod`` on, in the order of BIDS: those that results have, and those of raw
images that stand among them. Of transforms BIDS knows no order."""


@cache
def _rest(kind: str, suffix: str) -> str:
    row = KINDS[kind] if kind in KINDS else COMPUTED[kind]
    return row.bids.format(X=suffix)


def bids_path(
    study: StudyName, series: SeriesName, kind: FileKind, *, contrast: bool = False
) -> str:
    """Return the path of a file relative to the root of the raw BIDS dataset."""
    entities = series.entities(contrast=contrast)
    rest = _rest(kind.name, series.suffix)
    return f'{kind.folder}{study.folder}/anat/{study.prefix}_{entities}{rest}'


def member_path(
    study_uid: str, series: SeriesName | str, kind: FileKind, *, centre: bool = False
) -> str:
    """Return the path of a file inside its study folder of the release."""
    pattern = kind.centre if centre and kind.centre else kind.member
    return pattern.format(study=study_uid, series=series)


def study_stem(folder: str) -> str:
    """Return how the names of the files of a study begin, by its folder in a dataset.

    >>> study_stem('sub-01/ses-1')
    'sub-01_ses-1'
    """
    return folder.replace('/', '_')


def scans_path(folder: str) -> str:
    """Return where the scans table of a study is, by its folder in a dataset."""
    return f'{folder}/{study_stem(folder)}_scans.tsv'


def derived_name(kind: FileKind, stem: str, suffix: str) -> str:
    """Return the name of a file that was made from a raw image, whoever named that image.

    Parameters
    ----------
    kind
        What was made.
    stem, suffix
        The name of the raw image is ``{stem}_{suffix}.nii.gz``.

    >>> derived_name(KINDS['brain-mask'], 'sub-01_run-1', 'T1w')
    'sub-01_run-1_space-orig_label-brain_desc-T1w_mask.nii.gz'
    >>> derived_name(KINDS['defacing-mask'], 'sub-01_run-1_echo-1', 'T1w')
    'sub-01_run-1_mod-T1w_echo-1_space-orig_defacemask.nii.gz'
    """
    *entities, last = f'{stem}{_rest(kind.name, suffix)}'.split('_')
    return '_'.join([*sorted(entities, key=_rank), last])


def _rank(entity: str) -> int:
    """Return where an entity stands; those in front of ``mod`` keep their places."""
    name = entity.partition('-')[0]
    return _LATE.index(name) if name in _LATE else -1


def in_template(name: str, template: str, resolution: int) -> str:
    """Return the name of a file in atlas space as it is for another template.

    >>> in_template('sub-1_space-MNI152NLin2009cSym_res-1_T1w.nii.gz', 'MNI152Lin', 2)
    'sub-1_space-MNI152Lin_res-2_T1w.nii.gz'
    """
    name = name.replace(f'{ATLAS}_res-1', f'{template}_res-{resolution}')
    return name.replace(f'to-{ATLAS}', f'to-{template}')


def study_folder(repository: str, batch: str, study_uid: str) -> str:
    """Return where the extracted files of a study lie, relative to the release.

    >>> study_folder('MR-RATE', 'batch00', '2END5JBWVA')
    'MR-RATE/mri/batch00/2END5JBWVA'
    """
    return f'{repository}/mri/{batch}/{study_uid}'


def archive_path(repository: str, batch: str, study_uid: str) -> str:
    """Return where the zip of a study lies, relative to the release.

    >>> archive_path('MR-RATE-coreg', 'batch00', '2END5JBWVA')
    'MR-RATE-coreg/mri/batch00/2END5JBWVA_coreg.zip'
    """
    return study_folder(repository, batch, REPOSITORIES[repository].format(study=study_uid))


@cache
def _by_rest() -> dict[tuple[str, str], tuple[FileKind, str]]:
    """Kind and suffix by dataset folder and what stands behind the run entity."""
    suffixes = {row['suffix'] for row in _MODALITIES.values()}
    return {
        (kind.folder, _rest(kind.name, suffix)): (kind, suffix)
        for kind in KINDS.values()
        for suffix in suffixes
    }


@cache
def _by_suffix() -> dict[tuple[str, str], tuple[str, str]]:
    """Modality and role by suffix and reconstruction."""
    names = [SeriesName(m, role, 'axi') for m in _MODALITIES for role in _ROLES]
    return {(name.suffix, name.reconstruction): (name.modality, name.role) for name in names}


_LABEL = r'[0-9A-Za-z+]+'
_BIDS_PATH = re.compile(
    rf'(?P<dataset>(?:derivatives/[^/]+/)?)sub-(?P<sub>{_LABEL})/ses-(?P<ses>{_LABEL})/anat/'
    rf'sub-(?P=sub)_ses-(?P=ses)_acq-(?P<plane>{"|".join(PLANES)})(?P<ce>_ce-gadolinium)?'
    rf'(?:_rec-(?P<rec>{_LABEL}))?_run-(?P<run>0[1-9]|[1-9][0-9]{{1,8}})(?P<rest>_.+)',
)


def parse_bids_path(path: str) -> BidsFile:
    """Read a path relative to the root of the raw BIDS dataset.

    Raises
    ------
    NamingError
        When no file of a release has this path.
    """
    found = _BIDS_PATH.fullmatch(path)
    row = _by_rest().get((found['dataset'], found['rest'])) if found else None
    roots = _by_suffix().get((row[1], found['rec'] or '')) if found and row else None
    if found is None or row is None or roots is None:
        raise NamingError(f'{path} is not in the naming table')
    series = SeriesName(*roots, found['plane'], int(found['run']))
    study = StudyName(decode_label(found['sub']), decode_label(found['ses']))
    file = BidsFile(study, series, row[0], found['ce'] is not None)
    if bids_path(study, series, row[0], contrast=file.contrast) != path:
        raise NamingError(f'{path} is not spelt as this package writes it')
    return file


@cache
def _member_patterns() -> list[tuple[re.Pattern[str], FileKind, bool | None]]:
    series = f'(?P<series>{_SERIES_ID.pattern})'
    patterns = []
    for kind in KINDS.values():
        only = {'each': None, 'centre': True, 'moving': False}[kind.scope]
        for text, centre in ((kind.member, False if kind.centre else only), (kind.centre, True)):
            if text:
                parts = (re.escape(part) for part in text.split('{series}'))
                regex = series.join(parts).replace(re.escape('{study}'), '(?P<study>.+)')
                patterns.append((re.compile(regex, re.DOTALL), kind, centre))
    return patterns


def parse_member(study_uid: str, path: str) -> Member:
    """Read a path inside the study folder *study_uid* of the release.

    Raises
    ------
    NamingError
        When no file of a release has this path.
    """
    for regex, kind, centre in _member_patterns():
        found = regex.fullmatch(path)
        if found and found.groupdict().get('study', study_uid) == study_uid:
            return Member(SeriesName.parse(found['series']), kind, centre)
    raise NamingError(f'{path} is not in the naming table')
