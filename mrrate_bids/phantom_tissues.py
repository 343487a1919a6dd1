"""The tissues of the simulated head, and how bright each is in each MR contrast."""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ['CONTRASTS', 'Tissue', 'signal_of']


class Tissue(IntEnum):
    """What a piece of the head is made of."""

    AIR = 0
    GREY = 1
    WHITE = 2
    CSF = 3
    BONE = 4
    MARROW = 5
    FAT = 6
    SKIN = 7
    MUSCLE = 8
    VITREOUS = 9
    ARTERY = 10
    VEIN = 11
    IRON = 12
    LESION = 13


# Mean signal per tissue, in the order of Tissue, for a receiver gain at which fat in T1w is 1000.
# Vessels follow the flow: void in spin echo, bright by inflow in TOF, dark veins in SWI.
#          air grey white csf bone marrow fat skin muscle vitreous artery vein iron lesion
CONTRASTS: dict[str, tuple[int, ...]] = {
    't1w': (0, 520, 730, 190, 60, 560, 1000, 620, 430, 190, 200, 320, 660, 430),
    't1w-gd': (0, 540, 735, 195, 65, 570, 1000, 760, 520, 195, 700, 1020, 670, 900),
    't2w': (0, 490, 330, 1000, 40, 330, 620, 330, 190, 960, 60, 160, 200, 760),
    'flair': (0, 590, 450, 90, 40, 330, 560, 330, 260, 110, 60, 170, 330, 900),
    'swi': (0, 590, 490, 700, 40, 110, 330, 380, 380, 560, 760, 70, 200, 600),
    'mra': (0, 330, 280, 120, 30, 130, 420, 330, 250, 120, 1000, 240, 230, 260),
}
"""Mean signal of every tissue by contrast: the modalities, and T1w after gadolinium."""


def signal_of(contrast: str) -> NDArray[np.floating[Any]]:
    """Return the mean signal per tissue of a contrast, indexed by :class:`Tissue`."""
    return np.array(CONTRASTS[contrast], dtype=np.float32)
