"""The rules by which training code finds volumes, labels and splits in a release.

Written down from how such loaders behave, not from the rest of this package: whatever this package
writes must be found by them, and nothing else may be.

A data folder is ``…/mri``. Its first folder in order of name decides the layout of all: one with a
folder of the wanted space holds a study (layout 1), any other one a batch of studies (layout 2).
Every ``.nii.gz`` of a study's image folder is a volume.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

FOLDERS = {'native_space': 'img', 'coreg_space': 'coreg_img', 'atlas_space': 'atlas_img'}
SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class Volumes:
    """A study that was found, and its volumes sorted by name."""

    study: str
    paths: tuple[Path, ...]

    @property
    def series(self) -> list[str]:
        """What stands behind the study in each name."""
        return [path.name.removesuffix('.nii.gz').partition('_')[2] for path in self.paths]

    def load(self) -> list[nib.Nifti1Image]:
        """Load every volume.

        Raises
        ------
        ValueError
            For a volume that cannot be trained on, naming it.
        """
        return [_load(path) for path in self.paths]


def discover(data_folder: Path, *, space: str = 'native_space') -> dict[str, Volumes]:
    """Return the studies below a data folder that have a volume in *space*, by study_uid."""
    folders = _folders(data_folder)
    if folders and (folders[0] / space).is_dir():
        homes = {study.name: study / space / 'img' for study in folders}
    else:
        studies = (study for batch in folders for study in _folders(batch))
        homes = {study.name: study / FOLDERS[space] for study in studies}
    found = {}
    for uid, home in homes.items():
        paths = tuple(sorted(home.glob('*.nii.gz'))) if home.is_dir() else ()
        if paths:
            found[uid] = Volumes(uid, paths)
    return found


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _load(path: Path) -> nib.Nifti1Image:
    image = nib.as_closest_canonical(nib.load(path))
    if image.ndim != 3:
        raise ValueError(f'{path} has {image.ndim} dimensions')
    if min(image.header.get_zooms()) <= 0 or not np.isfinite(image.affine).all():
        raise ValueError(f'{path} has no valid affine')
    if abs(np.linalg.det(image.affine[:3, :3])) < 1e-6:
        raise ValueError(f'{path} has a flat affine')
    if not np.isfinite(image.get_fdata(dtype=np.float32)).all():
        raise ValueError(f'{path} has values that are not finite')
    return image


def read_splits(path: Path) -> dict[str, str]:
    """Return the split of each study.

    Raises
    ------
    ValueError
        When a value is none that a loader asks for.
    """
    found = {row['study_uid']: row['split'] for row in _rows(path)}
    if odd := set(found.values()) - set(SPLITS):
        raise ValueError(f'{path} has the splits {sorted(odd)}')
    return found


def read_labels(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the classes and, by study, one number for each; every column but the first is one."""
    rows = _rows(path)
    classes = [column for column in rows[0] if column not in {'study_uid', 'subject_id'}]
    key = 'study_uid' if 'study_uid' in rows[0] else 'subject_id'
    return classes, {row[key]: np.array([float(row[c]) for c in classes]) for row in rows}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))
