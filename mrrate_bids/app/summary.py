"""The tables of an output folder: what became of every study, in this run or in another."""

import os
from collections.abc import Iterable
from pathlib import Path

from mrrate_bids.app.ledger import HOME
from mrrate_bids.files import holds, write_if_changed
from mrrate_bids.locks import held
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import Receipt, Receipts
from mrrate_bids.tables import format_tsv

__all__ = ['write_tables']


def write_tables(bids: Path, out: Path, receipts: Receipts) -> list[Problem]:
    """Write the tables, which are made from receipts alone.

    Parameters
    ----------
    bids, out
        The raw dataset, and the folder of results.
    receipts
        Of all studies that a run has looked at.

    Returns
    -------
    list
        Warnings of results whose image is not in the dataset any more; none is removed.
    """
    home = out / HOME
    orphans = _find_orphans(bids, out, receipts)
    tables = _make_tables(receipts, orphans)
    if all(holds(home / name, text) for name, text in tables.items()):
        return orphans
    with held(home / '.lock', needed=False):  # again, for another run may have ended meanwhile
        for name, text in _make_tables(receipts, orphans).items():
            write_if_changed(home / name, text)
    return orphans


def _make_tables(receipts: Iterable[Receipt], orphans: list[Problem]) -> dict[str, str]:
    studies, problems = [], []
    for receipt in receipts:
        studies.append([receipt.study, receipt.state, str(len(receipt.outputs))])
        said = [*receipt.set_aside, *receipt.problems]
        problems += [Problem.from_dict(one).row() for one in said]
    problems += [problem.row() for problem in orphans]
    return {
        'studies.tsv': format_tsv(['study', 'state', 'files'], studies),
        'problems.tsv': format_tsv(Problem.columns(), problems),
    }


def _find_orphans(bids: Path, out: Path, receipts: Iterable[Receipt]) -> list[Problem]:
    """Name results that belong to no image any more."""
    problems = []
    for receipt in receipts:
        left: dict[str, list[str]] = {}
        for output in receipt.outputs:
            left.setdefault(output.series, []).append(output.path)
        for series in sorted(left):
            if os.path.lexists(bids / series):  # a link is an image, too
                continue
            if paths := [path for path in left[series] if (out / path).exists()]:
                text = f'{series}: is not in the dataset any more, and its results stay: '
                text += ', '.join(paths)
                hint = 'Remove them, or put the image back.'
                problems.append(Problem('warning', text, hint, study=receipt.study))
    return problems
