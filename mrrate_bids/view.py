"""A view of a dataset with one T1w a session, which is what Clinica asks for.

It is a raw dataset of its own: its images are links to those of the dataset, everything else is
small and written anew. The T1w is the centre of the session, as ``mrrate-bids run`` takes it.

Source: Clinica 0.11.3, ``clinica.utils.inputs.find_images_path``: of several runs it takes the
last one, and it gives a session up whose T1w images differ in anything else.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mrrate_bids.ahead import Watch
from mrrate_bids.app.inputs import Found, find_studies
from mrrate_bids.app.study import Study
from mrrate_bids.archives import Member
from mrrate_bids.descriptions import format_json
from mrrate_bids.errors import DataError, ResourceError
from mrrate_bids.export_run import Summary
from mrrate_bids.files import remove, write_if_changed
from mrrate_bids.inheritance import Sidecars
from mrrate_bids.naming import KINDS, derived_name
from mrrate_bids.plan import Row
from mrrate_bids.problems import Problem
from mrrate_bids.sidecars import sidecar_path
from mrrate_bids.transfer import Transfer
from mrrate_bids.view_root import LINK, describe_view, read_raw, refuse_place, write_view_tables
from mrrate_bids.volumes import read_volume

__all__ = ['ONLY_SESSION', 'Picture', 'View']

ONLY_SESSION = 'ses-M000'
"""The session of a dataset that has none: Clinica needs one, and calls the first one so."""

_IMAGE = KINDS['image']


@dataclass(frozen=True, slots=True)
class Picture:
    """The T1w of a session: where it lies in the dataset, and where in the view."""

    subject: str
    session: str
    image: Path
    inside: str
    """Its path relative to the dataset."""

    target: str
    """Its path relative to the view."""

    @classmethod
    def of(cls, study: Study) -> 'Picture':
        """Return the T1w of a session; one that is not packed stays so.

        Its name has no entities but those of the session: ``sub-01_ses-1_T1w.nii.gz``.
        """
        session, centre = study.session or ONLY_SESSION, study.centre
        name = derived_name(_IMAGE, f'{study.subject}_{session}', centre.suffix)
        stem, extension = name.partition('.')[0], centre.image.name.partition('.')[2]
        target = f'{study.subject}/{session}/anat/{stem}.{extension}'
        return cls(study.subject, session, centre.image, centre.inside, target)

    @property
    def label(self) -> str:
        """The session, in messages."""
        return f'{self.subject}/{self.session}'

    def row(self, link: str) -> Row:
        """Return what is to be done to place it."""
        stat = self.image.stat()
        member = Member(self.image, self.inside, stat.st_size, mtime=stat.st_mtime_ns)
        return Row(_IMAGE, '', 'link' if link == 'auto' else link, member, self.target)


class View:
    """A view of a dataset.

    Parameters
    ----------
    bids, out
        The raw dataset, and the folder of the view.
    participants, sessions, filters
        Which images, as :func:`mrrate_bids.app.inputs.find_studies` takes them.
    link
        ``hardlink``, ``symlink``, ``copy``, or ``auto``: hard links, or copies where there can be
        none.

    Raises
    ------
    UsageError
        When there is no raw dataset, or one of the two folders lies in the other.
    DestinationError
        When the folder holds something else than an earlier view of the dataset.
    """

    def __init__(
        self,
        bids: Path,
        out: Path,
        *,
        participants: Iterable[str] = (),
        sessions: Iterable[str] = (),
        filters: Mapping[str, Any] | None = None,
        link: str = 'auto',
    ) -> None:
        self._said = read_raw(bids)
        refuse_place(bids, out)
        self.bids, self.out, self._link = bids.resolve(), out.resolve(), link
        self._scope = {'participants': participants, 'sessions': sessions, 'filters': filters}

    @cached_property
    def found(self) -> Found:
        """The sessions of the dataset, each with its centre.

        Raises
        ------
        ResourceError
            When pybids is not installed.
        UsageError
            When a participant or a session is not there.
        """
        if find_spec('bids') is None:
            raise ResourceError(
                'pybids is not installed', hint="pip install 'mrrate-bids[compute]'"
            )
        scope: dict[str, Any] = self._scope
        return find_studies(self.bids, **scope)

    @cached_property
    def problems(self) -> list[Problem]:
        """What is wrong with the dataset, and with the images that are left out."""
        return list(self.found.problems)

    @cached_property
    def pictures(self) -> list[Picture]:
        """The T1w of every session that has one which can be read."""
        found: dict[str, Picture] = {}
        for picture in map(Picture.of, self.found.studies):
            first = found.setdefault(picture.target, picture)
            if first is not picture:
                self._complain(picture, f'{picture.inside}: has the place of {first.inside}')
                continue
            try:
                read_volume(picture.image, name=picture.inside)
            except DataError as error:
                del found[picture.target]
                self._complain(picture, f'{error}; the session was set aside', error.hint)
        return list(found.values())

    def _complain(self, picture: Picture, message: str, remedy: str = 'Rename it.') -> None:
        where = {'study': picture.label, 'file': picture.inside}
        self.problems.append(Problem('error', message, remedy, **where))

    def is_current(self, picture: Picture) -> bool:
        """Tell whether the image in the view is that of the dataset, placed as asked for."""
        kind = _kind_of(self.out / picture.target, picture.image)
        return kind == self._link or (self._link == 'auto' and kind in {'hardlink', 'copy'})

    def execute(self, *, watch: Watch) -> Summary:
        """Place what is missing, and write what describes it.

        Raises
        ------
        DestinationError
            When the folder cannot take files.
        """
        pictures, summary = self.pictures, Summary(problems=self.problems)
        if pictures:
            describe_view(self.bids, self.out, self._said)
        transfer, sidecars = Transfer(self.out), Sidecars(self.bids)
        for number, picture in enumerate(pictures, start=1):
            try:
                self._write_sidecar(picture, sidecars)
                state = 'skipped' if self.is_current(picture) else 'done'
                if state == 'done':
                    summary.bytes += self._place(picture, transfer)
                summary.counts[state] += 1
            except DataError as error:
                self._complain(picture, str(error), error.hint)
            watch('images', number, len(pictures), summary.bytes)
        subjects = sorted({picture.subject for picture in pictures})
        self.problems += write_view_tables(self.bids, self.out, subjects)
        return summary

    def _place(self, picture: Picture, transfer: Transfer) -> int:
        """Place an image; return the bytes that were copied."""
        row, target = picture.row(self._link), self.out / picture.target
        for other in target.parent.glob(f'{target.name.partition(".")[0]}.nii*'):
            remove(other)  # another image was the centre before, maybe packed in another way
        done = transfer.place(row)
        if done.crc is None:
            return 0
        os.utime(target, ns=(row.member.mtime, row.member.mtime))  # by which it is known again
        return done.size

    def _write_sidecar(self, picture: Picture, sidecars: Sidecars) -> None:
        """Write what holds for the image, which the dataset may have spread over several files."""
        content = sidecars.read(picture.inside)
        content |= {'Sources': [f'bids:{LINK}:{picture.inside}']}
        write_if_changed(self.out / sidecar_path(picture.target), format_json(content))


def _kind_of(target: Path, image: Path) -> str:
    """Return what *target* is of *image*: ``symlink``, ``hardlink``, ``copy``; else empty."""
    try:
        there, origin = target.stat(), image.stat()
    except OSError:
        return ''
    if os.path.samestat(there, origin):
        return 'symlink' if target.is_symlink() else 'hardlink'
    same = (there.st_size, there.st_mtime_ns) == (origin.st_size, origin.st_mtime_ns)
    return 'copy' if same else ''
