"""Brain masks that other pipelines drew of the T1w: of which image of a session each one is.

Pipelines leave out of the name what the images of a session do not share, and average several T1w
into one of their own: such a mask fits one image at most.

Source: fMRIPrep 25, "Outputs of fMRIPrep" (``desc-brain_mask``).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mrrate_bids.app.study import Series, Study
from mrrate_bids.errors import ImageError
from mrrate_bids.inheritance import split_name
from mrrate_bids.problems import Problem
from mrrate_bids.volumes import read_volume, same_voxels

__all__ = ['ForeignMasks']

_END = '_desc-brain_mask.nii.gz'
_NAME_IT = (
    'Give the mask the name of its image, before {end}; or leave the other T1w out '
    '(--bids-filter-file).'
)


@dataclass(frozen=True, slots=True)
class ForeignMasks:
    """The masks in derivative datasets.

    Parameters
    ----------
    roots
        Folders of the datasets.
    """

    roots: tuple[Path, ...]

    def of(self, study: Study) -> dict[str, Path]:
        """Return the mask of each T1w that has one, by the path of the image in the dataset."""
        return _nearest((mask, one) for mask, _, one in self._picked(study))

    def unclear(self, study: Study) -> Iterator[Problem]:
        """Name masks that fit several T1w and are taken for none, though one has no mask."""
        picked = list(self._picked(study))
        found = _nearest((mask, one) for mask, _, one in picked)
        for mask, fitting, chosen in picked:
            if not chosen and any(one.inside not in found for one in fitting):
                images = ', '.join(one.image.name for one in fitting)
                text = f'{mask.name}: may be of any of {images}; it is taken for none'
                hint = _NAME_IT.format(end=_END)
                yield Problem('warning', text, hint, study=study.label, file=fitting[0].inside)

    def _picked(self, study: Study) -> Iterator[tuple[Path, list[Series], Series | None]]:
        """Yield masks, the T1w whose entities theirs are among, and the one it is taken for."""
        images = [one for one in study.series if one.suffix == 'T1w']
        for folder in dict.fromkeys(one.folder for one in images):
            for path in _masks(root / folder for root in self.roots):
                wanted = _entities(path).items()
                fitting = [one for one in images if wanted <= _entities(one.image).items()]
                if fitting:
                    yield path, fitting, _pick(path, fitting)


def _nearest(picked: Iterable[tuple[Path, Series | None]]) -> dict[str, Path]:
    """Return the mask of each image: of several the one whose name says most."""
    found: dict[str, Path] = {}
    for mask, one in picked:
        if one and len(_entities(mask)) > len(_entities(found.get(one.inside))):
            found[one.inside] = mask
    return found


def _masks(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob(f'*{_END}'))


def _entities(path: Path | None) -> Mapping[str, str]:
    """Return what a name says of the image; nothing for no file."""
    found, _ = split_name(path.name) if path else ({}, '')
    return {name: value for name, value in found.items() if name != 'desc'}


def _pick(mask: Path, fitting: list[Series]) -> Series | None:
    """Return the image that a mask names, else the only one, else the only one on its grid."""
    entities = _entities(mask)
    for chosen in (
        [one for one in fitting if _entities(one.image) == entities],
        fitting,
        [one for one in fitting if len(fitting) > 1 and _is_on_grid(mask, one.image)],
    ):
        if len(chosen) == 1:
            return chosen[0]
    return None


def _is_on_grid(mask: Path, image: Path) -> bool:
    with suppress(ImageError):
        return same_voxels(read_volume(mask), read_volume(image))
    return False
