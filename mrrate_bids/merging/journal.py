"""The journal of a merge: every change is written down before it is made.

A line that was written says that a change may have been made; what lies on disk tells. A last
line that was cut off by a kill says that nothing was. Paths are relative to the folder of the
repositories, which may be moved as a whole.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

from mrrate_bids.errors import DestinationError, TableError
from mrrate_bids.files import remove, write_text
from mrrate_bids.tables import escape_cell, format_tsv, read_tsv

__all__ = ['Journal', 'Line', 'Stamp']

_HEADER = ('action', 'source', 'target', 'size', 'mtime_ns')
_ACTIONS = {'hardlink', 'move', 'copy', 'mkdir'}
_SECOND, _COARSE = 10**9, 10**7
_BLOCK = 1 << 16


class Stamp(NamedTuple):
    """Size of a file in bytes, and when it was last changed, in nanoseconds."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> 'Stamp':
        """Return that of a file.

        Raises
        ------
        OSError
            When it is gone.
        """
        state = path.stat()
        return cls(state.st_size, state.st_mtime_ns)

    def is_of(self, path: Path) -> bool:
        """Tell whether a file still has it, as far as its filesystem keeps time.

        FAT keeps two seconds, others seconds, 10 ms or 100 ns: a move between two filesystems
        may round.

        Raises
        ------
        OSError
            When it is gone.
        """
        found = Stamp.of(path)
        rounded = 2 * _SECOND if found.mtime_ns % _COARSE == 0 else 1000
        return found.size == self.size and abs(found.mtime_ns - self.mtime_ns) < rounded


class Line(NamedTuple):
    """A change: ``hardlink``, ``move`` or ``copy`` of a file, or a folder that was made."""

    action: str
    source: Path
    target: Path
    stamp: Stamp | None = None
    """Of a file that is moved: nothing else stays to compare it with."""


class Journal:
    """The journal below one folder.

    Parameters
    ----------
    root
        The folder that holds the repositories.
    path
        The file.
    """

    def __init__(self, root: Path, path: Path) -> None:
        self._root, self.path = root, path
        self._file: BinaryIO | None = None
        self._lock = Lock()

    def read(self) -> list[Line]:
        """Return the changes in order; none when there is no journal.

        Raises
        ------
        DestinationError
            When it cannot be read as a journal.
        """
        try:
            if not self.path.exists():
                return []
            self._mend()
            rows = read_tsv(self.path)
            return [self._line(row) for row in rows if row['action'] in _ACTIONS]
        except (OSError, ValueError, KeyError, TableError) as error:
            raise DestinationError(
                f'{self.path}: the journal cannot be read ({error})',
                hint='It says what was merged: mend it by hand; without it nothing can be undone.',
            ) from error

    def append(self, lines: Iterable[Line], *, sync: bool) -> None:
        """Write changes that are about to be made; *sync* waits until the disk has them.

        Raises
        ------
        DestinationError
            When it cannot be written.
        """
        text = ''.join(map(self._format, lines))
        try:
            with self._lock:
                file = self._file or self._open()
                left = memoryview(text.encode('utf-8', 'surrogatepass'))
                while left:
                    left = left[file.write(left) :]
                if sync:
                    os.fsync(file.fileno())
        except OSError as error:
            raise DestinationError(
                f'{self.path}: the journal cannot be written ({error.strerror})'
            ) from error

    def replace(self, lines: list[Line]) -> None:
        """Keep these changes only; with none the journal is removed."""
        self.close()
        if lines:
            text = format_tsv(_HEADER, ())
            write_text(self.path, text + ''.join(map(self._format, lines)))
        else:
            remove(self.path)

    def close(self) -> None:
        """Close the file, if it was written to."""
        if self._file:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._mend()
            self._widen()
        self._file = self.path.open('ab', buffering=0)
        if not self._file.tell():
            self._file.write(format_tsv(_HEADER, ()).encode())
        return self._file

    def _mend(self) -> None:
        """Take away a last line that was cut off."""
        with self.path.open('r+b') as file:
            end = at = file.seek(0, os.SEEK_END)
            whole = 0
            while at and not whole:
                at = max(0, at - _BLOCK)
                file.seek(at)
                whole = file.read(_BLOCK).rfind(b'\n') + 1
            if at + whole < end:
                file.truncate(at + whole)

    def _widen(self) -> None:
        """Give the columns of today to a journal of an earlier version."""
        with self.path.open('rb') as file:
            header = file.readline()
        if header and header != format_tsv(_HEADER, ()).encode():
            self.replace(self.read())

    def _line(self, row: Mapping[str, str]) -> Line:
        stamp = Stamp(int(row['size']), int(row['mtime_ns'])) if row.get('size') else None
        return Line(row['action'], self._root / row['source'], self._root / row['target'], stamp)

    def _format(self, line: Line) -> str:
        paths = (os.path.relpath(path, self._root) for path in (line.source, line.target))
        cells = [line.action, *paths, *map(str, line.stamp or ('', ''))]
        return '\t'.join(map(escape_cell, cells)) + '\n'
