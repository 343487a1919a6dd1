"""Results that exist already and are used instead of being computed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mrrate_bids.app.foreign_masks import ForeignMasks
from mrrate_bids.app.study import Series, Study, kind_of
from mrrate_bids.errors import TableError, UsageError
from mrrate_bids.inheritance import read_json_object
from mrrate_bids.naming import ATLAS, COMPUTED, KINDS, in_template
from mrrate_bids.problems import Problem
from mrrate_bids.sidecars import sidecar_path

__all__ = ['DATASETS', 'Given', 'dataset_of', 'name_and_place', 'parse_derivatives']

_KINDS = (*KINDS, *COMPUTED)
DATASETS = tuple(sorted({kind_of(kind).dataset for kind in _KINDS} - {''}))
"""Names of the datasets whose files are known."""


def _nothing(_: Study) -> frozenset[Path]:
    return frozenset()


def _no(_: str) -> bool:
    return False


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
    written
        Returns all that runs wrote of it there, as it was left; of these only the *trusted* are
        used, also where the user names their folder.
    exported
        Datasets in the output folder that no run wrote; what the user gives goes first.
    foreign
        Whether masks of other pipelines are wanted.
    space
        Template and resolution of files in atlas space.
    released
        Tells whether an image, by its path, comes from a release: such an image has no face.
    """

    roots: Mapping[str, Path]
    trusted: Callable[[Study], frozenset[Path]] = _nothing
    written: Callable[[Study], frozenset[Path]] = _nothing
    exported: Mapping[str, Path] = field(default_factory=dict)
    foreign: bool = False
    space: tuple[str, int] = (ATLAS, 1)
    released: Callable[[str], bool] = _no

    def add_to(self, study: Study) -> Study:
        """Return the study with what exists of it."""
        written, foreign = self.written(study), self._foreign.of(study)
        study = self._fill(study, written, frozenset(), foreign)
        # What is trusted follows from what is given.
        return self._fill(study, written, self.trusted(study), foreign)

    def unclear(self, study: Study) -> Iterator[Problem]:
        """Name masks of other pipelines of which nobody knows whose they are."""
        return self._foreign.unclear(study)

    @property
    def _foreign(self) -> ForeignMasks:
        return ForeignMasks(tuple(root for _, root in self._datasets) if self.foreign else ())

    @property
    def _datasets(self) -> list[tuple[str, Path]]:
        return [*self.roots.items(), *self.exported.items()]

    def _fill(
        self,
        study: Study,
        written: frozenset[Path],
        trusted: frozenset[Path],
        foreign: Mapping[str, Path],
    ) -> Study:
        series = tuple(
            self._add(study, one, written, trusted, foreign.get(one.inside))
            for one in study.series
        )
        centre = next(s for s in series if s.inside == study.centre.inside)
        return replace(study, series=series, centre=centre)

    def _add(
        self,
        study: Study,
        series: Series,
        written: frozenset[Path],
        trusted: frozenset[Path],
        foreign: Path | None,
    ) -> Series:
        known = {kind: self._inside(study, series, kind) for kind in _KINDS}
        places = {kind: inside for kind, inside in known.items() if inside}
        handed, made = dict[str, Path](), dict[str, Path]()
        for kind, inside in places.items():
            dataset = kind_of(kind).dataset
            if path := self._find(dataset, inside, written):
                handed[kind] = path
            elif path := next((p for p in trusted if _ends(p, dataset, inside)), None):
                made[kind] = path
        # Also where a run has taken it over before: its result follows from this file.
        if foreign and 'brain-mask' not in handed:
            handed['foreign-mask'] = foreign
        if 'defacing-mask' in handed and self.released(series.inside):  # it was applied before
            handed.setdefault('defaced-image', series.image)
        given = made | handed
        carried = _is_carried(given.get('brain-mask'))
        return replace(series, given=given, handed=frozenset(handed), carried=carried)

    def _inside(self, study: Study, series: Series, kind: str) -> str:
        row = kind_of(kind)
        if not row.dataset or not study.has(series, row):
            return ''
        return in_template(study.path(series, row), *self.space)

    def _find(self, dataset: str, inside: str, written: frozenset[Path]) -> Path | None:
        paths = (root / inside for key, root in self._datasets if dataset_of(key) == dataset)
        return next((path for path in paths if path not in written and path.is_file()), None)


def _ends(path: Path, dataset: str, inside: str) -> bool:
    return path.as_posix().endswith(f'/{dataset}/{inside}')


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

    Of two datasets with one name the first is asked first; the key of the second is ``NAME+2``
    (:func:`dataset_of`).

    Raises
    ------
    UsageError
        When a folder is not there.
    """
    found: dict[str, Path] = {}
    for name, path in (pair for value in values for pair in _read_value(value)):
        if (name, path) not in {(dataset_of(key), root) for key, root in found.items()}:
            keys = (name, *(f'{name}+{number}' for number in range(2, len(found) + 2)))
            found[next(key for key in keys if key not in found)] = path
    return found


def dataset_of(key: str) -> str:
    """Return the name of a dataset that the user gave.

    >>> dataset_of('mrrate-coreg'), dataset_of('mrrate-coreg+2')
    ('mrrate-coreg', 'mrrate-coreg')
    """
    return key.partition('+')[0]


def name_and_place(value: str) -> tuple[str, str]:
    """Return the two parts of ``NAME=PATH``; the first is empty where it is left out.

    >>> name_and_place('masks=a/b'), name_and_place('a/b=c')
    (('masks', 'a/b'), ('', 'a/b=c'))
    """
    name, equals, place = value.partition('=')
    return (name, place) if equals and '/' not in name else ('', value)


def _read_value(value: str) -> list[tuple[str, Path]]:
    name, place = name_and_place(value)
    if not place:
        raise UsageError(f'--derivatives: {value!r} names no folder', hint='Write NAME=PATH.')
    path = Path(place).expanduser().resolve()  # nodes run in folders of their own
    if not path.is_dir():
        raise UsageError(f'--derivatives: there is no folder {path}', hint='Check the path.')
    if name or _is_dataset(path):
        return [(name or path.name, path)]
    inside = [p for p in sorted(path.iterdir()) if _is_dataset(p)]
    return [(p.name, p) for p in inside or [path]]


def _is_dataset(path: Path) -> bool:
    described = path.name in DATASETS or (path / 'dataset_description.json').exists()
    return path.is_dir() and (described or any(one.is_dir() for one in path.glob('sub-*')))
