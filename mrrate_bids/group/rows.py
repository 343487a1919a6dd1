"""What is known of every image of every study, read one study after the other.

The receipts say which studies and files there are; nothing is searched for. Of a file only its
sidecar is read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrrate_bids.app.ledger import HOME
from mrrate_bids.errors import TableError
from mrrate_bids.group.measures import Measure, find_measure
from mrrate_bids.group.outdated import find_outdated
from mrrate_bids.group.scanners import UNKNOWN, Scanner, Scanners, find_raw
from mrrate_bids.inheritance import read_json_object, split_name
from mrrate_bids.naming import study_stem
from mrrate_bids.receipts import Output, Receipt, Receipts
from mrrate_bids.reports.measures import is_number
from mrrate_bids.sidecars import sidecar_path
from mrrate_bids.tables import read_tsv

__all__ = ['Row', 'read_rows']

Numbers = dict[Measure, float]


@dataclass(slots=True)
class Row:
    """An image; or a study of which there is none."""

    study: str
    """Folder of the study in the dataset: ``sub-01/ses-1``."""

    state: str
    """Of the study: ``complete``, ``partial`` or ``failed``."""

    problems: tuple[str, ...] = ()
    """Of the study."""

    image: str = ''
    """Path in the raw dataset; empty when there is no result."""

    scanner: Scanner = UNKNOWN
    numbers: Numbers = field(default_factory=dict)
    outdated: tuple[str, ...] = ()
    """File kinds of results that a run would compute anew."""

    @property
    def subject(self) -> str:
        """As ``sub-01``."""
        return self.study.partition('/')[0]

    @property
    def session(self) -> str:
        """As ``ses-1``; empty where the dataset has no sessions."""
        return self.study.partition('/')[2]

    @property
    def suffix(self) -> str:
        """The modality, as BIDS has it."""
        return split_name(self.image.rpartition('/')[2])[1]

    @property
    def series(self) -> str:
        """What tells the image from the others of its study.

        >>> Row('sub-1', 'complete', image='sub-1/anat/sub-1_run-1_T1w.nii.gz').series
        'run-1_T1w'
        """
        name = self.image.rpartition('/')[2].partition('.')[0]
        return name.removeprefix(f'{study_stem(self.study)}_')


def read_rows(out: Path, bids: Path | None = None) -> Iterator[Row]:
    """Yield a row for every image of every study, and one for a study that has none.

    Parameters
    ----------
    out
        The folder of a run: a dataset for each group of results.
    bids
        The raw dataset; when left out, the one that the results name as theirs.

    Raises
    ------
    TableError
        When the table of problems cannot be read.
    """
    said, raw = _read_problems(out / HOME / 'problems.tsv'), bids or find_raw(out)
    scanners = Scanners(raw)
    for receipt in Receipts(out, out / HOME):
        rows = list(_read_study(out, receipt, said.pop(receipt.study, []), scanners))
        _mark_outdated(rows, receipt, raw)
        yield from rows
    for study, messages in sorted(said.items()):
        yield Row(study, 'failed', tuple(dict.fromkeys(messages)))


def _read_problems(path: Path) -> dict[str, list[str]]:
    """Return the messages by study; some studies are set aside before they get a receipt."""
    found: dict[str, list[str]] = {}
    if not path.exists():
        return found
    try:
        for row in read_tsv(path):
            if row['study']:
                found.setdefault(row['study'], []).append(row['message'])
    except (TableError, OSError, ValueError, KeyError) as error:
        raise TableError(
            f'{path}: cannot be read as a table of problems ({error})',
            hint='Remove it; the next run writes it again.',
        ) from error
    return found


def _read_study(out: Path, receipt: Receipt, said: list[str], scanners: Scanners) -> Iterator[Row]:
    images, problems = dict[str, Numbers](), [p.get('message', '') for p in receipt.problems]
    problems += said
    for output in receipt.outputs:
        numbers = images.setdefault(output.series, {})
        try:
            numbers |= _read_numbers(out, output)
        except TableError as error:
            problems.append(str(error))
    told = tuple(dict.fromkeys(problems))
    for image, numbers in sorted(images.items()):
        yield Row(receipt.study, receipt.state, told, image, scanners.of(image), numbers)
    if not images:
        yield Row(receipt.study, receipt.state, told)


def _mark_outdated(rows: list[Row], receipt: Receipt, raw: Path | None) -> None:
    if found := find_outdated(receipt, raw):
        old = [(one.series, one.kind) for one in receipt.outputs if one.path in found]
        for row in rows:
            row.outdated = tuple(sorted({kind for image, kind in old if image == row.image}))


def _read_numbers(out: Path, output: Output) -> Numbers:
    content = read_json_object(out / sidecar_path(output.path)).get('QualityControl')
    found = _flatten(content) if isinstance(content, dict) else ()
    return {find_measure(output.kind, key): float(value) for key, value in found}


def _flatten(content: Mapping[str, Any], before: str = '') -> Iterator[tuple[str, float]]:
    """Yield the numbers of an object, those of the objects in it as well.

    >>> list(_flatten({'A': 1, 'B': {'C': 2.5, 'D': 'text'}, 'E': True, 'F': float('nan')}))
    [('A', 1), ('BC', 2.5)]
    """
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flatten(value, before + key)
        elif is_number(value):
            yield before + key, value
