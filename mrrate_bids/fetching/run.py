"""Fetch a selection: batch by batch, study by study, then the tables that tell what was done."""

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from mrrate_bids.ahead import Watch, run_ahead
from mrrate_bids.catalog import Batch, Release, Study
from mrrate_bids.export import Outcome, planned, wanted_keys
from mrrate_bids.export_run import Summary, check_selection
from mrrate_bids.fetched import HOME, LOCK, UNFINISHED
from mrrate_bids.fetching.addresses import without_secrets
from mrrate_bids.fetching.proof import Proof
from mrrate_bids.fetching.source import Repositories, repositories_of
from mrrate_bids.fetching.study import Fetcher
from mrrate_bids.files import open_if_changed, remove, write_if_changed
from mrrate_bids.locks import held
from mrrate_bids.plan import Key, StudyPlan
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import Receipt, Receipts
from mrrate_bids.selection import Selection, Shard, select
from mrrate_bids.tables import escape_cell

__all__ = ['FetchRun', 'look_here', 'write_source']

_STUDIES = ('batch', 'patient_uid', 'study_uid', 'state', 'files', 'bytes')


class FetchRun:
    """The fetching of a selection into one folder.

    Parameters
    ----------
    release
        What to read.
    root
        The folder that will hold the repositories.
    selection, shard
        Which part of it, and which share of that part is this run's.
    fetcher
        Fetches a study.
    """

    def __init__(
        self,
        release: Release,
        root: Path,
        *,
        selection: Selection,
        fetcher: Fetcher,
        shard: Shard | None = None,
    ) -> None:
        check_selection(release, selection)
        self._release, self._root = release, root
        self._selection, self._shard = selection, shard or Shard()
        self._fetcher = fetcher

    def plans(self, problems: list[Problem]) -> Iterator[StudyPlan]:
        """Yield the plan of every study of the selection, writing nothing.

        What is wrong with batches and tables is added to *problems*.
        """
        for batch, studies in self._batches():
            problems += _of_studies(batch, studies)
            yield from planned(self._fetcher.plan, studies, problems)
        problems += self._release.problems

    def execute(self, *, jobs: int, watch: Watch | None = None) -> Summary:
        """Fetch every study of the selection.

        Raises
        ------
        DestinationError
            When the folder cannot take files; what was finished stays.
        AccessError, OutageError
            When the source gives nothing more.
        """
        summary = Summary()
        try:
            with (
                ThreadPoolExecutor(jobs, thread_name_prefix='fetch') as pool,
                self._noted(),
            ):
                for batch, studies in self._batches():
                    summary.problems += _of_studies(batch, studies)
                    outcomes = run_ahead(pool, jobs, self._fetch, studies)
                    for done, (_, outcome) in enumerate(outcomes, 1):
                        summary.counts[outcome.status] += 1
                        summary.bytes += outcome.bytes
                        summary.problems += outcome.problems
                        if watch:
                            watch(batch.name, done, len(studies), summary.bytes)
        finally:
            _write_tables(self._root)
        summary.problems += self._release.problems
        return summary

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Leave a note while there are studies that no receipt tells of yet."""
        asked = {name: value for name, value in asdict(self._selection).items() if value}
        what, whole = self._fetcher.settings.groups, self._fetcher.settings.whole
        shard = f'{self._shard.index}/{self._shard.count}'
        said = {'include': what, 'whole': whole, 'selection': asked, 'shard': shard}
        text = json.dumps(said, indent=1) + '\n'
        number = zlib.crc32(text.encode('utf-8', 'surrogatepass'))
        folder = self._root / UNFINISHED
        write_if_changed(folder / f'{number:08x}.json', text)
        yield
        done = json.loads(text)
        for note in folder.glob('*.json'):
            if _covers(done, note):
                remove(note)
        with suppress(OSError):
            folder.rmdir()

    def _fetch(self, part: tuple[Study, list[str]]) -> Outcome:
        return self._fetcher.fetch(*part)

    def _batches(self) -> Iterator[tuple[Batch, list[tuple[Study, list[str]]]]]:
        """Yield each batch with this run's share of the studies that are asked for."""
        number = 0
        for batch, studies in _chosen(self._release, self._selection):
            share = [part for n, part in enumerate(studies, number) if self._shard.has(n)]
            number += len(studies)
            yield batch, share


def _chosen(
    release: Release, selection: Selection
) -> Iterator[tuple[Batch, list[tuple[Study, list[str]]]]]:
    for name in filter(selection.has_batch, release.batches):
        batch = release.read_batch(name)
        yield batch, list(select(batch, selection))


def _of_studies(batch: Batch, studies: list[tuple[Study, list[str]]]) -> list[Problem]:
    """Return what is wrong with a batch, of single studies only with those asked for."""
    asked = {study.study for study, _ in studies}
    return [problem for problem in batch.problems if not problem.study or problem.study in asked]


def _write_tables(root: Path) -> None:
    """Write what was done for each study so far, by every run, and what was wrong."""
    home = root / HOME
    receipts = Receipts(root, home)
    if not (home / 'receipts').is_dir():
        return
    with (
        held(home / LOCK, needed=False),  # other parts may end at the same time
        open_if_changed(home / 'studies.tsv') as studies,
        open_if_changed(home / 'problems.tsv') as problems,
    ):
        _write_row(studies, _STUDIES)
        _write_row(problems, Problem.columns())
        for receipt in receipts:
            size = sum(output.size for output in receipt.outputs)
            state = 'partial' if receipt.missed and receipt.state == 'complete' else receipt.state
            cells = (receipt.batch, receipt.patient, receipt.study, state)
            _write_row(studies, (*cells, str(len(receipt.outputs)), str(size)))
            for record in receipt.problems:
                _write_row(problems, Problem.from_dict(record).row())
            if receipt.missed and not receipt.problems:
                _write_row(problems, _of_missed(receipt).row())


def _of_missed(receipt: Receipt) -> Problem:
    groups = ', '.join(sorted({group for _, group in receipt.missed}))
    message = f'{groups}: asked for since then, and could not be had'
    where = {'batch': receipt.batch, 'study': receipt.study}
    return Problem('error', message, 'Run the same command again.', **where)


def _write_row(file: TextIO, cells: Iterable[str]) -> None:
    file.write('\t'.join(map(escape_cell, cells)) + '\n')


def write_source(root: Path, source: str, repositories: Repositories) -> None:
    """Keep which state of which repositories was read last."""
    path, source = root / HOME / 'source.json', without_secrets(source)
    read = repositories.revisions_read().items()
    now = {name: [without_secrets(at), commit] for name, (at, commit) in read}
    known = _known_repositories(path, source) | now
    content = {'source': source, 'repositories': known}
    write_if_changed(path, json.dumps(content, indent=1) + '\n')


def _covers(said: dict[str, Any], note: Path) -> bool:
    """Tell whether a run that has come to its end did all that a note tells of."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        other = json.loads(note.read_text(encoding='utf-8'))
        wide = said['shard'] == '1/1' and not said['selection']
        return (
            (wide or said['selection'] == other['selection'])
            and said['shard'] in ('1/1', other['shard'])
            and set(other['include']) <= set(said['include'])
            and other['whole'] <= said['whole']
        )
    return False


def _known_repositories(path: Path, source: str) -> dict[str, list[str]]:
    """Return what earlier runs read of the same source; of another one nothing."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(path.read_text(encoding='utf-8'))
        return dict(content['repositories']) if content['source'] == source else {}
    return {}


def look_here(
    release: Release,
    root: Path,
    selection: Selection,
    groups: tuple[str, ...],
    *,
    verify: bool = False,
) -> Summary:
    """Tell what of a selection is here, by the tables and receipts in a folder; ask nobody.

    With *verify* every file is read.
    """
    check_selection(release, selection)
    summary, receipts = Summary(Counter()), Receipts(root, root / HOME)
    proof = Proof(root, reads=verify)
    homes = tuple(f'{name}/' for name in repositories_of(groups))
    for batch, studies in _chosen(release, selection):
        for study, series in studies:
            receipt = receipts.load(batch.name, study.study)
            wanted = wanted_keys(series, groups)
            done = not wanted or (receipt and _is_here(receipt, wanted, homes, proof))
            summary.counts['skipped' if done else 'absent'] += 1
    if summary.counts['absent']:
        message = f'{summary.counts["absent"]:,} studies are not here, or not all of them'
        remedy = 'Run the same command without --offline.'
        summary.problems.append(Problem('error', message, remedy))
    return summary


def _is_here(receipt: Receipt, wanted: set[Key], homes: tuple[str, ...], proof: Proof) -> bool:
    """Tell whether all that is wanted of a study is here, in some repositories."""
    here = (output for output in receipt.outputs if output.path.startswith(homes))
    return (
        receipt.state in {'complete', 'partial'}
        and wanted <= receipt.asked
        and all(proof.has(output, receipt.study) for output in here)
    )
