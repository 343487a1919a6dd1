"""Import a dataset: visit by visit, then the tables that speak of all of them.

What must not be published stands in a folder apart from the release: which subject became which
patient, the receipts, what was rejected and why.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mrrate_bids.acceptance import Rules
from mrrate_bids.ahead import Watch, run_ahead
from mrrate_bids.errors import DestinationError, SelectionError, UsageError
from mrrate_bids.export import Outcome
from mrrate_bids.export_run import Summary
from mrrate_bids.files import sweep, write_if_changed
from mrrate_bids.importing.importer import Importer, rows_of
from mrrate_bids.importing.ledger import write_tables
from mrrate_bids.importing.plan import ImportPlan, Layout
from mrrate_bids.importing.source import BidsSource, Visit
from mrrate_bids.importing.target import claim_target, refuse_foreign, refuse_nesting
from mrrate_bids.locks import held
from mrrate_bids.naming import NATIVE, decode_label, encode_label
from mrrate_bids.problems import Problem
from mrrate_bids.pseudonyms import Pseudonyms, Terms
from mrrate_bids.receipts import FOLDER, SPLITS, Receipt
from mrrate_bids.selection import Shard
from mrrate_bids.shares import SPLIT_NAMES
from mrrate_bids.tables import format_tsv

__all__ = ['ImportRun', 'ImportSettings']

_MAPPING = 'mapping.tsv'
_OTHER_TERMS = (
    'the import was begun with other --seed, --uids, --split or --batch-size: visits that have '
    'identifiers keep them, with split and batch'
)
_BEGIN_ANEW = 'Import into another folder, if they should be drawn anew.'
_PROBLEMS = ('severity', 'message', 'remedy', 'batch', 'study', 'series', 'file')
_REJECTED = ('study_uid', 'image', 'rule', 'value', 'limit')
_STATES = ('batch', 'patient_uid', 'study_uid', 'state', 'files', 'bytes', 'problems')


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """What decides a release, apart from the dataset itself."""

    layout: Layout = field(default_factory=Layout)
    rules: Rules = field(default_factory=Rules)
    terms: Terms = field(default_factory=Terms)
    participants: tuple[str, ...] = ()
    """Labels of the subjects to import; none means all."""

    defaced_elsewhere: bool = False
    """Whether the images have no faces, also where nothing here tells."""


class ImportRun:
    """The import of a dataset into one release.

    Parameters
    ----------
    source
        The raw dataset.
    target
        The release to write: the folder that will hold the repositories.
    settings, shard
        How, and which share of the visits is this run's.
    work
        The folder for what must not be published; next to the release when left out.

    Raises
    ------
    UsageError
        When *source* is no dataset.
    DestinationError
        When *target* holds something else, or lies in the wrong place.
    """

    def __init__(
        self,
        source: Path,
        target: Path,
        *,
        settings: ImportSettings,
        shard: Shard | None = None,
        work: Path | None = None,
    ) -> None:
        self.work = work or target.absolute().parent / f'{target.absolute().name}-import'
        self._source = BidsSource(source)
        refuse_nesting(source, target, self.work)
        refuse_foreign(source, target, self.work)
        _refuse_unknown(self._source, settings.participants)
        self._target = target
        self._settings = settings
        self._shard = shard or Shard()
        self._importer = Importer(
            self._source,
            target,
            work=self.work,
            layout=settings.layout,
            rules=settings.rules,
            defaced_elsewhere=settings.defaced_elsewhere,
        )
        self._splits: dict[str, str] = {}
        self.same = (0, 0)
        """How many tables are byte for byte what was exported, of how many."""
        self.rejected = 0
        """How many images the rules keep out."""

    @property
    def draws(self) -> bool:
        """Whether the identifiers of a plan are not those of the import that follows."""
        terms = self._settings.terms
        drawn = not terms.keep and terms.seed is None and not (self.work / _MAPPING).exists()
        return drawn and bool(self._splits)

    def plans(self, problems: list[Problem]) -> Iterator[ImportPlan]:
        """Yield the plan of every visit, writing nothing.

        What is wrong with the dataset is added to *problems*.
        """
        visits = self._named(self._visits(), keep=False)
        for number, visit in enumerate(self._asked(visits)):
            if self._shard.has(number):
                plan = self._importer.plan(visit, self._splits.get(visit.label, ''))
                self.rejected += len(plan.intake.rejected)
                yield replace(plan, rows=[]) if plan.intake.set_aside else plan
        problems += self._source.problems

    def execute(self, *, jobs: int, watch: Watch | None = None) -> Summary:
        """Import every visit and write the tables.

        Raises
        ------
        UsageError
            When links would show what fresh identifiers hide; nothing was written.
        DestinationError
            When the release cannot take files; what was finished stays.
        """
        summary, visits = Summary(), self._visits()
        with self._locked():
            terms = repr(self._settings.terms)
            same = claim_target(self._source.root, self._target, self.work, terms=terms)
            if not same and (self.work / _MAPPING).exists():
                self._source.note(Problem('warning', _OTHER_TERMS, _BEGIN_ANEW, file=_MAPPING))
            visits = self._named(visits, keep=True)
        source = self._source  # read once, before many ask
        _ = source.participants, source.measures, source.takes_faces_away
        asked = list(self._asked(visits))
        share = [visit for number, visit in enumerate(asked) if self._shard.has(number)]
        batches = defaultdict[str, list[Visit]](list)
        for visit in share:
            batches[visit.batch].append(visit)
        with ThreadPoolExecutor(jobs, thread_name_prefix='import') as pool:
            for batch in sorted(batches):
                outcomes = run_ahead(pool, jobs, self._import, batches[batch])
                for done, (_, outcome) in enumerate(outcomes, 1):
                    summary.add(outcome)
                    if watch:
                        watch(batch, done, len(batches[batch]), summary.bytes)
        if not self._settings.participants:
            summary.counts['removed'] += self._remove(visits)
        with self._locked():
            summary.problems = self._finalise(visits, summary.problems)
        return summary

    def _import(self, visit: Visit) -> Outcome:
        return self._importer.import_visit(visit, self._splits.get(visit.label, ''))

    def _asked(self, visits: list[Visit]) -> Iterator[Visit]:
        labels = {label.removeprefix('sub-') for label in self._settings.participants}
        return (visit for visit in visits if not labels or visit.subject[4:] in labels)

    def _named(self, visits: list[Visit], *, keep: bool) -> list[Visit]:
        """Give every visit the identifiers of a release; *keep* them for later runs."""
        known = [visit for visit in visits if visit.is_named]
        strangers = [visit for visit in visits if not visit.is_named]
        if not strangers:
            return visits
        path = self.work / _MAPPING
        book = Pseudonyms.load(path)
        patients = {visit.subject: visit.patient for visit in known}
        book.assign(
            [(visit.subject, visit.session) for visit in strangers],
            self._settings.terms,
            patients=patients,
            splits=self._known_splits(strangers, known),
            batches=_sizes(known),
            taken=[uid for visit in known for uid in (visit.patient, visit.study)],
        )
        if keep:
            book.save(path)
        named = []
        for visit in visits:
            entry = book.find(visit.subject, visit.session)
            if not visit.is_named and entry:
                self._splits[visit.label] = entry.split
                visit = replace(  # noqa: PLW2901
                    visit,
                    patient=entry.patient_uid,
                    study=entry.study_uid,
                    batch=entry.batch,
                )
            named.append(visit)
        return named

    def _visits(self) -> list[Visit]:
        """Return all visits; refuse links that would tell which subject became which patient."""
        visits, is_symlink = self._source.visits(), self._settings.layout.link == 'symlink'
        is_fresh = not self._settings.terms.keep and not all(v.is_named for v in visits)
        if is_symlink and is_fresh:
            raise UsageError(
                '--link symlink: the links would show the labels that fresh identifiers hide',
                hint='Use --link auto, or keep the labels with --uids keep.',
            )
        return visits

    def _known_splits(self, strangers: list[Visit], known: list[Visit]) -> dict[str, str]:
        """Return the split of each subject that has one already."""
        wanted = {visit.subject for visit in strangers}
        splits = {}
        for subject in wanted:
            split = self._source.participants.get(subject, {}).get('split', '')
            if split in SPLIT_NAMES:
                splits[subject] = split
            elif split:
                message = (
                    f'participants.tsv: the split {split!r} of {subject} is none of a release'
                )
                remedy = f'Use {", ".join(SPLIT_NAMES)}; one was dealt instead.'
                self._source.note(Problem('warning', message, remedy, file='participants.tsv'))
        for visit in known:
            receipt = self._source.receipt(visit) if visit.subject in wanted else None
            if receipt and receipt.cells(SPLITS).get('split'):
                splits[visit.subject] = receipt.cells(SPLITS)['split']
        return splits

    def _remove(self, visits: list[Visit]) -> int:
        """Take studies out of the release that the dataset no longer has."""
        receipts, here = self._importer.receipts, {encode_label(v.study) for v in visits}
        count = 0
        for label, batches in self._source.tree.receipts.items():
            if label not in here:
                for batch in batches:
                    count += self._account_for(batch, label)
        exported = set(self._source.tree.receipts)
        for label, batch in receipts.homes().items():
            if label not in here | exported:
                receipt = receipts.load(decode_label(batch), decode_label(label))
                if receipt:
                    self._importer.delivery.clear(receipt.outputs)
                    receipts.drop(receipt)
                    count += 1
        return count

    def _account_for(self, batch: str, label: str) -> int:
        """Keep the rows of a study that never had files, drop those of one that was removed."""
        exported = self._source.tree.load_receipt(batch, label)
        if exported is None:
            return 0
        receipts = self._importer.receipts
        earlier = receipts.load(exported.batch, exported.study)
        done = Receipt(exported.patient, exported.study, exported.batch, 'complete')
        if exported.outputs:
            done.gone = rows_of(exported)
        else:
            done.set_aside, done.tables = exported.set_aside, exported.tables
        if earlier != done:
            self._importer.delivery.clear(earlier.outputs if earlier else ())
            receipts.save(done)
        return int(bool(exported.outputs))

    def _finalise(self, visits: list[Visit], failures: list[Problem]) -> list[Problem]:
        """Write tables and bookkeeping; return every problem."""
        receipts = self._importer.receipts
        self._tidy()
        self._write_tables()
        problems, rejected, states = list(self._source.problems), [], []
        splits: dict[str, dict[str, str]] = defaultdict(dict)
        for receipt in receipts:
            found = [Problem.from_dict(problem) for problem in receipt.problems]
            problems += found
            rejected += [[receipt.study, *row] for row in receipt.rejected]
            size = sum(output.size for output in receipt.outputs)
            facts = (len(receipt.outputs), size, len(found))
            head = (receipt.batch, receipt.patient, receipt.study, receipt.state)
            states.append([*head, *map(str, facts)])
            self.rejected += len(receipt.rejected)
            split = receipt.cells(SPLITS).get('split')
            if split and receipt.outputs:
                splits[receipt.patient].setdefault(split, receipt.study)
        problems += _leaks(splits)
        problems += self._source.measures.strangers(visits)
        problems += [problem for problem in failures if problem not in problems]
        tables = {
            'problems.tsv': (_PROBLEMS, [problem.row() for problem in problems]),
            'rejected.tsv': (_REJECTED, rejected),
            'studies.tsv': (_STATES, states),
        }
        for name, (header, rows) in tables.items():
            write_if_changed(self.work / name, format_tsv(header, rows))
        return problems

    def _write_tables(self) -> None:
        written = list(write_tables(self._importer.receipts, self._source.root, self._target))
        self.same = sum(same for _, same, _ in written), len(written)
        for name in [name for name, _, known in written if not known]:
            message = f'how {name} was spelt is not told in {FOLDER}/tables; it was written anew'
            remedy = 'Restore that folder, or export the release again.'
            self._source.note(Problem('warning', message, remedy, file=name))

    def _tidy(self) -> None:
        """Remove what killed runs left half-written where no study of this run lies."""
        for folder in (self._target / NATIVE, *(self._target / NATIVE).glob('*')):
            sweep(folder)
        if self._shard.count == 1:  # other shards may be writing there
            for folder in self._target.glob('*/mri/*'):
                sweep(folder)
        sweep(self.work)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with held(self.work / '.lock'):
            try:
                self._target.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                message = f'{self._target}: cannot be written ({error.strerror})'
                raise DestinationError(message) from error
            yield


def _leaks(splits: dict[str, dict[str, str]]) -> Iterator[Problem]:
    for patient, studies in sorted(splits.items()):
        if len(studies) > 1:
            where = ', '.join(f'{study} in {split}' for split, study in sorted(studies.items()))
            message = f'patient {patient} is in several splits: {where}'
            remedy = 'All studies of a patient belong to one split.'
            yield Problem('error', message, remedy, study=next(iter(studies.values())))


def _sizes(visits: list[Visit]) -> dict[str, int]:
    sizes = defaultdict[str, int](int)
    for visit in visits:
        sizes[visit.batch] += 1
    return dict(sizes)


def _refuse_unknown(source: BidsSource, participants: Iterable[str]) -> None:
    subjects = {subject.removeprefix('sub-') for subject in source.tree.subjects()}
    unknown = {label.removeprefix('sub-') for label in participants} - subjects
    if unknown:
        raise SelectionError(
            f'there is no participant {", ".join(sorted(unknown))}',
            hint=f'{source.root} has {len(subjects)} subjects; their folders are named sub-…',
        )
