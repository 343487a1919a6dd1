"""What to do with one study: a flat list, one row per file, decided before anything is written.

A plan is pure: it follows from the rows of the tables, the listing of the zips and folders and
what was asked for. It can be printed, split among machines and carried out by
:mod:`mrrate_bids.transfer`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mrrate_bids.archives import Listing, Member
from mrrate_bids.catalog import Study
from mrrate_bids.errors import NamingError
from mrrate_bids.naming import (
    KINDS,
    NATIVE,
    FileKind,
    SeriesName,
    StudyName,
    bids_path,
    member_path,
    parse_member,
)
from mrrate_bids.problems import Problem
from mrrate_bids.sidecars import reads_as_contrast
from mrrate_bids.sources import name_of
from mrrate_bids.tables import Record

__all__ = ['Row', 'Series', 'StudyPlan', 'plan_study']

Key = tuple[str, str]
"""A series_id and a group of ``--include``."""

_FETCH = 'Fetch the study again from the release, or make it again.'
_MASKS = KINDS['brain-mask'].include
_DEFACING = KINDS['defacing-mask']
_MUST_BE_WHOLE = {KINDS[kind].repository for kind in ('image', 'coreg-image', 'atlas-image')}
"""Repositories that have every file of every series; segmentations are partial by design."""


@dataclass(slots=True)
class Series:
    """A series of the study that can be exported."""

    name: SeriesName
    record: Record
    contrast: bool


@dataclass(slots=True)
class Row:
    """One file: where it comes from and where it goes."""

    kind: FileKind
    series: str
    action: str
    """``copy``, ``inflate``, ``hardlink``, ``symlink`` or ``link`` (as the filesystem allows)."""

    member: Member
    target: str
    """Path relative to the root of the raw dataset."""

    twin: str = ''
    """Target of the row that has the same bytes, when this file becomes a hard link to it."""

    @property
    def origin(self) -> str:
        """What the target follows from: what came from the same need not be made again."""
        member = self.member
        content = f'{member.mtime}' if member.crc is None else f'{member.crc:08x}'
        action = 'twin' if self.twin else self.action
        return f'{action} {member.size} {content}'


@dataclass
class StudyPlan:
    """The rows of a study, in the order in which they are carried out."""

    study: Study
    name: StudyName
    series: dict[str, Series]
    centre: str
    """series_id of the centre; empty when the metadata name none or several."""

    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    set_aside: list[Record] = field(default_factory=list)
    """Metadata records that no exported file stands for."""

    here: set[str] = field(default_factory=set)
    """Repositories of which the study has at least one file on disk."""

    missing: set[tuple[str, str]] = field(default_factory=set)
    """Kind and series of the files that there should be and are not."""

    @property
    def copies_nothing(self) -> bool:
        """Whether every row is a link."""
        return all('link' in row.action for row in self.rows)

    @property
    def targets(self) -> set[str]:
        """Where every row goes."""
        return {row.target for row in self.rows}

    def path(self, kind: str, series: str) -> str:
        """Return where the file of a kind and series goes."""
        known = self.series[series]
        return bids_path(self.name, known.name, KINDS[kind], contrast=known.contrast)

    def complain(
        self,
        message: str,
        remedy: str,
        *,
        series: str = '',
        file: str = '',
        severity: str = 'error',
        check: str = 'files',
    ) -> None:
        """Note a defect of this study, and which check of a release it belongs to."""
        self.problems.append(
            Problem(
                severity,
                message,
                remedy,
                batch=self.study.batch,
                study=self.study.study,
                series=series,
                file=file,
                check=check,
            )
        )


def plan_study(
    study: Study, listings: Iterable[Listing], *, wanted: Iterable[Key], link: str
) -> StudyPlan:
    """Plan the export of a study.

    Parameters
    ----------
    study
        The study; its rows say which files there must be.
    listings
        What its places hold, the most trusted first.
    wanted
        The series and groups to export.
    link
        How files on their own are taken over: ``auto``, ``hardlink``, ``symlink`` or ``copy``.
    """
    plan = StudyPlan(study, StudyName(study.patient, study.study), {}, '')
    plan.series = _read_series(plan)
    plan.centre = _find_centre(plan)
    members = _gather(plan, listings)
    plan.here = _repositories_here(members)
    if study.places and not plan.here and not plan.problems:
        names = ', '.join(name_of(place.path) for place in study.places)
        plan.complain(f'{names} holds no file of the study', _FETCH, file=names, check='archives')
    due = [pair for pair in _expected(plan, wanted) if _is_due(plan, members, *pair)]
    for series, kind in _forgive_masks(plan, members, due):
        _plan_file(plan, members, kind, series, link=link)
    _account_for_the_rest(plan, members)
    _share_twins(plan, link)
    return plan


def _read_series(plan: StudyPlan) -> dict[str, Series]:
    study, found = plan.study, {}
    position = study.header.index('series_id')
    counts = Counter(row.cells[position] for row in study.rows)
    for row in study.rows:
        series_id = row.cells[position]
        if series_id in found:
            plan.set_aside.append(row)
            continue
        try:
            name = SeriesName.parse(series_id)
        except NamingError as error:
            remedy = 'Export it by hand, or correct the metadata.'
            plan.complain(str(error), remedy, series=series_id, check='tables')
            plan.set_aside.append(row)
            continue
        cells = (study.cell(row, c) for c in ('contrast_enhanced', 'is_contrast_enhanced'))
        found[series_id] = Series(name, row, any(map(reads_as_contrast, cells)))
    for series_id, count in counts.items():
        if count > 1:
            _refuse_duplicates(plan, found, series_id, count)
    return found


def _refuse_duplicates(
    plan: StudyPlan, found: dict[str, Series], series_id: str, count: int
) -> None:
    position = plan.study.header.index('series_id')
    rows = [row for row in plan.study.rows if row.cells[position] == series_id]
    if len({tuple(row.cells) for row in rows}) == 1:
        message = f'the metadata have {count} equal rows of this series; one was taken'
    else:
        message = f'the metadata have {count} rows of this series that differ; it was left out'
        plan.set_aside += [found.pop(series_id).record] if series_id in found else []
    plan.complain(message, 'Remove the rows that are wrong.', series=series_id, check='tables')


def _find_centre(plan: StudyPlan) -> str:
    study = plan.study
    marked = [
        series_id
        for series_id, series in plan.series.items()
        if study.cell(series.record, 'is_center_modality').strip().lower() in {'true', '1'}
    ]
    if len(marked) == 1:
        return marked[0]
    which = f'{len(marked)} centre series ({", ".join(marked)})' if marked else 'no centre series'
    plan.complain(
        f'the metadata mark {which}; what depends on it was left out',
        'Set is_center_modality to True in exactly one row of the study.',
        check='centres',
    )
    return ''


def _gather(plan: StudyPlan, listings: Iterable[Listing]) -> dict[str, Member]:
    members: dict[str, Member] = {}
    for listing in listings:
        for member in listing.members:
            members.setdefault(member.name, member)
        for name, reason in listing.refused:
            plan.complain(f'{name} was refused: {reason}', _FETCH, file=name, check='archives')
    return members


def _repositories_here(members: dict[str, Member]) -> set[str]:
    """Return the repositories of which at least one file is among the members."""
    here: set[str] = set()
    for kind in KINDS.values():
        if kind.repository not in here:
            start, _, end = kind.member.partition('{series}')
            start = start.partition('{study}')[0]
            if any(name.startswith(start) and name.endswith(end) for name in members):
                here.add(kind.repository)
    return here


def _forgive_masks(
    plan: StudyPlan, members: dict[str, Member], expected: list[tuple[str, FileKind]]
) -> list[tuple[str, FileKind]]:
    """Expect no masks, but those it has, of a study that was published without defacing masks."""

    def is_there(series: str, kind: FileKind) -> bool:
        return member_path(plan.study.study, series, kind) in members

    masks = [pair for pair in expected if pair[1].include == _MASKS]
    lacking = [pair for pair in masks if not is_there(*pair)]
    if not lacking or not _lacks_masks(plan, members):
        return expected
    here = len(masks) - len(lacking)
    count = f'{here} of {len(masks) - len(plan.series)}' if here else 'no'
    plan.complain(
        f'has {count} brain masks and no defacing masks; they can be computed',
        'Make them, or use the images as they are.',
        severity='warning',
    )
    return [pair for pair in expected if pair not in lacking]


def _lacks_masks(plan: StudyPlan, members: dict[str, Member]) -> bool:
    """Tell whether the native images of a study were published without any defacing mask.

    A brain mask may be there: an import takes it over from another pipeline.

    The directory of a zip is complete: what it does not name was never there. A folder may be
    what an interrupted copy left, and is believed only while nothing else speaks of the study.
    """

    def native(kind: FileKind) -> list[Member]:
        names = (member_path(plan.study.study, series, kind) for series in plan.series)
        return [members[name] for name in names if name in members]

    images, masks = native(KINDS['image']), native(_DEFACING)
    refused = any(problem.check == 'archives' for problem in plan.problems)
    if not images or masks or refused:
        return False
    if all(image.offset >= 0 for image in images):
        return True
    return len(plan.study.places) <= 1 and plan.here == {NATIVE}


def _expected(plan: StudyPlan, wanted: Iterable[Key]) -> Iterator[tuple[str, FileKind]]:
    """Yield what the study must have, images before what is drawn on them, the centre first."""
    keys = set(wanted)
    groups = {group for _, group in keys}
    if plan.centre:  # a space is of no use without the series that defines it
        keys |= {(plan.centre, group) for group in groups & {'coreg', 'atlas'}}
    order = sorted(plan.series, key=lambda series_id: series_id != plan.centre)
    for kind in KINDS.values():
        if kind.include not in groups:
            continue
        if not plan.centre and (
            kind.scope != 'each' or kind.grid in {'coreg-image', 'atlas-image'}
        ):
            continue
        for series_id in order:
            known = (series_id, kind.include) in keys
            if known and kind.belongs_to(centre=series_id == plan.centre):
                yield series_id, kind


def _is_due(plan: StudyPlan, members: dict[str, Member], series_id: str, kind: FileKind) -> bool:
    """Tell whether a file is here or should be: what nobody asked to fetch is not missing."""
    asked = plan.study.asked
    if asked is None or (series_id, kind.include) in asked:
        return True
    centre = series_id == plan.centre
    return member_path(plan.study.study, series_id, kind, centre=centre) in members


def _plan_file(
    plan: StudyPlan,
    members: dict[str, Member],
    kind: FileKind,
    series_id: str,
    *,
    link: str,
) -> None:
    is_centre = series_id == plan.centre
    name = member_path(plan.study.study, series_id, kind, centre=is_centre)
    member = members.get(name)
    if member is None:
        if kind.repository in plan.here and kind.repository in _MUST_BE_WHOLE:
            plan.missing.add((kind.name, series_id))
            plan.complain(
                f'{name} is missing, although the metadata have a row for it',
                _FETCH,
                series=series_id,
                file=name,
            )
        return
    if not member.size:
        plan.missing.add((kind.name, series_id))
        plan.complain(f'{name}: is empty', _FETCH, series=series_id, file=name, check='images')
        return
    if member.packed >= 0:
        action = 'inflate'
    elif member.offset >= 0 or isinstance(member.path, str):
        action = 'copy'
    else:
        action = 'link' if link == 'auto' else link
    plan.rows.append(Row(kind, series_id, action, member, plan.path(kind.name, series_id)))


def _account_for_the_rest(plan: StudyPlan, members: dict[str, Member]) -> None:
    """Name the files that no row of the metadata stands for."""
    planned = {row.member.name for row in plan.rows}
    known = {plan.study.cell(row, 'series_id') for row in plan.study.rows}
    for name in members.keys() - planned:
        try:
            found = parse_member(plan.study.study, name)
        except NamingError:
            plan.complain(
                f'{name} is no file of a release; it was left out',
                'Keep it elsewhere.',
                file=name,
                severity='warning',
            )
            continue
        series_id = str(found.series)
        if series_id not in plan.series:
            if series_id not in known:
                plan.complain(
                    f'{name} has no row in the metadata', _FETCH, series=series_id, file=name
                )
        elif plan.centre and found.centre not in (None, series_id == plan.centre):
            role = 'the centre' if found.centre else 'a moving series'
            plan.complain(
                f'{name} says that {series_id} is {role}, the metadata say otherwise',
                _FETCH,
                series=series_id,
                file=name,
                check='centres',
            )
    plan.problems.sort(key=lambda problem: (problem.series, problem.file))


def _share_twins(plan: StudyPlan, link: str) -> None:
    """Let the centre's copies in co-registered space share the bytes of the originals."""
    if link == 'copy':
        return
    originals = {
        (row.kind.name, row.series): row
        for row in plan.rows
        if row.kind.repository == NATIVE and row.member.crc is not None
    }
    for row in plan.rows:
        original = originals.get((row.kind.name.removeprefix('coreg-'), row.series))
        if (
            row.kind.include == 'coreg'
            and original
            and (original.member.crc, original.member.size) == (row.member.crc, row.member.size)
        ):
            row.twin = original.target
