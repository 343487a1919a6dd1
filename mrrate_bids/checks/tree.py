"""Where things are: the datasets below a folder, what they link to, the folders of a subject.

Sources: BIDS 1.10.1, "Dataset description" (DatasetLinks), "BIDS URI", "Storage of derived
datasets".
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mrrate_bids.errors import NamingError, TableError, UsageError
from mrrate_bids.naming import KINDS, decode_label
from mrrate_bids.receipts import FOLDER, Receipt, Receipts

__all__ = ['Dataset', 'Tree', 'find_folders', 'is_dataset', 'open_tree', 'read_rows', 'study_of']

_DESCRIPTION = 'dataset_description.json'
_OURS = {kind.dataset for kind in KINDS.values()} - {''}
_STUDY = re.compile(r'(?:^|/)ses-([^/_]+)')


@dataclass(frozen=True, slots=True)
class Dataset:
    """A BIDS dataset that is checked."""

    name: str
    """Its name in the naming table, or that of its folder; empty for the raw dataset."""

    root: Path
    links: dict[str, str]
    folders: dict[str, Path | None]
    """Where the links on this machine lead to; ``None`` when there is no dataset. The empty
    link is the dataset itself."""

    described: bool
    """Whether its description can be read; without it no link can be followed."""

    @property
    def title(self) -> str:
        """What to call it in a table."""
        return self.name or 'raw'

    def table_path(self, path: str) -> str:
        """Return a path inside this dataset as the naming table and receipts spell it."""
        return f'derivatives/{self.name}/{path}' if self.name else path


class Tree:
    """The datasets that are checked together.

    Parameters
    ----------
    root
        A raw dataset, whose derivatives are checked as well, or one derivative dataset.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        content = _read_description(root)
        derived = (content or {}).get('DatasetType') == 'derivative'
        first = _dataset(root, _name_of(root, content or {}) if derived else '', content)
        self.datasets = {first.name: first}
        for folder in find_folders(root / 'derivatives', ''):
            if (root / 'derivatives' / folder / _DESCRIPTION).exists():
                path = root / 'derivatives' / folder
                self.datasets[folder] = _dataset(path, folder, _read_description(path))
        self._roots = {name: dataset.root for name, dataset in self.datasets.items()}
        for link, target in first.folders.items() if derived else ():
            if link and target:
                self._roots.setdefault('' if link == 'raw' else link, target)
        self._receipts = Receipts(root)
        self._batches = _index_receipts(root)

    @property
    def has_receipts(self) -> bool:
        """Whether an export left receipts here."""
        return bool(self._batches)

    @property
    def receipts(self) -> dict[str, list[str]]:
        """The batches that have a receipt of a study, by session label."""
        return self._batches

    def load_receipt(self, batch: str, session: str) -> Receipt | None:
        """Return a receipt; ``None`` when it cannot be read."""
        return self._receipts.load(decode_label(batch), decode_label(session))

    def locate(self, table_path: str) -> Path | None:
        """Return where a file of the naming table is, also in a dataset that is linked to."""
        name, inside = '', table_path
        if table_path.startswith('derivatives/'):
            _, name, inside = table_path.split('/', 2)
        root = self._roots.get(name)
        return root / inside if root else None

    def subjects(self) -> list[str]:
        """Return the names of all subject folders, in any dataset."""
        found: set[str] = set()
        for dataset in self.datasets.values():
            found.update(find_folders(dataset.root, 'sub-'))
        return sorted(found)

    def studies(self, subject: str) -> dict[str, dict[str, list[str]]]:
        """Return the files of a subject by session label and dataset.

        Files that lie in no session are found under the empty label.
        """
        studies: dict[str, dict[str, list[str]]] = {}
        for dataset in self.datasets.values():
            for path in _walk(dataset.root, subject):
                second = path.split('/')[1]
                session = second[4:] if second.startswith('ses-') else ''
                studies.setdefault(session, {}).setdefault(dataset.name, []).append(path)
        return studies

    def sessions(self, subject: str) -> set[str]:
        """Return the labels of the sessions of a subject that have a file in any dataset."""
        found: set[str] = set()
        for dataset in self.datasets.values():
            for name in find_folders(dataset.root / subject, 'ses-'):
                inside = f'{subject}/{name}'
                if name[4:] in found or (dataset.root / inside).is_symlink():
                    continue  # a folder that is a link is not looked into by studies() either
                if any(_walk(dataset.root, inside)):
                    found.add(name[4:])
        return found


def open_tree(root: Path) -> Tree:
    """Find the datasets at and below a folder.

    Raises
    ------
    UsageError
        When the folder is no BIDS dataset.
    """
    if not is_dataset(root):
        raise UsageError(
            f'{root} is no BIDS dataset: it has no {_DESCRIPTION}',
            hint='Point DIR at the root of a raw or a derivative dataset.',
        )
    return Tree(root)


def is_dataset(folder: Path) -> bool:
    """Tell whether there is a dataset, or a first export that was interrupted."""
    return (folder / _DESCRIPTION).exists() or (folder / FOLDER / 'receipts').is_dir()


def find_folders(folder: Path, prefix: str) -> list[str]:
    """Return the names of the folders inside *folder* that begin with *prefix*, sorted."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.name.startswith(prefix) and e.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a TSV file of any origin; ``n/a`` becomes empty, nothing is unescaped.

    Raises
    ------
    TableError
        When it is not UTF-8 or a row has another number of cells than the header.
    """
    try:
        with path.open(encoding='utf-8-sig', newline='') as text:
            header = text.readline().rstrip('\r\n').split('\t')
            for number, line in enumerate(text, start=1):
                cells = ['' if c == 'n/a' else c for c in line.rstrip('\r\n').split('\t')]
                if len(cells) != len(header):
                    raise TableError(f'row {number} has {len(cells)} cells, not {len(header)}')
                yield dict(zip(header, cells, strict=True))
    except UnicodeDecodeError as error:
        raise TableError(f'is not UTF-8 ({error.reason})') from error
    except OSError as error:
        raise TableError(f'cannot be read ({error.strerror})') from error


def study_of(path: str) -> str:
    """Return the study that a path belongs to; empty when it lies in no session.

    >>> study_of('derivatives/x/sub-1/ses-AB/anat/sub-1_ses-AB_T1w.json'), study_of('README')
    ('AB', '')
    """
    found = _STUDY.search(path)
    try:
        return decode_label(found[1]) if found else ''
    except (NamingError, ValueError):
        return found[1] if found else ''


def _read_description(root: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((root / _DESCRIPTION).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _dataset(root: Path, name: str, content: dict[str, Any] | None) -> Dataset:
    links = (content or {}).get('DatasetLinks')
    texts = {str(k): str(v) for k, v in links.items()} if isinstance(links, dict) else {}
    folders = {link: _follow(root, text) for link, text in texts.items() if _is_local(text)}
    return Dataset(name, root, texts, {'': root, **folders}, content is not None)


def _is_local(link: str) -> bool:
    return link.startswith('file://') or not re.match(r'[A-Za-z][A-Za-z0-9+.-]+:', link)


def _follow(root: Path, link: str) -> Path | None:
    folder = root / unquote(link).removeprefix('file://')
    return folder if is_dataset(folder) else None


def _name_of(root: Path, content: dict[str, Any]) -> str:
    """Return the name of a derivative dataset, which may have been copied to another folder."""
    folder = root.resolve().name
    makers = content.get('GeneratedBy')
    names = [str(m.get('Name')) for m in makers or [] if isinstance(m, dict)]
    return next((name for name in [folder, *names] if name in _OURS), folder)


def _index_receipts(root: Path) -> dict[str, list[str]]:
    folder = root / FOLDER / 'receipts'
    index: dict[str, list[str]] = {}
    for batch in find_folders(folder, ''):
        with os.scandir(folder / batch) as entries:
            for entry in entries:
                if entry.name.endswith('.json') and not entry.name.startswith('.'):
                    index.setdefault(entry.name[:-5], []).append(batch)
    return index


def _walk(root: Path, subject: str) -> Iterator[str]:
    """Yield every file of a subject, relative to the dataset."""
    base = os.fspath(root)
    for folder, _, names in os.walk(f'{base}/{subject}'):
        inside = folder[len(base) + 1 :]
        for name in sorted(names):
            yield f'{inside}/{name}'
