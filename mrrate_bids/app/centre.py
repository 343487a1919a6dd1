"""Which T1w of a study is the centre, to which the others refer."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mrrate_bids.acceptance import Rules
from mrrate_bids.checks.study import is_yes
from mrrate_bids.errors import ImageError, TableError
from mrrate_bids.foreign import Image, Series, read_series
from mrrate_bids.tables import read_tsv

__all__ = ['find_centre']

_SUFFIX = 'T1w'
_MARK, _NAME = 'is_center_modality', 'filename'
_ANY = ('min_age=0', 'min_shape=0', 'min_fov_mm=0', 'max_fov_mm=1e6', 'derived=yes')


def find_centre(images: list[Image], *, scans: Path, rule: str = 'earliest') -> str | None:
    """Return the path inside the dataset of the centre; ``None`` where there is no T1w.

    Parameters
    ----------
    images
        Of one session.
    scans
        Its ``_scans.tsv``, if there is one. The one T1w that it marks is the centre, as it is for
        an import.
    rule
        Else, of those that a release accepts, or of all if it accepts none: the ``earliest``, or
        the ``best``, whose voxels have the shortest long edge, and then the smallest volume.

    Notes
    -----
    An image that nothing can be computed from is passed over where there is another one. Only a
    study of several T1w is looked at so closely: voxels are read until the first good image.
    """
    candidates = [image for image in images if image.name.partition('.')[0].endswith(_SUFFIX)]
    if len(candidates) > 1:
        for image in _in_order(candidates, scans, rule):
            if _is_sound(image.path):
                return image.inside
    return next((image.inside for image in _in_order(candidates, scans, rule)), None)


def _in_order(candidates: list[Image], scans: Path, rule: str) -> Iterator[Image]:
    """Yield what may be the centre, the best first; some more than once."""
    names = _marked(scans)
    marked = [image for image in candidates if image.inside.endswith(names)]
    if len(marked) == 1:
        yield marked[0]
    for rules in (Rules.parse(['min_age=0']), Rules.parse(_ANY)):
        read = read_series(candidates, rules=rules, age=None)
        t1w = [one for one in read.series if one.name.modality == 't1w']
        if rule != 'earliest':
            t1w.sort(key=_coarseness)
        yield from (one.image for one in t1w)
    yield from candidates


def _is_sound(path: Path) -> bool:
    """Tell whether something can be computed from an image; its voxels are read."""
    from mrrate_bids.computing.scans import read_scan  # noqa: PLC0415  (slow)

    try:
        read_scan(path)
    except ImageError:
        return False
    return True


def _marked(scans: Path) -> tuple[str, ...]:
    """Return what a table marks as the centre; nothing where it cannot be read."""
    with suppress(OSError, UnicodeDecodeError, TableError):
        rows = [row for row in read_tsv(scans) if row.get(_NAME)]
        return tuple(f'/{row[_NAME]}' for row in rows if is_yes(row.get(_MARK, '')))
    return ()


def _coarseness(series: Series) -> tuple[float, float]:
    """Return the longest edge of a voxel in mm, and its volume."""
    i, j, k = series.volume.spacing
    return round(max(i, j, k), 3), round(i * j * k, 3)
