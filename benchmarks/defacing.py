"""How much face is left, and whether the brain is whole: ours beside the published program.

    python benchmarks/defacing.py

Prints the table that ``docs/explanation/defacing.md`` quotes; exits 1 when a limit is missed: no
brain voxel removed, and nowhere more face left than with nipy/quickshear or with its line on RPS
axes, both with a buffer of ten voxels. The heads: pydeface's average head with its face mask
(MRRATE_BIDS_PYDEFACE names the folder ``data`` of that package) and the bisweb head
(MRRATE_BIDS_SHARED_DATA). As they are, and resampled to 1, 3 and 6 mm slices with the head tilted
by 0 and 20 degrees, in the voxels or in the header.
"""

import itertools
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from common.cases import find_brain
from common.places import PYDEFACE, SHARED
from numpy.typing import NDArray
from scipy import ndimage

from mrrate_bids.computing.quickshear import shear
from mrrate_bids.phantom_scan import rigid

VOXELS = 10
"""The published buffer."""


class Head(NamedTuple):
    """A head whose face is known."""

    name: str
    affine: NDArray
    brain: NDArray
    face: NDArray


class Row(NamedTuple):
    """Percent of the face left and brain voxels removed by ours, nipy/quickshear, RPS line."""

    case: str
    ours: tuple[float, int]
    nipy: tuple[float, int]
    line: tuple[float, int]

    @property
    def is_missed(self) -> bool:
        """Tell whether a limit is missed."""
        return self.ours[1] > 0 or self.ours[0] > min(self.nipy[0], self.line[0])


def main() -> None:
    sys.exit(1 if report() else 0)


def report() -> int:
    """Print the table; return how many rows miss a limit."""
    print(f'face left, brain voxels removed{"ours":>16}{"nipy/quickshear":>20}{"RPS line":>16}')
    missed = 0
    for row in rows():
        cells = ''.join(f'{left:12.2f} % {lost:4}' for left, lost in row[1:])
        print(f'{row.case:30}{cells}{"  missed" if row.is_missed else ""}', flush=True)
        missed += row.is_missed
    return missed


def rows() -> Iterator[Row]:
    """Yield what the three methods do to every case."""
    for head in cases():
        kept = (shear(head.brain, head.affine), nipy(head), rps_line(head))
        yield Row(head.name, *(_count(head, keep) for keep in kept))


def _count(head: Head, keep: NDArray) -> tuple[float, int]:
    left = 100 * np.count_nonzero(head.face & (keep > 0)) / np.count_nonzero(head.face)
    return left, int(np.count_nonzero(head.brain & (keep == 0)))


def cases() -> Iterator[Head]:
    """Yield the heads, then each of them on other grids and tilted."""
    with tempfile.TemporaryDirectory() as work:
        heads = [*_pydeface(Path(work)), *_bisweb(Path(work))]
    for head in heads:
        yield head
        for tilt, slices in itertools.product((-20, 0, 20), (1.0, 3.0, 6.0)):
            if tilt or slices > 1:
                yield from _resampled(head, tilt, slices)


def _pydeface(work: Path) -> Iterator[Head]:
    source = PYDEFACE / 'mean_reg2mean.nii.gz'
    if not source.exists():
        print(f'left out: the average head, there is no {source}')
        return
    image, mask = nib.load(source), nib.load(PYDEFACE / 'facemask.nii.gz')
    face = _is_head(np.asarray(image.dataobj)) & (np.asarray(mask.dataobj) == 0)
    brain = np.asarray(nib.load(find_brain(source, work)).dataobj) > 0
    yield Head('average head', image.affine, brain, face)


def _bisweb(work: Path) -> Iterator[Head]:
    source = SHARED / 'bisweb-deface/sag_2mm.nii.gz'
    if not source.exists():
        print(f'left out: the bisweb head, there is no {source}')
        return
    image = nib.load(source)
    defaced = np.asarray(nib.load(SHARED / 'bisweb-deface/sag_2mm_defaced.nii.gz').dataobj)
    face = _is_head(np.asarray(image.dataobj)) & (defaced == 0)
    brain = np.asarray(nib.load(find_brain(source, work)).dataobj) > 0
    yield Head('bisweb head', image.affine, brain, face)


def _is_head(values: NDArray) -> NDArray:
    return values > 0.1 * np.percentile(values, 99)


def _resampled(head: Head, tilt: float, slices: float) -> Iterator[Head]:
    """Yield a head tilted about the left-right axis, on an RAS grid with thick axial slices."""
    shape = np.array(head.brain.shape)
    finest = np.linalg.norm(head.affine[:3, :3], axis=0).min()
    spacing = np.array([finest, finest, max(slices, finest)])
    centre = (head.affine @ [*((shape - 1) / 2), 1])[:3]
    count = np.ceil(abs(head.affine[:3, :3]) @ shape / spacing).astype(int)
    upright, there, back = np.diag([*spacing, 1.0]), np.eye(4), np.eye(4)
    upright[:3, 3] = centre - spacing * (count - 1) / 2
    there[:3, 3], back[:3, 3] = centre, -centre
    tilted = there @ rigid((tilt, 0, 0), (0, 0, 0)) @ back @ upright
    brain, face = (_moved(part, head.affine, tilted, count) for part in (head.brain, head.face))
    name = f'{head.name} {tilt:+d}° {slices:g} mm'
    yield Head(name, upright, brain, face)
    if tilt:
        yield Head(f'{name} header', tilted, brain, face)


def _moved(part: NDArray, affine: NDArray, target: NDArray, count: NDArray) -> NDArray:
    matrix, shape = np.linalg.inv(affine) @ target, tuple(count)
    moved = ndimage.affine_transform(part.astype(np.uint8), matrix, output_shape=shape, order=0)
    return moved > 0


def nipy(head: Head) -> NDArray:
    """Return what nipy/quickshear keeps."""
    import quickshear

    image = nib.Nifti1Image(np.ones(head.brain.shape, np.int16), head.affine)
    mask = nib.Nifti1Image(head.brain.astype(np.uint8), head.affine)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return np.asarray(quickshear.quickshear(image, mask, buff=VOXELS).dataobj)


def rps_line(head: Head) -> NDArray:
    """Return what a line through the first two hull vertices keeps, on axes turned to RPS."""
    rps = nib.orientations.axcodes2ornt('RPS')
    own = nib.io_orientation(head.affine)
    brain = nib.orientations.apply_orientation(
        head.brain, nib.orientations.ornt_transform(own, rps)
    )
    (p0, s0), (p1, s1) = _lower_hull(np.argwhere(brain.any(axis=0)))[:2]
    slope = (s1 - s0) / (p1 - p0)
    line = s0 + slope * (np.arange(brain.shape[1]) - p0) - VOXELS
    above = np.arange(brain.shape[2]) >= np.clip(line.astype(int), 0, None)[:, None]
    keep = np.broadcast_to(above, brain.shape).astype(np.uint8)
    return nib.orientations.apply_orientation(keep, nib.orientations.ornt_transform(rps, own))


def _lower_hull(points: NDArray) -> list[tuple[int, int]]:
    """Return the lower convex hull (Andrew 1979), from the front backwards."""
    hull: list[tuple[int, int]] = []
    for x, y in sorted(map(tuple, points.tolist())):
        while len(hull) > 1 and _turns_right(*hull[-2:], (x, y)):
            hull.pop()
        hull.append((x, y))
    return hull


def _turns_right(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) <= 0


if __name__ == '__main__':
    main()
