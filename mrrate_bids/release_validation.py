"""Check a release: batch by batch, study by study, then what spans all of them.

Nothing is written, and no more than a batch is in memory.
"""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from mrrate_bids.ahead import Watch, run_ahead
from mrrate_bids.catalog import Batch, Release, find_repositories, open_release
from mrrate_bids.census import Census
from mrrate_bids.checks import Tally
from mrrate_bids.checks.tree import is_dataset
from mrrate_bids.errors import UsageError
from mrrate_bids.naming import NATIVE
from mrrate_bids.problems import Problem
from mrrate_bids.release_checks import (
    CHECKS,
    Outcome,
    Splits,
    check_batch,
    check_presence,
    check_study,
    home_of,
)
from mrrate_bids.selection import Shard
from mrrate_bids.validation import Report, make_row, say_nothing, sort_findings, validate

__all__ = ['validate_any', 'validate_release']


def validate_any(
    root: Path,
    *,
    jobs: int,
    deep: bool,
    bids_validator: bool,
    shard: Shard | None = None,
    watch: Watch | None = None,
) -> Report:
    """Check a BIDS dataset or a release, whichever *root* is.

    Raises
    ------
    UsageError
        When it is neither, or a share of a release is asked for.
    """
    if is_dataset(root):
        return validate(
            root, jobs=jobs, deep=deep, bids_validator=bids_validator, shard=shard, watch=watch
        )
    if not root.is_dir() or not find_repositories(root):
        raise UsageError(
            f'{root} is no BIDS dataset (it has no dataset_description.json) and no release '
            '(no mri/ and no metadata/ in it)',
            hint='Point DIR at the root of a dataset, at the folder MR-RATE, or at the folder '
            'that holds it.',
        )
    if shard and shard.count > 1:
        raise UsageError(
            f'{root} is a release, which is checked as a whole',
            hint='Leave --shard out; it is for BIDS datasets.',
        )
    return validate_release(open_release(root), jobs=jobs, deep=deep, watch=watch)


def validate_release(
    release: Release, *, jobs: int = 2, deep: bool = False, watch: Watch | None = None
) -> Report:
    """Check a release.

    Parameters
    ----------
    release
        What :func:`mrrate_bids.catalog.open_release` found.
    jobs
        How many studies to look at at the same time.
    deep
        Read every byte: compare the CRCs of zips, unpack every image, look at all voxels.
    watch
        Called with the progress.
    """
    tally = Tally()
    with ThreadPoolExecutor(jobs, thread_name_prefix='validate') as pool:
        for part in _check(release, pool, jobs, watch or say_nothing, deep=deep):
            tally.merge(part)
    sort_findings(tally, CHECKS)
    rows = [
        make_row(check, tally, text=text, why_not=why, titles={}, unit='repositories')
        for check, (text, why) in CHECKS.items()
    ]
    return Report(rows, tally.findings)


def _check(
    release: Release, pool: Executor, jobs: int, tell: Watch, *, deep: bool
) -> Iterator[Tally]:
    """Yield what is found in one batch after the other, then in the tables of all of them."""
    census, splits, known = Census(release.root, release.batches), Splits(), set[str]()
    for name in release.batches:
        batch = release.read_batch(name)
        known |= {study.study for study in batch.studies}
        yield _check_tables(release, batch, census, splits)
        yield _check_batch(batch, pool, jobs, tell, deep=deep)
    yield _check_shared(release, known)


def _check_batch(batch: Batch, pool: Executor, jobs: int, tell: Watch, *, deep: bool) -> Tally:
    """Check the studies of a batch; a few are under way at any time."""
    tally, outcomes = Tally(), dict[str, Outcome]()
    check = partial(check_study, deep=deep)
    for done, (study, outcome) in enumerate(run_ahead(pool, jobs, check, batch.studies), 1):
        tally.merge(outcome.tally)
        outcome.tally = Tally()
        outcomes[study.study] = outcome
        tell(batch.name, done, len(batch.studies), tally.bytes)
    here = {uid: outcome.here for uid, outcome in outcomes.items()}
    damaged = {uid for uid, outcome in outcomes.items() if outcome.damaged}
    check_presence(batch, here, damaged, tally)
    return tally


def _check_tables(release: Release, batch: Batch, census: Census, splits: Splits) -> Tally:
    """Check what needs the batches before this one: who is where, and in which split."""
    tally = Tally()
    check_batch(batch, tally)
    for study in batch.studies:
        message, remedy = census.objection(study)
        if message:
            where = {'batch': batch.name, 'study': study.study}
            tally.add('tables', NATIVE, Problem('error', message, remedy, **where))
        if 'splits' in release.study_tables:
            tally.count('splits', NATIVE)
            splits.add(study, tally)
    return tally


def _check_shared(release: Release, known: set[str]) -> Tally:
    """Keep what is wrong with the tables that all batches share."""
    tally = Tally()
    tally.count('tables', NATIVE, len(release.study_tables))
    for problem in release.problems:
        tally.add('tables', home_of(problem), problem)
    if known and 'splits' not in release.study_tables:
        remedy = 'Fetch it: without it nobody knows which patients to train on.'
        tally.add('splits', NATIVE, Problem('warning', 'splits.csv is missing', remedy))
    for table in release.strays(known):
        if table.records:
            message = f'{table.name}: {len(table.records):,} rows belong to no study'
            remedy = 'Remove them, or fetch the metadata of their batch.'
            tally.add('tables', NATIVE, Problem('warning', message, remedy, file=table.name))
    return tally
