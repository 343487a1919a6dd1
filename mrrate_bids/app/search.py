"""The studies of a run: found in the dataset, with what exists of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mrrate_bids.app.faces import Faces
from mrrate_bids.app.given import DATASETS, Given, dataset_of
from mrrate_bids.app.given_images import name_unusable
from mrrate_bids.app.inputs import Found, find_studies
from mrrate_bids.app.ledger import Ledger
from mrrate_bids.app.options import DERIVATIVES, Options
from mrrate_bids.app.places import Places
from mrrate_bids.app.scope import Scope
from mrrate_bids.app.study import Study
from mrrate_bids.descriptions import is_computed
from mrrate_bids.errors import UsageError
from mrrate_bids.problems import Problem

__all__ = ['Search']

_UNKNOWN = (
    f'Datasets are known by their names ({", ".join(DATASETS)}): write NAME=PATH. Of others the '
    'brain mask of the T1w (desc-brain_mask) is taken over, with --brain-extractor derivatives.'
)


@dataclass(frozen=True, slots=True)
class Search:
    """Where and how studies are looked for.

    Parameters
    ----------
    bids
        The raw dataset.
    scope, options
        Which studies, and what is computed.
    places, ledger
        The output, and its receipts.
    faces
        Which images show one.
    is_first
        Whether it is the first of runs for several templates: it tells what concerns all.
    """

    bids: Path
    scope: Scope
    options: Options
    places: Places
    ledger: Ledger
    faces: Faces
    is_first: bool = True

    def find(self) -> Found:
        """Return the studies, with what exists of them.

        Raises
        ------
        UsageError
            When there are none, or masks are taken over and none are given.
        """
        scope, options, exported = self.scope, self.options, self.exported()
        if options.extractor == DERIVATIVES and not (self.places.given or exported):
            raise UsageError(
                'there are no brain masks: --derivatives is not given',
                hint='Name the dataset that has them, or use another --brain-extractor.',
            )
        given = Given(
            self.places.given,
            self.ledger.trusted,
            self.ledger.written,
            exported,
            foreign=options.extractor == DERIVATIVES,
            space=(options.template, options.resolution),
            released=self.faces.is_released,
        )
        found = find_studies(
            self.bids,
            participants=scope.participants,
            sessions=scope.sessions,
            filters=scope.filters,
            given=given,
            rule=options.center_rule,
            database=scope.database,
            shard=scope.shard,
        )
        self._name_unused(found)
        for study in found.studies:  # which keep what else they have
            found.problems += name_unusable(study, self.options.wants)
        self._refuse_without_masks(found)
        guarded = self.faces.guard(found.studies)
        found.problems += [one for one in guarded if one.study or self.is_first]
        return found

    def _name_unused(self, found: Found) -> None:
        """Say which of the given datasets are none of those that are known, and serve nothing."""
        used = self.used(found.studies)
        for name, path in self.places.given.items():
            ours = dataset_of(name) in DATASETS and any(path.glob('sub-*'))
            here = path.is_relative_to(self.places.root)
            if name not in used and not (here or ours):
                text = f'--derivatives: nothing of {path} is used'
                found.problems.append(Problem('warning', text, _UNKNOWN))

    def used(self, studies: Iterable[Study]) -> set[str]:
        """Return the names of given datasets that have files of these studies."""
        series = (one for study in studies for one in study.series)
        files = {one.given[kind] for one in series for kind in one.handed}
        given = self.places.given.items()
        return {name for name, root in given if any(path.is_relative_to(root) for path in files)}

    def exported(self) -> dict[str, Path]:
        """Return datasets of the output folder that no run computed; they stay as they are."""
        root, found = self.places.root, dict[str, Path]()
        for path in sorted(root.glob('mrrate-*')) if root.is_dir() else []:
            # Another part may be describing its results right now: what is there comes first.
            if (path / 'dataset_description.json').exists() and not is_computed(path):
                found[path.name] = path
        return found

    def _refuse_without_masks(self, found: Found) -> None:
        """Set studies aside whose centre has no mask; the other series get that of the centre."""
        if self.options.extractor != DERIVATIVES:
            return
        for study in list(found.studies):
            if not {'brain-mask', 'foreign-mask'} & set(study.centre.given):
                text = f'{study.centre.inside}: there is no brain mask of it in --derivatives'
                hint = 'Give a dataset that has one, or use another --brain-extractor.'
                found.problems.append(Problem('error', text, hint, study=study.label))
                found.studies.remove(study)
