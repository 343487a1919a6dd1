"""What of a study lies on disk, by repository: zipped or extracted, whole or not.

A zip is judged by its directory and an image by its two ends, or with ``deep`` by every byte.

Source: the MR-RATE dataset guide, "Why are files zipped?" and "Connecting the Pieces".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mrrate_bids.archives import Listing, Member, Place, list_place
from mrrate_bids.digests import digest_of
from mrrate_bids.errors import ArchiveError, DataError, NamingError
from mrrate_bids.hub_notes import noted_digest
from mrrate_bids.members import check_crc, check_image, crc_of
from mrrate_bids.naming import KINDS, NATIVE, REPOSITORIES, FileKind, member_path, parse_member
from mrrate_bids.receipts import Output
from mrrate_bids.sources import name_of

__all__ = ['Fetched', 'Holding', 'hold', 'home_of_zip']

_NEEDED = {'image', 'brain-mask', 'coreg-image', 'atlas-image'}
"""Kinds that every series must have; of the others a study has all or none."""

_COVERED_IN_PART = {KINDS['nvseg-body'].repository, KINDS['vista-seg'].repository}
"""Repositories that have some series of a study only."""

Series = Mapping[str, bool]
"""Whether a series is the centre, by series_id."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the receipt of a fetch says of a study."""

    asked: frozenset[tuple[str, str]] | None = None
    """Pairs of series and group that were asked for; ``None`` where all was."""

    outputs: Mapping[Path, Output] = field(default_factory=dict)
    """The files, by their absolute paths."""

    def expects(self, repository: str) -> bool:
        """Tell whether files of a repository were asked for."""
        groups = {kind.include for kind in KINDS.values() if kind.repository == repository}
        return self.asked is None or any(group in groups for _, group in self.asked)


@dataclass(slots=True)
class Holding:
    """What lies on disk of a study in a repository."""

    batch: str
    study: str
    repository: str
    zips: list[Path] = field(default_factory=list)
    extracted: bool = False
    faults: list[str] = field(default_factory=list)
    """What is damaged."""

    lacks: list[str] = field(default_factory=list)
    """What is not there."""

    size: int = 0
    """Bytes of zips and extracted files."""

    stray: bool = False
    """Whether nothing says that there should be such a study."""

    again: str = ''
    """Why it should be fetched again; empty where it need not."""

    @property
    def form(self) -> str:
        """``zipped``, ``extracted``, ``mixed`` (both); empty when there is nothing."""
        if self.zips and self.extracted:
            return 'mixed'
        return 'zipped' if self.zips else 'extracted' if self.extracted else ''

    @property
    def state(self) -> str:
        """``corrupt``, ``partial``, ``whole`` or ``absent``."""
        if self.faults:
            return 'corrupt'
        if self.lacks:
            return 'partial'
        return 'whole' if self.form else 'absent'

    @property
    def reason(self) -> str:
        """Why it is corrupt or partial, or is to be fetched again."""
        return '; '.join(filter(None, [*self.faults, *self.lacks, self.again]))


def hold(
    batch: str,
    study: str,
    places: Iterable[Place],
    series: Series,
    *,
    deep: bool,
    fetched: Fetched | None = None,
) -> dict[str, Holding]:
    """Return what lies on disk of a study, by repository; what is not there has no entry.

    Parameters
    ----------
    batch, study
        The study.
    places
        Its zips and folders.
    series
        What the metadata say that it has; empty when they say nothing.
    deep
        Read every byte.
    fetched
        What the receipt of a fetch says of it.
    """
    inspection = _Inspection(batch, study, fetched or Fetched())
    for place in places:
        inspection.add(place)
    inspection.compare()
    inspection.find_missing(series)
    inspection.check(deep=deep)
    return inspection.found


class _Inspection:
    """The inspection of one study."""

    def __init__(self, batch: str, study: str, fetched: Fetched) -> None:
        self.found: dict[str, Holding] = {}
        self._batch, self._study, self._fetched = batch, study, fetched
        self._zipped: dict[str, dict[str, Member]] = {}
        self._loose: dict[str, dict[str, Member]] = {}

    def add(self, place: Place) -> None:
        """List a place; what cannot be listed is a fault."""
        try:
            listing = list_place(place)
        except ArchiveError as error:
            self._add_broken(place, str(error).removeprefix(f'{place.path}: '))
            return
        if place.zipped:
            self._add_zip(Path(place.path), listing)
        else:
            self._add_folder(Path(place.path), listing)

    def compare(self) -> None:
        """Compare what was extracted with the zip of the same repository."""
        for repository, zipped in self._zipped.items():
            loose = self._loose.get(repository)
            if not loose:
                continue
            holding = self.found[repository]
            missing = sorted(zipped.keys() - loose.keys())
            if missing:
                holding.lacks.append(_some('the extracted folder lacks', missing))
            other = [n for n in zipped if n in loose and loose[n].size != zipped[n].size]
            if other:
                holding.faults.append(_some('extracted in another size:', sorted(other)))

    def find_missing(self, series: Series) -> None:
        """Compare what is there with what the metadata say."""
        for repository, holding in self.found.items():
            names = self._names(repository)
            if holding.faults or not names or repository in _COVERED_IN_PART:
                continue
            missing = sorted(self._expected(repository, series, names) - names)
            if missing:
                holding.lacks.append(_some('lacks', missing))

    def check(self, *, deep: bool) -> None:
        """Make sure that files are whole."""
        for repository, holding in self.found.items():
            for members in (self._zipped, self._loose):
                for member in members.get(repository, {}).values():
                    reason = self._changed(member, deep=deep) or _fault(member, deep=deep)
                    if reason:
                        holding.faults.append(f'{name_of(member.name)} {reason}')
            if deep:
                holding.faults += filter(None, map(_changed_since_fetched, holding.zips))

    def _add_broken(self, place: Place, reason: str) -> None:
        path = Path(place.path)
        if place.zipped:
            holding = self._holding(home_of_zip(path.name, self._study))
            holding.zips.append(path)
            holding.size += _size(path)
        else:
            holding = self._holding(_home_of_folder(path))
            holding.extracted = True
        holding.faults.append(f'{path.name} {reason}')

    def _add_zip(self, path: Path, listing: Listing) -> None:
        home = home_of_zip(path.name, self._study)
        holding = self._holding(home)
        if not any(path.samefile(other) for other in holding.zips):  # merged by a hard link
            holding.zips.append(path)
            holding.size += _size(path)
        holding.faults += [f'{path.name}: {name}: {why}' for name, why in listing.refused]
        members = {member.name: member for member in listing.members}
        others = sorted({_home(self._study, name) or home for name in members} - {home})
        if others:
            holding.faults.append(f'{path.name} holds files of {" and ".join(others)}')
        self._zipped.setdefault(home, {}).update(members)

    def _add_folder(self, path: Path, listing: Listing) -> None:
        homes = set()
        for member in listing.members:
            home = _home(self._study, member.name)
            if home:
                homes.add(home)
                holding = self._holding(home)
                holding.extracted = True
                if member.name not in self._loose.setdefault(home, {}):
                    holding.size += member.size
                    self._loose[home][member.name] = member
        if not homes:
            holding = self._holding(_home_of_folder(path))
            holding.extracted = True
            holding.lacks.append('the extracted folder holds no file of the study')
        for name, why in listing.refused:
            home = _home(self._study, name) or _home_of_folder(path)
            self._holding(home).extracted = True
            self._holding(home).faults.append(f'{name}: {why}')

    def _expected(self, repository: str, series: Series, names: set[str]) -> set[str]:
        """Return the files that the study must have in a repository."""
        expected: set[str] = set()
        for kind in KINDS.values():
            if kind.repository != repository:
                continue
            own = {
                member_path(self._study, series_id, kind, centre=centre)
                for series_id, centre in series.items()
                if kind.belongs_to(centre=centre) and self._is_asked(series_id, kind)
            }
            if kind.name in _NEEDED or own & names:
                expected |= own
        return expected

    def _is_asked(self, series_id: str, kind: FileKind) -> bool:
        asked = self._fetched.asked
        return asked is None or (series_id, kind.include) in asked

    def _changed(self, member: Member, *, deep: bool) -> str:
        """Compare an extracted file with what was fetched; nothing when it is the same."""
        output = None
        if member.offset < 0:
            output = self._fetched.outputs.get(Path(member.path).absolute())
        if output is None:
            return ''
        if output.size != member.size:
            return f'has {member.size:,} bytes, {output.size:,} were fetched: wrong size'
        if deep and output.crc32 is not None and crc_of(member) != output.crc32:
            return 'is not what was fetched (its CRC-32 differs)'
        return ''

    def _holding(self, repository: str) -> Holding:
        return self.found.setdefault(repository, Holding(self._batch, self._study, repository))

    def _names(self, repository: str) -> set[str]:
        return {
            name for members in (self._zipped, self._loose) for name in members.get(repository, {})
        }


def _some(text: str, names: list[str]) -> str:
    """Name the first of some files.

    >>> _some('lacks', ['img/a.nii.gz', 'img/b.nii.gz'])
    'lacks a.nii.gz and 1 more'
    """
    more = f' and {len(names) - 1} more' if names[1:] else ''
    return f'{text} {name_of(names[0])}{more}'


def _fault(member: Member, *, deep: bool) -> str:
    """Return what is wrong with a file; empty for a whole one."""
    try:
        if not member.size:
            return 'is empty'
        if '.nii' in member.name:
            check_image(member, deep=deep)
        elif deep:
            check_crc(member)
    except DataError as error:
        return str(error).removeprefix(f'{member.name}: ')
    except OSError as error:
        return f'cannot be read ({error.strerror})'
    return ''


def home_of_zip(name: str, study: str) -> str:
    """Return the repository whose zips are called like this one; else the native one.

    >>> home_of_zip('2END5JBWVA_coreg.zip', '2END5JBWVA')
    'MR-RATE-coreg'
    """
    for repository, pattern in REPOSITORIES.items():
        if name == pattern.format(study=study):
            return repository
    return NATIVE


def _home(study: str, name: str) -> str:
    """Return the repository that a file of a study belongs to; empty for a stranger."""
    try:
        return parse_member(study, name).kind.repository
    except NamingError:
        return ''


def _home_of_folder(folder: Path) -> str:
    """Return the repository that an extracted folder lies in, of which no file tells."""
    name = folder.parents[2].name
    return name if name in REPOSITORIES else NATIVE


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _changed_since_fetched(path: Path) -> str:
    """Compare a zip with what was noted when it was fetched; nothing when it is the same."""
    root = path.parents[2]
    noted = noted_digest(root, path.relative_to(root).as_posix())
    try:
        if not noted or digest_of(path) == noted:
            return ''
    except OSError:
        return ''  # that it cannot be read has been said
    return f'{path.name} is not what was fetched (its SHA-256 differs)'
