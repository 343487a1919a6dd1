"""What was done for a study, written last: the reason why a run can be killed and goes on.

A receipt names the inputs by a signature, the outputs by size and CRC-32, and carries the rows
that dataset-level tables are made of. While a study is being written its receipt says
``started`` and lists every file that may lie around.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mrrate_bids.files import checksum, remove, sweep, write_text
from mrrate_bids.naming import encode_label

if TYPE_CHECKING:
    from mrrate_bids.catalog import Study

__all__ = [
    'FOLDER',
    'FORMAT',
    'METADATA',
    'REPORTS',
    'SPLITS',
    'Output',
    'Receipt',
    'Receipts',
    'is_unchanged',
    'signature',
]

FOLDER = 'sourcedata/mrrate'
"""Where facts about the release and the export live inside the raw dataset."""

METADATA, REPORTS, SPLITS = 'metadata', 'reports', 'splits'
"""Names of the tables that are not labels, in :attr:`Receipt.tables`."""

FORMAT = 2
"""Raise it when the same input gives other files, so that old receipts are not trusted."""


class Output(NamedTuple):
    """A file that was written."""

    path: str
    size: int
    crc32: int | None = None
    kind: str = ''
    """File kind of the naming table; empty for JSON and TSV."""

    series: str = ''
    origin: str = ''
    """What it was made from, as :attr:`~mrrate_bids.plan.Row.origin` says."""

    mtime_ns: int | None = None
    """Its time, where it is asked for; while it has this one, it need not be read."""


@dataclass(slots=True)
class Receipt:
    """What was done for a study."""

    patient: str
    study: str
    batch: str
    state: str
    """``started``, ``complete``, ``partial`` (something was set aside), ``failed`` (nothing
    could be exported)."""

    signature: str = ''
    keys: list[list[str]] = field(default_factory=list)
    """Pairs of series_id and ``--include`` group that were asked for so far."""

    missed: list[list[str]] = field(default_factory=list)
    """Of a fetch: such pairs that have not come yet."""

    outputs: list[Output] = field(default_factory=list)
    centre: str = ''
    age: str = ''
    sex: str = ''
    date: str = ''
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Its records in reports, labels and splits: name of the table, row number, header, cells."""

    series: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Row number, and raw text where it is odd, of each exported series in the metadata."""

    set_aside: list[dict[str, Any]] = field(default_factory=list)
    """Metadata records that no exported file stands for."""

    gone: dict[str, list[int]] = field(default_factory=dict)
    """Of an import: numbers of the rows that were removed since the export, by table."""

    rejected: list[list[str]] = field(default_factory=list)
    """Of an import: path, rule, value and limit of images that the rules keep out."""

    problems: list[dict[str, str]] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    """Of a run: paths of outputs that it would have computed anew."""

    @classmethod
    def of(cls, study: 'Study', state: str) -> 'Receipt':
        """Return a receipt of a study that says nothing yet but its state."""
        return cls(study.patient, study.study, study.batch, state)

    @property
    def asked(self) -> set[tuple[str, str]]:
        """The pairs of :attr:`keys`."""
        return {(series, group) for series, group in self.keys}

    @property
    def wished(self) -> set[tuple[str, str]]:
        """The same, with those of :attr:`missed`."""
        return self.asked | {(series, group) for series, group in self.missed}

    def cells(self, table: str) -> dict[str, str]:
        """Return its record in a table by column; empty when there is none."""
        record = self.tables.get(table)
        return dict(zip(record['header'], record['cells'], strict=True)) if record else {}


def is_unchanged(
    path: Path, output: Output, *, since: int = 0, read: Callable[[Path], int] = checksum
) -> bool:
    """Tell whether a file is what a receipt says; it is read where its time does not vouch for it.

    Parameters
    ----------
    path
        Where the file is now.
    output
        What the receipt says of it; by the size alone, where it has no checksum.
    since
        What is older than this, in ns, was not changed.
    read
        Returns the checksum of a file.

    Raises
    ------
    OSError
        When the file cannot be read.
    """
    state = path.stat()
    if state.st_size != output.size:
        return False
    if output.crc32 is None or state.st_mtime_ns < since or state.st_mtime_ns == output.mtime_ns:
        return True
    return read(path) == output.crc32


class Receipts:
    """The receipts of a dataset, or of a release.

    Parameters
    ----------
    root
        The raw dataset, or the release.
    home
        Where the receipts are kept; inside the dataset when left out.
    """

    def __init__(self, root: Path, home: Path | None = None) -> None:
        self._root = root
        self._folder = (home or root / FOLDER) / 'receipts'

    def load(self, batch: str, study: str) -> Receipt | None:
        """Return the receipt of a study; ``None`` when there is none that can be trusted."""
        return _read(self._path(batch, study))

    def written_at(self, batch: str, study: str) -> int:
        """Return when the receipt of a study was written, in ns.

        Raises
        ------
        OSError
            When there is none.
        """
        return self._path(batch, study).stat().st_mtime_ns

    def sweep(self, batch: str, study: str) -> None:
        """Remove what a run left that was killed while it wrote the receipt of a study."""
        path = self._path(batch, study)
        sweep(path.parent, name=path.name)

    def save(self, receipt: Receipt) -> None:
        """Write a receipt."""
        record = {'format': FORMAT} | {f.name: getattr(receipt, f.name) for f in fields(receipt)}
        record['outputs'] = [_listed(output) for output in receipt.outputs]
        text = json.dumps(record, ensure_ascii=False, sort_keys=True)[1:]
        write_text(self._path(receipt.batch, receipt.study), f'{_seal(text)}{text}\n')

    def drop(self, receipt: Receipt) -> None:
        """Forget a receipt."""
        remove(self._path(receipt.batch, receipt.study))

    def __iter__(self) -> Iterator[Receipt]:
        """Yield the receipts of all studies, batch by batch, without those being written.

        One whose writing failed is among them: it has problems.
        """
        for path in sorted(self._folder.glob('*/*.json')):
            receipt = _read(path)
            if receipt is not None and (receipt.state != 'started' or receipt.problems):
                yield receipt

    def homes(self) -> dict[str, str]:
        """Return the batch of each study that was exported, both as labels."""
        return {path.stem: path.parent.name for path in sorted(self._folder.glob('*/*.json'))}

    def intact(self, receipt: Receipt) -> bool:
        """Tell whether every output still exists with its size."""
        return all(map(self.has, receipt.outputs))

    def has(self, output: Output) -> bool:
        """Tell whether an output exists with its size."""
        try:
            return os.stat(f'{self._root}/{output.path}').st_size == output.size  # noqa: PTH116
        except OSError:
            return False

    def _path(self, batch: str, study: str) -> Path:
        return self._folder / encode_label(batch) / f'{encode_label(study)}.json'


def _read(path: Path) -> Receipt | None:
    try:
        text = path.read_text(encoding='utf-8', errors='surrogatepass')
        record = json.loads(text)
        seal = f'{{"digest": "{record.pop("digest")}", '
        if record.pop('format') != FORMAT or seal != _seal(text[len(seal) : -1]):
            return None
        record['outputs'] = [Output(*output) for output in record['outputs']]
        return Receipt(**record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent, of another version, or damaged: the study is done again


def _listed(output: Output) -> list[Any]:
    return list(output if output.mtime_ns is not None else output[:-1])


def _seal(text: str) -> str:
    """Return how a receipt begins: with a digest, so that no damage to the rest is trusted."""
    digest = hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]
    return f'{{"digest": "{digest}", '


def signature(*parts: Any) -> str:
    """Return a digest of what a study's files follow from.

    >>> signature(['a'], 1) == signature(['a'], 1) != signature(['b'], 1)
    True
    """
    text = json.dumps([FORMAT, *parts], ensure_ascii=True, separators=(',', ':'))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
