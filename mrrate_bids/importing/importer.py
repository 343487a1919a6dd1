"""Import a visit: read it, plan it, carry the plan out, leave a receipt.

Workers run in threads: the work is reading, summing and writing, none of which holds the
interpreter. A worker writes below its study only.
"""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from mrrate_bids.acceptance import Rules
from mrrate_bids.errors import DataError
from mrrate_bids.export import Outcome, attempt
from mrrate_bids.files import sweep
from mrrate_bids.importing.delivery import Delivery
from mrrate_bids.importing.edits import settle_tables
from mrrate_bids.importing.faces import takes_faces_away
from mrrate_bids.importing.intake import Intake
from mrrate_bids.importing.plan import ImportPlan, Layout, plan_import
from mrrate_bids.importing.records import new_record, settle_records
from mrrate_bids.importing.source import BidsSource, Files, Visit
from mrrate_bids.importing.stranger import add_strangers
from mrrate_bids.importing.verbatim import read_verbatim
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import METADATA, SPLITS, Output, Receipt, Receipts, signature
from mrrate_bids.sources import state_of

__all__ = ['Importer', 'rows_of']

_REPAIR = 'Repair or replace the file, then import again.'
_YES = {'true', '1'}


class Importer:
    """Import visits into one release.

    Parameters
    ----------
    source
        The dataset.
    target
        The release.
    work
        Where receipts and what is made on the way are kept, apart from the release.
    layout
        How the release lies on disk.
    rules
        What it accepts of images that were not exported from one.
    defaced_elsewhere
        Whether the images have no faces, whatever is known of them.
    """

    def __init__(
        self,
        source: BidsSource,
        target: Path,
        *,
        work: Path,
        layout: Layout,
        rules: Rules,
        defaced_elsewhere: bool,
    ) -> None:
        self._source = source
        self._target = target
        self._layout = layout
        self._rules = rules
        self._defaced_elsewhere = defaced_elsewhere
        self.receipts = Receipts(target, work)
        self.delivery = Delivery(
            source.root, target, staging=work / 'staging', layout=layout, receipts=self.receipts
        )

    def plan(self, visit: Visit, split: str) -> ImportPlan:
        """Plan a visit without writing anything."""
        receipt, files = self._source.receipt(visit), self._source.files(visit)
        intake = self._read(visit, split, files, receipt)
        return plan_import(self._source, intake, self._layout)

    def import_visit(self, visit: Visit, split: str) -> Outcome:
        """Import a visit, unless a receipt says that it is done.

        Raises
        ------
        DestinationError
            When the release cannot take files; anything else is part of the outcome.
        """
        work = partial(self._import, visit, split)
        return attempt(work, partial(self._fail, visit), hint=_REPAIR)

    def _fail(self, visit: Visit, error: DataError) -> Outcome:
        place = {'batch': visit.batch, 'study': visit.study, 'file': visit.label}
        problem = Problem.from_error(error, **place)
        receipt = Receipt(visit.patient, visit.study, visit.batch, 'failed')
        receipt.problems = [problem.to_dict()]
        earlier = self.receipts.load(visit.batch, visit.study)
        if earlier and earlier.outputs and earlier.state in {'complete', 'partial'}:
            return Outcome('failed', earlier, [problem])  # what was imported before stays
        exported = self._source.receipt(visit)
        receipt.gone = rows_of(exported) if exported else {}
        self.delivery.clear(earlier.outputs if earlier else ())
        with suppress(OSError, DataError):  # the study's name may be what fails
            self.receipts.save(receipt)
        return Outcome('failed', receipt, [problem])

    def _import(self, visit: Visit, split: str) -> Outcome:
        receipt, files = self._source.receipt(visit), self._source.files(visit)
        earlier = self.receipts.load(visit.batch, visit.study)
        sign = self._sign(visit, split, files, receipt)
        if earlier and earlier.signature == sign and self.receipts.intact(earlier):
            status = 'skipped' if earlier.state == 'complete' else earlier.state
            return Outcome(status, earlier, list(map(Problem.from_dict, earlier.problems)))
        intake = self._read(visit, split, files, receipt)
        plan = plan_import(self._source, intake, self._layout)
        kept = self._begin(plan, earlier)
        outputs = [] if intake.set_aside else self.delivery.deliver(plan, kept)
        new = {output.path for output in outputs}
        self.delivery.clear(output for path, output in kept.items() if path not in new)
        done = _receipt(intake, receipt, outputs, sign=sign)
        self.receipts.save(done)
        status = 'done' if done.state == 'complete' else done.state
        status = 'removed' if intake.is_removed else status
        return Outcome(status, done, intake.problems, sum(output.size for output in outputs))

    def _begin(self, plan: ImportPlan, earlier: Receipt | None) -> dict[str, Output]:
        """Say what may lie around from now on, and clear what a killed run left."""
        visit, expected = plan.intake.visit, self.delivery.expected(plan.rows)
        kept = {path: Output(path, -1) for path in expected}
        for output in earlier.outputs if earlier else []:
            same = expected.get(output.path) == output.origin
            kept[output.path] = output if same else output._replace(size=-1, origin='')
        started = Receipt(visit.patient, visit.study, visit.batch, 'started')
        started.outputs = [kept[path] for path in sorted(kept)]
        self.receipts.save(started)
        if earlier and earlier.state == 'started':
            for path in kept:  # a folder of zips is shared by all studies of a batch
                place = self._target / path
                sweep(place.parent, name=place.name)
        return kept

    def _sign(self, visit: Visit, split: str, files: Files, receipt: Receipt | None) -> str:
        """Return a digest of what the files of a study follow from."""
        source, states = self._source, list[Any]()
        for dataset, paths in sorted(files.items()):
            root = source.tree.datasets[dataset].root
            for path in paths:
                state = (root / path).lstat()
                states.append([dataset, path, state.st_size, state.st_mtime_ns])
        for sidecar in source.sidecars.shared(visit.subject):
            states.append([sidecar.name, *state_of(sidecar)])
        states.append(receipt.signature if receipt else '')
        tables = [source.participants.get(visit.subject), source.sessions(visit.subject)]
        records = source.measures.state(visit, alone=source.is_alone(visit))
        settings = [repr(self._layout), repr(self._rules), split, repr(visit)]
        # Files of another study may tell that faces are taken away.
        settings += [repr(self._defaced_elsewhere), repr(source.takes_faces_away)]
        return signature(settings, states, tables, records)

    def _read(self, visit: Visit, split: str, files: Files, receipt: Receipt | None) -> Intake:
        intake = Intake(visit, files)
        guards = not self._defaced_elsewhere
        intake.guarded = guards and takes_faces_away(self._source, files)
        strangers = read_verbatim(self._source, intake, receipt)
        settle_records(self._source, intake, receipt)
        if intake.scans:  # what an export wrote stands in the tables once more
            settle_tables(self._source, intake, receipt)
        add_strangers(self._source, intake, strangers, rules=self._rules)
        if not receipt:  # of an export without receipts the tables are left
            session = self._source.sessions(visit.subject).get(visit.session, {})
            split = split or session.get('study_split', '')
        if split and SPLITS not in intake.tables:
            intake.tables[SPLITS] = new_record(visit, SPLITS, {'split': split})
        _find_centre(intake, receipt)
        return intake


def _find_centre(intake: Intake, receipt: Receipt | None) -> None:
    """Find the centre of a visit; without exactly one it has no place in a release."""
    if intake.is_removed:
        return
    marked = [
        str(scan.name)
        for scan, cell in intake.column('is_center_modality')
        if cell.strip().lower() in _YES
    ]
    if len(marked) == 1:
        (intake.centre,) = marked
        centre = intake.scans.pop(marked[0])
        intake.scans = {marked[0]: centre} | intake.scans
    elif receipt and not receipt.centre and intake.scans:
        intake.remark('the study was published without a centre; it still has none')
    elif marked:
        message = f'{len(marked)} series are marked as the centre: {", ".join(marked)}'
        intake.complain(message, 'Mark exactly one.', fatal=True)
    elif intake.scans or not (intake.extra or intake.set_aside):
        reasons = (f'{r.image.rpartition("/")[2]} ({r.rule} {r.value})' for r in intake.rejected)
        why = f'; rejected: {", ".join(reasons)}' if intake.rejected else ''
        message = f'{intake.visit.label}: no T1w that can be the centre of the study{why}'
        intake.complain(message, 'Add a T1w, or relax the rules with --rule.', fatal=True)


def _receipt(
    intake: Intake, exported: Receipt | None, outputs: list[Output], *, sign: str
) -> Receipt:
    visit = intake.visit
    errors = any(problem.severity == 'error' for problem in intake.problems)
    state = 'failed' if intake.set_aside else 'partial' if errors else 'complete'
    receipt = Receipt(visit.patient, visit.study, visit.batch, state, sign)
    receipt.outputs = sorted(outputs, key=lambda output: output.path)
    receipt.centre = intake.centre
    receipt.problems = [problem.to_dict() for problem in intake.problems]
    receipt.rejected = [[r.image, r.rule, r.value, r.limit] for r in intake.rejected]
    if intake.set_aside or intake.is_removed:
        receipt.gone = rows_of(exported) if exported else {}
        return receipt
    receipt.tables, receipt.set_aside = intake.tables, intake.extra
    receipt.series = {
        series_id: {'row': scan.number, 'raw': scan.raw, 'cells': scan.cells}
        for series_id, scan in intake.scans.items()
    }
    receipt.gone = {table: sorted(numbers) for table, numbers in intake.gone.items()}
    return receipt


def rows_of(exported: Receipt) -> dict[str, Any]:
    """Return the numbers of all rows of a study that an export took over, by table."""
    rows = [*exported.series.values(), *exported.set_aside]
    numbers = {METADATA: [row['row'] for row in rows]}
    return numbers | {kind: [record['row']] for kind, record in exported.tables.items()}
