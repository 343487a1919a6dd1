"""A release there and back: what an import must give after an export."""

import csv
import io
import zipfile
from pathlib import Path

import hostile
from click.testing import CliRunner
from hostile import Run

from mrrate_bids.cli import main


def import_(source: Path, target: Path, *options: str) -> Run:
    """Run ``mrrate-bids import`` in this process; an exception fails the test."""
    done = CliRunner().invoke(main, ['import', str(source), str(target), *options])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert 'Traceback' not in done.output
    return Run(done.exit_code, done.output)


def content(root: Path) -> dict[str, bytes]:
    """Return the content of every file of a release, inside zips and outside."""
    found = {}
    for path in sorted(root.rglob('*')):
        where = path.relative_to(root).as_posix()
        if any(part.startswith('.') for part in Path(where).parts):
            continue
        if path.suffix == '.zip':
            with zipfile.ZipFile(path) as archive:
                found |= {f'{where}!{name}': archive.read(name) for name in archive.namelist()}
        elif path.is_file():
            found[where] = path.read_bytes()
    return found


def tables(root: Path) -> dict[str, bytes]:
    """Return the content of every table of a release."""
    return {where: data for where, data in content(root).items() if where.endswith('.csv')}


def rows(data: bytes) -> list[list[str]]:
    """Return the rows of a CSV as text."""
    return list(csv.reader(io.StringIO(data.decode('utf-8-sig'), newline='')))


def assert_same_release(one: Path, other: Path) -> None:
    """Make sure that two releases hold the same files, byte for byte."""
    first, second = content(one), content(other)
    assert first.keys() == second.keys()
    assert [where for where in first if first[where] != second[where]] == []


def there_and_back(source: Path, work: Path, *, options=(), back=()) -> Path:
    """Export a release, import the dataset, and return the new release."""
    assert hostile.export(source, work / 'bids', *options).code == 0
    done = import_(work / 'bids', work / 'back', *back)
    assert done.code == 0, done.output
    return work / 'back'
