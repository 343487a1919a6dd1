"""Releases and datasets in Python: select by the tables, open images.

>>> import mrrate_bids
>>> data = mrrate_bids.open('MR-RATE-all')  # doctest: +SKIP
>>> data.select("split == 'val' and modality == 'FLAIR'", kind='image')  # doctest: +SKIP
>>> data.study('2END5JBWVA').image('t1w-raw-sag').get_fdata()  # doctest: +SKIP
"""

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mrrate_bids.checks.files import objection_to_transform
from mrrate_bids.errors import ArchiveError, ImageError, SelectionError
from mrrate_bids.index import Index, Query, Selected, answer
from mrrate_bids.index.query import DEFAULT_COLUMNS
from mrrate_bids.naming import KINDS
from mrrate_bids.selection import Selection

__all__ = ['Data', 'StudyData', 'open_data']

_IMAGE = KINDS['image'].name
_TOLD = ('series_id', 'kind', 'home', 'path', 'member')
_MATRIX_AND_OFFSET = 12
_UNREADABLE = (OSError, EOFError, ValueError, NotImplementedError, zlib.error)


def open_data(path: str | Path, *, rebuild: bool = False) -> 'Data':
    """Open a release or a BIDS dataset; it is indexed as far as it has changed.

    Parameters
    ----------
    path
        The folder of a release, zipped or extracted, or the root of a raw dataset.
    rebuild
        Whether to index everything anew.

    Raises
    ------
    UsageError
        When the folder is neither.
    """
    index = Index(Path(path))
    index.renew(rebuild=rebuild)
    return Data(index)


class Data:
    """A release or a dataset.

    Parameters
    ----------
    index
        Its index, renewed.
    """

    def __init__(self, index: Index) -> None:
        self._index = index

    @property
    def root(self) -> Path:
        """The folder."""
        return self._index.root

    @property
    def columns(self) -> list[str]:
        """Every column that can be asked for."""
        return self._index.columns

    def select(
        self,
        where: str = '',
        *,
        kind: str | Iterable[str] = (),
        columns: Iterable[str] = DEFAULT_COLUMNS,
    ) -> Any:
        """Return the files that a condition is true of, as a :class:`pandas.DataFrame`.

        A column is what all its cells in the release are: numbers, truth values or text, as in
        a condition. Identifiers are text, ``age`` is in years.

        Parameters
        ----------
        where
            A condition on any column, as ``"FieldStrength_T >= 3 and split == 'val'"``.
        kind
            Kinds of files, by their names in the naming table: ``'image'``, ``'brain-mask'`` …
        columns
            What to tell of each file.

        Raises
        ------
        SelectionError
            When a column or a kind does not exist, or the condition makes no sense.
        """
        kinds = (kind,) if isinstance(kind, str) else tuple(kind)
        unknown = [name for name in kinds if name not in KINDS]
        if unknown:
            raise SelectionError(
                f'there is no kind {unknown[0]!r}', hint=f'There are {", ".join(KINDS)}.'
            )
        query = Query(where, kinds=kinds, columns=tuple(columns))
        return answer(self._index, query).values.reset_index(drop=True)

    def studies(self, where: str = '') -> Iterator['StudyData']:
        """Yield the studies that have a series which a condition is true of, with all files.

        Raises
        ------
        SelectionError
            When a column does not exist, or the condition makes no sense.
        """
        found = answer(self._index, Query(where, columns=())).studies() if where else ()
        yield from self._studies(tuple(found)) if found or not where else ()

    def _studies(self, uids: tuple[str, ...]) -> Iterator['StudyData']:
        """Yield studies by their ``study_uid``, all of them where none is named."""
        query = Query(selection=Selection(studies=uids), columns=_TOLD)
        files = answer(self._index, query)
        for uid, rows in files.frame.groupby('study_uid', sort=False, observed=True):
            yield StudyData(str(uid), replace(files, frame=rows))

    def study(self, uid: str) -> 'StudyData':
        """Return a study by its ``study_uid``.

        Raises
        ------
        SelectionError
            When there is none.
        """
        for study in self._studies((uid,)):
            return study
        raise SelectionError(
            f'there is no study_uid {uid!r} in {self.root}',
            hint="Those that there are: data.select(columns=['study_uid']).",
        )


class StudyData:
    """A study: its series and its files.

    Parameters
    ----------
    uid
        The ``study_uid``.
    selected
        Its files, as an index found them.
    """

    def __init__(self, uid: str, selected: Selected) -> None:
        self.uid = uid
        self._selected = selected

    @cached_property
    def files(self) -> Any:
        """Every file: ``series_id``, ``kind``, ``home``, ``path`` and ``member``."""
        return self._selected.table.reset_index(drop=True)

    @property
    def series(self) -> list[str]:
        """The ``series_id`` of each series."""
        return [name for name in dict.fromkeys(self.files['series_id']) if name]

    @property
    def images(self) -> Any:
        """The native images among the files."""
        return self.files[self.files['kind'] == _IMAGE]

    @property
    def masks(self) -> Any:
        """The masks among the files, in every space."""
        return self.files[self.files['kind'].str.endswith('mask')]

    @property
    def transforms(self) -> Any:
        """The transforms among the files."""
        return self.files[self.files['kind'].str.endswith('transform')]

    def image(self, series: str, kind: str = _IMAGE) -> Any:
        """Return an image of a series as nibabel has it (affine to RAS mm).

        Raises
        ------
        SelectionError
            When there is no such file.
        ArchiveError, ImageError
            When it cannot be read.
        """
        import nibabel as nib  # noqa: PLC0415  (slow)

        path, member = self._place(series, kind)
        name = f'{path}!/{member}' if member else str(path)
        try:
            if not member:
                return nib.load(path)
            data = self.read(series, kind)
            plain = gzip.decompress(data) if member.endswith('.gz') else data
            return nib.Nifti1Image.from_bytes(plain)
        except (*_UNREADABLE, nib.filebasedimages.ImageFileError) as error:
            raise ImageError(f'{name}: cannot be read ({error})') from error

    def transform(self, series: str, kind: str = KINDS['coreg-transform'].name) -> Any:
        """Return a rigid transform as a 4x4 array that maps points, LPS mm, as ITK has it.

        The transform of a moving series maps points of the centre to points of that series; the
        one of the centre (``kind='atlas-transform'``) maps points of the template to points of the
        centre.

        Raises
        ------
        SelectionError
            When there is no such file.
        ArchiveError, ImageError
            When it cannot be read, or is not rigid.
        """
        import numpy as np  # noqa: PLC0415  (slow)
        from scipy.io import loadmat  # noqa: PLC0415

        data = self.read(series, kind)
        objection = objection_to_transform(io.BytesIO(data), rigid=True)
        content = {} if objection else loadmat(io.BytesIO(data))
        numbers = next((np.ravel(v) for n, v in content.items() if 'Transform' in n), np.empty(0))
        if len(numbers) != _MATRIX_AND_OFFSET:
            reason = objection or 'it holds angles, not a matrix'
            raise ImageError(f'{self.uid}: {kind} of {series} is of no use: {reason}')
        centre, matrix = np.ravel(content['fixed']), np.eye(4)
        matrix[:3, :3] = numbers[:9].reshape(3, 3)
        matrix[:3, 3] = numbers[9:] + centre - matrix[:3, :3] @ centre
        return matrix

    def read(self, series: str, kind: str) -> bytes:
        """Return the bytes of a file.

        Raises
        ------
        SelectionError
            When there is no such file.
        ArchiveError
            When it cannot be read.
        """
        path, member = self._place(series, kind)
        try:
            if not member:
                return path.read_bytes()
            with zipfile.ZipFile(path) as archive:
                return archive.read(member)
        except (*_UNREADABLE, zipfile.BadZipFile, KeyError) as error:
            raise ArchiveError(f'{path}: {member} cannot be read ({error})') from error

    def _place(self, series: str, kind: str) -> tuple[Path, str]:
        found = self.files[(self.files['series_id'] == series) & (self.files['kind'] == kind)]
        if found.empty:
            raise SelectionError(
                f'study {self.uid} has no {kind} of {series!r}',
                hint=f'Its series are {", ".join(self.series)}.',
            )
        row = found.iloc[0]
        return self._selected.root / row['path'], row['member']
