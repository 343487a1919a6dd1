"""A merge of repositories: plan, journal, do; and undo from the journal."""

import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

from mrrate_bids.ahead import Watch, run_ahead
from mrrate_bids.archives import Place
from mrrate_bids.catalog import Batch, Release
from mrrate_bids.errors import DestinationError, SourceError, UsageError
from mrrate_bids.files import open_if_changed, sweep
from mrrate_bids.locks import held
from mrrate_bids.merging.journal import Journal, Line, Stamp
from mrrate_bids.merging.place import Hindrance, bring, find_hindrance, take_back
from mrrate_bids.merging.plan import Step, StudyMerge, plan_study
from mrrate_bids.naming import REPOSITORIES
from mrrate_bids.problems import Problem
from mrrate_bids.status.survey import open_anything
from mrrate_bids.tables import format_tsv
from mrrate_bids.validation import say_nothing

__all__ = ['FOLDER', 'Merge', 'Summary']

FOLDER = '.mrrate-bids'
"""Where the journal and the table of studies lie, below the folder of the repositories."""

_JOURNAL, _STUDIES, _LOCK = 'merge-journal.tsv', 'merge-studies.tsv', 'merge.lock'
_COLUMNS = ('batch', 'study_uid', 'state', 'files', 'bytes', 'already_there', 'left', 'reason')


@dataclass
class Summary:
    """What a merge did, or its undoing."""

    counts: Counter[str] = field(default_factory=Counter)
    """Studies by state."""

    files: int = 0
    bytes: int = 0
    left: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """3 when something was set aside, else 0."""
        return 3 if any(problem.severity == 'error' for problem in self.problems) else 0

    def add(self, study: StudyMerge) -> None:
        """Count a study."""
        self.counts[study.state] += 1
        self.files += len(study.steps)
        self.bytes += study.size
        self.left += len(study.left)
        self.problems += study.problems


class Merge:
    """The repositories of a release that lie side by side in a folder.

    Parameters
    ----------
    root
        The folder.
    repositories
        The derivative repositories to merge; all that have a known name when empty.
    link
        ``hardlink``, ``move`` or ``copy``.
    """

    def __init__(
        self, root: Path, *, repositories: tuple[str, ...] = (), link: str = 'hardlink'
    ) -> None:
        self.root, self._link = root.absolute(), link
        self.folder = self.root / FOLDER
        self._journal = Journal(self.root, self.folder / _JOURNAL)
        self._chosen = repositories

    def find(self) -> Release:
        """Return the native tree and the repositories to merge into it.

        Raises
        ------
        SourceError
            When there is nothing to merge, or nothing to merge into.
        """
        release = open_anything(self.root)
        native = release.native
        if self.root in release.repositories.values():
            raise SourceError(
                f'{self.root} is one repository',
                hint='Give the folder that holds MR-RATE and the others side by side.',
            )
        if not native.is_dir():
            raise SourceError(
                f'{self.root} has no folder {native.name} to merge into',
                hint=f'Fetch the native repository, or make the folder {native.name}/mri.',
            )
        chosen = set(self._chosen) or set(REPOSITORIES)
        found = {n: p for n, p in release.repositories.items() if n in chosen and p != native}
        lacking = sorted(set(self._chosen) - found.keys())
        if not found or lacking:
            names = ', '.join(lacking or sorted(set(REPOSITORIES) - {native.name}))
            raise SourceError(f'{self.root} has no {names}', hint='Fetch it first.')
        return Release(self.root, found, native)

    def plans(
        self, batches: Iterable[str], *, jobs: int = 2, problems: list[Problem]
    ) -> Generator[tuple[str, int, int, StudyMerge], None, None]:
        """Yield batch, number and count of studies of it, and what is to be done for each.

        Raises
        ------
        UsageError
            When a hard link is asked for from another filesystem.
        """
        release = self.find()
        with ThreadPoolExecutor(jobs, thread_name_prefix='merge') as pool:
            for name in batches:
                places = _places(release, name, problems)
                folder = release.native / 'mri' / name
                plan = partial(self._plan, name, places, folder)
                done = run_ahead(pool, jobs, plan, sorted(places))
                for number, (_, study) in enumerate(done, 1):
                    yield name, number, len(places), study

    def _plan(
        self, batch: str, places: dict[str, list[Place]], folder: Path, study: str
    ) -> StudyMerge:
        return plan_study(batch, study, places[study], folder, link=self._link)

    def execute(
        self, batches: Iterable[str], *, jobs: int = 2, watch: Watch = say_nothing
    ) -> Summary:
        """Merge; what was merged before is skipped, and an interrupted merge goes on.

        Raises
        ------
        UsageError
            When a hard link is asked for from another filesystem, or another merge is at work.
        DestinationError
            When the tree cannot take files.
        """
        summary = Summary()
        self.find()
        with self._alone(), self._open_table() as table:
            table.write(format_tsv(_COLUMNS, ()))
            plans = self.plans(batches, jobs=jobs, problems=summary.problems)
            try:
                with closing(plans):  # its threads end here, whatever ends the loop
                    for batch, number, count, study in plans:
                        self._do(study)
                        summary.add(study)
                        table.write(format_tsv(_COLUMNS, [_row(study)]).partition('\n')[2])
                        watch(batch, number, count, summary.bytes)
            finally:
                self._journal.close()
        return summary

    def undo(self, *, dry_run: bool = False) -> Summary:
        """Take everything back that the journal tells; what cannot be stays in the journal.

        Raises
        ------
        UsageError
            When nothing was merged, or another merge is at work.
        DestinationError
            When files cannot be moved or removed.
        """
        summary = Summary()
        if not self._journal.path.exists():
            raise self._nothing()
        with self._alone():  # a merge that goes on writes into the journal
            lines = self._journal.read()
            if not lines:
                raise self._nothing()
            if dry_run:
                for line in {line.target: line for line in _files(lines)}.values():
                    _count(summary, line, find_hindrance(line), there=os.path.lexists(line.target))
                return summary
            kept: dict[Line, None] = {}
            stuck = set[Path]()  # an earlier line of the same file would have nothing to add
            for line in reversed(lines):
                if line.target in stuck or not self._take_back(line, summary):
                    stuck.add(line.target)
                    kept[line] = None
            self._journal.replace(list(kept)[::-1])
            for folder in {line.target.parent for line in _files(lines)}:
                _leave_no_husk(folder)
        return summary

    def _nothing(self) -> UsageError:
        return UsageError(
            f'{self.root}: nothing was merged', hint='There is no journal of a merge.'
        )

    def _take_back(self, line: Line, summary: Summary) -> bool:
        """Undo a change; tell whether it is as if it had never been made."""
        there = line.action != 'mkdir' and os.path.lexists(line.target)
        hindrance = take_back(line)
        _count(summary, line, hindrance, there=there)
        return hindrance is None

    def _do(self, study: StudyMerge) -> None:
        if study.problems:
            return
        if study.steps:
            self._bring(study)
        if self._link == 'move':
            for folder in study.folders:
                _remove_empty(folder)

    def _bring(self, study: StudyMerge) -> None:
        folders = _new_folders(study)
        lines = [Line('mkdir', folder, folder) for folder in folders]
        lines += [
            Line(step.action, step.source, step.target, _stamp_of(step)) for step in study.steps
        ]
        self._journal.append(lines, sync=self._link == 'move')
        try:
            for folder in folders:
                folder.mkdir(exist_ok=True)
        except OSError as error:
            message = f'{error.filename}: cannot be made ({error.strerror})'
            raise DestinationError(message) from error
        for folder in sorted({step.target.parent for step in study.steps}):
            sweep(folder)
        for step in study.steps:
            bring(step.action, step.source, step.target)

    def _open_table(self) -> AbstractContextManager[TextIO]:
        sweep(self.folder, name=_STUDIES)
        return open_if_changed(self.folder / _STUDIES)

    def _alone(self) -> AbstractContextManager[None]:
        """Keep other merges of the same folder away."""
        return held(
            self.folder / _LOCK,
            wait=False,
            busy='another merge is at work',
            remedy='Ask for access to the folder of the repositories.',
        )


def _leave_no_husk(folder: Path) -> None:
    """Remove a folder that nothing is in, and the study's: what was in it may be a zip by now."""
    for husk in (folder, folder.parent):
        with suppress(OSError):
            husk.rmdir()


def _files(lines: Iterable[Line]) -> Iterator[Line]:
    return (line for line in lines if line.action != 'mkdir')


def _stamp_of(step: Step) -> Stamp | None:
    if step.action == 'move':
        with suppress(OSError):  # gone since it was planned: bringing it will tell
            return Stamp.of(step.source)
    return None


def _count(summary: Summary, line: Line, hindrance: Hindrance | None, *, there: bool) -> None:
    """Count a file that goes back; one that does not is named."""
    if hindrance:
        summary.problems.append(Problem('error', *hindrance, file=str(line.target)))
    else:
        summary.files += there


def _places(release: Release, name: str, problems: list[Problem]) -> dict[str, list[Place]]:
    batch = Batch(name, [], [], [])
    try:
        places = release.find_places(batch)
    except SourceError as error:
        problems.append(Problem.from_error(error, batch=name))
        return {}
    problems += batch.problems
    return places


def _new_folders(study: StudyMerge) -> list[Path]:
    """Return the folders that must be made, outermost first."""
    folders = {
        parent
        for step in study.steps
        for parent in step.target.parents
        if not os.path.lexists(parent)
    }
    return sorted(folders, key=lambda folder: len(folder.parts))


def _remove_empty(folder: Path) -> None:
    """Remove a folder, and those in it, that a move left empty; what has files stays."""
    for inner, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(inner).rmdir()


def _row(study: StudyMerge) -> list[str]:
    reasons = '; '.join(problem.message for problem in study.problems)
    numbers = (len(study.steps), study.size, study.there, len(study.left))
    return [study.batch, study.study, study.state, *map(str, numbers), reasons]
