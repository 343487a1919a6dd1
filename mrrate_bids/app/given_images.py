"""Images of the user that stand for a result which is not computed then: whether they can.

Masks and defaced images are judged by the nodes that read them; these are read by none.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from mrrate_bids.app.study import Series, Study
from mrrate_bids.errors import ImageError
from mrrate_bids.images import peek_file, same_grid
from mrrate_bids.problems import Problem

__all__ = ['name_unusable']

_ON_CENTRE, _ON_SERIES = 'coreg-', 'nvseg-'
"""How kinds begin whose files lie on the grid of the centre, or of their series."""

_READ_BY_NONE = (_ON_CENTRE, _ON_SERIES, 'atlas-', 'anatref-')


def name_unusable(study: Study, wanted: Callable[[str], bool]) -> Iterator[Problem]:
    """Name images that are given, and cannot be read or lie on another grid than they should.

    Parameters
    ----------
    study
        With what is given of it.
    wanted
        Tells whether the results of a file kind are asked for.
    """
    for series in study.series:
        for kind in sorted(filter(wanted, series.handed)):
            path = series.given[kind]
            is_image = kind.startswith(_READ_BY_NONE) and path.suffix == '.gz'
            if is_image and (fault := _fault(path, _like(study, series, kind))):
                hint = 'Give another with --derivatives, or leave it out to have it computed.'
                yield Problem('error', f'{path}: {fault}', hint, study=study.label)


def _like(study: Study, series: Series, kind: str) -> Path | None:
    """Return the image whose grid a result has, where the header of a raw one tells it."""
    if kind.startswith(_ON_CENTRE):
        return study.centre.image
    return series.image if kind.startswith(_ON_SERIES) else None


def _fault(path: Path, like: Path | None) -> str:
    try:
        header = peek_file(path, name=path.name)
    except (ImageError, OSError) as error:
        said = getattr(error, 'strerror', None) or str(error)
        return f'is given and cannot be used ({said.removeprefix(f"{path.name}: ")})'
    try:
        fits = like is None or same_grid(header, peek_file(like))
    except (ImageError, OSError):
        return ''  # that of the image itself, which others name
    return '' if fits or like is None else f'is given and does not lie on the grid of {like.name}'
