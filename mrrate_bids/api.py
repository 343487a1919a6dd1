"""Releases and datasets in Python: select by the tables, open images.

>>> import mrrate_bids
>>> data = mrrate_bids.open('MR-RATE-all')  # doctest: +SKIP
>>> data.select("split == 'val' and modality == 'FLAIR'", kind='image')  # doctest: +SKIP
>>> data.study('2END5JBWVA').image('t1w-raw-sag').get_fdata()  # doctest: +SKIP
"""

import gzip
import io
import zipfile
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from mrrate_bids.errors import ImageError, SelectionError
from mrrate_bids.index import Index, Query, answer
from mrrate_bids.index.query import DEFAULT_COLUMNS
from mrrate_bids.naming import KINDS

__all__ = ['Data', 'StudyData', 'open_data']

_IMAGE = KINDS['image'].name
_PLACE = ('kind', 'home', 'path', 'member')


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
        """Return the files that a condition is true of, as a :class:`pandas.DataFrame` of text.

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
        return answer(self._index, query).table.reset_index(drop=True)

    def studies(self, where: str = '') -> Iterator['StudyData']:
        """Yield the studies that have a series which a condition is true of."""
        for uid in dict.fromkeys(self.select(where, columns=('study_uid',))['study_uid']):
            yield self.study(uid)

    def study(self, uid: str) -> 'StudyData':
        """Return a study by its ``study_uid``.

        Raises
        ------
        SelectionError
            When there is none.
        """
        study = StudyData(self, uid)
        if study.files.empty:
            raise SelectionError(f'there is no study_uid {uid!r} in {self.root}')
        return study


class StudyData:
    """A study: its series and its files.

    Parameters
    ----------
    data
        The release or dataset.
    uid
        The ``study_uid``.
    """

    def __init__(self, data: Data, uid: str) -> None:
        self._data = data
        self.uid = uid

    @cached_property
    def files(self) -> Any:
        """Every file: ``series_id``, ``kind``, ``home``, ``path`` and ``member``."""
        return self._data.select(f'study == {self.uid!r}', columns=('series_id', *_PLACE))

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
        ImageError
            When it cannot be read.
        """
        import nibabel as nib  # noqa: PLC0415  (slow)

        path, member = self._place(series, kind)
        if not member:
            return nib.load(path)
        data = self.read(series, kind)
        try:
            plain = gzip.decompress(data) if member.endswith('.gz') else data
            return nib.Nifti1Image.from_bytes(plain)
        except (OSError, EOFError, nib.filebasedimages.ImageFileError) as error:
            raise ImageError(f'{path}: {member} cannot be read ({error})') from error

    def transform(self, series: str, kind: str = KINDS['coreg-transform'].name) -> Any:
        """Return a rigid transform as a 4x4 array that maps points, LPS mm, as ITK has it.

        The transform of a moving series maps points of the centre to points of that series; the
        one of the centre (``kind='atlas-transform'``) maps points of the template to points of the
        centre.

        Raises
        ------
        SelectionError
            When there is no such file.
        """
        import numpy as np  # noqa: PLC0415  (slow)
        from scipy.io import loadmat  # noqa: PLC0415

        content = loadmat(io.BytesIO(self.read(series, kind)))
        (name,) = [key for key in content if 'Transform' in key]
        numbers, centre = np.ravel(content[name]), np.ravel(content['fixed'])
        matrix = np.eye(4)
        matrix[:3, :3] = numbers[:9].reshape(3, 3)
        matrix[:3, 3] = numbers[9:12] + centre - matrix[:3, :3] @ centre
        return matrix

    def read(self, series: str, kind: str) -> bytes:
        """Return the bytes of a file."""
        path, member = self._place(series, kind)
        if not member:
            return path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            return archive.read(member)

    def _place(self, series: str, kind: str) -> tuple[Path, str]:
        found = self.files[(self.files['series_id'] == series) & (self.files['kind'] == kind)]
        if found.empty:
            raise SelectionError(
                f'study {self.uid} has no {kind} of {series!r}',
                hint=f'Its series are {", ".join(self.series)}.',
            )
        row = found.iloc[0]
        return self._data.root / row['path'], row['member']
