"""Which subject became which patient, kept apart from the release so that it stays the same.

A visit gets its identifiers, its batch and its split once. When the dataset grows, what is in the
table stays as it is and new visits are added.
"""

import random
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from itertools import count
from pathlib import Path
from typing import Protocol

from mrrate_bids.errors import NamingError, SelectionError, TableError
from mrrate_bids.files import write_text
from mrrate_bids.naming import decode_label
from mrrate_bids.shares import Shares
from mrrate_bids.tables import format_tsv, read_tsv

__all__ = ['Entry', 'Pseudonyms', 'Terms']

_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
_STUDY_LENGTH, _PATIENT_LENGTH = 10, 9
_BATCH = re.compile(r'batch(\d+)')

Visit = tuple[str, str]
"""``sub-…`` and ``ses-…``; the second is empty where there are no sessions."""


class _Chance(Protocol):
    def choice(self, letters: Sequence[str]) -> str: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A visit and what it is called in the release."""

    participant_id: str
    session_id: str
    patient_uid: str
    study_uid: str
    batch: str
    split: str


_HEADER = [field.name for field in fields(Entry)]


@dataclass(frozen=True, slots=True)
class Terms:
    """How new visits are named.

    Parameters
    ----------
    keep
        Whether labels become identifiers.
    batch_size
        How many studies a batch takes.
    shares
        How patients are shared among the splits.
    seed
        Draws the same identifiers again; without it nobody can. Splits, which are no secret, recur
        without it as well.
    """

    keep: bool = False
    batch_size: int = 3500
    shares: Shares = field(default_factory=Shares)
    seed: int | None = None


class Pseudonyms:
    """The table of all visits that have identifiers.

    Parameters
    ----------
    entries
        What it holds already.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = {(entry.participant_id, entry.session_id): entry for entry in entries}

    @classmethod
    def load(cls, path: Path) -> 'Pseudonyms':
        """Read the table; a file that is not there is an empty one.

        Raises
        ------
        SelectionError
            When the file is damaged: to go on would give everybody another name.
        """
        if not path.exists():
            return cls()
        try:
            _check_form(path)
            entries = [Entry(**row) for row in read_tsv(path)]
            _check_entries(entries)
            return cls(entries)
        except (TableError, ValueError, OSError) as error:
            raise SelectionError(
                f'{path}: the mapping of identifiers cannot be read ({error})',
                hint='Restore it from a copy, or remove it to draw identifiers anew.',
            ) from error

    def save(self, path: Path) -> None:
        """Write the table.

        Raises
        ------
        DestinationError
            When it cannot be written.
        """
        rows = [astuple(self._entries[visit]) for visit in sorted(self._entries)]
        text = format_tsv(_HEADER, rows)
        if not path.exists() or path.read_text(encoding='utf-8') != text:
            write_text(path, text)

    def find(self, participant: str, session: str) -> Entry | None:
        """Return the entry of a visit."""
        return self._entries.get((participant, session))

    def assign(
        self,
        visits: Iterable[Visit],
        terms: Terms,
        *,
        patients: Mapping[str, str],
        splits: Mapping[str, str],
        batches: Mapping[str, int],
        taken: Collection[str],
    ) -> None:
        """Name the visits that have no entry yet.

        Parameters
        ----------
        visits
            All visits that need one.
        terms
            How they are named.
        patients, splits
            Patient and split of participants that have them already.
        batches
            How many other studies each batch holds.
        taken
            Identifiers that belong to others.

        Raises
        ------
        SelectionError
            When labels are to be kept and two visits would be called the same.
        """
        new = [visit for visit in sorted(visits) if visit not in self._entries]
        if not new:
            return
        known = self._entries.values()
        people = dict(patients) | {e.participant_id: e.patient_uid for e in known}
        names = _Names({*taken, *people.values(), *(e.study_uid for e in known)}, terms.seed)
        for participant, _ in new:
            if participant not in people:
                label = _decoded(participant)
                people[participant] = names.claim(label) if terms.keep else names.patient()
        split_of = self._splits(new, terms, splits)
        homes = self._batches(len(new), terms.batch_size, batches)
        studies = _kept_names(new, names) if terms.keep else [names.study() for _ in new]
        for visit, study, batch in zip(new, studies, homes, strict=True):
            patient, split = people[visit[0]], split_of[visit[0]]
            self._entries[visit] = Entry(*visit, patient, study, batch, split)

    def _splits(self, new: list[Visit], terms: Terms, known: Mapping[str, str]) -> dict[str, str]:
        splits = dict(known) | {e.participant_id: e.split for e in self._entries.values()}
        missing = sorted({participant for participant, _ in new} - splits.keys())
        random.Random(terms.seed or 0).shuffle(missing)  # noqa: S311  (no secret)
        dealt = terms.shares.deal(len(missing), Counter(splits.values()))
        return splits | dict(zip(missing, dealt, strict=True))

    def _batches(self, number: int, size: int, others: Mapping[str, int]) -> list[str]:
        """Return a batch for each of *number* studies: the last one is filled first."""
        sizes = Counter(entry.batch for entry in self._entries.values())
        sizes.update(others)
        numbers = [int(found[1]) for name in sizes if (found := _BATCH.fullmatch(name))]
        homes: list[str] = []
        for batch in (f'batch{n:02d}' for n in count(max(numbers, default=0))):
            homes += [batch] * max(0, min(size - sizes[batch], number - len(homes)))
            if len(homes) == number:
                return homes
        raise AssertionError  # pragma: no cover  (count does not end)


def _check_form(path: Path) -> None:
    text = path.read_text(encoding='utf-8')
    if text.partition('\n')[0].split('\t') != _HEADER:
        raise TableError('it has other columns')
    if not text.endswith('\n'):
        raise TableError('its last line is cut off')


def _check_entries(entries: list[Entry]) -> None:
    visits = Counter(f'{e.participant_id} {e.session_id}'.rstrip() for e in entries)
    studies = Counter(e.study_uid.casefold() for e in entries)
    for what, number in (*visits.items(), *studies.items()):
        if number > 1:
            raise TableError(f'{what} is in it {number} times')


class _Names:
    """Draw identifiers that nobody has, not even in other case."""

    def __init__(self, taken: Collection[str], seed: int | None) -> None:
        self._taken = {name.casefold() for name in taken}
        chance = random.Random(seed) if seed is not None else secrets.SystemRandom()  # noqa: S311
        self._chance: _Chance = chance

    def claim(self, name: str) -> str:
        """Take a name."""
        if self.has(name):
            raise SelectionError(
                f'--uids keep: {name!r} would stand for two',
                hint='Let fresh identifiers be drawn: --uids fresh.',
            )
        self._taken.add(name.casefold())
        return name

    def has(self, name: str) -> bool:
        """Tell whether a name is taken."""
        return name.casefold() in self._taken

    def study(self) -> str:
        """Return a study_uid of the form that the release has."""
        return self._draw(_LETTERS, _STUDY_LENGTH)

    def patient(self) -> str:
        """Return a patient_uid of the form that the release has."""
        return self._draw('123456789', 1, '0123456789', _PATIENT_LENGTH - 1)

    def _draw(self, *parts: str | int) -> str:
        while True:
            pairs = zip(parts[::2], parts[1::2], strict=True)
            name = ''.join(
                self._chance.choice(str(letters)) for letters, n in pairs for _ in range(int(n))
            )
            if not self.has(name):
                return self.claim(name)


def _kept_names(visits: list[Visit], names: _Names) -> list[str]:
    """Return study identifiers from labels; the subject in front where sessions do not tell."""
    sessions = Counter(session for _, session in visits)
    studies = []
    for participant, session in visits:
        name = _decoded(session) if session else ''
        if not name or sessions[session] > 1 or names.has(name):
            name = f'{_decoded(participant)}x{name}' if name else f'{_decoded(participant)}x1'
        studies.append(names.claim(name))
    return studies


def _decoded(label: str) -> str:
    bare = label.partition('-')[2]
    try:
        return decode_label(bare)
    except NamingError:
        return bare
