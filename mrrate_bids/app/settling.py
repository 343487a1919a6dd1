"""The end of a study: what came of it, what is wrong with it, and its receipt."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mrrate_bids.app.follower import Failure
from mrrate_bids.app.ledger import Ledger, Targets
from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Study, kind_of
from mrrate_bids.app.uncovering import Uncovering
from mrrate_bids.descriptions import is_computed, write_inherited
from mrrate_bids.errors import DataError
from mrrate_bids.problems import Problem

__all__ = ['STOPPED', 'Settling']

STOPPED = Failure(
    'was not finished: the run stopped at the first failure of another study',
    'Mend what failed, and run again.',
)

_FOR_MASKS = ('Resample', '--derivatives')
"""In hints that fit a file of the user as they are."""


@dataclass(frozen=True, slots=True)
class Settling:
    """How studies end.

    Parameters
    ----------
    places, ledger
        The output, and its receipts.
    uncovering
        What shows a face.
    """

    places: Places
    ledger: Ledger
    uncovering: Uncovering

    def settle(
        self,
        study: Study,
        targets: Targets,
        origins: Mapping[Path, str],
        failures: list[Failure],
        set_aside: list[Problem],
    ) -> tuple[str, list[Problem]]:
        """Write the receipt of a study after its graph ran.

        Parameters
        ----------
        study, targets
            What was computed: the paths that the graph should have written.
        origins
            What they follow from, as it was before.
        failures
            What its nodes said.
        set_aside
            What was wrong before anything ran.

        Returns
        -------
        tuple
            The state of the study, and what is told of it.
        """
        here = {path: pair for path, pair in targets.items() if path.exists()}
        problems = list(self._problems(study, targets, here, failures))
        shown = list(self.uncovering.clear(study, here))
        problems += self._name_outdated(study)
        self._describe(study, here)
        aside = [*set_aside, *shown]
        receipt = self.ledger.record(study, targets, problems, aside, origins=origins)
        return receipt.state, problems + shown

    def _problems(
        self, study: Study, targets: Targets, here: Targets, failures: list[Failure]
    ) -> Iterator[Problem]:
        missing = [path for path in targets if path not in here]
        if failures == [STOPPED] and not missing:
            return
        for failure in failures:
            yield Problem('error', failure.message, _remedy(study, failure), study=study.label)
        if missing and not failures:
            text = f'{len(missing)} files were not computed, as {missing[0].name}'
            yield Problem('error', text, 'Run again with --debug.', study=study.label)

    def _name_outdated(self, study: Study) -> Iterator[Problem]:
        if outdated := self.ledger.outdated(study):
            text = f'{len(outdated)} results of other options or masks stay, as {outdated[0].name}'
            hint = 'Run again with all --steps to have them computed anew, or remove them.'
            yield Problem('warning', text, hint, study=study.label)

    def _describe(self, study: Study, here: Targets) -> None:
        """Write what holds for all files of a kind; name new results as sources of old ones."""
        options = self.places.options
        space = (options.template, options.resolution)
        for kind, suffix in sorted(set(here.values())):
            folder = self.places.root / kind_of(kind).dataset
            released = not is_computed(folder)
            write_inherited(folder, kind, suffix, space=space, released=released)
        for series in study.series:
            for kind in sorted(series.given.keys() - series.handed):
                self.places.name_sources(study, series, kind, here)


def _remedy(study: Study, failure: Failure) -> str:
    """Return what helps: nodes know no file of the user from one of an earlier node."""
    given = (one.given[kind] for one in study.series for kind in one.handed)
    files = {path.name for path in given} - {one.image.name for one in study.series}
    fits = any(word in failure.hint for word in _FOR_MASKS)
    if failure.message.partition(':')[0] in files and not fits:
        return 'Give another with --derivatives, or leave it out.'
    if failure.hint == DataError.default_hint:  # of a release; here it is an image of the user
        return 'Convert the image again, or leave it out (--bids-filter-file).'
    return failure.hint
