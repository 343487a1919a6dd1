"""The images of the demonstration release: one study scanned, defaced, aligned and segmented.

Three worlds meet here, all RAS+ mm: the head's own, which is the atlas but for the size of the
head; the scanner's, in which each series finds the head slightly moved; and voxel indices. The
rigid motion of every series is known, so that the transforms of the release are the truth.
"""

import gzip
import io
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from mrrate_bids.demo_studies import Patient, Series, Study
from mrrate_bids.naming import KINDS, NATIVE, member_path
from mrrate_bids.phantom import Head
from mrrate_bids.phantom_parcels import label_body, label_brain
from mrrate_bids.phantom_scan import Volume, acquire, resample, rigid, scan_grid
from mrrate_bids.phantom_shapes import FloatArray

__all__ = ['Scan', 'Subject', 'prepare', 'scan_study', 'study_files']

# Normal of the defacing plane in head space: to the front and down.
_FACEWARD = np.array([0.0, np.sin(np.deg2rad(35)), -np.cos(np.deg2rad(35))])
_MARGIN_MM = 8.0
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

Files = dict[str, dict[str, bytes]]


@dataclass(frozen=True)
class Subject:
    """A head, what is known of it in head space, and its size.

    Parameters
    ----------
    head
        The head.
    scale
        4x4, from head space to the patient's true size.
    brain_labels, body_labels
        Segmentations on the grid of the head.
    plane
        Where the defacing plane lies along its normal, in mm in head space.
    """

    head: Head
    scale: FloatArray
    brain_labels: NDArray[np.uint16]
    body_labels: NDArray[np.uint8]
    plane: float


@dataclass(frozen=True)
class Scan:
    """A series as the native repository has it.

    Parameters
    ----------
    series, volume
        What was asked for, and its grid.
    pose
        4x4 rigid, from the patient's true-size head space to the scanner's world.
    from_head
        4x4, from head space to voxel indices.
    image, brain, kept
        Defaced image, brain mask, and defacing mask (1 = kept), all on the grid.
    """

    series: Series
    volume: Volume
    pose: FloatArray
    from_head: FloatArray
    image: NDArray[Any]
    brain: NDArray[np.uint8]
    kept: NDArray[np.uint8]


def prepare(patient: Patient, head: Head) -> Subject:
    """Return *head* as the subject of studies, with its segmentations and defacing plane."""
    plane = _height(head.grid.affine, head.grid.shape)[head.brain >= 128].max() + _MARGIN_MM
    scale = np.diag([*patient.scale, 1.0])
    return Subject(head, scale, label_brain(head), label_body(head), float(plane))


def scan_study(
    study: Study, subject: Subject, *, seed: int, voxel: float, pool: Executor
) -> list[Scan]:
    """Scan every series of *study*; *voxel* coarsens the grids, the field of view stays."""

    def scan(item: tuple[int, Series]) -> Scan:
        index, series = item
        rng = np.random.default_rng([seed, *study.uid.encode(), index])
        return _scan(study, series, subject, rng=rng, voxel=voxel)

    return list(pool.map(scan, enumerate(study.series)))


def study_files(
    study: Study, scans: list[Scan], subject: Subject, *, atlas: Volume, pool: Executor
) -> Files:
    """Return the content of the study's zips: bytes by member path by repository."""
    centre = next(scan for scan in scans if scan.series.uid.startswith('t1w'))
    others = [scan for scan in scans if scan is not centre]
    jobs: list[Callable[[], Iterable[tuple[str, Scan, bytes]]]] = [
        lambda: _centre_files(study, centre, subject, atlas=atlas),
        *(lambda s=scan: _moving_files(s, centre, atlas=atlas) for scan in others),
        *(lambda s=scan: _native_files(study, s, subject) for scan in scans),
    ]
    files: Files = {}
    for made in pool.map(lambda job: list(job()), jobs):
        for kind, scan, content in made:
            path = member_path(study.uid, scan.series.uid, KINDS[kind], centre=scan is centre)
            files.setdefault(KINDS[kind].repository, {})[path] = content
    copies = {
        'image': 'coreg-image',
        'brain-mask': 'coreg-brain-mask',
        'defacing-mask': 'coreg-defacing-mask',
    }
    for source, target in copies.items():
        content = files[NATIVE][member_path(study.uid, centre.series.uid, KINDS[source])]
        path = member_path(study.uid, centre.series.uid, KINDS[target], centre=True)
        files['MR-RATE-coreg'][path] = content
    return files


def _scan(
    study: Study, series: Series, subject: Subject, *, rng: np.random.Generator, voxel: float
) -> Scan:
    """Scan one series of a head that has moved a little since the last one."""
    lying = rigid(study.turn, study.shift)
    turn, shift = rng.normal(0, 1.2, 3), rng.normal(0, 1.5, 3)
    pose = rigid(tuple(turn), tuple(shift)) @ lying
    planned = lying @ rigid((0, 0, 0), series.centre) @ rigid(series.tilt, (0, 0, 0))
    volume = scan_grid(
        series.codes,
        field=series.field,
        spacing=_coarsen(series, voxel),
        pose=planned,
    )
    world_from_head = pose @ subject.scale
    from_head = np.linalg.inv(volume.affine) @ world_from_head
    image = acquire(
        subject.head,
        series.contrast,
        volume,
        world_from_head=world_from_head,
        noise=series.noise * 10,
        rng=rng,
    )
    brain = _at(subject.head.brain, subject, volume, from_head, linear=True) >= 128
    kept = _height(np.linalg.inv(from_head), volume.shape) <= subject.plane
    image = np.where(kept, image * np.float32(series.gain), 0)
    if series.dtype == 'uint16':
        image = np.rint(image)
    return Scan(
        series,
        volume,
        pose,
        from_head,
        image.astype(series.dtype),
        brain.astype(np.uint8),
        kept.astype(np.uint8),
    )


def _coarsen(series: Series, voxel: float) -> tuple[float, float, float]:
    """Return the spacing in mm that leaves at least 16 voxels along every axis."""
    pairs = zip(series.spacing, series.field, strict=True)
    a, b, c = (float(min(s * max(voxel, 1), max(s, f / 16))) for s, f in pairs)
    return a, b, c


def _height(head_from_voxel: FloatArray, shape: tuple[int, int, int]) -> FloatArray:
    """Return how far each voxel lies towards the face, in mm in head space, as an array."""
    steps = _FACEWARD @ head_from_voxel[:3, :3]
    x, y, z = np.ix_(*(s * np.arange(n) for s, n in zip(steps, shape, strict=True)))
    return np.asarray(x + y + z + _FACEWARD @ head_from_voxel[:3, 3], dtype=np.float32)


def _at(
    data: NDArray[Any], subject: Subject, volume: Volume, from_head: FloatArray, *, linear: bool
) -> NDArray[Any]:
    """Return *data* of the head's grid on the grid of a scan."""
    matrix = np.linalg.inv(from_head @ subject.head.grid.affine)
    return resample(data, matrix=matrix, shape=volume.shape, linear=linear)


def _native_files(study: Study, scan: Scan, subject: Subject) -> Iterable[tuple[str, Scan, bytes]]:
    """Yield what the native and the segmentation repository hold of every series."""
    yield 'image', scan, _nifti(scan.image, scan.volume, level=2)
    yield 'brain-mask', scan, _nifti(scan.brain, scan.volume, level=2)
    yield 'defacing-mask', scan, _nifti(scan.kept, scan.volume, level=2)
    if study.segmented:
        body = _at(subject.body_labels, subject, scan.volume, scan.from_head, linear=False)
        yield 'nvseg-body', scan, _nifti(body * scan.kept, scan.volume, level=2)


def _centre_files(
    study: Study, centre: Scan, subject: Subject, *, atlas: Volume
) -> Iterable[tuple[str, Scan, bytes]]:
    """Yield what only the centre series has."""
    matrix = np.linalg.inv(centre.volume.affine) @ centre.pose @ atlas.affine
    yield 'atlas-image', centre, _aligned(centre.image, matrix, atlas)
    for kind, mask in (('atlas-brain-mask', centre.brain), ('atlas-defacing-mask', centre.kept)):
        moved = resample(mask, matrix=matrix, shape=atlas.shape, linear=False)
        yield kind, centre, _nifti(moved, atlas, level=2)
    yield 'atlas-transform', centre, _itk_matrix(centre.pose, about=atlas)
    if study.segmented:
        labels = _at(subject.brain_labels, subject, centre.volume, centre.from_head, linear=False)
        yield 'nvseg-brain', centre, _nifti(labels, centre.volume, level=2)


def _moving_files(scan: Scan, centre: Scan, *, atlas: Volume) -> Iterable[tuple[str, Scan, bytes]]:
    """Yield a series on the grids of the centre and of the atlas, resampled once for each."""
    to_voxel = np.linalg.inv(scan.volume.affine)
    moving_from_centre = scan.pose @ np.linalg.inv(centre.pose)
    matrix = to_voxel @ moving_from_centre @ centre.volume.affine
    yield 'coreg-image', scan, _aligned(scan.image, matrix, centre.volume)
    yield 'coreg-transform', scan, _itk_matrix(moving_from_centre, about=centre.volume)
    matrix = to_voxel @ scan.pose @ atlas.affine
    yield 'atlas-image', scan, _aligned(scan.image, matrix, atlas)


def _aligned(image: NDArray[Any], matrix: FloatArray, volume: Volume) -> bytes:
    """Return *image* on another grid as float32 NIfTI.

    Whole numbers are below the noise, and compress to half the size.
    """
    moved = resample(image, matrix=matrix, shape=volume.shape, linear=True)
    return _nifti(np.rint(moved), volume, level=1)


def _nifti(data: NDArray[Any], volume: Volume, *, level: int) -> bytes:
    """Return a gzipped NIfTI file whose bytes depend on nothing but its content."""
    image = nib.Nifti1Image(data, volume.affine)
    image.header.set_xyzt_units('mm', 'sec')
    image.set_qform(volume.affine, code=1)
    image.set_sform(volume.affine, code=1)
    return gzip.compress(image.to_bytes(), compresslevel=level, mtime=0)


def _itk_matrix(moving_from_fixed: FloatArray, *, about: Volume) -> bytes:
    """Return a rigid transform as ANTs writes it: MatlabV4, LPS, fixed points to moving points.

    Parameters
    ----------
    moving_from_fixed
        4x4 in RAS+ mm.
    about
        The fixed grid; its middle is the centre of rotation.
    """
    lps = _LPS @ moving_from_fixed @ _LPS
    middle = about.affine @ [*((n - 1) / 2 for n in about.shape), 1]
    centre = (_LPS @ middle)[:3]
    shift = lps[:3, 3] - centre + lps[:3, :3] @ centre
    parameters = np.concatenate([lps[:3, :3].ravel(), shift])
    content = {'AffineTransform_double_3_3': parameters[:, None], 'fixed': centre[:, None]}
    file = io.BytesIO()
    savemat(file, content, format='4')
    return file.getvalue()
