"""Results that exist already and are used instead of being computed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mrrate_bids.app.study import Series, Study, kind_of
from mrrate_bids.errors import TableError, UsageError
from mrrate_bids.inheritance import read_json_object, split_name
from mrrate_bids.naming import ATLAS, COMPUTED, KINDS, in_template
from mrrate_bids.sidecars import sidecar_path

__all__ = ['Given', 'parse_derivatives']

_KINDS = (*KINDS, *COMPUTED)
_FOREIGN = '_desc-brain_mask.nii.gz'


def _nothing(_: Study) -> frozenset[Path]:
    return frozenset()


@dataclass(frozen=True, slots=True)
class Given:
    """Derivative datasets to look into.

    Parameters
    ----------
    roots
        Folders by name. Ours are found by the name of the dataset; of any other the brain mask of
        the T1w is taken over, when *foreign*.
    trusted
        Returns files of a study in the output folder that an earlier run vouches for.
    foreign
        Whether masks of other pipelines are wanted.
    space
        Template and resolution of files in atlas space.
    """

    roots: Mapping[str, Path]
    trusted: Callable[[Study], frozenset[Path]] = _nothing
    foreign: bool = False
    space: tuple[str, int] = (ATLAS, 1)

    def add_to(self, study: Study) -> Study:
        """Return the study with what exists of it."""
        study = self._fill(study, frozenset())  # what is trusted follows from what is given
        return self._fill(study, self.trusted(study))

    def _fill(self, study: Study, trusted: frozenset[Path]) -> Study:
        series = tuple(self._add(study, one, trusted) for one in study.series)
        centre = next(s for s in series if s.inside == study.centre.inside)
        return replace(study, series=series, centre=centre)

    def _add(self, study: Study, series: Series, trusted: frozenset[Path]) -> Series:
        places = ((kind, self._find(study, series, kind, trusted)) for kind in _KINDS)
        found = {kind: path for kind, path in places if path}
        wanted = self.foreign and 'brain-mask' not in found
        if wanted and (path := max(self._foreign(series), key=_entities, default=None)):
            found['foreign-mask'] = path
        carried = _is_carried(found.get('brain-mask'))
        return replace(series, given=found, carried=carried)

    def _find(
        self, study: Study, series: Series, kind: str, trusted: frozenset[Path]
    ) -> Path | None:
        row = kind_of(kind)
        if row.scope == 'session' and series.inside != study.centre.inside:
            return None
        inside = in_template(study.path(series, row), *self.space)
        for name, root in self.roots.items():
            path = root / inside
            if row.dataset and name == row.dataset and path.is_file():
                return path
        return next((p for p in trusted if _ends(p, row.dataset, inside)), None)

    def _foreign(self, series: Series) -> Iterator[Path]:
        mine, _ = split_name(series.image.name)
        for root in self.roots.values():
            for path in sorted((root / series.folder).glob(f'*{_FOREIGN}')):
                entities, _ = split_name(path.name)
                entities.pop('desc')
                if series.suffix == 'T1w' and entities.items() <= mine.items():
                    yield path


def _entities(path: Path) -> int:
    return len(split_name(path.name)[0])


def _ends(path: Path, dataset: str, inside: str) -> bool:
    return bool(dataset) and path.as_posix().endswith(f'/{dataset}/{inside}')


def _is_carried(mask: Path | None) -> bool:
    """Tell whether a mask says that it was carried over from the centre."""
    if mask is None:
        return False
    try:
        return bool(read_json_object(Path(sidecar_path(str(mask)))).get('Carried'))
    except TableError:
        return False


def parse_derivatives(values: tuple[str, ...]) -> dict[str, Path]:
    """Read ``NAME=PATH`` or ``PATH``; a folder of datasets stands for all of them.

    Raises
    ------
    UsageError
        When a folder is not there.
    """
    found: dict[str, Path] = {}
    for value in values:
        name, _, place = value.rpartition('=')
        path = Path(place).resolve()  # nodes run in folders of their own
        if not path.is_dir():
            raise UsageError(f'--derivatives: there is no folder {path}', hint='Check the path.')
        if (path / 'dataset_description.json').exists():
            found[name or path.name] = path
        else:
            found |= {p.name: p for p in sorted(path.iterdir()) if p.is_dir()}
    return found
