"""Export a release: batch by batch, study by study, then the files that speak of all of them."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from mrrate_bids.catalog import Batch, Release, Study
from mrrate_bids.dataset import finalise, keep_table_facts
from mrrate_bids.descriptions import About
from mrrate_bids.errors import DestinationError, SelectionError, TableError
from mrrate_bids.export import Exporter, ExportSettings, Outcome
from mrrate_bids.files import write_if_changed
from mrrate_bids.naming import encode_label
from mrrate_bids.plan import StudyPlan
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import FOLDER, Receipts
from mrrate_bids.selection import Selection, Shard, select

__all__ = ['ExportRun', 'Summary']

Watch = Callable[[str, int, int, int], None]
"""Told the batch, studies done, studies in the batch so far and bytes written."""


@dataclass
class Summary:
    """What a run did."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    bytes: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count the outcome of a study."""
        self.counts[outcome.status] += 1
        self.bytes += outcome.bytes
        if outcome.status == 'failed':
            self.problems += outcome.problems

    @property
    def exit_code(self) -> int:
        """0 when everything was exported, 3 when something was set aside."""
        return 3 if any(problem.severity == 'error' for problem in self.problems) else 0


class _Census:
    """Notice identifiers that meet again in another batch, or differ by case only."""

    def __init__(self, root: Path, batches: Iterable[str]) -> None:
        known = set(map(encode_label, batches))
        homes = Receipts(root).homes()
        self._batches = {study: batch for study, batch in homes.items() if batch in known}
        labels = [*(f'ses-{study}' for study in self._batches), *_subjects(root)]
        self._labels = {label.casefold(): label for label in labels}

    def objection(self, study: Study) -> tuple[str, str]:
        """Return message and remedy when a study cannot be exported next to those before it."""
        if not study.study or not study.patient:
            column = 'patient_uid' if study.study else 'study_uid'
            numbers = ', '.join(str(row.number + 1) for row in study.rows)
            return f'{column} is empty in data rows {numbers} of the metadata', (
                'Correct the metadata.'
            )
        patients = {study.cell(row, 'patient_uid') for row in study.rows}
        if len(patients) > 1:
            return f'it belongs to several patients: {", ".join(sorted(patients))}', (
                'Correct patient_uid in the metadata.'
            )
        home = self._batches.setdefault(encode_label(study.study), encode_label(study.batch))
        if home != encode_label(study.batch):
            return f'it has rows in {home} as well', 'Keep the rows of one batch.'
        for name, uid, label in _labels(study):
            first = self._labels.setdefault(label.casefold(), label)
            if first != label:
                return f'{name} {uid!r}: {label} differs from {first} by case only', (
                    'Export it into a dataset of its own with --patient or --study.'
                )
        return '', ''

    @staticmethod
    def remarks(study: Study) -> Iterator[str]:
        """Yield what is said of identifiers that cannot be labels as they are."""
        for name, uid, label in _labels(study):
            if label[4:] != uid:
                yield f'{name} {uid!r} is no BIDS label; it is written as {label}'


def _labels(study: Study) -> Iterator[tuple[str, str, str]]:
    """Yield column, identifier and label of the patient and of the study."""
    yield 'patient_uid', study.patient, f'sub-{encode_label(study.patient)}'
    yield 'study_uid', study.study, f'ses-{encode_label(study.study)}'


def _subjects(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob('sub-*'))


class ExportRun:
    """The export of a selection of a release into one dataset.

    Parameters
    ----------
    release
        What to read.
    root
        The raw dataset to write.
    selection, settings, shard
        Which part of it, how, and which share of that part is this run's.
    about
        Name, licence and source, where they differ from the release's.
    """

    def __init__(
        self,
        release: Release,
        root: Path,
        *,
        selection: Selection,
        settings: ExportSettings,
        shard: Shard | None = None,
        about: About | None = None,
    ) -> None:
        for folder in (release.root, *release.repositories.values()):
            _refuse_nesting(folder, root)
        unknown = [b for b in selection.batches if not _known_batch(release, b)]
        if unknown:
            raise SelectionError(
                f'there is no batch {", ".join(unknown)}',
                hint=f'The release has {", ".join(release.batches)}.',
            )
        _refuse_unknown(release, selection, 'study_uid', selection.studies)
        _refuse_unknown(release, selection, 'patient_uid', selection.patients)
        self._release = release
        self._root = root
        self._selection = selection
        self._settings = settings
        self._shard = shard or Shard()
        self._about = about or About()
        self._exporter = Exporter(root, settings, source=release.root)

    def plans(self, problems: list[Problem]) -> Iterator[StudyPlan]:
        """Yield the plan of every study that is on disk, writing nothing.

        What is wrong with batches and tables is added to *problems*.
        """
        for batch, studies in self._batches():
            problems += batch.problems
            for study, series in studies:
                if study.places:
                    yield self._exporter.plan(study, series)
        problems += self._release.problems

    def execute(self, *, jobs: int, watch: Watch | None = None) -> Summary:
        """Export every study of the selection and write what speaks of all of them.

        Raises
        ------
        DestinationError
            When the dataset cannot take files; what was finished stays.
        """
        if self._selection.where:  # whatever is wrong with it shows before anything is written
            for _ in self._batches():
                pass
        summary = Summary()
        with ThreadPoolExecutor(jobs, thread_name_prefix='export') as pool:
            for batch, studies in self._batches():
                self._keep(batch)
                for done, (study, outcome) in enumerate(self._through(pool, jobs, studies), 1):
                    summary.add(outcome)
                    if watch:
                        watch(study.batch, done, len(studies), summary.bytes)
                self._keep_problems(batch.name, batch.problems)
        self._keep_problems('release', self._release.problems)
        summary.problems = self._finalise(summary.problems)
        return summary

    def _batches(self) -> Iterator[tuple[Batch, list[tuple[Study, list[str]]]]]:
        """Yield each batch with this run's share of the studies that are asked for."""
        census, number = _Census(self._root, self._release.batches), 0
        for name in self._release.batches:
            if not self._selection.has_batch(name):
                continue
            batch = self._release.read_batch(name)
            share = []
            for study, series in select(batch, self._selection):
                if _objects(census, study, batch):
                    continue
                if self._shard.has(number):
                    share.append((study, series))
                number += 1
            yield batch, share

    def _through(
        self, pool: ThreadPoolExecutor, jobs: int, studies: list[tuple[Study, list[str]]]
    ) -> Iterator[tuple[Study, Outcome]]:
        """Export studies in threads, a few ahead of the one that is waited for."""
        queue = iter(studies)
        waiting: dict[Future[Outcome], Study] = {}
        try:
            while True:
                for study, series in islice(queue, 2 * jobs - len(waiting)):
                    waiting[pool.submit(self._exporter.export, study, series)] = study
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BaseException:
            for future in waiting:
                future.cancel()
            raise

    def _keep(self, batch: Batch) -> None:
        for table in batch.tables:
            keep_table_facts(self._root, table)

    def _keep_problems(self, name: str, problems: list[Problem]) -> None:
        text = json.dumps([problem.to_dict() for problem in problems], indent=1) + '\n'
        write_if_changed(self._root / FOLDER / 'problems' / f'{name}.json', text)

    def _finalise(self, failures: list[Problem]) -> list[Problem]:
        from filelock import FileLock  # noqa: PLC0415  (it imports asyncio)

        folder = self._root / FOLDER
        lock = FileLock(folder / '.finalise.lock')
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = lock.acquire()
        except (OSError, NotImplementedError) as error:
            raise DestinationError(f'{folder}: cannot be locked ({error})') from error
        with held:
            problems = list(failures)
            for path in sorted((folder / 'problems').glob('*.json')):
                problems += _read_problems(path)
            age_cap = self._settings.age_cap
            return finalise(self._root, about=self._about, age_cap=age_cap, problems=problems)


def _read_problems(path: Path) -> list[Problem]:
    try:
        return [Problem.from_dict(r) for r in json.loads(path.read_text(encoding='utf-8'))]
    except (OSError, ValueError, TypeError):
        remedy = 'Export the batch again; nothing of it is copied twice.'
        return [Problem('error', f'{path.name} is damaged', remedy, path.stem, file=str(path))]


def _objects(census: _Census, study: Study, batch: Batch) -> bool:
    message, remedy = census.objection(study)
    if message:
        batch.problems.append(
            Problem('error', message, remedy, batch=batch.name, study=study.study)
        )
        return True
    for remark in census.remarks(study):
        batch.problems.append(Problem('warning', remark, batch=batch.name, study=study.study))
    return False


def _known_batch(release: Release, batch: str) -> bool:
    return any(Selection(batches=(batch,)).has_batch(name) for name in release.batches)


def _refuse_unknown(
    release: Release, selection: Selection, column: str, asked: tuple[str, ...]
) -> None:
    unknown = set(asked)
    for batch in filter(selection.has_batch, release.metadata):
        if unknown:
            try:
                unknown -= release.values(batch, column)
            except TableError:
                return  # it may be in there; the export will name the table
    if unknown:
        raise SelectionError(
            f'there is no {column} {", ".join(sorted(unknown))}',
            hint='The metadata of the batches asked for do not have it.',
        )


def _refuse_nesting(source: Path, root: Path) -> None:
    inside, target = source.resolve(), root.resolve()
    if target == inside or inside in target.parents:
        raise DestinationError(
            f'{root} lies inside the release {source}',
            hint='Choose a folder next to it; nothing was written.',
        )
