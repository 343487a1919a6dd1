"""Small releases that can be broken, and what an export must look like whatever was broken.

A release here has three studies: :data:`GOOD` and :data:`FAR`, to which nothing happens, and
:data:`VICTIM`. Its files are real NIfTI, 16³ voxels, so an export of everything takes
milliseconds.
"""

import gzip
import hashlib
import os
import stat
import subprocess
import sysconfig
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
from click.testing import CliRunner

from mrrate_bids.cli import main
from mrrate_bids.demo_tables import write_csv
from mrrate_bids.naming import REPOSITORIES
from mrrate_bids.tables import read_tsv

COMMAND = Path(sysconfig.get_path('scripts')) / 'mrrate-bids'
GOOD, VICTIM, FAR = 'GOODAAAAAA', 'VICTIMBBBB', 'FARCCCCCCC'
CENTRE, MOVING, THIRD = 't1w-raw-axi', 'flair-raw-axi', 'swi-raw-sag'
LOCK = 'sourcedata/mrrate/.finalise.lock'
METADATA = (
    'patient_uid',
    'study_uid',
    'series_id',
    'classified_modality',
    'acquisition_plane',
    'is_center_modality',
    'SeriesNumber',
    'anon_study_date',
    "Patient'sAge",
    "Patient'sSex",
    'FieldStrength_T',
    'TE_ms',
)


@cache
def volume(seed: int, *, labels: bool = False, side: int = 16, shift: float = 0.0) -> bytes:
    """Return a ``.nii.gz`` of noise, the same bytes for the same arguments."""
    noise = np.random.default_rng(seed).integers(0, 2 if labels else 256, (side,) * 3, np.uint8)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = shift
    return gzip.compress(nib.Nifti1Image(noise, affine).to_bytes(), mtime=0)


@dataclass
class Study:
    """A study: its rows of the tables, and its files by repository and path."""

    uid: str
    patient: str
    batch: str = 'batch00'
    series: tuple[str, ...] = (CENTRE, MOVING, THIRD)
    split: str = 'train'
    date: str = '20200101'
    seed: int = 0
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    rows: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.files = _files(self)
        self.rows = [
            {
                'patient_uid': self.patient,
                'study_uid': self.uid,
                'series_id': series,
                'classified_modality': {'t1w': 'T1w', 'flair': 'FLAIR'}.get(series[:-8], 'SWI'),
                'acquisition_plane': 'AXIAL',
                'is_center_modality': str(number == 0),
                'SeriesNumber': f'{number + 1}.0',
                'anon_study_date': self.date,
                "Patient'sAge": '042Y',
                "Patient'sSex": 'F',
                'FieldStrength_T': '1.5',
                'TE_ms': '15.97',
            }
            for number, series in enumerate(self.series)
        ]

    def zip_of(self, root: Path, repository: str = 'MR-RATE') -> Path:
        """Return where a zip of the study lies."""
        name = REPOSITORIES[repository].format(study=self.uid)
        return root / repository / 'mri' / self.batch / name

    def folder_of(self, root: Path, repository: str = 'MR-RATE') -> Path:
        """Return where the extracted files of a repository lie."""
        return root / repository / 'mri' / self.batch / self.uid

    def image(self, series: str = CENTRE) -> str:
        """Return the path of an image inside the study folder."""
        return f'img/{self.uid}_{series}.nii.gz'

    def mask(self, series: str = CENTRE) -> str:
        """Return the path of a brain mask inside the study folder."""
        return f'seg/{self.uid}_{series}_brain-mask.nii.gz'


def _files(study: Study) -> dict[str, dict[str, bytes]]:
    uid, seed = study.uid, 100 * study.seed
    found: dict[str, dict[str, bytes]] = {name: {} for name in list(REPOSITORIES)[:4]}
    for number, series in enumerate(study.series):
        native, coreg, atlas, seg = found.values()
        centre, here = number == 0, seed + 10 * number
        masks = {
            name: volume(here + 1 + n, labels=True)
            for n, name in enumerate(('brain-mask', 'defacing-mask'))
        }
        native[f'img/{uid}_{series}.nii.gz'] = volume(here)
        coreg_name = f'{uid}_{series}' if centre else f'{uid}_coreg_{series}'
        coreg[f'coreg_img/{coreg_name}.nii.gz'] = volume(here if centre else here + 3)
        atlas[f'atlas_img/{uid}_atlas_{series}.nii.gz'] = volume(here + 4, side=12)
        seg[f'seg/{uid}_{series}_nvseg-ctmr-wb.nii.gz'] = volume(here + 5, labels=True)
        for name, data in masks.items():
            native[f'seg/{uid}_{series}_{name}.nii.gz'] = data
            if centre:
                coreg[f'coreg_seg/{uid}_{series}_{name}.nii.gz'] = data
                small = volume(here + 6, labels=True, side=12)
                atlas[f'atlas_seg/{uid}_atlas_{series}_{name}.nii.gz'] = small
        if centre:
            atlas[f'transform/M_atlas_{series}.mat'] = b'atlas transform %d' % here
            brain = volume(here + 7, labels=True)
            seg[f'seg/{uid}_{series}_nvseg-ctmr-brain.nii.gz'] = brain
        else:
            coreg[f'transform/M_coreg_{series}.mat'] = b'coreg transform %d' % here
    return found


def three_studies() -> list[Study]:
    """Return the studies of a release in which nothing is wrong yet."""
    return [
        Study(GOOD, '11', series=(CENTRE,), seed=1),
        Study(VICTIM, '22', seed=2, split='val'),
        Study(FAR, '33', 'batch01', (CENTRE,), seed=3, split='test'),
    ]


def write_zip(
    path: Path,
    members: Mapping[str, bytes],
    *,
    prefix: str = '',
    method: int = zipfile.ZIP_STORED,
) -> None:
    """Write a zip with members under *prefix*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(prefix + name)
            info.compress_type = method
            archive.writestr(info, data)


def write_files(folder: Path, members: Mapping[str, bytes]) -> None:
    """Write files below a folder, as if a zip had been extracted."""
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def write_release(root: Path, studies: Iterable[Study], *, layout: str = 'zip') -> Path:
    """Write a release; *layout* is ``zip``, ``extracted`` or ``merged``."""
    studies = list(studies)
    for study in studies:
        for repository, members in study.files.items():
            if not members:
                continue
            if layout == 'zip':
                write_zip(study.zip_of(root, repository), members, prefix=f'{study.uid}/')
            else:
                home = repository if layout == 'extracted' else 'MR-RATE'
                write_files(study.folder_of(root, home), members)
    write_tables(root, studies)
    return root


def write_tables(root: Path, studies: Iterable[Study]) -> None:
    """Write every CSV of the release."""
    studies, home = list(studies), root / 'MR-RATE'
    for batch in {study.batch for study in studies}:
        here = [study for study in studies if study.batch == batch]
        rows = [row for study in here for row in study.rows]
        header = dict.fromkeys([*METADATA, *(name for row in rows for name in row)])
        write_csv(home / f'metadata/{batch}_metadata.csv', header, rows)
        reports = [{'study_uid': s.uid, 'report': f'Head of {s.uid}.\nNormal.'} for s in here]
        write_csv(home / f'reports/{batch}_reports.csv', ('study_uid', 'report'), reports)
    unique = {study.uid: study for study in reversed(studies)}.values()
    labels = [{'study_uid': study.uid, 'Gliosis': '1'} for study in unique]
    write_csv(home / 'pathology_labels/mrrate_labels.csv', ('study_uid', 'Gliosis'), labels)
    names = {'batch_id': 'batch', 'patient_uid': 'patient', 'study_uid': 'uid', 'split': 'split'}
    splits = [{name: getattr(s, kept) for name, kept in names.items()} for s in unique]
    write_csv(home / 'splits.csv', names, splits)


@dataclass
class Run:
    """What a run of the command said."""

    code: int
    output: str


def export(source: Path, target: Path, *options: str) -> Run:
    """Run ``mrrate-bids export`` in this process; an exception fails the test."""
    done = CliRunner().invoke(main, ['export', str(source), str(target), *options])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert 'Traceback' not in done.output
    return Run(done.exit_code, done.output)


def command(*arguments: object, timeout: float = 60, **options: object) -> Run:
    """Run the installed command in a process of its own."""
    done = subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )
    output = done.stdout + done.stderr
    assert 'Traceback' not in output, output
    return Run(done.returncode, output)


def tree(root: Path) -> dict[str, str]:
    """Return every path below *root* with a digest of what is there; the lock is left out."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = Path(folder, name)
            where = path.relative_to(root).as_posix()
            if where != LOCK:
                found[where] = _digest(path)
    return found


def _digest(path: Path) -> str:
    if path.is_symlink():
        return f'-> {path.readlink()}'
    return 'folder' if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()


def links(root: Path) -> set[frozenset[str]]:
    """Return the groups of files that share an inode below *root*."""
    inodes: dict[int, set[str]] = {}
    for where in files(root):
        inodes.setdefault((root / where).stat().st_ino, set()).add(where)
    return {frozenset(names) for names in inodes.values() if len(names) > 1}


def files(root: Path) -> set[str]:
    """Return the paths of all files below *root*, without the lock."""
    return {where for where in tree(root) if not (root / where).is_dir()}


def stamps(root: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of change of every file below *root*, without locks.

    A folder is left out: a table that is compared with a new one lies next to it for a moment.
    """
    found = {where: (root / where).lstat() for where in tree(root)}
    return {
        where: (state.st_ino, state.st_mtime_ns)
        for where, state in found.items()
        if not stat.S_ISDIR(state.st_mode) and not where.endswith('.lock')
    }


def data_of(root: Path, patient: str) -> dict[str, str]:
    """Return the files of a patient in all datasets, with digests."""
    inside = f'sub-{patient}/'
    return {
        where: digest
        for where, digest in tree(root).items()
        if where.startswith(inside) or f'/{inside}' in where
    }


def problems(root: Path) -> list[dict[str, str]]:
    """Read the table of problems."""
    return read_tsv(root / 'sourcedata/mrrate/problems.tsv')


def assert_sound(root: Path) -> None:
    """Make sure that nothing is half-written and nothing points to what is not there."""
    for where in files(root):
        path = root / where
        assert not where.endswith('.part'), where
        if where.endswith('.nii.gz'):
            data = gzip.decompress(path.read_bytes())
            image = nib.Nifti1Image.from_bytes(data)
            assert len(data) == 352 + np.prod(image.shape), where
        if where.endswith('.mat'):
            assert path.stat().st_size, where
        if where.startswith(('sub-', 'derivatives/')) and where.endswith('.json'):
            stem = path.name.removesuffix('.json')
            inside = path.parent.name == 'anat'
            assert not inside or list(path.parent.glob(f'{stem}.*[!n]')), where


def assert_settled(source: Path, target: Path, first: Run, *options: str) -> None:
    """Make sure that the same command says the same again and writes nothing."""
    before, seen = stamps(target), problems(target)
    again = export(source, target, *options)
    assert again.code == first.code
    assert problems(target) == seen
    assert stamps(target) == before


Break = Callable[[Path, Study], object]
