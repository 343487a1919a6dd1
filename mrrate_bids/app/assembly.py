"""A session as a study: its images, as far as they can be used, one of them the centre."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrrate_bids.app.centre import find_centre
from mrrate_bids.app.given import Given
from mrrate_bids.app.study import Series, Study
from mrrate_bids.errors import TableError
from mrrate_bids.foreign import Image
from mrrate_bids.inheritance import Sidecars
from mrrate_bids.naming import scans_path
from mrrate_bids.problems import Problem

__all__ = ['Assembly']

_SPINE, _HEAD = (re.compile(words, re.IGNORECASE) for words in ('spine|neck', 'head|brain|skull'))
_BODY_PARTS = ('BodyPart', 'BodyPartExamined')
_POINTERS = (b'/annex/objects/', b'version https://git-lfs.')
_NO_T1W = 'A study needs a T1w: add one, or leave the study out (--participant-label).'


@dataclass(frozen=True, slots=True)
class Assembly:
    """What makes studies of sessions.

    Parameters
    ----------
    root, sidecars
        The raw dataset.
    given
        Where results are looked for that exist already.
    rule
        Which T1w is the centre.
    """

    root: Path
    sidecars: Sidecars
    given: Given
    rule: str

    def assemble(
        self, session: tuple[str, str], paths: Sequence[Path]
    ) -> tuple[Study | None, list[Problem]]:
        """Return the study of a session, if there is one, and what was set aside of it.

        Parameters
        ----------
        session
            Labels of subject and session, the latter may be empty.
        paths
            Its images.
        """
        if not paths:
            return None, []
        subject, label = f'sub-{session[0]}', f'ses-{session[1]}' if session[1] else ''
        name = f'{subject}/{label}' if label else subject
        images, problems, taken = [], list[Problem](), set[str]()
        for path in paths:
            read = self._read(path, name, taken)
            if isinstance(read, Problem):
                problems.append(read)
            else:
                images.append(read)
        centre = find_centre(images, scans=self.root / scans_path(name), rule=self.rule)
        if centre is None:
            message = 'has no T1w that can be the centre'
            return None, [*problems, Problem('error', message, _NO_T1W, study=name)]
        series = {image.inside: Series(image.path, image.inside) for image in images}
        bare = Study(subject, label, tuple(series.values()), series[centre])
        return self.given.add_to(bare), [*problems, *self.given.unclear(bare)]

    def _read(self, path: Path, study: str, taken: set[str]) -> Image | Problem:
        """Return an image, or why it is set aside; *taken* are the names that are known."""
        inside = path.relative_to(self.root).as_posix()
        stem = inside.removesuffix('.gz')
        if stem in taken:
            return _second(study, inside)
        taken.add(stem)
        if not path.exists() or _is_pointer(path):
            return _not_here(study, inside)
        try:
            sidecar = self.sidecars.read(inside)
        except TableError as error:
            return Problem.from_error(error, study=study, file=inside)
        if part := _spine(sidecar):
            return _set_aside(study, inside, part)
        return Image(path, path.name, inside, sidecar)


def _spine(sidecar: Mapping[str, Any]) -> str:
    """Return what a sidecar says of the body part when the head is no part of it."""
    said = [str(sidecar.get(key, '')) for key in _BODY_PARTS]
    if any(map(_HEAD.search, said)):
        return ''
    return next(filter(_SPINE.search, said), '')


def _set_aside(study: str, inside: str, part: str) -> Problem:
    return Problem(
        'error',
        f'{inside}: shows the {part.lower()}, not the head; it was set aside',
        'Leave it out with --bids-filter-file, or correct BodyPart in its sidecar.',
        study=study,
        file=inside,
    )


def _not_here(study: str, inside: str) -> Problem:
    message = f'{inside}: its content is not here, only a link or pointer to it; it was set aside'
    hint = 'Fetch it (git annex get, git lfs pull), or leave it out (--bids-filter-file).'
    return Problem('error', message, hint, study=study, file=inside)


def _is_pointer(path: Path) -> bool:
    """Tell whether git-annex (unlocked) or Git LFS has left a line of text in place of a file."""
    with suppress(OSError), path.open('rb') as file:
        return file.read(max(map(len, _POINTERS))).startswith(_POINTERS)
    return False


def _second(study: str, inside: str) -> Problem:
    message = f'{inside}: is a second image of one name, packed and not; it was set aside'
    return Problem('error', message, 'Remove one of the two.', study=study, file=inside)
