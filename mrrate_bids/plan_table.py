"""A plan as a TSV file: one row per file that an export would make."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from mrrate_bids.errors import DestinationError
from mrrate_bids.files import refuse_other_table
from mrrate_bids.plan import Row
from mrrate_bids.sidecars import sidecar_path
from mrrate_bids.tables import escape_cell

__all__ = ['PlanTable']

_HEADER = (
    'batch',
    'patient_uid',
    'study_uid',
    'series_id',
    'kind',
    'action',
    'source',
    'member',
    'offset',
    'size',
    'crc32',
    'target',
)


class Plan(Protocol):
    """What a plan is to its table: a study and its rows."""

    rows: list[Row]

    @property
    def study(self) -> Any:
        """Batch, patient and study."""


class PlanTable:
    """Write plans to a TSV file, study by study.

    Parameters
    ----------
    path
        The file; it appears when the last plan was added.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.parent / f'.{path.name}.part'

    def __enter__(self) -> Self:
        try:
            if self._path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            refuse_other_table(self._path, _HEADER)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._temporary.open('w', encoding='utf-8', errors='surrogatepass')
        except OSError as error:
            raise self._refusal(error) from error
        self._file.write('\t'.join(_HEADER) + '\n')
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
            if kind is None:
                self._temporary.replace(self._path)
        except OSError as failure:
            raise self._refusal(failure) from failure
        finally:
            self._temporary.unlink(missing_ok=True)

    def _refusal(self, error: OSError) -> DestinationError:
        return DestinationError(
            f'{self._path}: the plan cannot be written ({error.strerror})',
            hint='Name another file with --plan-file.',
        )

    def add(self, plan: Plan, *, described: bool = True) -> Iterator[tuple[str, int]]:
        """Write the rows of a study, and of their sidecars; yield group and size of each file."""
        for row in plan.rows:
            self._write(plan, row)
            yield row.kind.include, row.member.size
            if not described:
                continue
            describing = ['describe', '', '', '', '', '', sidecar_path(row.target)]
            self._line(plan, row, describing)
            yield 'JSON', 0

    def _write(self, plan: Plan, row: Row) -> None:
        member = row.member
        crc = '' if member.crc is None else f'{member.crc:08x}'
        offset = str(member.offset) if member.offset >= 0 else ''
        name = member.name if member.offset >= 0 else ''
        action = 'hardlink' if row.twin else row.action
        source = row.twin or str(member.path)
        self._line(plan, row, [action, source, name, offset, str(member.size), crc, row.target])

    def _line(self, plan: Plan, row: Row, cells: list[str]) -> None:
        study = plan.study
        head = [study.batch, study.patient, study.study, row.series, row.kind.name]
        try:
            self._file.write('\t'.join(map(escape_cell, head + cells)) + '\n')
        except OSError as error:
            raise self._refusal(error) from error
