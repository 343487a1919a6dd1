"""Export a study: plan it, carry the plan out, describe the files, leave a receipt.

Workers run in threads: the work is reading, summing and writing, none of which holds the
interpreter. A worker writes below its study only.
"""

import json
import os
import threading
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrrate_bids.archives import Listing, Place, list_place
from mrrate_bids.catalog import Study
from mrrate_bids.errors import ArchiveError, DataError, DestinationError, ImageError
from mrrate_bids.files import remove, sweep, write_bytes
from mrrate_bids.images import Header, same_grid
from mrrate_bids.naming import INCLUDES, KINDS, StudyName
from mrrate_bids.plan import Key, Row, StudyPlan, plan_study
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import Output, Receipt, Receipts, signature
from mrrate_bids.sidecars import (
    AGE_COLUMN,
    SEX_COLUMN,
    derived_sidecar,
    image_sidecar,
    sidecar_path,
)
from mrrate_bids.sources import state_of
from mrrate_bids.tables import format_tsv
from mrrate_bids.transfer import Transfer

__all__ = ['ExportSettings', 'Exporter', 'Outcome', 'wanted_keys']

Headers = dict[tuple[str, str], Header | None]
Files = dict[tuple[str, str], Output]
"""What was written, by kind and series."""

_GONE = '{} missing or changed, and the release on disk no longer holds the study'
_LEFT_OUT = 'Fetch the study again from the release; this file was left out.'
_SCANS_HEADER = (
    'filename',
    'acq_time',
    'series_id',
    'series_number',
    'acquisition_plane',
    'classified_modality',
    'is_center_modality',
    'body_part',
    'contrast_enhanced',
)


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
    """

    def __init__(self, root: Path, settings: ExportSettings, *, source: Path) -> None:
        self._root = root
        self._settings = settings
        self._source = source
        self._receipts = Receipts(root)
        self._local = threading.local()

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
        try:
            return self._export(study, series)
        except DataError as error:
            return self._fail(study, error)
        except OSError as error:
            where = error.filename or 'a file'
            return self._fail(study, ArchiveError(f'{where}: {error.strerror}'))
        except DestinationError:
            raise
        except Exception as error:  # noqa: BLE001  (a fault of ours must not stop the others)
            message = f'unexpected {type(error).__name__}: {error}'
            return self._fail(study, DataError(message, hint='Please report this.'))

    def _fail(self, study: Study, error: DataError) -> Outcome:
        """Note a failure in a receipt, unless an earlier one tells of files that exist."""
        problem = Problem.from_error(error, batch=study.batch, study=study.study)
        earlier = self._receipts.load(study.batch, study.study)
        receipt = _receipt_of(study, 'failed')
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
            if earlier and not (earlier.state != 'started' and self._receipts.intact(earlier)):
                raise ArchiveError(_GONE.format('files of an earlier export are'))
            return Outcome('absent', _receipt_of(study, 'absent'), [])
        plan = self._plan(study, wanted)
        kept = self._carried_over(plan, earlier)
        old = {output.path for output in earlier.outputs} if earlier else set()
        self._begin(plan, earlier, old)
        files = kept | self._carry_out(plan)
        outputs = list(files.values()) + self._describe(plan, files)
        for path in (old | plan.targets) - {output.path for output in outputs}:
            remove(self._root / path)
        receipt = _receipt(plan, wanted, outputs, sign=sign)
        self._receipts.save(receipt)
        status = 'done' if receipt.state == 'complete' else receipt.state
        return Outcome(status, receipt, plan.problems, sum(output.size for output in outputs))

    def _plan(self, study: Study, wanted: set[Key]) -> StudyPlan:
        listings, problems = _list_places(study)
        plan = plan_study(study, listings, wanted=wanted, link=self._settings.link)
        plan.problems[:0] = problems
        return plan

    def _is_done(self, study: Study, earlier: Receipt, sign: str, wanted: set[Key]) -> bool:
        """Trust a receipt while its inputs are as they were, or all gone since."""
        if earlier.state == 'started' or not wanted <= _keys(earlier):
            return False
        unchanged = earlier.signature == sign or not study.places
        return unchanged and self._receipts.intact(earlier)

    def _sign(self, study: Study) -> str:
        facts = [[t.name, r.number, t.header, r.cells] for t, r in study.facts.values()]
        rows = [[row.number, row.raw, row.cells] for row in study.rows]
        places = [_state_of(place, self._source) for place in study.places]
        settings = [self._settings.link, self._settings.age_cap]
        return signature(settings, study.header, rows, facts, places)

    def _carried_over(self, plan: StudyPlan, earlier: Receipt | None) -> Files:
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
                if self._receipts.has(output):
                    kept[key] = output
                else:
                    message = _GONE.format(f'{output.path} is')
                    plan.complain(message, _LEFT_OUT, series=output.series, file=output.path)
        return kept

    def _begin(self, plan: StudyPlan, earlier: Receipt | None, old: set[str]) -> None:
        """Say what may lie around from now on, and clear what a killed run left."""
        study = plan.study
        started = Receipt(study.patient, study.study, study.batch, 'started')
        started.keys = earlier.keys if earlier else []
        paths = (
            old | plan.targets | set(map(sidecar_path, plan.targets)) | {_scans_path(plan.name)}
        )
        known = {output.path: output for output in earlier.outputs} if earlier else {}
        started.outputs = [known.get(path, Output(path, -1)) for path in sorted(paths)]
        self._receipts.save(started)
        for folder in {os.path.dirname(path) for path in paths}:  # noqa: PTH120
            sweep(self._root / folder)

    def _carry_out(self, plan: StudyPlan) -> Files:
        transfer = self._transfer()
        headers: Headers = {}
        files: Files = {}
        for row in plan.rows:
            key = (row.kind.name, row.series)
            try:
                reference = _reference(row, plan, headers)
                done = transfer.place(row)
                if reference and done.header and not same_grid(reference, done.header):
                    raise ImageError(f'{row.member.name}: lies on another grid than its image')
            except DataError as error:
                transfer.discard(row)
                hint = error.hint or _LEFT_OUT
                plan.complain(str(error), hint, series=row.series, file=row.member.name)
            else:
                headers[key] = done.header
                files[key] = Output(row.target, done.size, done.crc, *key)
        return files

    def _transfer(self) -> Transfer:
        if not hasattr(self._local, 'transfer'):
            self._local.transfer = Transfer(self._root)
        transfer: Transfer = self._local.transfer
        return transfer

    def _describe(self, plan: StudyPlan, files: Files) -> list[Output]:
        """Write the sidecars and the scans table; return them as outputs."""

        def find(kind: str, series: str) -> str | None:
            output = files.get((kind, series))
            return output.path if output else None

        outputs = []
        for (kind, series_id), output in files.items():
            if kind == 'image':
                content = self._image_sidecar(plan, series_id)
            else:
                content = derived_sidecar(KINDS[kind], series_id, plan.centre, find)
            if content:
                text = json.dumps(content, indent=2, ensure_ascii=False) + '\n'
                outputs.append(self._write(sidecar_path(output.path), text))
        images = [(series, output) for (kind, series), output in files.items() if kind == 'image']
        if images:
            outputs.append(self._write(_scans_path(plan.name), _scans(plan, images)))
        return outputs

    def _image_sidecar(self, plan: StudyPlan, series_id: str) -> dict[str, Any]:
        series = plan.series[series_id]
        cap = self._settings.age_cap == 'everywhere'
        return image_sidecar(
            plan.study.header, series.record.cells, contrast=series.contrast, cap=cap
        )

    def _write(self, path: str, text: str) -> Output:
        data = text.encode('utf-8', 'surrogatepass')
        write_bytes(self._root / path, data)
        return Output(path, len(data), zlib.crc32(data))


def _keys(receipt: Receipt | None) -> set[Key]:
    return {(series, group) for series, group in receipt.keys} if receipt else set()


def _list_places(study: Study) -> tuple[list[Listing], list[Problem]]:
    listings, problems = [], []
    where = {'batch': study.batch, 'study': study.study}
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


def _reference(row: Row, plan: StudyPlan, headers: Headers) -> Header | None:
    """Return the header of the image whose grid a file must share.

    Raises
    ------
    ImageError
        When that image was left out, or there is none to define a space.
    """
    if not row.kind.grid:
        return None
    key = (row.kind.grid, row.series if row.kind.grid == 'image' else plan.centre)
    if key == (row.kind.name, row.series):
        return None
    if key in headers:
        return headers[key]
    if key in plan.missing or any((r.kind.name, r.series) == key for r in plan.rows):
        raise ImageError(f'{row.member.name}: left out, because its image {key[1]} was')
    if row.kind.grid == 'coreg-image':
        if ('image', plan.centre) not in headers:
            raise ImageError(f'{row.member.name}: left out, the centre {plan.centre} is missing')
        return headers['image', plan.centre]
    return None


def _scans_path(name: StudyName) -> str:
    return f'{name.folder}/{name.prefix}_scans.tsv'


def _scans(plan: StudyPlan, images: list[tuple[str, Output]]) -> str:
    rows = []
    for series_id, output in images:
        study, record = plan.study, plan.series[series_id].record
        contrast = study.cell(record, 'contrast_enhanced')
        rows.append(
            [
                output.path.removeprefix(f'{plan.name.folder}/'),
                '',
                series_id,
                study.cell(record, 'SeriesNumber'),
                study.cell(record, 'acquisition_plane'),
                study.cell(record, 'classified_modality'),
                study.cell(record, 'is_center_modality'),
                study.cell(record, 'body_part'),
                contrast or study.cell(record, 'is_contrast_enhanced'),
            ]
        )
    return format_tsv(_SCANS_HEADER, sorted(rows))


def _receipt_of(study: Study, state: str) -> Receipt:
    return Receipt(study.patient, study.study, study.batch, state)


def _receipt(plan: StudyPlan, wanted: set[Key], outputs: list[Output], *, sign: str) -> Receipt:
    study = plan.study
    errors = any(problem.severity == 'error' for problem in plan.problems)
    state = 'complete' if not errors else 'partial' if outputs else 'failed'
    receipt = _receipt_of(study, state)
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
    exported = {output.series for output in outputs if output.kind == 'image'}
    asked = {series_id for series_id, group in wanted if group == 'raw'}
    for series_id, series in plan.series.items():
        if series_id in exported:
            receipt.series[series_id] = {'row': series.record.number, 'raw': series.record.raw}
        elif series_id in asked:
            plan.set_aside.append(series.record)
    receipt.set_aside = [
        {'row': record.number, 'cells': dict(zip(study.header, record.cells, strict=True))}
        for record in sorted(plan.set_aside, key=lambda record: record.number)
    ]
    receipt.problems = [problem.to_dict() for problem in plan.problems]
    return receipt
