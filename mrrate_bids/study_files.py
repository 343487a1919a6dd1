"""Write the files of a study: data first, then the sidecars and the table that describe them."""

import json
import threading
import zlib
from pathlib import Path
from typing import Any

from mrrate_bids.errors import DataError, ImageError, NetworkError
from mrrate_bids.files import write_if_changed
from mrrate_bids.images import Header, peek_file, same_grid
from mrrate_bids.naming import KINDS, scans_path
from mrrate_bids.plan import Row, StudyPlan
from mrrate_bids.receipts import Output
from mrrate_bids.sidecars import derived_sidecar, image_sidecar, sidecar_path
from mrrate_bids.tables import format_tsv
from mrrate_bids.transfer import Transfer

__all__ = ['LEFT_OUT', 'Files', 'StudyFiles']

Headers = dict[tuple[str, str], Header | None]
Files = dict[tuple[str, str], Output]
"""What was written, by kind and series."""

LEFT_OUT = 'Fetch the study again from the release; this file was left out.'
_SCANS_HEADER = (
    'filename',
    'acq_time',
    'series_id',
    'series_number',
    'acquisition_plane',
    'classified_modality',
    'is_center_modality',
    'body_part',
    'contrast_enhanced',
)


class StudyFiles:
    """Write the files of studies into one dataset; may be called from several threads.

    Parameters
    ----------
    root
        The raw dataset.
    cap
        Whether ages above 89 are capped in the verbatim cells of sidecars.
    """

    def __init__(self, root: Path, *, cap: bool) -> None:
        self._root = root
        self._cap = cap
        self._local = threading.local()

    def carry_out(self, plan: StudyPlan, earlier: Files) -> Files:
        """Carry out the rows of a plan; what cannot be is noted in it and left out.

        Parameters
        ----------
        plan
            The plan.
        earlier
            Files of an earlier run that are intact. One that came from the same is not made
            again; one whose source has gone bad since is kept.

        Raises
        ------
        DestinationError
            When the dataset cannot take files.
        NetworkError
            When the source does not deliver; what was written stays.
        """
        headers: Headers = {}
        files: Files = {}
        for row in plan.rows:
            key = (row.kind.name, row.series)
            try:
                reference = _reference(row, plan, headers)
                output, header = self._deliver(row, earlier.get(key), plan)
                if reference and header and not same_grid(reference, header):
                    self._transfer().discard(row)
                    raise ImageError(f'{row.member.name}: lies on another grid than its image')
            except NetworkError:
                raise  # says nothing of the file: the study is to be tried again
            except DataError as error:
                hint = error.hint or LEFT_OUT
                plan.complain(str(error), hint, series=row.series, file=row.member.name)
            else:
                headers[key] = header
                files[key] = output
        return files

    def _deliver(
        self, row: Row, known: Output | None, plan: StudyPlan
    ) -> tuple[Output, Header | None]:
        if known and known.path != row.target:
            known = None
        if known and known.origin == row.origin and self._is_linked(row):
            return known, self._peek(known)
        try:
            done = self._transfer().place(row)
        except NetworkError:
            raise
        except DataError as error:
            if known is None:
                self._transfer().discard(row)
                raise
            message = f'{error}; the file of an earlier export was kept'
            plan.complain(message, error.hint, series=row.series, file=row.member.name)
            return known, self._peek(known)
        key = (row.kind.name, row.series)
        return Output(row.target, done.size, done.crc, *key, row.origin), done.header

    def _is_linked(self, row: Row) -> bool:
        """Tell whether a twin still shares the bytes of its original."""
        if not row.twin:
            return True
        try:
            return (self._root / row.twin).samefile(self._root / row.target)
        except OSError:
            return False

    def _peek(self, output: Output) -> Header | None:
        is_image = '.nii' in output.path
        return peek_file(self._root / output.path, name=output.path) if is_image else None

    def describe(self, plan: StudyPlan, files: Files) -> list[Output]:
        """Write the sidecars and the scans table; return them as outputs."""

        def find(kind: str, series: str) -> str | None:
            output = files.get((kind, series))
            return output.path if output else None

        outputs = []
        for (kind, series_id), output in files.items():
            if kind == 'image':
                content = self._image_sidecar(plan, series_id)
            else:
                content = derived_sidecar(KINDS[kind], series_id, plan.centre, find)
            if content:
                text = json.dumps(content, indent=2, ensure_ascii=False) + '\n'
                outputs.append(self._write(sidecar_path(output.path), text))
        images = [(series, output) for (kind, series), output in files.items() if kind == 'image']
        if images:
            outputs.append(self._write(scans_path(plan.name.folder), _scans(plan, images)))
        return outputs

    def _image_sidecar(self, plan: StudyPlan, series_id: str) -> dict[str, Any]:
        series = plan.series[series_id]
        return image_sidecar(
            plan.study.header, series.record.cells, contrast=series.contrast, cap=self._cap
        )

    def _transfer(self) -> Transfer:
        if not hasattr(self._local, 'transfer'):
            self._local.transfer = Transfer(self._root)
        transfer: Transfer = self._local.transfer
        return transfer

    def _write(self, path: str, text: str) -> Output:
        data = text.encode('utf-8', 'surrogatepass')
        write_if_changed(self._root / path, text)
        return Output(path, len(data), zlib.crc32(data))


def _reference(row: Row, plan: StudyPlan, headers: Headers) -> Header | None:
    """Return the header of the image whose grid a file must share.

    Raises
    ------
    ImageError
        When that image was left out, or there is none to define a space.
    """
    if not row.kind.grid:
        return None
    key = (row.kind.grid, row.series if row.kind.grid == 'image' else plan.centre)
    if key == (row.kind.name, row.series):
        return None
    if key in headers:
        return headers[key]
    if key in plan.missing or any((r.kind.name, r.series) == key for r in plan.rows):
        raise ImageError(f'{row.member.name}: left out, because its image {key[1]} was')
    if row.kind.grid == 'coreg-image':
        if ('image', plan.centre) not in headers:
            raise ImageError(f'{row.member.name}: left out, the centre {plan.centre} is missing')
        return headers['image', plan.centre]
    return None


def _scans(plan: StudyPlan, images: list[tuple[str, Output]]) -> str:
    rows = []
    for series_id, output in images:
        study, record = plan.study, plan.series[series_id].record
        contrast = study.cell(record, 'contrast_enhanced')
        rows.append(
            [
                output.path.removeprefix(f'{plan.name.folder}/'),
                '',
                series_id,
                study.cell(record, 'SeriesNumber'),
                study.cell(record, 'acquisition_plane'),
                study.cell(record, 'classified_modality'),
                study.cell(record, 'is_center_modality'),
                study.cell(record, 'body_part'),
                contrast or study.cell(record, 'is_contrast_enhanced'),
            ]
        )
    return format_tsv(_SCANS_HEADER, sorted(rows))
