"""What was fetched, recorded next to the files, so that they can be compared later and elsewhere.

The record lies in the folder of the resource as ``resources.lock`` and travels with it.
"""

import datetime
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrrate_bids.errors import ResourceError
from mrrate_bids.files import write_text

__all__ = ['NAME', 'Entry', 'Lock']

NAME = 'resources.lock'
_TITLE = (
    '# What was fetched or recorded; "mrrate-bids resources verify" compares the files with it.\n'
)
_FIELDS = ('resource', 'path', 'size', 'sha256', 'source', 'recorded')


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as it was when it was recorded."""

    resource: str
    path: str
    """Below the folder of the record."""

    size: int
    sha256: str
    source: str
    """The address that it was fetched from; empty where it was put there by hand."""

    recorded: str = ''
    """The day."""


class Lock:
    """The record in a folder.

    Parameters
    ----------
    folder
        The folder of a resource.

    Raises
    ------
    ResourceError
        When there is a record that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._entries = {(entry.resource, entry.path): entry for entry in _read(self.path)}

    def get(self, resource: str, path: str) -> Entry | None:
        """Return what was recorded of a file; nothing when it never was."""
        return self._entries.get((resource, path))

    def save(self, entries: list[Entry]) -> None:
        """Add or replace entries.

        Raises
        ------
        DestinationError
            When the folder cannot be written.
        """
        today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
        for entry in entries:
            facts = (entry.resource, entry.path, entry.size, entry.sha256, entry.source)
            self._entries[entry.resource, entry.path] = Entry(*facts, recorded=today)
        blocks = [_format(entry) for _, entry in sorted(self._entries.items())]
        write_text(self.path, '\n'.join([_TITLE, *blocks]))


def _format(entry: Entry) -> str:
    """Return an entry as TOML, whose strings and numbers JSON writes alike."""
    values = ((name, getattr(entry, name)) for name in _FIELDS)
    lines = (f'{name} = {json.dumps(value, ensure_ascii=False)}\n' for name, value in values)
    return '[[file]]\n' + ''.join(lines)


def _read(path: Path) -> list[Entry]:
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding='utf-8'))
        return [Entry(**entry) for entry in content.get('file', [])]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise ResourceError(
            f'{path} cannot be read as a record ({reason})',
            hint='Remove it, and record anew: mrrate-bids resources verify --record.',
        ) from error
