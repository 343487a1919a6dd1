"""All checks of one study."""

from dataclasses import dataclass, field

from mrrate_bids.catalog import Study
from mrrate_bids.checks import Tally
from mrrate_bids.export import list_places, wanted_keys
from mrrate_bids.naming import INCLUDES, NATIVE
from mrrate_bids.plan import plan_study
from mrrate_bids.release_checks.archives import check_places
from mrrate_bids.release_checks.grids import check_atlas, check_grids
from mrrate_bids.release_checks.images import (
    check_headers,
    check_images,
    check_transforms,
    check_types,
)
from mrrate_bids.release_checks.study import Checked, home_of
from mrrate_bids.release_checks.tables import check_centre, check_rows
from mrrate_bids.release_checks.values import check_values

__all__ = ['Outcome', 'check_study']


@dataclass(slots=True)
class Outcome:
    """What the checks of a study found."""

    tally: Tally
    here: set[str] = field(default_factory=set)
    """Repositories of which the study has a file on disk."""

    damaged: bool = False
    """Whether its native zip or a folder of it cannot be read."""


def check_study(study: Study, *, deep: bool) -> Outcome:
    """Check the files of a study and what the tables say of it.

    Parameters
    ----------
    study
        The study; one without files has its rows checked.
    deep
        Whether to unpack every image.
    """
    listings, problems = list_places(study)
    series = [study.cell(row, 'series_id') for row in study.rows]
    plan = plan_study(study, listings, wanted=wanted_keys(series, INCLUDES), link='copy')
    checked = Checked(plan, Tally())
    for problem in [*problems, *plan.problems]:
        checked.tally.add(problem.check, home_of(problem), problem)
    for row in plan.rows:
        checked.count('files', row)
    check_rows(checked)
    check_centre(checked)
    check_places(checked, listings)
    _check_files(checked, deep=deep)
    damaged = any(home_of(problem) == NATIVE for problem in problems)
    return Outcome(checked.tally, plan.here, damaged)


def _check_files(study: Checked, *, deep: bool) -> None:
    check_images(study, deep=deep)
    check_types(study)
    check_headers(study)
    check_transforms(study)
    check_grids(study)
    check_atlas(study)
    if deep:
        check_values(study)
