"""What there is to fetch, and where on this machine it is looked for."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrrate_bids.templates import read_toml

__all__ = ['File', 'Resource', 'folder_for', 'read_resources']

_FILES = ('.json', '.pt', '.pth', '.zip')
"""How names of files end that somebody gives for their folder."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a resource."""

    path: str
    """Below the folder of the resource."""

    size: int | None = None
    """In bytes; ``None`` where it is not published."""

    md5: str = ''
    sha256: str = ''
    """As published; empty where they are not."""

    also: tuple[str, ...] = ()
    """Other places in the folder where it may lie."""


@dataclass(frozen=True)
class Resource:
    """Weights or a template; the fields are those of ``resources.toml``."""

    name: str
    title: str
    used_by: str
    page: str
    licence: str
    variable: str
    """The environment variable that names its folder."""

    folder: str
    """Where it lies unless the variable says otherwise."""

    file: tuple[File, ...]
    licence_url: str = ''
    accept: bool = False
    """Whether its licence has to be accepted."""

    archive: str = ''
    record: str = ''
    hub: str = ''
    revision: str = ''
    template: str = ''
    url: str = ''

    @property
    def home(self) -> Path:
        """Where its files lie, or will; the variable may also name a file among them."""
        named = os.environ.get(self.variable)
        if not named:
            return self.usual
        path = Path(named).expanduser()
        return path.parent if path.is_file() else path

    @property
    def usual(self) -> Path:
        """Where its files lie when nothing names another folder."""
        return Path(self.folder.format(**_caches())).expanduser()

    def command(self, folder: Path | None = None) -> str:
        """Return the command that fetches it into a folder; where it is looked for, without one.

        >>> read_resources()['hd-bet'].command(Path('/data/hd-bet'))
        'MRRATE_BIDS_HDBET_WEIGHTS=/data/hd-bet mrrate-bids resources fetch hd-bet'
        """
        elsewhere = folder is not None and folder.resolve() != self.home.resolve()
        setting = f'{self.variable}={shlex.quote(str(folder))} ' if elsewhere else ''
        accepting = ' --accept-license' if self.accept else ''
        return f'{setting}mrrate-bids resources fetch {self.name}{accepting}'

    def remedy(self, folder: Path, *, named: Path, option: str, spoilt: str = '') -> str:
        """Return how it gets to where it was looked for, and how another folder is named.

        Parameters
        ----------
        folder
            Where to fetch it.
        named
            Where it was looked for; another place than *folder* is of no use.
        option
            Where the user says which folder it is.
        spoilt
            A file in the folder, by whose side nothing would be fetched.
        """
        also = f' (remove its {spoilt} first, or nothing is fetched)' if spoilt else ''
        if folder != named:
            also = f' (and name that folder {option})'
        return (
            f'Fetch them into {folder} with: {self.command(folder)}{also}; or name a folder that '
            f'has them {option}.'
        )

    @property
    def address(self) -> str:
        """Where it is fetched from."""
        return self.archive or self.url or self.page

    def find(self, file: File) -> Path:
        """Return where a file lies, or would lie."""
        named = Path(os.environ.get(self.variable) or self.home).expanduser()
        if named.is_file() and len(self.file) == 1:
            return named
        places = [self.home / place for place in (*file.also, file.path)]
        return next((place for place in places if place.is_file()), self.home / file.path)

    def place(self, file: File) -> str:
        """Return where a file lies below the folder, as records name it."""
        return self.find(file).relative_to(self.home).as_posix()


def folder_for(named: Path) -> Path:
    """Return the folder into which to fetch what *named* was to hold, be it a file or not there.

    >>> folder_for(Path('/none/hd-bet')), folder_for(Path('/none/model.pt'))
    (PosixPath('/none/hd-bet'), PosixPath('/none'))
    """
    folder = named.parent if named.suffix in _FILES and not named.is_dir() else named
    inside = [one for one in (folder, *folder.parents) if one.is_file()]
    return inside[-1].parent if inside else folder


def read_resources() -> dict[str, Resource]:
    """Return the resources by name."""
    return {name: _read(name, fields) for name, fields in read_toml('resources.toml').items()}


def _read(name: str, fields: dict[str, Any]) -> Resource:
    files = tuple(
        File(**entry | {'also': tuple(entry.get('also', ()))}) for entry in fields['file']
    )
    return Resource(name, **fields | {'file': files})


def _caches() -> dict[str, str]:
    cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return {'cache': f'{cache}/mrrate-bids', 'user_cache': cache}
