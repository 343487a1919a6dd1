"""What of a visit may show a face, and is not published where faces are taken away.

An image of a release has none: who made the release took them away.
"""

from collections.abc import Sequence

from mrrate_bids.errors import TableError
from mrrate_bids.faces import SHOWING, is_faceless
from mrrate_bids.importing.intake import Intake, Rejected, Scan
from mrrate_bids.importing.source import BidsSource, Files
from mrrate_bids.inheritance import read_json_object
from mrrate_bids.naming import COMPUTED, KINDS, FileKind, derived_name
from mrrate_bids.receipts import is_unchanged
from mrrate_bids.sidecars import sidecar_path

__all__ = [
    'CHANGED',
    'RESTORE',
    'defaced_image',
    'leave_faces',
    'refuse_faces',
    'shows_face',
    'takes_faces_away',
]

_REGISTERED = sorted({(KINDS | COMPUTED)[kind].dataset for kind in SHOWING})
_IMAGES = ('.nii', '.nii.gz')
_ELSEWHERE = 'If it has no face, import with --defaced-elsewhere.'
_DEFACE = f'Run mrrate-bids run --steps mask,deface for it, or remove it. {_ELSEWHERE}'
_UNKNOWN = 'may show a face, for there is no receipt of its export that can be read'
_AGAIN = f'Export the study again. {_ELSEWHERE}'
_WITH_FACE = 'was not made from a defaced image, as others of the dataset were'
_REGISTER = f'Run mrrate-bids run --steps deface,coreg,atlas for it, or remove it. {_ELSEWHERE}'

CHANGED = 'is not the image that was exported, and may show a face'
RESTORE = f'Restore it. {_ELSEWHERE}'


def takes_faces_away(source: BidsSource, files: Files) -> bool:
    """Tell whether nothing of a visit may show a face.

    Parameters
    ----------
    source
        The dataset: when faces were taken away anywhere in it, all that has one was refused there.
    files
        Those of the visit: an image that was registered without its face tells as well.
    """
    return source.takes_faces_away or any(
        is_faceless(source.tree.datasets[name].root / path)
        for name in _REGISTERED
        for path in files.get(name, ())
        if path.endswith(_IMAGES)
    )


def defaced_image(files: Files, image: str) -> str:
    """Return the defaced version of a raw image, relative to the raw dataset; empty if none is.

    It is what a release publishes instead.
    """
    kind = COMPUTED['defaced-image']
    stem, _, suffix = image.partition('.')[0].rpartition('_')
    folder, _, stem = stem.rpartition('/')
    inside = f'{folder}/{derived_name(kind, stem, suffix)}'
    return f'{kind.folder}{inside}' if inside in files.get(kind.dataset, ()) else ''


def leave_faces(intake: Intake, images: Sequence[str]) -> None:
    """Set images aside that no export wrote and nobody defaced; a study of no other as well."""
    if not images:
        return
    intake.rejected += [Rejected(one, 'defaced', 'no', 'defaced, as others are') for one in images]
    message = f'{_list(images)}: not known to be defaced, as other images are; set aside'
    is_all = not (intake.scans or intake.extra)
    intake.complain(message, _DEFACE, file=images[0], fatal=is_all)


def shows_face(source: BidsSource, intake: Intake, kind: FileKind, scan: Scan, path: str) -> bool:
    """Tell whether a file that would be published may show a face that must not be shown.

    Parameters
    ----------
    source, intake
        The dataset and the visit.
    kind, scan, path
        The file: what it is, of which series, and where.
    """
    if not intake.guarded:
        return False
    if kind.name == 'image':
        return path == scan.image and not scan.released
    return kind.name in SHOWING and not (
        _is_as_exported(source, intake, path)
        or is_faceless(source.root / path)
        or (scan.released and _is_made_from(source, intake, scan, path))
    )


def refuse_faces(intake: Intake, files: Sequence[str]) -> None:
    """Set a study aside that has files which may show a face; the first is an image, if any is."""
    if not files:
        return
    message, remedy = _WITH_FACE, _REGISTER
    if files[0] in intake.files.get('', ()):
        message, remedy = (CHANGED, RESTORE) if intake.exported else (_UNKNOWN, _AGAIN)
    intake.complain(f'{_list(files)}: {message}', remedy, file=files[0], fatal=True)


def _list(files: Sequence[str]) -> str:
    return f'{files[0]} and {len(files) - 1} more' if len(files) > 1 else files[0]


def _is_as_exported(source: BidsSource, intake: Intake, path: str) -> bool:
    exported = intake.exported.get(path)
    return exported is not None and is_unchanged(
        source.root / path, exported, since=intake.exported_at
    )


def _is_made_from(source: BidsSource, intake: Intake, scan: Scan, path: str) -> bool:
    """Tell whether a file says that it was made from the image of its series, since the export.

    The sidecar that an export wrote says nothing of a file that came later.
    """
    sidecar = sidecar_path(path)
    if intake.is_as_exported(sidecar, source.checksum(sidecar)):
        return False
    try:
        sources = read_json_object(source.root / sidecar).get('Sources')
    except TableError:
        return False
    return scan.image.rpartition('/')[2] in str(sources)
