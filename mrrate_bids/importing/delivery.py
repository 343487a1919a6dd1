"""Carry out the rows of an import: into the zips of a study, or file by file.

What an earlier run delivered from the same files is not written again.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

from mrrate_bids.errors import DataError, ImageError, MemberError
from mrrate_bids.files import insist, remove
from mrrate_bids.images import Header, count_packed, peek_file, same_grid
from mrrate_bids.importing.faces import CHANGED, RESTORE
from mrrate_bids.importing.intake import Intake
from mrrate_bids.importing.plan import CONVERT, FIT, ImportPlan, Layout
from mrrate_bids.naming import KINDS, archive_path, encode_label
from mrrate_bids.plan import Row
from mrrate_bids.receipts import Output, Receipts, signature
from mrrate_bids.release_image import convert_image, convert_mask
from mrrate_bids.transfer import Transfer
from mrrate_bids.volumes import read_volume
from mrrate_bids.zips import write_study_zip

__all__ = ['Delivery']

_IMAGE = KINDS['image'].name
_REPAIR = 'Repair or replace the file, then import again.'


class Delivery:
    """Put the files of studies into one release; may be called from several threads.

    Parameters
    ----------
    source
        The raw dataset.
    target
        The release.
    staging
        A folder for images that are stored in another way first.
    layout
        How the release lies on disk.
    receipts
        Those of the import.
    """

    def __init__(
        self, source: Path, target: Path, *, staging: Path, layout: Layout, receipts: Receipts
    ) -> None:
        self._source = source
        self._target = target
        self._staging = staging
        self._layout = layout
        self._receipts = receipts

    def expected(self, rows: Iterable[Row]) -> dict[str, str]:
        """Return where rows end, each with what it is made from."""
        return {target: _origin(group) for target, group in self._groups(rows)}

    def deliver(self, plan: ImportPlan, earlier: Mapping[str, Output]) -> list[Output]:
        """Carry out the rows of a plan; what cannot be is noted in it and left out.

        Parameters
        ----------
        plan
            The plan. When a native image turns out damaged its study is set aside.
        earlier
            What an earlier run delivered, by path.

        Raises
        ------
        DestinationError
            When the release cannot take files.
        """
        intake, outputs = plan.intake, list[Output]()
        staging = self._staging / encode_label(intake.visit.study)
        look = _Look(plan)
        try:
            for target, rows in self._groups(plan.rows):
                known = earlier.get(target)
                same = known is not None and known.origin == _origin(rows)
                if known and same and self._receipts.has(known) and look.fit(rows):
                    outputs.append(known)
                elif not intake.set_aside:
                    good = look.at(self._stage(intake, rows, staging))
                    outputs += self._hand_over(intake, target, good)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return [] if intake.set_aside else outputs

    def clear(self, outputs: Iterable[Output]) -> None:
        """Take files out of the release again, and the folders that they leave empty."""
        for output in outputs:
            place = self._target / output.path
            remove(place)
            for folder in list(place.parents)[: output.path.count('/')]:
                with suppress(OSError):  # it holds something else
                    folder.rmdir()

    def _groups(self, rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
        """Yield the rows of each file of the release: of a zip many, else one."""
        if not self._layout.zipped:
            yield from ((row.target, [row]) for row in rows)
            return
        for target, group in groupby(sorted(rows, key=_rank), key=_zip_of):
            yield target, list(group)

    def _stage(self, intake: Intake, rows: list[Row], staging: Path) -> list[Row]:
        """Store in another way what must be; the new file takes the place of the old one."""
        staged = []
        for row in rows:
            if row.action not in {CONVERT, FIT}:
                staged.append(row)
                continue
            place = staging / row.kind.name / Path(row.target).name
            try:
                self._convert(intake, row, place)
            except DataError as error:
                _complain(intake, row, error)
            else:
                member = row.member._replace(path=place, size=place.stat().st_size)
                staged.append(replace(row, action='link', member=member))
        return staged

    def _convert(self, intake: Intake, row: Row, place: Path) -> None:
        source = Path(row.member.path)
        if row.action == CONVERT:
            if rounding := convert_image(source, place):
                name, most = row.member.name, f'{rounding:,.0f}'
                message = f'{name}: float32 changes large whole numbers by up to {most}'
                intake.remark(message, 'Scale its values.', file=name, series=row.series)
        else:
            image = self._source / intake.scans[row.series].image
            convert_mask(source, place, like=read_volume(image))

    def _hand_over(self, intake: Intake, target: str, rows: list[Row]) -> list[Output]:
        """Write one file of the release; of a zip, what turns out damaged is left out."""
        while rows and not intake.set_aside:
            try:
                return [self._write(intake, target, rows)]
            except _DamagedError as error:
                _complain(intake, error.row, error)
                rows = [row for row in rows if row is not error.row]
        return []

    def _write(self, intake: Intake, target: str, rows: list[Row]) -> Output:
        if self._layout.zipped:
            place, study = self._target / target, intake.visit.study
            members = {_inside(row): Path(row.member.path) for row in rows}
            verify = partial(_compare_all, intake, rows)
            try:
                insist(partial(write_study_zip, place, study, members, verify=verify))
            except MemberError as error:
                row = next(row for row in rows if _inside(row) == error.member)
                raise _DamagedError(str(error), row) from error
            return Output(target, place.stat().st_size, origin=_origin(rows))
        (row,) = rows
        transfer = Transfer(self._target)
        try:
            done = transfer.place(replace(row, member=row.member._replace(name=_name_of(row))))
            if done.crc is not None:
                _compare(intake, row, done.crc)
        except DataError as error:
            transfer.discard(row)
            raise _DamagedError(str(error), row) from error
        return Output(target, done.size, done.crc, row.kind.name, row.series, _origin(rows))


class _Look:
    """Look at the two ends of files, and at the grids that they must share."""

    def __init__(self, plan: ImportPlan) -> None:
        self._intake = plan.intake
        self._rows = {(row.kind.name, row.series): row for row in plan.rows}
        self._headers: dict[tuple[str, str], Header | None] = {}

    def fit(self, rows: list[Row]) -> bool:
        """Tell whether files that were delivered before still lie on the grids they must share."""
        try:
            for row in rows:
                if row.action not in {CONVERT, FIT}:  # these were made for their grid
                    self._check(row)
        except DataError:
            return False  # it is named when the rest is written again
        return True

    def at(self, rows: list[Row]) -> list[Row]:
        """Return the rows whose files are whole and lie where they should; note the others."""
        good = []
        for row in rows:
            try:
                self._check(row)
            except DataError as error:
                _complain(self._intake, row, error)
            else:
                good.append(row)
        return good

    def _check(self, row: Row) -> None:
        place, name = Path(row.member.path), row.member.name
        if not row.member.size:
            raise ImageError(f'{name}: is empty', hint=_REPAIR)
        if '.nii' not in place.name:
            return
        header = peek_file(place, name=_name_of(row))
        self._headers[row.kind.name, row.series] = header
        owner = row.series if row.kind.grid == _IMAGE else self._intake.centre
        reference = self._header(row.kind.grid, owner)
        if reference and not same_grid(reference, header):
            raise ImageError(f'{name}: lies on another grid than its image', hint=_REPAIR)

    def _header(self, kind: str, series: str) -> Header | None:
        key = (kind, series)
        if key not in self._headers and key in self._rows:
            member = self._rows[key].member
            try:
                self._headers[key] = peek_file(Path(member.path), name=member.name)
            except (ImageError, OSError):
                self._headers[key] = None  # that file is named when its turn comes
        return self._headers.get(key)


class _DamagedError(ImageError):
    def __init__(self, message: str, row: Row, *, hint: str = _REPAIR) -> None:
        super().__init__(message, hint=hint)
        self.row = row


def _compare_all(intake: Intake, rows: list[Row], checksums: Mapping[str, int]) -> None:
    for row in rows:
        _compare(intake, row, checksums[_inside(row)])


def _compare(intake: Intake, row: Row, crc: int) -> None:
    """Look closely at a file that is new, or not what was exported."""
    name, place = row.member.name, Path(row.member.path)
    exported = intake.exported.get(name)
    as_before = exported is not None and exported.crc32 in {None, crc}
    if _is_staged(row) or '.nii' not in name or as_before:
        return
    try:
        with place.open('rb', buffering=0) as file:
            count_packed(file, peek_file(place), name=name)
    except ImageError as error:
        raise _DamagedError(str(error), row) from error
    if exported:
        if intake.guarded and row.kind.name == _IMAGE:  # as old and as large as the one exported
            raise _DamagedError(f'{name}: {CHANGED}', row, hint=RESTORE)
        intake.remark_replaced(name, row.series)


def _complain(intake: Intake, row: Row, error: DataError) -> None:
    """Note why a file is left out; a study cannot do without a native image."""
    fatal = row.kind.name == _IMAGE
    hint = _REPAIR if error.hint == DataError.default_hint else error.hint
    intake.complain(str(error), hint, file=row.member.name, series=row.series, fatal=fatal)


def _is_staged(row: Row) -> bool:
    """Tell whether the file of a row was stored in another way first."""
    return not str(row.member.path).endswith(row.member.name)


def _name_of(row: Row) -> str:
    """Return the name that tells how the file of a row is packed."""
    return Path(row.member.path).name if _is_staged(row) else row.member.name


def _origin(rows: Iterable[Row]) -> str:
    """Return a digest of the files that rows are made from."""
    states = [[_inside(r), r.action, r.member.name, r.member.mtime] for r in rows]
    return signature(sorted(states))


def _rank(row: Row) -> tuple[int, str]:
    """Return the order of zips: the native repository first, as all else depends on it."""
    return list(KINDS).index(_first_of(row.kind.repository)), _zip_of(row)


def _first_of(repository: str) -> str:
    return next(kind.name for kind in KINDS.values() if kind.repository == repository)


def _zip_of(row: Row) -> str:
    _, _, batch, study, *_ = row.target.split('/')
    return archive_path(row.kind.repository, batch, study)


def _inside(row: Row) -> str:
    """Return the path of a file inside its study folder."""
    return row.target.split('/', 4)[4]
