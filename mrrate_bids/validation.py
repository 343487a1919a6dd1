"""Check a BIDS dataset and its derivatives: our own checks, then the BIDS validator on each.

>>> Report([Row('images whole', 'raw', files=3, errors=0, warnings=0)], []).exit_code
0
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mrrate_bids.ahead import Watch, run_ahead
from mrrate_bids.bids_validator import INSTALL, Verdict, find_validator, run_validator
from mrrate_bids.checks import (
    CHECKS,
    Dataset,
    Finding,
    Tally,
    Tree,
    check_datasets,
    check_receipt_alone,
    check_subject,
    open_tree,
)
from mrrate_bids.problems import Problem
from mrrate_bids.selection import Shard
from mrrate_bids.tables import format_tsv

__all__ = [
    'PROBLEM_COLUMNS',
    'Report',
    'Row',
    'make_row',
    'say_nothing',
    'sort_findings',
    'validate',
]

_VALIDATOR = 'BIDS validator'
PROBLEM_COLUMNS = ('check', 'dataset', *Problem.columns())
"""The header of the table of problems."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a check, and what it found."""

    check: str
    dataset: str
    files: int = 0
    errors: int = 0
    warnings: int | None = 0
    """``None`` where warnings are not asked for."""

    not_run: str = ''
    """Why the check did not run; empty when it did."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of all checks."""

    rows: list[Row]
    findings: list[Finding]

    @property
    def problems(self) -> list[Problem]:
        """What is wrong, in the order of the checks, then of the files."""
        return [finding.problem for finding in self.findings]

    @property
    def errors(self) -> int:
        """How many of the problems are errors."""
        return sum(problem.severity == 'error' for problem in self.problems)

    @property
    def exit_code(self) -> int:
        """0 when there is no error, else 3."""
        return 3 if self.errors else 0

    def to_tsv(self) -> str:
        """Return all problems as a table."""
        rows = [[f.check, f.dataset or 'raw', *f.problem.row()] for f in self.findings]
        return format_tsv(PROBLEM_COLUMNS, rows)


def validate(
    root: Path,
    *,
    jobs: int = 2,
    deep: bool = False,
    bids_validator: bool = True,
    shard: Shard | None = None,
    watch: Watch | None = None,
) -> Report:
    """Check a dataset and those in its ``derivatives`` folder.

    Parameters
    ----------
    root
        A raw dataset or a derivative dataset.
    jobs
        How many subjects to look at, and how many validators to run, at the same time.
    deep
        Unpack every image, compare the CRC of gzip and look at the values of masks.
    bids_validator
        Whether to run the BIDS validator as well.
    shard
        Which share of the subjects to look at; the first one also looks at what belongs to none.
    watch
        Called with the progress.

    Raises
    ------
    UsageError
        When *root* is no BIDS dataset.
    """
    tree = open_tree(root)
    tell, share = watch or say_nothing, shard or Shard()
    with ThreadPoolExecutor(jobs, thread_name_prefix='validate') as pool:
        tally = _check(tree, pool, jobs, tell, share, deep=deep)
        sort_findings(tally, CHECKS)
        rows = [_row(check, tree, tally, deep=deep) for check in CHECKS]
        if bids_validator:
            rows += _run_validators(tree, pool, tally, tell, share)
        else:
            rows.append(Row(_VALIDATOR, 'all', not_run='skipped', warnings=None))
    return Report(rows, tally.findings)


def say_nothing(what: str, done: int, total: int, size: int) -> None:
    """Stand in where nobody watches."""


def _check(
    tree: Tree, pool: Executor, jobs: int, tell: Watch, shard: Shard, *, deep: bool
) -> Tally:
    """Run our own checks; a few subjects are under way at any time."""
    tally, everybody = Tally(), tree.subjects()
    participants = check_datasets(tree, tally if shard.index == 1 else Tally())
    names = shard.of(everybody)
    check = partial(check_subject, tree, participants=participants, deep=deep)
    for done, (_, part) in enumerate(run_ahead(pool, jobs, check, names), 1):
        tally.merge(part)
        tell('subjects', done, len(names), tally.bytes)
    if shard.index > 1:
        return tally
    for name in set(everybody) - set(names):  # another part looks at their studies
        tally.studies |= tree.sessions(name)
    alone = sorted(tree.receipts.keys() - tally.studies)
    for _, part in run_ahead(pool, jobs, partial(check_receipt_alone, tree), alone):
        tally.merge(part)
    return tally


def _row(check: str, tree: Tree, tally: Tally, *, deep: bool) -> Row:
    text, why_not = CHECKS[check]
    why_not = 'needs --deep' if check == 'masks' and not deep else why_not
    titles = {name: dataset.title for name, dataset in tree.datasets.items()}
    return make_row(check, tally, text=text, why_not=why_not, titles=titles)


def make_row(
    check: str,
    tally: Tally,
    *,
    text: str,
    why_not: str,
    titles: Mapping[str, str],
    unit: str = 'datasets',
) -> Row:
    """Sum up what a check found.

    Parameters
    ----------
    check, tally
        The check, and what all of them counted.
    text, why_not
        Its name in the table, and what to say where it had nothing to do.
    titles
        What to call the datasets that have another name in the table.
    unit
        What several datasets are called.
    """
    names = [name for (known, name), count in tally.files.items() if known == check and count]
    number = Counter(f.problem.severity for f in tally.findings if f.check == check)
    if not names and not number:
        return Row(text, '', not_run=why_not)
    files = sum(tally.files[check, name] for name in names)
    only = titles.get(names[0], names[0]) if len(names) == 1 else f'{len(names)} {unit}'
    return Row(text, only, files, number['error'], number['warning'])


def sort_findings(tally: Tally, checks: Iterable[str]) -> None:
    """Bring findings into the order of the checks, then of the files."""
    order = {check: number for number, check in enumerate(checks)}

    def key(finding: Finding) -> tuple[Any, ...]:
        problem = finding.problem
        return order[finding.check], problem.file, problem.batch, problem.study, problem.message

    tally.findings.sort(key=key)


def _run_validators(
    tree: Tree, pool: Executor, tally: Tally, tell: Watch, shard: Shard
) -> Iterator[Row]:
    """Run the BIDS validator on every dataset; its findings go to *tally*."""
    datasets = list(tree.datasets.values())
    executable = find_validator()
    if executable is None:
        message, remedy = 'the BIDS validator is not installed', f'Install it: {INSTALL}'
        tally.add(_VALIDATOR, '', Problem('warning', message, remedy))
        yield Row(_VALIDATOR, 'all', not_run='not installed', warnings=None)
        return

    def verdict_on(dataset: Dataset) -> Verdict:
        return run_validator(dataset.root, executable, prefix=dataset.table_path(''), shard=shard)

    size = 0
    pairs = zip(datasets, pool.map(verdict_on, datasets), strict=True)
    for done, (dataset, verdict) in enumerate(pairs, 1):
        size += verdict.bytes
        tell('datasets with the BIDS validator', done, len(datasets), size)
        for problem in verdict.problems:
            tally.add(_VALIDATOR, dataset.name, problem)
        yield Row(_VALIDATOR, dataset.title, verdict.files, len(verdict.problems), None)
