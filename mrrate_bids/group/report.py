"""The group level: from the receipts and sidecars of all studies to a page and a table."""

from pathlib import Path

from mrrate_bids.errors import UsageError
from mrrate_bids.group.measures import in_order
from mrrate_bids.group.outliers import find_scores
from mrrate_bids.group.page import write_page
from mrrate_bids.group.rows import read_rows
from mrrate_bids.group.table import write_table
from mrrate_bids.reports.places import REPORTS

__all__ = ['write_group']


def write_group(out: Path, bids: Path | None = None, *, faces: bool = True) -> Path:
    """Write ``group.html``, ``group.tsv`` and ``group.json`` over all studies of a folder.

    Parameters
    ----------
    out
        The folder of a run; the reports go into ``reports`` in it.
    bids
        The raw dataset, which says what the scanners are; when left out, the one that the results
        name as theirs.
    faces
        Whether pictures and pages that show faces are shown and linked.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    UsageError
        When the folder has no study.
    TableError
        When the table of problems in it cannot be read.
    DestinationError
        When the folder cannot take files.
    """
    rows = list(read_rows(out, bids))
    if not rows:
        raise UsageError(
            f'{out}: no run has left a study here',
            hint=f'Compute some first: mrrate-bids run BIDS_DIR {out} participant',
        )
    measures, scores = in_order({m for row in rows for m in row.numbers}), find_scores(rows)
    write_table(out / REPORTS, rows, scores, measures)
    return write_page(out / REPORTS, rows, scores, measures, faces=faces)
