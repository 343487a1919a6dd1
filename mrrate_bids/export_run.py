"""Export a release: batch by batch, study by study, then the files that speak of all of them."""

import json
from collections import Counter
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mrrate_bids.ahead import Watch, run_ahead
from mrrate_bids.catalog import Batch, Release, Study
from mrrate_bids.census import Census
from mrrate_bids.dataset import finalise, keep_rest, keep_table_facts
from mrrate_bids.descriptions import About
from mrrate_bids.errors import DestinationError, SelectionError, TableError
from mrrate_bids.export import Exporter, ExportSettings, Outcome, planned
from mrrate_bids.files import write_if_changed
from mrrate_bids.locks import held
from mrrate_bids.plan import StudyPlan
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import FOLDER
from mrrate_bids.selection import Selection, Shard, select

__all__ = ['ExportRun', 'Summary', 'check_selection', 'refuse_nesting']

_HARMLESS = {'lost+found', 'sourcedata'}
"""What BIDS_DIR may hold before the first export."""


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
    exporter
        Who exports a study, where it is not done from a disk.
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
        exporter: Exporter | None = None,
    ) -> None:
        for folder in (release.root, *release.repositories.values()):
            refuse_nesting(folder, root)
        _refuse_foreign(root)
        check_selection(release, selection)
        self._release = release
        self._root = root
        self._selection = selection
        self._settings = settings
        self._shard = shard or Shard()
        self._about = about or About()
        self._exporter = exporter or Exporter(root, settings, source=release.root)

    def plans(self, problems: list[Problem]) -> Iterator[StudyPlan]:
        """Yield the plan of every study that is on disk, writing nothing.

        What is wrong with batches and tables is added to *problems*.
        """
        for batch, studies in self._batches():
            problems += batch.problems
            yield from planned(self._exporter.plan, studies, problems)
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
        summary, known, whole = Summary(), set[str](), self._selection == Selection()
        found = (self._root / FOLDER).is_dir()
        with ThreadPoolExecutor(jobs, thread_name_prefix='export') as pool:
            for batch, studies in self._batches():
                if not (batch.asked or batch.problems):
                    continue
                found, whole = True, whole and bool(batch.tables)
                known |= {study.study for study in batch.studies}
                self._keep(batch)
                outcomes = run_ahead(pool, jobs, self._export, studies)
                for done, ((study, _), outcome) in enumerate(outcomes, 1):
                    summary.add(outcome)
                    if watch:
                        watch(study.batch, done, len(studies), summary.bytes)
                self._keep_problems(batch.name, batch.problems, asked=batch.asked)
        if not (found or self._release.problems):
            return summary  # nothing was asked for: leave no trace
        if whole:
            self._keep_strays(known)
        self._keep_problems('release', self._release.problems)
        summary.problems = self._finalise(summary.problems)
        return summary

    def _batches(self) -> Iterator[tuple[Batch, list[tuple[Study, list[str]]]]]:
        """Yield each batch with this run's share of the studies that are asked for."""
        census, number = Census(self._root, self._release.batches), 0
        for name in self._release.batches:
            if not self._selection.has_batch(name):
                continue
            batch = self._release.read_batch(name)
            share = []
            for study, series in select(batch, self._selection):
                batch.asked.add(study.study)
                if _objects(census, study, batch):
                    continue
                if self._shard.has(number):
                    share.append((study, series))
                number += 1
            yield batch, share

    def _export(self, part: tuple[Study, list[str]]) -> Outcome:
        return self._exporter.export(*part)

    def _keep(self, batch: Batch) -> None:
        for table in batch.tables:
            keep_table_facts(self._root, table)
        keep_rest(self._root, batch.name, batch.tables)

    def _keep_strays(self, known: Set[str]) -> None:
        """Keep the rows of splits and labels whose study is in no batch, and say so."""
        tables = self._release.strays(known)
        for table in tables:
            table.rest += table.records
            if table.records:
                message = f'{table.name}: {len(table.records):,} rows belong to no study'
                remedy = f'The metadata do not have it; the rows are kept in {FOLDER}/tables/rest.'
                self._release.problems.append(Problem('warning', message, remedy))
        keep_rest(self._root, 'release', tables)

    def _keep_problems(
        self, name: str, problems: list[Problem], *, asked: Set[str] = frozenset()
    ) -> None:
        """Keep what is wrong beyond receipts; what a wider run said of other studies stays."""
        path = self._root / FOLDER / 'problems' / f'{name}.json'
        earlier = _read_problems(path) if path.exists() else []
        others = [p for p in earlier if p.study and p.study not in asked and p not in problems]
        kept = sorted([*problems, *others], key=lambda problem: (problem.study, problem.message))
        text = json.dumps([problem.to_dict() for problem in kept], indent=1) + '\n'
        write_if_changed(path, text)

    def _finalise(self, failures: list[Problem]) -> list[Problem]:
        folder = self._root / FOLDER
        with held(folder / '.finalise.lock'):
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


def _objects(census: Census, study: Study, batch: Batch) -> bool:
    message, remedy = census.objection(study)
    if message:
        batch.tables[0].rest += study.rows
        for table, record in study.facts.values():
            table.rest.append(record)
        batch.problems.append(
            Problem('error', message, remedy, batch=batch.name, study=study.study)
        )
        return True
    for remark in census.remarks(study):
        batch.problems.append(Problem('warning', remark, batch=batch.name, study=study.study))
    return False


def check_selection(release: Release, selection: Selection) -> None:
    """Make sure that batches, splits, studies and patients exist that are asked for.

    Raises
    ------
    SelectionError
        With what there is, where one does not.
    """
    unknown = [b for b in selection.batches if not _known_batch(release, b)]
    if unknown:
        raise SelectionError(
            f'there is no batch {", ".join(unknown)}',
            hint=f'The release has {", ".join(release.batches)}.',
        )
    if selection.splits and 'splits' not in release.study_tables:
        raise SelectionError(
            f'--split needs splits.csv, which {release.native} does not have',
            hint='Fetch splits.csv of the repository MR-RATE; it is small.',
        )
    _refuse_unknown(release, selection, 'study_uid', selection.studies)
    _refuse_unknown(release, selection, 'patient_uid', selection.patients)


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


def _refuse_foreign(root: Path) -> None:
    names = {path.name for path in root.iterdir()} if root.is_dir() else set()
    others = sorted(name for name in names - _HARMLESS if not name.startswith('.'))
    if others and not (root / FOLDER).is_dir():
        raise DestinationError(
            f'{root} holds something that was not exported from a release: {others[0]}',
            hint='Choose an empty folder; nothing was written.',
        )


def refuse_nesting(source: Path, root: Path) -> None:
    """Make sure that what is written does not lie in what is read.

    Raises
    ------
    DestinationError
        When it does.
    """
    inside, target = source.resolve(), root.resolve()
    if target == inside or inside in target.parents:
        raise DestinationError(
            f'{root} lies inside the release {source}',
            hint='Choose a folder next to it; nothing was written.',
        )
