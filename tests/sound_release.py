"""A small release in which everything is as the dataset guide promises, to be broken by tests.

Its studies are those of :mod:`hostile`, with images of a few voxels on grids that fit, in the
types of the release; only the atlas has its true size, and is empty.
"""

import gzip
import io
from functools import cache

import hostile
import nibabel as nib
import numpy as np
from hostile import Study
from scipy.io import savemat

from mrrate_bids.naming import KINDS, PLANES, SeriesName, member_path

ATLAS = ((193, 229, 193), (-96.0, -132.0, -78.0))
SHAPES = ((6, 7, 8), (7, 8, 6), (8, 6, 7))


def affine_at(origin=(0.0, 0.0, 0.0), *, spacing=1.0) -> np.ndarray:
    """Return a voxel-to-RAS matrix without rotation, in mm."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = origin
    return affine


def nifti(data: np.ndarray, affine: np.ndarray) -> bytes:
    """Return a ``.nii.gz`` of these voxels."""
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    return gzip.compress(image.to_bytes(), 1, mtime=0)


@cache
def atlas_image(dtype: str, *, shape=ATLAS[0], origin=ATLAS[1]) -> bytes:
    """Return an empty image on a grid of the atlas."""
    return nifti(np.zeros(shape, dtype), affine_at(origin))


@cache
def matrix(scale: float = 1.0) -> bytes:
    """Return an ITK transform; rigid unless it scales."""
    parameters = np.vstack([scale * np.eye(3).reshape(9, 1), np.ones((3, 1))])
    content = {'AffineTransform_double_3_3': parameters, 'fixed': np.zeros((3, 1))}
    file = io.BytesIO()
    savemat(file, content, format='4')
    return file.getvalue()


def masks(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return a brain mask, and a defacing mask that removes the first slice."""
    brain, kept = np.zeros(shape, np.uint8), np.ones(shape, np.uint8)
    brain[2:-2, 2:-2, 2:-2] = 1
    kept[0] = 0
    return {'brain-mask': brain, 'defacing-mask': kept}


def make_sound(study: Study) -> Study:
    """Give a study files and rows in which nothing is wrong."""
    study.files = {}
    for number, series in enumerate(study.series):
        _add_series(study, series, number)
        row, name = study.rows[number], SeriesName.parse(series)
        row['acquisition_plane'] = PLANES[name.plane]
        row['array_shape'] = str(list(SHAPES[number]))
        row['array_spacing_mm'] = str([float(number + 1)] * 3)
    return study


def _add_series(study: Study, series: str, number: int) -> None:
    centre, shape = number == 0, SHAPES[number]
    affine = affine_at((number, 0, 0), spacing=number + 1)
    noise = np.random.default_rng([study.seed, number]).integers(1, 999, shape).astype(np.uint16)

    def add(kind: str, data: bytes) -> None:
        row = KINDS[kind]
        name = member_path(study.uid, series, row, centre=centre)
        study.files.setdefault(row.repository, {})[name] = data

    drawn = masks(shape)
    image = nifti(noise * drawn['defacing-mask'], affine)
    add('image', image)
    for name, mask in drawn.items():
        add(name, nifti(mask, affine))
        if centre:
            add(f'coreg-{name}', nifti(mask, affine))
            add(f'atlas-{name}', atlas_image('uint8'))
    moved = nifti(np.ones(SHAPES[0], np.float32), affine_at())
    add('coreg-image', image if centre else moved)
    add('atlas-image', atlas_image('float32'))
    add('nvseg-body', nifti(drawn['brain-mask'] * np.uint8(7), affine))
    if centre:
        add('nvseg-brain', nifti(drawn['brain-mask'] * np.uint8(9), affine))
    add('atlas-transform' if centre else 'coreg-transform', matrix())


def sound_studies() -> list[Study]:
    """Return three studies of three patients in two batches."""
    return [make_sound(study) for study in hostile.three_studies()]
