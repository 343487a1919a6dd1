"""Pairs of images whose rigid motion is known."""

import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from common.places import SHARED
from mrrate_bids.computing.scans import Scan, read_scan, write_like, write_mask
from mrrate_bids.phantom import build_head
from mrrate_bids.phantom_scan import acquire, rigid, scan_grid

_MOTIONS = {
    'inverted': ((7, 5, 9), (6, -9, 5), (0.9, 0.9, 5.5)),
    't2': ((-12, 8, 15), (15, -10, 8), (0.6, 0.6, 3.0)),
    'flair': ((25, -5, 10), (-20, 15, 12), (0.9, 0.9, 5.0)),
    'swi': ((4, -6, -25), (10, 25, -15), (0.7, 0.7, 2.0)),
    'same': ((-15, 10, -8), (30, 0, 0), (1.0, 1.0, 1.0)),
}
"""Contrast: degrees about x, y, z; shift in mm; spacing of the moving image in mm."""

_ELSEWHERE = (
    ((9, -7, 12), (14, -11, 9)),
    ((-6, 10, -8), (-9, 6, 13)),
    ((12, 4, -10), (5, -14, -7)),
)
"""The same of motions that are added to real pairs."""


class Case(NamedTuple):
    """A pair of images."""

    name: str
    fixed: Path
    brain: Path
    moving: Path
    truth: NDArray[np.float64] | None
    """4x4, from points of the fixed image to points of the moving one, RAS mm."""


def known_motions(work: Path) -> Iterator[Case]:
    """Yield the real head with known motions, contrasts and slices, then the phantom."""
    if SHARED.is_dir():
        yield from _real(work)
    else:
        print(f'left out: the real heads, there is no {SHARED}')
    yield from _phantom(work)


def _real(work: Path) -> Iterator[Case]:
    source = SHARED / 'chris/chris_t1.nii.gz'
    scan, brain = read_scan(source), find_brain(source, work)
    rng = np.random.default_rng(0)
    for name, (degrees, shift, spacing) in _MOTIONS.items():
        truth, target = _motion(scan, degrees, shift), work / f'chris_{name}.nii.gz'
        _write_moved(scan, _recoloured(scan.values, name), truth, spacing, target, rng)
        yield Case(f'chris {name} {spacing[2]} mm', source, brain, target, truth)


def find_brain(image: Path, work: Path) -> Path:
    """Return the brain mask of a T1w, by deepbet."""
    from mrrate_bids.computing.deepbet import DeepBet

    target = work / f'brain_{image.name}'
    if not target.exists():
        scan = read_scan(image)
        write_mask(scan, DeepBet.load(device='cpu').mask(scan), target)
    return target


def _centre(scan: Scan) -> NDArray[np.float64]:
    return (scan.affine @ [*((np.array(scan.values.shape) - 1) / 2), 1])[:3]


def _motion(scan: Scan, degrees, shift) -> NDArray[np.float64]:
    there, back = np.eye(4), np.eye(4)
    there[:3, 3], back[:3, 3] = _centre(scan), -_centre(scan)
    return there @ rigid(degrees, shift) @ back


def _recoloured(values: NDArray, contrast: str) -> NDArray[np.float32]:
    """Return a T1w with the grey levels of another contrast."""
    x = values / values.max()
    air = x <= 0.08
    curves = {
        'inverted': 1 - x,
        't2': np.exp(-3 * x) * 1.2,
        'flair': np.abs(np.sin(np.pi * (x - 0.05))),
        'swi': 0.5 + 0.3 * np.tanh(4 * (x - 0.4)),
        'same': x,
    }
    return (np.where(air, 0.02, curves[contrast]) * 1000).astype(np.float32)


def _write_moved(scan, values, truth, spacing, target, rng) -> None:
    """Write an image as a scanner sees the moved head: thick slices, shading and noise."""
    spacing = np.array(spacing)
    shape = np.ceil(np.array(scan.values.shape) * scan.spacing / spacing).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = _centre(scan) - spacing * (shape - 1) / 2
    count = max(1, round(spacing[2] / scan.spacing[2]))
    total = np.zeros(shape)
    for step in (np.arange(count) - (count - 1) / 2) / count:
        shifted = affine.copy()
        shifted[:3, 3] += affine[:3, 2] * step
        matrix = np.linalg.inv(scan.affine) @ np.linalg.inv(truth) @ shifted
        total += ndimage.affine_transform(values, matrix, output_shape=tuple(shape), order=1)
    shading = 1 + 0.15 * np.linspace(-1, 1, shape[0])[:, None, None]
    noisy = np.maximum(total / count * shading + rng.normal(0, 15, shape), 0)
    nib.save(nib.Nifti1Image(noisy.astype(np.uint16), affine), target)


def _phantom(work: Path) -> Iterator[Case]:
    head = build_head(voxel=2.0, seed=7)
    rng = np.random.default_rng(1)
    upright = np.eye(4)

    def scan(contrast: str, spacing, world, name: str) -> Path:
        grid = scan_grid('LAS', field=(200, 230, 200), spacing=spacing, pose=upright)
        values = acquire(head, contrast, grid, world_from_head=world, noise=2.0, rng=rng)
        path = work / f'phantom_{name}.nii.gz'
        nib.save(nib.Nifti1Image(np.asarray(values, np.float32), grid.affine), path)
        return path

    fixed = scan('t1w', (1.5, 1.5, 1.5), upright, 'fixed')
    brain = find_brain(fixed, work)
    for contrast, degrees, shift, spacing in (
        ('t2w', (12, -8, 10), (10, -15, 8), (1.0, 1.0, 4.0)),
        ('flair', (-20, 6, 15), (-20, 10, 15), (1.0, 1.0, 5.0)),
    ):
        truth = rigid(degrees, shift)
        moving = scan(contrast, spacing, truth, contrast)
        yield Case(f'phantom {contrast} {spacing[2]} mm', fixed, brain, moving, truth)


def real_pairs(work: Path) -> Iterator[Case]:
    """Yield real pairs of one person, whose motion nobody knows."""
    if not SHARED.is_dir():
        return
    fixed = SHARED / 'tcga-fg-6692/TCGA-FG-6692_T1w.nii.gz'
    brain = find_brain(fixed, work)
    for name in ('T1wCE', 'T2w', 'FLAIR'):
        moving = SHARED / f'tcga-fg-6692/TCGA-FG-6692_{name}.nii.gz'
        yield Case(f'TCGA {name}', fixed, brain, moving, None)
    prone, supine = (_from_dicom(f'{pose}_t1_fl2d_sag', work) for pose in ('HFP', 'HFS'))
    yield Case('decubitus HFS HFP', supine, find_brain(supine, work), prone, None)


def _from_dicom(name: str, work: Path) -> Path:
    import subprocess

    folder = work / name
    with tarfile.open(SHARED / f'decubitus-dicom/{name}.tar.xz') as archive:
        archive.extractall(folder, filter='data')
    command = [
        str(Path(sys.executable).with_name('dcm2niix')),
        '-z',
        'y',
        '-b',
        'n',
        '-f',
        name,
        '-o',
        str(work),
        str(folder),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return work / f'{name}.nii.gz'


def moved(case: Case, work: Path) -> Iterator[Case]:
    """Yield the pair with its moving image elsewhere, by the header only, and with that motion."""
    scan = read_scan(case.moving)
    for number, (turn, shift) in enumerate(_ELSEWHERE):
        motion = _motion(scan, turn, shift)
        target = work / f'moved{number}_{case.moving.name}'
        write_like(scan._replace(affine=motion @ scan.affine), scan.values, target)
        yield case._replace(moving=target, truth=motion)


def points_in(brain: Path) -> NDArray[np.float64]:
    """Return points of the brain, RAS mm, homogeneous: 4 x N."""
    image = nib.load(brain)
    index = np.argwhere(np.asarray(image.dataobj) > 0)[::97]
    return image.affine @ np.c_[index, np.ones(len(index))].T


def error_mm(one: NDArray, other: NDArray, points: NDArray) -> float:
    """Return the mean distance in mm between where two transforms bring points."""
    return float(np.linalg.norm(((one - other) @ points)[:3], axis=0).mean())
