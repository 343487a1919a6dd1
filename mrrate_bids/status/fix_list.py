"""The published lists of studies whose files were repaired, or added later.

Two forms were published. ``{batch: [study]}`` names studies that had been left out of the
co-registered and atlas repositories and came later. ``{"coreg": {batch: [study]}, "atlas": …}``
names zips that were damaged and were replaced under the same name, which nobody sees who has
fetched them before.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mrrate_bids.errors import UsageError
from mrrate_bids.naming import REPOSITORIES
from mrrate_bids.status.holding import Holding

__all__ = ['FixList']

_SHORT = {'native': 'MR-RATE', 'nvseg': 'MR-RATE-nvseg-ctmr', 'vista': 'MR-RATE-vista-seg'} | {
    name.removeprefix('MR-RATE-'): name for name in REPOSITORIES
}
_BATCH = re.compile(r'(?:batch)?([0-9]+)')
_ADDED = (_SHORT['coreg'], _SHORT['atlas'])


class FixList:
    """Studies that were repaired or added, by repository and batch."""

    def __init__(self) -> None:
        self.repaired: set[tuple[str, str, str]] = set()
        """Repository, batch and study."""

        self.added: set[tuple[str, str, str]] = set()

    def read(self, path: Path) -> None:
        """Take over a list of either form.

        Raises
        ------
        UsageError
            When it has neither.
        """
        try:
            content = json.loads(path.read_text(encoding='utf-8-sig'))
        except (OSError, ValueError) as error:
            reason = getattr(error, 'strerror', None) or error
            raise _no_list(path, f'cannot be read as JSON ({reason})') from error
        if not isinstance(content, dict) or not content:
            raise _no_list(path, 'is no table of studies')
        if all(isinstance(part, dict) for part in content.values()):
            for name, batches in content.items():
                repository = _SHORT.get(name, name)
                if repository not in REPOSITORIES:
                    raise _no_list(path, f'names {name!r}, which is no repository')
                self.repaired |= _triples(path, batches, repository)
        else:
            for repository in _ADDED:
                self.added |= _triples(path, content, repository)

    def mark(self, holding: Holding, *, current: bool) -> None:
        """Say why what lies on disk should be fetched again.

        Parameters
        ----------
        holding
            What lies on disk of a study in a repository, or that nothing does.
        current
            Whether it is proven to be what the repository has now.
        """
        key = (holding.repository, holding.batch, holding.study)
        if key in self.repaired and not current:
            holding.again = 'it was replaced by a repaired one'
        elif key in self.added and holding.state != 'whole':
            holding.again = 'it was added to the release later'

    def elsewhere(self, batches: Iterable[str]) -> dict[str, int]:
        """Return how many studies are listed of batches other than these, by batch."""
        known = set(batches)
        listed = {(batch, study) for _, batch, study in self.repaired | self.added}
        counts = Counter(batch for batch, _ in listed if batch not in known)
        return dict(sorted(counts.items()))

    def studies(self, repository: str, batch: str) -> set[str]:
        """Return the listed studies of a batch."""
        keys = self.repaired | self.added
        return {study for where, name, study in keys if (where, name) == (repository, batch)}


def _triples(path: Path, batches: dict[str, Any], repository: str) -> set[tuple[str, str, str]]:
    found = set()
    for batch, studies in batches.items():
        if not isinstance(studies, list) or not all(isinstance(uid, str) for uid in studies):
            raise _no_list(path, f'has no list of studies for {batch!r}')
        number = _BATCH.fullmatch(batch)
        if not number:
            raise _no_list(path, f'names {batch!r}, which is no batch')
        found |= {(repository, f'batch{int(number[1]):02d}', study) for study in studies}
    return found


def _no_list(path: Path, why: str) -> UsageError:
    return UsageError(
        f'{path}: {why}',
        hint='Give a list as published: {"batch06": ["UID", …]} or '
        '{"coreg": {"batch03": ["UID", …]}, "atlas": {…}}.',
    )
