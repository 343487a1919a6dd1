"""A coarse parcellation of the simulated brain, numbered as NV-Segment-CTMR numbers it.

The classes are global indices of NV-Segment-CTMR: 214 to 345 for MRI_BRAIN, where the class of the
left side follows that of the right; 22 (brain) and 121 (spinal cord) for MRI_BODY. Positions are
head space (RAS+ mm). Borders are geometry and midpoints between centres, not anatomy.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mrrate_bids.phantom import Head
from mrrate_bids.phantom_shapes import Grid, Point, ellipsoid
from mrrate_bids.phantom_tissues import Tissue

__all__ = ['label_body', 'label_brain']

_THIRD_VENTRICLE, _FOURTH_VENTRICLE, _BRAIN_STEM = 214, 215, 220
_CEREBELLUM, _CEREBELLAR_WHITE, _WHITE, _LATERAL_VENTRICLE = 223, 225, 227, 233
_BRAIN, _CORD = 22, 121

# Class of the right side, centre and radii (mm) of the right nucleus.
_NUCLEI: tuple[tuple[int, Point, Point], ...] = (
    (229, (27, -22, -14), (7, 16, 7)),  # hippocampus
    (218, (23, -4, -18), (7, 7, 8)),  # amygdala
    (221, (13, 12, 9), (6, 14, 11)),  # caudate
    (237, (27, 2, 1), (6, 15, 10)),  # putamen
    (235, (20, -5, -1), (5, 9, 6)),  # pallidum
    (239, (11, -18, 7), (9, 14, 9)),  # thalamus
    (216, (9, 11, -7), (5, 5, 5)),  # accumbens
    (241, (10, -14, -9), (8, 9, 6)),  # ventral diencephalon
)

# Class of the right side and centre (mm) of the right gyrus.
_GYRI: tuple[tuple[int, Point], ...] = (
    (248, (6, 34, 16)),  # anterior cingulate
    (250, (38, 8, -2)),  # anterior insula
    (254, (48, -60, 32)),  # angular
    (256, (10, -80, 6)),  # calcarine
    (260, (8, -84, 24)),  # cuneus
    (266, (26, 60, 0)),  # frontal pole
    (268, (34, -46, -20)),  # fusiform
    (270, (6, 34, -22)),  # gyrus rectus
    (274, (50, -28, -26)),  # inferior temporal
    (276, (12, -66, -4)),  # lingual
    (278, (34, 36, -14)),  # lateral orbital
    (284, (40, 30, 34)),  # middle frontal
    (286, (36, -84, 12)),  # middle occipital
    (296, (58, -32, -8)),  # middle temporal
    (298, (20, -98, -2)),  # occipital pole
    (306, (6, -44, 28)),  # posterior cingulate
    (308, (8, -62, 44)),  # precuneus
    (316, (46, -24, 50)),  # postcentral
    (322, (42, -8, 50)),  # precentral
    (328, (14, 28, 52)),  # superior frontal
    (332, (56, -34, 34)),  # supramarginal
    (336, (22, -60, 60)),  # superior parietal
    (338, (58, -18, 4)),  # superior temporal
    (340, (38, 12, -34)),  # temporal pole
)


def label_brain(head: Head) -> NDArray[np.uint16]:
    """Return the MRI_BRAIN class of every voxel of the head's grid, 0 outside the brain."""
    grid = head.grid
    x, y, z = grid.coordinates(grid.all)
    left = np.broadcast_to(x < 0, grid.shape)
    tissue = np.argmax([head.fractions[Tissue(t)] for t in (1, 2, 3)], axis=0) + 1
    labels = np.zeros(grid.shape, dtype=np.uint16)
    for kind, classes in ((Tissue.WHITE, _WHITE), (Tissue.CSF, _LATERAL_VENTRICLE)):
        labels[tissue == kind] = classes
    grey = tissue == Tissue.GREY
    labels[grey] = _nearest_gyrus(grid)[grey]
    labels[(tissue == Tissue.CSF) & ~_deep(head)] = 0
    hindbrain = (z < -14) & (y < -34) & (z < -6 + 0.3 * (y + 40))
    labels[hindbrain & (tissue == Tissue.GREY)] = _CEREBELLUM
    labels[hindbrain & (tissue == Tissue.WHITE)] = _CEREBELLAR_WHITE
    for first, (cx, cy, cz), radii in _NUCLEI:
        for side in (1, -1):
            window, distance = ellipsoid(grid, (side * cx, cy, cz), radii)
            labels[window][(distance < 0) & (tissue[window] != Tissue.CSF)] = first
    labels += left & (labels > 0)
    stem = (x / 15) ** 2 + ((y + 30 + (z + 20) * -0.28) / 13) ** 2 < 1
    labels[stem & (z < -12) & (tissue != Tissue.CSF)] = _BRAIN_STEM
    middle = (tissue == Tissue.CSF) & (np.abs(x) < 4) & (labels > 0)
    labels[middle & (z < 4) & (y > -30)] = _THIRD_VENTRICLE
    labels[middle & (z < -18) & (y < -30)] = _FOURTH_VENTRICLE
    labels[head.brain < 128] = 0
    return labels


def label_body(head: Head) -> NDArray[np.uint8]:
    """Return the MRI_BODY class of every voxel of the head's grid: brain, cord, or 0."""
    labels = np.where(head.brain >= 128, _BRAIN, 0).astype(np.uint8)
    below = head.grid.window(np.array([-15.0, -70, -200]), np.array([15.0, -30, -72]))
    cord = (head.labels[below] == Tissue.WHITE) & (labels[below] == 0)
    labels[below][cord] = _CORD
    return labels


def _deep(head: Head) -> NDArray[np.bool_]:
    """Tell which voxels lie where only ventricles hold CSF."""
    x, y, z = head.grid.coordinates(head.grid.all)
    lateral = (x / 40) ** 2 + ((y + 20) / 58) ** 2 + ((z - 8) / 27) ** 2 < 1
    fourth = (x / 12) ** 2 + ((y + 46) / 10) ** 2 + ((z + 34) / 16) ** 2 < 1
    return np.asarray(lateral | fourth)


def _nearest_gyrus(grid: Grid) -> NDArray[np.uint16]:
    """Return the right-sided class of the gyrus nearest to every voxel of *grid*."""
    classes = np.array([first for first, _ in _GYRI], dtype=np.uint16)
    tree = cKDTree([centre for _, centre in _GYRI])
    # Every third voxel decides for its neighbours; the borders are arbitrary anyhow.
    coarse = Grid(grid.low, grid.high, 3 * grid.voxel)
    x, y, z = coarse.coordinates(coarse.all)
    points = np.stack(np.broadcast_arrays(np.abs(x), y, z), axis=-1)
    labels = classes[tree.query(points)[1]]
    for axis, size in enumerate(grid.shape):
        labels = labels.repeat(3, axis=axis).take(range(size), axis=axis)
    return np.asarray(labels)
