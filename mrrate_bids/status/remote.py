"""What another copy of the release has: names and sizes, without fetching any of it.

A copy is a folder or any URL that fsspec can list (``file://``, ``http://`` with an index,
``hf://datasets/…``), or a table of names and sizes (``.tsv``). It holds one repository, or
several side by side.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mrrate_bids.catalog import study_of
from mrrate_bids.errors import NamingError, SourceError, TableError, UsageError
from mrrate_bids.naming import parse_member
from mrrate_bids.status.holding import home_of_zip
from mrrate_bids.tables import read_tsv

__all__ = ['Entry', 'Remote', 'is_local']

_HINT = 'Give a folder, a URL that can be listed, or a .tsv with the columns path and size.'
_EXTRAS = {'hf': 'hub', 'http': 'hub', 'https': 'hub'}


class Entry(NamedTuple):
    """A file of the other copy."""

    size: int | None = None
    """In bytes; ``None`` where the listing does not tell, or for a folder."""

    sha256: str = ''


class Remote:
    """The other copy, as far as it was listed."""

    def __init__(self) -> None:
        self._studies: dict[tuple[str, str], dict[str, Entry]] = {}
        self._tables: dict[str, Entry] = {}

    def add(self, source: str) -> None:
        """List a source.

        Raises
        ------
        SourceError
            When it cannot be listed, or holds no release.
        """
        count = sum(self._take(path, entry) for path, entry in _list(source)) if source else 0
        if not count:
            raise SourceError(f'{source or repr(source)} lists no file of a release', hint=_HINT)

    def studies(self, repository: str, batch: str) -> dict[str, Entry] | None:
        """Return the studies of a batch; ``None`` when the repository was not listed."""
        if not any(name == repository for name, _ in self._studies):
            return None
        return self._studies.get((repository, batch), {})

    def table(self, path: str) -> Entry | None:
        """Return a table by its path in the native repository; ``None`` when it has none."""
        return self._tables.get(path)

    @property
    def repositories(self) -> set[str]:
        """The repositories that were listed."""
        return {repository for repository, _ in self._studies}

    @property
    def batches(self) -> set[str]:
        """The batches that were listed."""
        return {batch for _, batch in self._studies}

    def _take(self, path: str, entry: Entry) -> bool:
        """Keep a file, named from the root of the listing; tell whether it is of a release."""
        parts = path.split('/')
        for name in ('metadata', 'reports', 'pathology_labels'):
            if name in parts[:-1]:
                self._tables['/'.join(parts[parts.index(name) :])] = entry
                return True
        if parts[-1] == 'splits.csv':
            self._tables['splits.csv'] = entry
            return True
        if 'mri' not in parts:
            return False
        inside = parts[parts.index('mri') + 1 :]
        if len(inside) == 2 and inside[1].endswith('.zip'):
            study = study_of(inside[1])
            self._keep(home_of_zip(inside[1], study), inside[0], study, entry)
            return True
        return len(inside) > 2 and self._take_extracted(inside)

    def _take_extracted(self, inside: list[str]) -> bool:
        batch, study, *rest = inside
        try:
            repository = parse_member(study, '/'.join(rest)).kind.repository
        except NamingError:
            return False
        self._keep(repository, batch, study, Entry())
        return True

    def _keep(self, repository: str, batch: str, study: str, entry: Entry) -> None:
        studies = self._studies.setdefault((repository, batch), {})
        if studies.get(study, Entry()).size is None:  # a zip says more than a folder
            studies[study] = entry


def is_local(source: str) -> bool:
    """Tell whether a source can be listed without network.

    >>> is_local('/data'), is_local('file:///data'), is_local('hf://datasets/a/b')
    (True, True, False)
    """
    return source.partition('://')[0] == 'file' or '://' not in source


def _list(source: str) -> Iterator[tuple[str, Entry]]:
    """Yield the files of a source by their paths in it."""
    if source.endswith('.tsv'):
        return _read_index(source)
    try:
        return _list_with_fsspec(source)
    except ImportError as error:
        scheme = source.partition('://')[0]
        hint = f"pip install 'mrrate-bids[{_EXTRAS[scheme]}]'" if scheme in _EXTRAS else _HINT
        raise SourceError(f'{source} cannot be listed ({error})', hint=hint) from error
    except UsageError:
        raise
    except Exception as error:  # whatever the filesystem's client raises
        said = ' '.join(str(error).split()) or type(error).__name__
        raise SourceError(f'{source} cannot be listed ({said})', hint=_HINT) from error


def _list_with_fsspec(source: str) -> Iterator[tuple[str, Entry]]:
    from fsspec.core import url_to_fs  # noqa: PLC0415  (slow)

    filesystem, root = url_to_fs(source)
    root = root.rstrip('/')
    if not filesystem.isdir(root):
        raise SourceError(f'{source} is no folder that can be listed', hint=_HINT)
    found: dict[str, dict[str, Any]] = filesystem.find(root, detail=True)
    wanted = [path for path in found if found[path].get('size') is None]
    sizes = dict(zip(wanted, filesystem.sizes(wanted), strict=True)) if wanted else {}
    return iter([_named(path, facts, root, sizes) for path, facts in found.items()])


def _named(
    path: str, facts: dict[str, Any], root: str, sizes: dict[str, int | None]
) -> tuple[str, Entry]:
    size = facts.get('size')
    entry = Entry(sizes.get(path) if size is None else size, _sha256(facts))
    return path.removeprefix(root).lstrip('/'), entry


def _sha256(facts: dict[str, Any]) -> str:
    """Return what the Hub says of a large file; empty for anything else."""
    large = facts.get('lfs') or {}
    return str(large.get('sha256') or '')


def _read_index(source: str) -> Iterator[tuple[str, Entry]]:
    try:
        rows = _fetch_rows(source) if '://' in source else read_tsv(Path(source))
        entries = [_entry(row) for row in rows]
    except (OSError, ValueError, KeyError, TableError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise SourceError(f'{source} cannot be read as a table ({reason})', hint=_HINT) from error
    return iter(entries)


def _entry(row: dict[str, str]) -> tuple[str, Entry]:
    return row['path'], Entry(int(row['size']), row.get('sha256', ''))


def _fetch_rows(source: str) -> Iterable[dict[str, str]]:
    import tempfile  # noqa: PLC0415

    import fsspec  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, 'index.tsv')
        with fsspec.open(source, 'rb') as file:
            copy.write_bytes(file.read())
        return read_tsv(copy)
