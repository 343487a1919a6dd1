"""Where vessels and iron-rich nuclei of the simulated head lie, in head space (RAS+ mm)."""

from collections.abc import Iterator

from mrrate_bids.phantom_shapes import Point

__all__ = ['IRON', 'arteries', 'veins']

Curve = tuple[float, tuple[Point, ...]]

# Radius in mm and control points; drawn on the right, mirrored to the left.
_PAIRED_ARTERIES: tuple[Curve, ...] = (
    # internal carotid: neck, carotid canal, siphon, bifurcation
    (
        2.4,
        (
            (30, -8, -150),
            (27, -10, -110),
            (26, -14, -72),
            (24, -16, -52),
            (14, -6, -42),
            (10, 8, -36),
            (11, 14, -28),
            (12, 6, -22),
            (14, 4, -16),
        ),
    ),
    # middle cerebral: M1, insula, cortical branches
    (
        1.6,
        (
            (14, 4, -16),
            (26, 4, -18),
            (37, 2, -16),
            (42, -4, -4),
            (46, -14, 8),
            (52, -30, 18),
            (56, -46, 24),
        ),
    ),
    (1.2, ((37, 2, -16), (41, 12, -6), (46, 22, 6), (50, 26, 20))),
    (1.2, ((40, -2, -10), (45, -20, -2), (54, -40, -2), (56, -56, 2))),
    # anterior cerebral: A1, pericallosal
    (
        1.4,
        (
            (14, 4, -16),
            (7, 9, -17),
            (3, 14, -14),
            (3, 32, -4),
            (3, 40, 10),
            (3, 34, 24),
            (3, 14, 32),
            (3, -12, 38),
        ),
    ),
    # posterior communicating and posterior cerebral
    (0.9, ((12, 4, -18), (10, -6, -18), (10, -18, -15))),
    (
        1.4,
        ((1, -16, -16), (10, -18, -15), (20, -26, -11), (24, -40, -6), (18, -62, 2), (12, -84, 8)),
    ),
    # vertebral, up to the basilar
    (1.7, ((20, -48, -150), (18, -46, -100), (16, -52, -84), (10, -42, -72), (1, -28, -54))),
    # superficial temporal, outside the skull
    (1.0, ((74, -12, -60), (79, -8, -20), (76, 6, 14), (66, 18, 44))),
)
_SINGLE_ARTERIES: tuple[Curve, ...] = (
    (1.9, ((0, -28, -54), (0, -23, -40), (0, -20, -28), (0, -16, -16))),
    (0.9, ((-3, 13, -15), (0, 14, -15), (3, 13, -15))),
)
_PAIRED_VEINS: tuple[Curve, ...] = (
    # transverse and sigmoid sinus, jugular
    (
        3.6,
        (
            (2, -103, -14),
            (28, -92, -22),
            (50, -70, -30),
            (58, -46, -36),
            (48, -36, -56),
            (34, -26, -74),
            (36, -14, -110),
            (40, -10, -150),
        ),
    ),
    # internal cerebral and thalamostriate
    (0.9, ((3, -36, 6), (3, -20, 11), (3, -4, 11), (12, -2, 18), (19, -12, 24))),
    # basal vein
    (0.8, ((3, -36, 4), (14, -32, -4), (16, -20, -12), (14, -2, -16))),
    # cortical veins into the superior sagittal sinus
    (1.2, ((2, 40, 56), (14, 42, 55), (30, 42, 44), (44, 40, 28))),
    (1.3, ((2, 8, 79), (16, 6, 76), (32, 4, 66), (50, 4, 50))),
    (1.3, ((2, -26, 80), (18, -28, 78), (36, -30, 68), (54, -32, 46))),
    (1.2, ((2, -62, 68), (16, -66, 65), (32, -68, 54), (46, -68, 34))),
    # medullary veins beside the lateral ventricle
    (0.6, ((19, -12, 24), (27, -10, 34), (33, -9, 42))),
    (0.6, ((20, -26, 24), (29, -28, 33), (36, -30, 42))),
    (0.6, ((18, 8, 22), (25, 14, 31), (30, 18, 38))),
    (0.6, ((20, -2, 24), (28, 2, 33), (34, 4, 40))),
)
_SINGLE_VEINS: tuple[Curve, ...] = (
    # superior sagittal, straight and great cerebral vein
    (
        3.2,
        (
            (0, 66, 22),
            (0, 58, 44),
            (0, 36, 66),
            (0, 8, 81),
            (0, -30, 83),
            (0, -64, 72),
            (0, -92, 42),
            (0, -107, 10),
            (0, -104, -13),
        ),
    ),
    (2.2, ((0, -103, -12), (0, -78, -2), (0, -54, 4), (0, -42, 6), (3, -36, 6))),
)

IRON: tuple[tuple[Point, Point], ...] = (
    ((20, -5, -1), (5, 8, 5)),  # globus pallidus
    ((9, -15, -11), (4, 5, 2)),  # substantia nigra
    ((5, -20, -8), (2.6, 2.6, 3)),  # red nucleus
    ((15, -58, -34), (6, 6, 3)),  # dentate nucleus
)
"""Centre and radii (mm) of the iron-rich nuclei of the right side."""


def _both(paired: tuple[Curve, ...], single: tuple[Curve, ...]) -> Iterator[Curve]:
    yield from single
    for radius, points in paired:
        yield radius, points
        yield radius, tuple((-x, y, z) for x, y, z in points)


def arteries() -> Iterator[Curve]:
    """Yield radius (mm) and control points of every artery."""
    yield from _both(_PAIRED_ARTERIES, _SINGLE_ARTERIES)


def veins() -> Iterator[Curve]:
    """Yield radius (mm) and control points of every vein and sinus."""
    yield from _both(_PAIRED_VEINS, _SINGLE_VEINS)
