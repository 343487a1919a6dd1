"""Which file of a visit goes where in the release: decided before anything is written."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from mrrate_bids.archives import Member
from mrrate_bids.errors import NamingError
from mrrate_bids.importing.faces import defaced_image, refuse_faces, shows_face
from mrrate_bids.importing.intake import Intake, Scan
from mrrate_bids.importing.source import BidsSource, Visit
from mrrate_bids.inheritance import split_name
from mrrate_bids.naming import (
    KINDS,
    NATIVE,
    BidsFile,
    FileKind,
    bids_path,
    derived_name,
    member_path,
    parse_bids_path,
    study_folder,
)
from mrrate_bids.plan import Row
from mrrate_bids.problems import Problem

__all__ = ['CONVERT', 'FIT', 'ImportPlan', 'Layout', 'plan_import']

CONVERT, FIT = 'convert', 'fit'
"""Actions of rows whose file is stored in another way first: an image, a mask for an image."""

_OURS = {kind.dataset for kind in KINDS.values()}
_COMPLETE = {KINDS[kind].include for kind in ('defacing-mask', 'coreg-image', 'atlas-image')}
"""Groups of which a study has all files or none."""

_CENTRE = 'Make the derivatives for this centre, or name the old one in the tables.'
_FETCH = 'Fetch it, if it is a link to what is elsewhere, then import again.'
_MASK = '_desc-brain_mask.nii.gz'
_DATA = ('.nii', '.nii.gz', '.mat')


@dataclass(frozen=True, slots=True)
class Layout:
    """How a release lies on disk."""

    zipped: bool = True
    merged: bool = False
    """Whether all repositories share one folder; for extracted files only."""

    link: str = 'auto'

    def home(self, repository: str) -> str:
        """Return the folder that holds a repository."""
        return NATIVE if self.merged else repository


@dataclass
class ImportPlan:
    """The rows of a visit and what is wrong with it."""

    intake: Intake
    rows: list[Row] = field(default_factory=list)

    @property
    def study(self) -> Visit:
        """Batch, patient and study."""
        return self.intake.visit

    @property
    def problems(self) -> list[Problem]:
        """What is wrong."""
        return self.intake.problems


def plan_import(source: BidsSource, intake: Intake, layout: Layout) -> ImportPlan:
    """Plan the import of a visit.

    Parameters
    ----------
    source
        The dataset.
    intake
        The visit; what is missing or has no place in a release is noted in it.
    layout
        How the release lies on disk.
    """
    plan, used, bare = ImportPlan(intake), set[str](), list[str]()
    for kind, scan, path in _found(intake):
        used |= {path, scan.image, defaced_image(intake.files, scan.image)}
        if kind.belongs_to(centre=str(scan.name) == intake.centre):
            convert = kind.name == 'image' and scan.convert and path == scan.image
            row = _row(source, intake, layout, kind, scan, path, CONVERT if convert else '')
            plan.rows += [row] if row else []
            bare += [path] if row and shows_face(source, intake, kind, scan, path) else []
        else:
            role = 'the centre' if kind.scope == 'centre' else 'a moving series'
            message = f'{path} says that {scan.name} is {role}, the tables say otherwise'
            intake.complain(message, _CENTRE, file=path, series=str(scan.name), fatal=True)
    refuse_faces(intake, bare)
    plan.rows += _adopted(source, intake, layout, plan.rows)
    _name_incomplete(intake, plan.rows)
    _name_missing(source, intake, used)
    if not intake.set_aside:  # else what was made of its images is no stranger
        _name_unknown(intake, used)
    return plan


def _found(intake: Intake) -> Iterator[tuple[FileKind, Scan, str]]:
    """Yield the files of the release that are there, images before what is drawn on them."""
    here = {
        f'derivatives/{dataset}/{path}' if dataset else path
        for dataset, paths in intake.files.items()
        for path in paths
    }
    for kind in KINDS.values():
        for scan in intake.scans.values():
            path = _path(intake, kind, scan)
            if path in here:
                yield kind, scan, path


def _path(intake: Intake, kind: FileKind, scan: Scan) -> str:
    """Return where a file of a series is, relative to the raw dataset."""
    if not scan.image:
        return bids_path(intake.name, scan.name, kind, contrast=scan.contrast)
    if kind.name == 'image':
        defaced = '' if scan.released else defaced_image(intake.files, scan.image)
        return defaced or scan.image
    folder = scan.image.rpartition('/')[0]
    return f'{kind.folder}{folder}/{derived_name(kind, scan.stem, scan.suffix)}'


def _row(
    source: BidsSource,
    intake: Intake,
    layout: Layout,
    kind: FileKind,
    scan: Scan,
    path: str,
    action: str,
) -> Row | None:
    """Return the row of a file; nothing, and note it, when the file cannot be had."""
    visit, series = intake.visit, str(scan.name)
    inside = member_path(visit.study, series, kind, centre=series == intake.centre)
    folder = study_folder(layout.home(kind.repository), visit.batch, visit.study)
    place = source.root / path
    try:
        state = place.stat()
    except OSError as error:
        fatal = kind.name == 'image'
        message = f'{path}: cannot be read ({error.strerror})'
        intake.complain(message, _FETCH, file=path, series=series, fatal=fatal)
        return None
    member = Member(place, path, state.st_size, mtime=state.st_mtime_ns)
    link = 'link' if layout.link == 'auto' else layout.link
    return Row(kind, series, action or link, member, f'{folder}/{inside}')


def _adopted(
    source: BidsSource, intake: Intake, layout: Layout, rows: Iterable[Row]
) -> Iterator[Row]:
    """Yield a brain mask that another pipeline drew on the centre, where we have none.

    fMRIPrep and sMRIPrep write it on the reoriented T1w: without an entity for its space.
    """
    kind = KINDS['brain-mask']
    if not intake.centre or any(r.kind == kind and r.series == intake.centre for r in rows):
        return
    for dataset in sorted(intake.files.keys() - _OURS):
        for path in intake.files[dataset]:
            scan = intake.scans[intake.centre]
            if path.endswith(_MASK) and '/anat/' in path and _is_of(path, scan.image):
                place = f'derivatives/{dataset}/{path}'
                row = _row(source, intake, layout, kind, scan, place, FIT)
                if row:
                    # It is turned to the grid of the image, so it changes when that does.
                    changed = (source.root / scan.image).stat().st_mtime_ns
                    member = row.member._replace(mtime=max(row.member.mtime, changed))
                    yield replace(row, member=member)
                    return


def _is_of(mask: str, image: str) -> bool:
    """Tell whether a brain mask may be that of an image: no entity of its name says otherwise."""
    entities, _ = split_name(mask.rpartition('/')[2])
    mine, _ = split_name(image.rpartition('/')[2])
    entities.pop('desc')
    return entities.items() <= mine.items()


def _name_incomplete(intake: Intake, rows: Iterable[Row]) -> None:
    """Name new series that lack what the other series of the study have in the release."""
    here = {(row.kind.name, row.series) for row in rows}
    of_others = {kind for kind, _ in here} - {'brain-mask'}  # that is of use on its own
    groups = {KINDS[kind].include for kind in of_others} & _COMPLETE
    for series, scan in intake.scans.items():
        lacking = [
            kind.name
            for kind in KINDS.values()
            if kind.include in groups
            and kind.belongs_to(centre=series == intake.centre)
            and (kind.name, series) not in here
        ]
        if scan.number is None and lacking:
            message = f'{scan.image} has no {", no ".join(lacking)}; a study has all or none'
            remedy = 'Compute them: mrrate-bids run --help.'
            intake.remark(message, remedy, file=scan.image, series=series)


def _name_missing(source: BidsSource, intake: Intake, used: set[str]) -> None:
    """Name files that were exported and are gone, while their series is still here."""
    for path in intake.exported.keys() - used:
        file = _parse(path)
        if file is None or str(file.series) not in intake.scans:
            continue
        if file.kind.dataset in source.tree.datasets:
            message, remedy = f'{path} is missing', 'Export the study again.'
            intake.complain(message, remedy, file=path, series=str(file.series))
        else:
            folder = f'derivatives/{file.kind.dataset}'
            message = f'{folder} was exported and is not here; the release will be without it'
            source.note(
                Problem('warning', message, 'Restore it, if it was not meant.', file=folder)
            )


def _parse(path: str) -> BidsFile | None:
    try:
        return parse_bids_path(path)
    except NamingError:
        return None


def _name_unknown(intake: Intake, used: set[str]) -> None:
    """Name files of our own datasets that belong to no series of the visit."""
    for dataset in sorted((intake.files.keys() & _OURS) - {''}):
        paths = (f'derivatives/{dataset}/{inside}' for inside in intake.files[dataset])
        unknown = [path for path in paths if path.endswith(_DATA) and path not in used]
        if unknown:
            message = (
                f'{len(unknown)} files of {dataset} belong to no series of the study and were '
                f'left out, as {unknown[0]}'
            )
            intake.remark(message, 'Remove them, or restore their image.', file=unknown[0])
