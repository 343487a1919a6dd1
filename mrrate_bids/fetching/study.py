"""Fetch a study into a release: plan it, carry the plan out, leave a receipt.

Files are written as an extracted study folder, in the place where they are published; a study that
is wanted whole may be kept as the zip that it is.
"""

import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mrrate_bids.archives import Member, Place
from mrrate_bids.catalog import Study
from mrrate_bids.errors import ArchiveError, DataError, MrRateError, NetworkError
from mrrate_bids.export import Outcome, attempt, list_places, wanted_keys
from mrrate_bids.fetched import HOME
from mrrate_bids.fetching.kept import ZIP, KeptZips, home_of_path
from mrrate_bids.fetching.proof import Proof
from mrrate_bids.fetching.reading import announce, closing, in_order, names_files, settled
from mrrate_bids.fetching.signs import Signs, read_signs, signs_of, write_signs
from mrrate_bids.fetching.source import repositories_of
from mrrate_bids.fetching.whole import drop_beginning, fetch_zip, is_published
from mrrate_bids.files import remove, sweep
from mrrate_bids.locks import held
from mrrate_bids.members import crc_of
from mrrate_bids.naming import KINDS, StudyName, study_folder
from mrrate_bids.plan import Key, Row, StudyPlan, plan_study
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import Output, Receipt, Receipts
from mrrate_bids.transfer import Transfer

__all__ = ['FetchSettings', 'Fetcher']

_LOCKS = 256
_REMEDY = 'Run the same command again; if it is so again, tell who publishes the release.'


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """What to fetch of each study."""

    groups: tuple[str, ...]
    """Groups of ``--include``."""

    whole: bool = False
    """Whether to keep zips as they are published."""

    verify: bool = False
    """Whether to read what is here, and to fetch anew what is not what came."""


class Fetcher:
    """Fetch studies into one release; may be called from several threads.

    Parameters
    ----------
    root
        The folder that will hold the repositories.
    settings
        What to fetch.
    home_of
        Tells the repository of a place.
    given_up
        Tells whether nobody wants to wait for another run any more.
    """

    def __init__(
        self,
        root: Path,
        settings: FetchSettings,
        *,
        home_of: Callable[[Place], str],
        given_up: Callable[[], bool] | None = None,
    ) -> None:
        self._given_up = given_up
        self._root = root
        self.settings = settings
        self._home_of = home_of
        self._receipts = Receipts(root, root / HOME)
        self._kept = KeptZips(root, home_of=home_of, wanted=settings.whole)
        self._proof = Proof(root, reads=settings.verify)
        self._local = threading.local()

    def plan(self, study: Study, series: Sequence[str]) -> StudyPlan:
        """Plan a study without writing anything."""
        earlier = self._receipts.load(study.batch, study.study)
        with closing(study):
            return self._plan(study, self._wanted(study, series, earlier), earlier)

    def fetch(self, study: Study, series: Sequence[str]) -> Outcome:
        """Fetch the given series of a study, unless a receipt says that it is done.

        Raises
        ------
        DestinationError
            When the folder cannot take files.
        AccessError, OutageError
            When the source gives nothing more.
        """
        work = partial(self._fetch, study, series)
        fail = partial(self._fail, study, series)
        with self._alone(study):
            return settled(study, lambda: attempt(work, fail, hint=_REMEDY), doubt=self._doubt)

    def _alone(self, study: Study) -> AbstractContextManager[None]:
        """Keep other runs away from a study, and from those that share its lock with it."""
        number = zlib.crc32(study.study.encode('utf-8', 'surrogatepass')) % _LOCKS
        path = self._root / HOME / 'locks' / f'{number:02x}.lock'
        return held(path, needed=False, given_up=self._given_up)

    def _doubt(self, outcome: Outcome) -> bool:
        """Tell whether files may be better when they come again; a zip came twice already."""
        return not self.settings.whole and names_files(outcome)

    def _wanted(self, study: Study, series: Sequence[str], earlier: Receipt | None) -> set[Key]:
        """Return what is asked for now, and what was asked for before of the same repositories.

        Files of a study that lie in one repository are of one state of it, and stay together.
        """
        groups = set(self.settings.groups)
        homes = repositories_of(groups)
        beside = {kind.include for kind in KINDS.values() if kind.repository in homes}
        if self.settings.whole:  # a zip has the files of all series, of every group in it
            groups, series = beside, [study.cell(row, 'series_id') for row in study.rows]
        before = earlier.asked if earlier else set()
        return wanted_keys(series, groups) | {(s, g) for s, g in before if g in beside}

    def _fetch(self, study: Study, series: Sequence[str]) -> Outcome:
        earlier = self._receipts.load(study.batch, study.study)
        if not study.places:
            return Outcome('absent', earlier or Receipt.of(study, 'absent'), [])
        wanted = self._wanted(study, series, earlier)
        signs = signs_of(study, home_of=self._home_of)
        if earlier and self._is_done(study, earlier, wanted, signs):
            status = 'skipped' if earlier.state == 'complete' else earlier.state
            return Outcome(status, earlier, list(map(Problem.from_dict, earlier.problems)))
        plan = self._plan(study, wanted, earlier)
        self._refuse_edits(plan, earlier)
        self._begin(plan, wanted_keys(series, self.settings.groups), earlier)
        return self._carry_out(plan, wanted, signs, earlier or Receipt.of(study, 'started'))

    def _is_done(self, study: Study, earlier: Receipt, wanted: set[Key], signs: Signs) -> bool:
        known = read_signs(earlier)
        return (
            earlier.state not in {'started', 'failed'}
            and wanted <= earlier.asked
            and signs == {name: known.get(name) for name in signs}
            and self._kept.are_noted(study, earlier)
            and all(self._has(o, study) for o in earlier.outputs if home_of_path(o.path) in signs)
        )

    def _has(self, output: Output, study: Study) -> bool:
        """Tell whether a file is here as it came, and where it is read, as it is published."""
        if not self._proof.has(output, study.study):
            return False
        if not self._proof.reads or output.kind != ZIP:
            return True
        zips = (p for p in study.places if self._kept.target(study, p) == output.path)
        return all(is_published(place.path, self._root / output.path) for place in zips)

    def _refuse_edits(self, plan: StudyPlan, earlier: Receipt | None) -> None:
        """Let no zip take the place of a file that somebody has worked on since."""
        homes = {home_of_path(row.target) for row in plan.rows if row.kind.name == ZIP}
        for output in earlier.outputs if earlier else ():
            is_due = home_of_path(output.path) in homes and output.path not in plan.targets
            if is_due and self._proof.is_edited(output):
                raise ArchiveError(
                    f'{self._root / output.path}: is not what was fetched; the zip of the study '
                    'would take its place',
                    hint='Move it elsewhere or remove it, then run the same command again.',
                )

    def _plan(self, study: Study, wanted: set[Key], earlier: Receipt | None) -> StudyPlan:
        zips = self._kept.places(study, earlier)
        rest = [place for place in study.places if place not in zips]
        plan = StudyPlan(study, StudyName(study.patient, study.study), {}, '')
        if rest:
            plan = self._plan_files(replace(study, places=rest), wanted)
            plan.study = study
        plan.rows += map(partial(self._kept.row, study), zips)
        return plan

    def _plan_files(self, study: Study, wanted: set[Key]) -> StudyPlan:
        listings, problems = list_places(study)
        plan = plan_study(study, listings, wanted=wanted, link='auto')
        plan.problems[:0] = problems
        targets = {row.target: _release_path(study, row) for row in plan.rows}
        plan.rows = [
            replace(
                row,
                target=targets[row.target],
                twin=targets.get(row.twin, ''),
                action='copy' if row.action == 'link' else row.action,
            )
            for row in in_order(plan, plan.rows)
        ]
        return plan

    def _begin(self, plan: StudyPlan, wished: set[Key], earlier: Receipt | None) -> None:
        """Say that the study is being written, and clear what a killed run left."""
        study = plan.study
        started = Receipt.of(study, 'started')
        if earlier:
            started.keys, started.outputs = earlier.keys, earlier.outputs
            started.signature = earlier.signature
        started.missed = _missed(wished, earlier)
        self._receipts.sweep(study.batch, study.study)
        self._receipts.save(started)
        for folder in {(self._root / row.target).parent for row in plan.rows}:
            sweep(folder)
        for place in (place for place in study.places if place.zipped):
            zipped = self._kept.target(study, place)
            if zipped not in plan.targets:  # as an earlier run wanted it, that was interrupted
                drop_beginning(place.path, self._root / zipped)

    def _carry_out(
        self, plan: StudyPlan, wanted: set[Key], signs: Signs, earlier: Receipt
    ) -> Outcome:
        known = {output.path: output for output in earlier.outputs}
        found = ((row.target, self._find(plan.study, row, known, signs)) for row in plan.rows)
        here = {target: output for target, output in found if output}
        due = [row for row in plan.rows if row.target not in here]
        announce(plan, [row for row in due if not row.twin])
        made, certain = self._deliver_all(plan, due, signs)
        outputs = here | made
        if not _has_errors(plan):
            self._clear(set(known) - set(outputs), signs)
        outputs |= {p: out for p, out in known.items() if self._is_kept(out, outputs, signs)}
        receipt = Receipt.of(plan.study, 'complete')
        if _has_errors(plan):
            receipt.state = 'partial' if outputs else 'failed'
        lacking = self._lacking(plan, [row for row in due if row.target not in made], wanted)
        receipt.keys = sorted(map(list, (wanted | earlier.asked) - lacking))
        receipt.missed = _missed(lacking, replace(earlier, keys=receipt.keys))
        receipt.outputs = sorted(outputs.values(), key=lambda output: output.path)
        receipt.problems = [problem.to_dict() for problem in plan.problems]
        # What was wrong in other repositories is not told any more: they are to be read again.
        others = read_signs(earlier) if earlier.state == 'complete' else {}
        write_signs(receipt, others | (signs if certain else dict.fromkeys(signs, '')))
        self._receipts.save(receipt)
        status = 'done' if receipt.state == 'complete' else receipt.state
        return Outcome(status, receipt, plan.problems, sum(out.size for out in made.values()))

    def _lacking(self, plan: StudyPlan, failed: list[Row], wanted: set[Key]) -> set[Key]:
        """Return the pairs that something is lacking of, whose files or zip came to nothing."""
        zips = {row.kind.repository for row in plan.rows if row.kind.name == ZIP}
        homes = set(map(self._home_of, plan.study.places)) - plan.here - zips
        homes |= {row.kind.repository for row in failed if row.kind.name == ZIP}
        groups = {kind.include for kind in KINDS.values() if kind.repository in homes}
        files = {(row.series, row.kind.include) for row in failed if row.kind.name != ZIP}
        return files | {(series, group) for series, group in wanted if group in groups}

    def _is_kept(self, output: Output, outputs: dict[str, Output], signs: Signs) -> bool:
        """Tell whether a file stays in the receipt; one of another repository is missed there."""
        if output.path in outputs:
            return False
        return home_of_path(output.path) not in signs or self._receipts.has(output)

    def _find(
        self, study: Study, row: Row, known: dict[str, Output], signs: Signs
    ) -> Output | None:
        """Return a file that is here already: by its receipt, or else by its CRC-32."""
        origin, output = _origin(row, signs), known.get(row.target)
        if output and output.origin == origin and self._has(output, study):
            return output
        member, path = row.member, self._root / row.target
        if row.kind.name == ZIP:
            return None if output else self._find_zip(study, row, origin)
        if member.crc is None or not path.is_file() or path.stat().st_size != member.size:
            return None
        if crc_of(Member(path, member.name, member.size)) != member.crc:
            return None
        return Output(row.target, member.size, member.crc, row.kind.name, row.series, origin)

    def _find_zip(self, study: Study, row: Row, origin: str) -> Output | None:
        """Return a zip that somebody else put here."""
        path = self._root / row.target
        if not path.is_file():
            return None
        # Where zips are not wanted only one that is proven has a row: it is not read once more.
        if self.settings.whole and not self._kept.may_stay(_place_of(study, row), path):
            return None
        return Output(row.target, path.stat().st_size, None, ZIP, '', origin)

    def _deliver_all(
        self, plan: StudyPlan, rows: list[Row], signs: Signs
    ) -> tuple[dict[str, Output], bool]:
        """Fetch files; return them, and whether what was left out will be no better next time."""
        made, certain = {}, not any(p.check == 'archives' for p in plan.problems)
        for row in rows:
            try:
                size, crc = self._deliver(row, plan.study)
            except NetworkError:
                raise  # says nothing of the file: the study is to be tried again
            except DataError as error:
                certain = certain and not isinstance(error, ArchiveError)
                where = {'series': row.series, 'file': row.member.name}
                plan.complain(str(error), error.hint or _REMEDY, **where)
            else:
                known = (row.kind.name, row.series, _origin(row, signs))
                made[row.target] = Output(row.target, size, crc, *known)
        return made, certain

    def _deliver(self, row: Row, study: Study) -> tuple[int, int | None]:
        if row.kind.name == ZIP:
            return fetch_zip(_place_of(study, row), self._root / row.target), None
        if not hasattr(self._local, 'transfer'):
            self._local.transfer = Transfer(self._root)
        done = self._local.transfer.place(row)
        return done.size, row.member.crc if done.crc is None else done.crc

    def _clear(self, paths: Iterable[str], signs: Signs) -> None:
        """Remove files that others took the place of, and folders that this leaves empty."""
        for path in map(Path, paths):
            if home_of_path(path.as_posix()) not in signs:
                continue
            remove(self._root / path)
            for folder in path.parents[:-4]:  # down to that of the study, not to that of the batch
                with suppress(OSError):
                    (self._root / folder).rmdir()

    def _fail(self, study: Study, series: Sequence[str], error: MrRateError) -> Outcome:
        """Note a failure in a receipt; of one that tells of files that are here the rest stays."""
        problem = Problem.from_error(error, batch=study.batch, study=study.study)
        earlier = self._receipts.load(study.batch, study.study)
        receipt = replace(earlier or Receipt.of(study, 'failed'))
        receipt.missed = _missed(wanted_keys(series, self.settings.groups), earlier)
        if earlier is None or earlier.state in {'started', 'failed'}:
            receipt.state, receipt.problems = 'failed', [problem.to_dict()]
        if receipt != earlier:
            with suppress(OSError, DataError):  # the study's name may be what fails
                self._receipts.save(receipt)
        return Outcome('failed', receipt, [problem])


def _missed(wanted: set[Key], earlier: Receipt | None) -> list[list[str]]:
    """Return what is asked for now, or was before, and has not come yet."""
    if earlier:
        wanted = (wanted | earlier.wished) - earlier.asked
    return sorted(map(list, wanted))


def _place_of(study: Study, row: Row) -> Place:
    """Return the zip that a row is all of."""
    return next(place for place in study.places if place.path is row.member.path)


def _has_errors(plan: StudyPlan) -> bool:
    return any(problem.severity == 'error' for problem in plan.problems)


def _origin(row: Row, signs: Signs) -> str:
    """Return what a file follows from; a zip has no CRC-32 of its own."""
    return signs[row.kind.repository] if row.kind.name == ZIP else row.origin


def _release_path(study: Study, row: Row) -> str:
    folder = study_folder(row.kind.repository, study.batch, study.study)
    return f'{folder}/{row.member.name}'
