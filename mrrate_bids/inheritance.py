"""Sidecars of any BIDS dataset: what holds for a file is spread over its folder and those above.

Source: BIDS 1.10.1, "The inheritance principle".
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from mrrate_bids.errors import TableError

__all__ = ['Sidecars', 'read_json_object', 'split_name']


def split_name(name: str) -> tuple[dict[str, str], str]:
    """Return the entities of a file name, and its suffix.

    >>> split_name('sub-01_acq-axi_run-1_T1w.nii.gz')
    ({'sub': '01', 'acq': 'axi', 'run': '1'}, 'T1w')
    """
    *parts, suffix = name.partition('.')[0].split('_')
    return dict(part.partition('-')[::2] for part in parts if '-' in part), suffix


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises
    ------
    TableError
        When it cannot be read or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig', errors='surrogatepass'))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TableError(
            f'{path}: is not readable as JSON ({reason})', hint='Correct the sidecar.'
        ) from error
    if not isinstance(content, dict):
        raise TableError(f'{path}: holds no JSON object', hint='Correct the sidecar.')
    return content


class Sidecars:
    """The sidecars of one dataset.

    Parameters
    ----------
    root
        The dataset.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._shared = cache(self._candidates)  # the folders above all subjects are read once

    def read(self, inside: str) -> dict[str, Any]:
        """Return what all sidecars that apply say of a file, the nearest last.

        Parameters
        ----------
        inside
            The path of the file, relative to the dataset.

        Raises
        ------
        TableError
            When a sidecar cannot be read.
        """
        folder, _, name = inside.rpartition('/')
        entities, suffix = split_name(name)
        parts, merged = folder.split('/'), dict[str, Any]()
        for depth in range(len(parts) + 1):
            place = '/'.join(parts[:depth])
            found = self._shared(place) if depth == 0 else self._candidates(place)
            for path, needed, what in found:
                if what == suffix and needed.items() <= entities.items():
                    merged |= read_json_object(path)
        return merged

    def shared(self, subject: str) -> list[Path]:
        """Return the sidecars above the sessions of a subject, from which its files inherit."""
        found = [*self._shared(''), *self._candidates(subject)]
        return [path for path, *_ in found]

    def _candidates(self, place: str) -> list[tuple[Path, dict[str, str], str]]:
        """Return the JSON files of a folder with entities and suffix, the general first."""
        folder = self._root / place
        try:
            names = [name for name in os.listdir(folder) if name.endswith('.json')]  # noqa: PTH208
        except OSError:
            return []
        found = [(folder / name, *split_name(name)) for name in names]
        return sorted(found, key=lambda item: (len(item[1]), item[0].name))
