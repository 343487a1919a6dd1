"""Where reports lie in a folder of results, and how they are linked from the group page.

>>> report_of('sub-01/ses-1'), link_to('sub-a+2Db.html')
('sub-01_ses-1.html', 'sub-a%2B2Db.html')
"""

from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

from mrrate_bids.naming import study_stem

__all__ = [
    'DICTIONARY',
    'FACE_THUMBNAIL',
    'FIGURES',
    'PAGE',
    'REPORTS',
    'TABLE',
    'THUMBNAIL',
    'find_pages',
    'find_thumbnail',
    'link_to',
    'link_to_report',
    'report_of',
    'shows_face',
]

REPORTS = 'reports'
PAGE, TABLE, DICTIONARY = 'group.html', 'group.tsv', 'group.json'
FIGURES, THUMBNAIL = 'figures', 'thumbnail.png'
FACE_THUMBNAIL = 'thumbnail_face.png'
"""Of an image that was not defaced."""

_FACELESS, _HEAD = b'<meta name="faces" content="none">', 1024
"""What the page of a study says among its first bytes that shows no face."""


def report_of(study: str) -> str:
    """Return the name of the page of a study."""
    return f'{study_stem(study)}.html'


def link_to_report(study: str, reports: Collection[str]) -> str:
    """Return the link to the page of a study; empty where it is not among *reports*."""
    name = report_of(study)
    return link_to(name) if name in reports else ''


def find_pages(reports: Path, *, faces: bool = True) -> set[str]:
    """Return the names of the pages of studies that are there.

    Parameters
    ----------
    reports
        Where they lie.
    faces
        Whether those are among them that show faces, or do not say that they show none.
    """
    names = {path.name for path in reports.glob('*.html')} - {PAGE}
    names = {name for name in names if not name.endswith('_viewer.html')}
    return names if faces else {name for name in names if _is_faceless(reports / name)}


def _is_faceless(page: Path) -> bool:
    with page.open('rb') as file:
        return _FACELESS in file.read(_HEAD)


def find_thumbnail(reports: Path, study: str) -> str:
    """Return where the thumbnail of a study lies, relative to *reports*; empty without one."""
    folder = f'{FIGURES}/{study_stem(study)}'
    paths = (f'{folder}/{name}' for name in (THUMBNAIL, FACE_THUMBNAIL))
    return next((path for path in paths if (reports / path).is_file()), '')


def shows_face(thumbnail: str) -> bool:
    """Tell whether a thumbnail is that of an image which was not defaced."""
    return thumbnail.endswith(f'/{FACE_THUMBNAIL}')


def link_to(path: str) -> str:
    """Return a relative path as a link: names of studies hold ``+``, and what others like."""
    return quote(path)
