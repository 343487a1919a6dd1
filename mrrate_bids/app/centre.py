"""Which T1w of a study is the centre, to which the others refer."""

from contextlib import suppress
from pathlib import Path

from mrrate_bids.acceptance import Rules
from mrrate_bids.checks.study import is_yes
from mrrate_bids.errors import TableError
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
    """
    candidates = [image for image in images if image.name.partition('.')[0].endswith(_SUFFIX)]
    names = _marked(scans)
    marked = [image.inside for image in candidates if image.inside.endswith(names)]
    if len(marked) == 1:
        return marked[0]
    for rules in (Rules.parse(['min_age=0']), Rules.parse(_ANY)):
        read = read_series(candidates, rules=rules, age=None)
        if t1w := [one for one in read.series if one.name.modality == 't1w']:
            return (t1w[0] if rule == 'earliest' else min(t1w, key=_coarseness)).image.inside
    return candidates[0].inside if candidates else None


def _marked(scans: Path) -> tuple[str, ...]:
    """Return what a table marks as the centre; nothing where it cannot be read."""
    with suppress(OSError, UnicodeDecodeError, TableError):
        return tuple(f'/{row[_NAME]}' for row in read_tsv(scans) if is_yes(row.get(_MARK, '')))
    return ()


def _coarseness(series: Series) -> tuple[float, float]:
    """Return the longest edge of a voxel in mm, and its volume."""
    i, j, k = series.volume.spacing
    return round(max(i, j, k), 3), round(i * j * k, 3)
