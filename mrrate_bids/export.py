"""Export a study: plan it, carry the plan out, describe the files, leave a receipt.

Workers run in threads: the work is reading, summing and writing, none of which holds the
interpreter. A worker writes below its study only.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mrrate_bids.archives import Listing, Place, list_place
from mrrate_bids.catalog import Study
from mrrate_bids.errors import (
    AccessError,
    ArchiveError,
    DataError,
    DestinationError,
    MrRateError,
    OutageError,
)
from mrrate_bids.files import remove, sweep
from mrrate_bids.naming import INCLUDES, KINDS, scans_path
from mrrate_bids.plan import Key, StudyPlan, plan_study
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import Output, Receipt, Receipts, signature
from mrrate_bids.sidecars import AGE_COLUMN, AGE_COLUMNS, SEX_COLUMN, cap_age, sidecar_path
from mrrate_bids.sources import state_of
from mrrate_bids.study_files import LEFT_OUT, Files, StudyFiles
from mrrate_bids.tables import Record

__all__ = [
    'ExportSettings',
    'Exporter',
    'Outcome',
    'attempt',
    'list_places',
    'planned',
    'wanted_keys',
]

_Done = TypeVar('_Done')

_GONE = '{} missing or changed, and the release on disk no longer holds the study'


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What decides the bytes of an export, apart from the release itself."""

    include: tuple[str, ...] = INCLUDES
    link: str = 'auto'
    age_cap: str = 'tables'


@dataclass(slots=True)
class Outcome:
    """What a run did for a study."""

    status: str
    """``done``, ``skipped``, ``absent``, ``partial`` or ``failed``."""

    receipt: Receipt
    problems: list[Problem]
    bytes: int = 0


def wanted_keys(series: Iterable[str], include: Iterable[str]) -> set[Key]:
    """Return the pairs of series and group that a selection asks for."""
    groups = tuple(include)
    return {(series_id, group) for series_id in series for group in groups}


def attempt(
    work: Callable[[], _Done], fail: Callable[[MrRateError], _Done], *, hint: str = ''
) -> _Done:
    """Do the work of one study; whatever is wrong with it must not stop the others.

    Parameters
    ----------
    work
        Does it, and returns what became of it.
    fail
        Returns the same of a study with which something is wrong.
    hint
        What to do about a file that cannot be read.

    Raises
    ------
    DestinationError
        When the target cannot take files: no study could go on.
    AccessError, OutageError
        When the source gives nothing more.
    """
    try:
        return work()
    except AccessError as error:
        if error.everything:
            raise
        return fail(error)
    except (DestinationError, OutageError):
        raise
    except DataError as error:
        return fail(error)
    except OSError as error:
        where = error.filename or 'a file'
        return fail(ArchiveError(f'{where}: {error.strerror}', hint=hint))
    except Exception as error:  # noqa: BLE001  (a fault of ours must not stop the others)
        message = f'unexpected {type(error).__name__}: {error}'
        return fail(DataError(message, hint='Please report this.'))


def planned(
    plan: Callable[[Study, Sequence[str]], StudyPlan],
    studies: Iterable[tuple[Study, Sequence[str]]],
    problems: list[Problem],
) -> Iterator[StudyPlan]:
    """Yield the plans of the studies that have files; what cannot be planned is a problem.

    Parameters
    ----------
    plan
        Plans the given series of a study.
    studies
        Each with its series.
    problems
        What is wrong is added here.
    """
    for study, series in studies:
        if study.places:
            work, tell = partial(plan, study, series), partial(_note, problems, study)
            found = attempt(work, tell)
            if found:
                yield found


def _note(problems: list[Problem], study: Study, error: MrRateError) -> None:
    problems.append(Problem.from_error(error, batch=study.batch, study=study.study))


class Exporter:
    """Export studies into one dataset.

    Parameters
    ----------
    root
        The raw dataset.
    settings
        What to export and how.
    source
        The release; inputs are named relative to it in receipts.
    prepare
        Called with each plan that is about to be carried out, and what of it is there already.
    """

    def __init__(
        self,
        root: Path,
        settings: ExportSettings,
        *,
        source: Path,
        prepare: Callable[[StudyPlan, Files], None] | None = None,
    ) -> None:
        self._prepare = prepare
        self._root = root
        self._settings = settings
        self._source = source
        self._receipts = Receipts(root)
        # Threads that make nothing but small files and links only get in each other's way.
        self._turn = threading.Lock()
        self._files = StudyFiles(root, cap=settings.age_cap == 'everywhere')

    def plan(self, study: Study, series: Sequence[str]) -> StudyPlan:
        """Plan a study without writing anything; what an earlier run exported stays in."""
        earlier = self._receipts.load(study.batch, study.study)
        return self._plan(study, wanted_keys(series, self._settings.include) | _keys(earlier))

    def export(self, study: Study, series: Sequence[str]) -> Outcome:
        """Export the given series of a study, unless a receipt says that it is done.

        Raises
        ------
        DestinationError
            When the dataset cannot take files; anything else is part of the outcome.
        """
        return attempt(lambda: self._export(study, series), partial(self._fail, study))

    def _fail(self, study: Study, error: MrRateError) -> Outcome:
        """Note a failure in a receipt, unless an earlier one tells of files that exist."""
        problem = Problem.from_error(error, batch=study.batch, study=study.study)
        earlier = self._receipts.load(study.batch, study.study)
        receipt = Receipt.of(study, 'failed')
        if earlier and earlier.state == 'started':
            receipt = earlier
        receipt.problems = [problem.to_dict()]
        if earlier is None or earlier.state in {'started', 'failed'}:
            with suppress(OSError, DataError):  # the study's name may be what fails
                self._receipts.save(receipt)
        return Outcome('failed', receipt, [problem])

    def _export(self, study: Study, series: Sequence[str]) -> Outcome:
        earlier = self._receipts.load(study.batch, study.study)
        wanted = wanted_keys(series, self._settings.include) | _keys(earlier)
        sign = self._sign(study)
        if earlier and not (earlier.outputs or study.places):
            self._receipts.drop(earlier)  # what could not be exported is no longer asked for
            earlier = None
        if earlier and self._is_done(study, earlier, sign, wanted):
            status = 'skipped' if earlier.state == 'complete' else earlier.state
            return Outcome(status, earlier, list(map(Problem.from_dict, earlier.problems)))
        if not study.places:
            if earlier is None:
                return Outcome('absent', Receipt.of(study, 'absent'), [])
            if earlier.state == 'started' or not self._receipts.intact(earlier):
                raise ArchiveError(_GONE.format('files of an earlier export are'))
        plan = self._plan(study, wanted)
        with self._turn if plan.copies_nothing else nullcontext():
            return self._carry_out(plan, wanted, sign, earlier)

    def _carry_out(
        self, plan: StudyPlan, wanted: set[Key], sign: str, earlier: Receipt | None
    ) -> Outcome:
        if earlier and not plan.study.places:  # new tables for files whose source is gone
            plan.problems[:0] = map(Problem.from_dict, earlier.problems)
        old = {output.path for output in earlier.outputs} if earlier else set()
        intact = self._intact(earlier)
        kept = _carried_over(plan, earlier, intact)
        if self._prepare:
            self._prepare(plan, intact)
        self._begin(plan, earlier, old, intact)
        files = kept | self._files.carry_out(plan, intact)
        outputs = list(files.values()) + self._files.describe(plan, files)
        for path in (old | plan.targets) - {output.path for output in outputs}:
            remove(self._root / path)
        cap = self._settings.age_cap == 'everywhere'
        receipt = _receipt(plan, wanted, outputs, sign=sign, cap=cap)
        self._receipts.save(receipt)
        status = 'done' if receipt.state == 'complete' else receipt.state
        here = set(intact.values())
        written = sum(output.size for output in outputs if output not in here)
        return Outcome(status, receipt, plan.problems, written)

    def _intact(self, earlier: Receipt | None) -> Files:
        return {
            (output.kind, output.series): output
            for output in (earlier.outputs if earlier else [])
            if output.kind and self._receipts.has(output)
        }

    def _plan(self, study: Study, wanted: set[Key]) -> StudyPlan:
        listings, problems = list_places(study)
        plan = plan_study(study, listings, wanted=wanted, link=self._settings.link)
        plan.problems[:0] = problems
        return plan

    def _is_done(self, study: Study, earlier: Receipt, sign: str, wanted: set[Key]) -> bool:
        """Trust a receipt while its inputs are as they were; files may be gone since."""
        if earlier.state == 'started' or not wanted <= earlier.asked:
            return False
        known, now = earlier.signature.partition('-'), sign.partition('-')
        same = known[0] == now[0] and (known == now or not study.places)
        return same and self._receipts.intact(earlier)

    def _sign(self, study: Study) -> str:
        """Return two digests: of the tables and settings, and of the zips and folders."""
        facts = [[t.name, r.number, t.header, r.cells] for t, r in study.facts.values()]
        rows = [[row.number, row.raw, row.cells] for row in study.rows]
        places = [_state_of(place, self._source) for place in study.places]
        settings = [self._settings.link, self._settings.age_cap]
        return f'{signature(settings, study.header, rows, facts)}-{signature(places)}'

    def _begin(
        self, plan: StudyPlan, earlier: Receipt | None, old: set[str], intact: Files
    ) -> None:
        """Say what may lie around from now on, and clear what a killed run left."""
        study = plan.study
        started = Receipt(study.patient, study.study, study.batch, 'started')
        started.keys = earlier.keys if earlier else []
        paths = (
            old
            | plan.targets
            | set(map(sidecar_path, plan.targets))
            | {scans_path(plan.name.folder)}
        )
        known = {output.path: output for output in earlier.outputs} if earlier else {}
        origins = {row.target: row.origin for row in plan.rows}
        for output in intact.values():  # what is about to be replaced is of unknown origin
            if origins.get(output.path, output.origin) != output.origin:
                known[output.path] = output._replace(origin='')
        started.outputs = [known.get(path, Output(path, -1)) for path in sorted(paths)]
        self._receipts.save(started)
        for folder in {os.path.dirname(path) for path in paths}:  # noqa: PTH120
            sweep(self._root / folder)


def _carried_over(plan: StudyPlan, earlier: Receipt | None, intact: Files) -> Files:
    """Keep what was exported from a repository that is no longer on disk."""
    planned = {(row.kind.name, row.series) for row in plan.rows}
    kept: Files = {}
    for output in earlier.outputs if earlier else []:
        key = (output.kind, output.series)
        if (
            output.kind
            and key not in planned
            and KINDS[output.kind].repository not in plan.here
            and output.series in plan.series
        ):
            if key in intact:
                kept[key] = output
            else:
                message = _GONE.format(f'{output.path} is')
                plan.complain(message, LEFT_OUT, series=output.series, file=output.path)
    return kept


def _keys(receipt: Receipt | None) -> set[Key]:
    return receipt.asked if receipt else set()


def list_places(study: Study) -> tuple[list[Listing], list[Problem]]:
    """List the zips and folders of a study; what cannot be listed is a problem."""
    listings, problems = [], []
    where = {'batch': study.batch, 'study': study.study, 'check': 'archives'}
    for place in study.places:
        try:
            listings.append(list_place(place))
        except ArchiveError as error:
            problems.append(Problem.from_error(error, file=str(place.path), **where))
    return listings, problems


def _state_of(place: Place, source: Path) -> list[Any]:
    """Return what changes when a zip or a folder changes."""
    local = isinstance(place.path, Path)
    name = os.path.relpath(place.path, source) if local else str(place.path)
    try:
        if place.zipped:
            return [name, *state_of(place.path)]
        return [name, [[m.name, *state_of(m.path)] for m in list_place(place).members]]
    except (OSError, ArchiveError) as error:
        return [name, type(error).__name__]  # the plan will say what is wrong


def _receipt(
    plan: StudyPlan, wanted: set[Key], outputs: list[Output], *, sign: str, cap: bool
) -> Receipt:
    study = plan.study
    errors = any(problem.severity == 'error' for problem in plan.problems)
    state = 'complete' if not errors else 'partial' if outputs else 'failed'
    receipt = Receipt.of(study, state)
    receipt.signature = sign
    receipt.keys = sorted(map(list, wanted))
    receipt.outputs = sorted(outputs, key=lambda output: output.path)
    receipt.centre = plan.centre
    first = study.rows[0]
    receipt.age = study.cell(first, AGE_COLUMN)
    receipt.sex = study.cell(first, SEX_COLUMN)
    receipt.date = study.cell(first, 'anon_study_date')
    receipt.tables = {
        kind: {'table': table.name, 'row': record.number, 'header': table.header}
        | {'cells': record.cells, 'raw': record.raw}
        for kind, (table, record) in study.facts.items()
    }
    _keep_rows(receipt, plan, asked={series for series, group in wanted if group == 'raw'})
    receipt.problems = [problem.to_dict() for problem in plan.problems]
    if cap:
        _cap_ages(receipt)
    return receipt


def _keep_rows(receipt: Receipt, plan: StudyPlan, *, asked: set[str]) -> None:
    """Keep where the metadata records stand, and those themselves that no sidecar holds."""
    images = {output.series for output in receipt.outputs if output.kind == 'image'}
    exported = {output.series for output in receipt.outputs if output.kind}
    for series_id, series in plan.series.items():
        record = series.record
        if series_id in images:
            receipt.series[series_id] = {'row': record.number, 'raw': record.raw}
        elif series_id in asked:
            plan.set_aside.append(record)
        elif series_id in exported:
            receipt.series[series_id] = {'row': record.number, 'raw': record.raw}
            receipt.series[series_id]['cells'] = _filled(plan.study, record)
    receipt.set_aside = [
        {'row': record.number, 'raw': record.raw, 'cells': _filled(plan.study, record)}
        for record in sorted(plan.set_aside, key=lambda record: record.number)
    ]


def _filled(study: Study, record: Record) -> dict[str, str]:
    pairs = zip(study.header, record.cells, strict=True)
    return {column: cell for column, cell in pairs if cell}


def _cap_ages(receipt: Receipt) -> None:
    """Leave no age above 89 in a receipt; the raw text of a record with one goes with it."""
    old = cap_age(receipt.age) != receipt.age
    receipt.age = cap_age(receipt.age)
    for record in [*receipt.series.values(), *receipt.set_aside]:
        cells = record.get('cells', {})
        for column in AGE_COLUMNS & cells.keys():
            old = old or cap_age(cells[column]) != cells[column]
            cells[column] = cap_age(cells[column])
        record['raw'] = None if old else record['raw']
