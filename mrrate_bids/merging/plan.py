"""What is to be done to bring a study's derivatives into the native tree; nothing is done here.

The tree is that of upstream's merge script: the folders of the derivative repositories come to
lie in the study folder of MR-RATE, next to ``img`` and ``seg``. A study that is zipped there has
its zip put next to the native one; the names differ.

Source: the MR-RATE dataset guide, "Forithmus/MR-RATE-atlas", on merged repositories.
"""

import filecmp
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mrrate_bids.archives import Place, list_place
from mrrate_bids.errors import UsageError
from mrrate_bids.problems import Problem
from mrrate_bids.status.holding import Holding, hold

__all__ = ['Step', 'StudyMerge', 'plan_study']


class Step(NamedTuple):
    """A file that is to come into the native tree."""

    action: str
    """``hardlink``, ``move`` or ``copy``."""

    source: Path
    target: Path
    size: int


@dataclass(slots=True)
class StudyMerge:
    """What is to be done for a study; with problems nothing is."""

    batch: str
    study: str
    steps: list[Step] = field(default_factory=list)
    there: int = 0
    """Files that are in the native tree already."""

    left: list[Path] = field(default_factory=list)
    """What stays where it is: zips of extracted studies, and in a move what is there already."""

    folders: list[Path] = field(default_factory=list)
    """The extracted folders that it is merged from."""

    problems: list[Problem] = field(default_factory=list)

    @property
    def state(self) -> str:
        """``failed``, ``done`` (or to be done), or ``skipped`` when there is nothing to do."""
        if self.problems:
            return 'failed'
        return 'done' if self.steps else 'skipped'

    @property
    def size(self) -> int:
        """Bytes of the files to bring."""
        return sum(step.size for step in self.steps)

    def complain(self, message: str, remedy: str, *, file: str = '') -> None:
        """Note why the study is set aside."""
        self.problems.append(
            Problem('error', message, remedy, batch=self.batch, study=self.study, file=file)
        )


def plan_study(
    batch: str, study: str, places: Iterable[Place], folder: Path, *, link: str
) -> StudyMerge:
    """Plan the merge of a study.

    Parameters
    ----------
    batch, study
        The study.
    places
        Its zips and folders in the derivative repositories.
    folder
        The folder of the batch in the native tree.
    link
        ``hardlink``, ``move`` or ``copy``.

    Raises
    ------
    UsageError
        When a hard link is asked for from another filesystem.
    """
    plan, places = StudyMerge(batch, study), list(places)
    plan.folders = [Path(place.path) for place in places if not place.zipped]
    places = [place for place in places if not _was_emptied(place, folder / study)]
    homes = {Path(place.path).parents[2] for place in places}
    for home in sorted(homes):
        own = [place for place in places if Path(place.path).parents[2] == home]
        holdings = hold(batch, study, own, {}, deep=False).values()
        damaged = [holding for holding in holdings if holding.state != 'whole']
        for holding in damaged:
            _refuse(plan, home, holding)
        if not damaged:
            _plan_places(plan, own, folder, link)
    if plan.problems:
        plan.steps = []
    return plan


def _was_emptied(place: Place, target: Path) -> bool:
    """Tell whether a folder is what an interrupted move left: there, and without any file."""
    if place.zipped or not target.is_dir():
        return False
    return not any(files for _, _, files in os.walk(place.path))


def _refuse(plan: StudyMerge, home: Path, holding: Holding) -> None:
    mixed = holding.form == 'mixed'
    remedy = 'Remove the folder, extract the zip again.' if mixed else 'Fetch it again.'
    plan.complain(f'{home.name}: {holding.reason}', remedy)


def _plan_places(plan: StudyMerge, places: list[Place], folder: Path, link: str) -> None:
    """Plan what a repository has of the study; an extracted folder stands for its zip."""
    folders = [place for place in places if not place.zipped]
    zips = [Path(place.path) for place in places if place.zipped]
    for place in folders:
        for member in list_place(place).members:
            path = Path(place.path, member.name)
            _plan_file(plan, path, folder / plan.study / member.name, link)
    for path in zips:
        if folders:
            plan.left.append(path)
        else:
            _plan_file(plan, path, folder / path.name, link)


def _plan_file(plan: StudyMerge, source: Path, target: Path, link: str) -> None:
    try:
        size = _plan_step(plan, source, target, link)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        plan.complain(f'{error.filename}: cannot be looked at ({reason})', 'Ask for access.')
        return
    if size is not None:
        plan.steps.append(Step(link, source, target, size))


def _plan_step(plan: StudyMerge, source: Path, target: Path, link: str) -> int | None:
    """Return the size of a file to bring; nothing for one that needs not or must not be."""
    rival = next((step.source for step in plan.steps if step.target == target), target)
    if os.path.lexists(rival):
        if rival == target and link == 'move' and _is_same(source, target):
            return source.stat().st_size  # a move that was interrupted in the middle
        if not _is_equal(source, rival):
            message = f'{source} and {rival} differ and have the same place in the merged tree'
            plan.complain(message, 'Keep one of them there; nothing was overwritten.')
        else:
            plan.there += 1
            plan.left += [source] if link == 'move' else []
        return None
    if _blocked(target):
        message = f'{_blocked(target)} is a file where a folder should be'
        plan.complain(message, 'Move it elsewhere.')
        return None
    if link == 'move' and source.is_symlink():
        remedy = 'Use --link hardlink or --link copy.'
        plan.complain(f'{source} is a link, which is not moved', remedy)
        return None
    if link == 'hardlink':
        _refuse_other_filesystem(source, target)
    return source.stat().st_size


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _is_equal(one: Path, other: Path) -> bool:
    """Tell whether two files have the same bytes."""
    if not other.exists() or not stat.S_ISREG(other.stat().st_mode):
        return False
    filecmp.clear_cache()
    return one.samefile(other) or filecmp.cmp(one, other, shallow=False)


def _blocked(target: Path) -> Path | None:
    """Return what stands in the way of a file: a file that should be a folder."""
    for parent in target.parents:
        if os.path.lexists(parent):
            return None if parent.is_dir() else parent
    return None


def _refuse_other_filesystem(source: Path, target: Path) -> None:
    home = next(parent for parent in target.parents if parent.exists())
    if source.stat().st_dev != home.stat().st_dev:
        raise UsageError(
            f'{source} and {home} lie on different filesystems; no hard link can join them',
            hint='Use --link copy, or --link move.',
        )
