"""Which scanner an image comes from, as the sidecars of the raw dataset say.

Source: BIDS 1.10.1, "Magnetic Resonance Imaging", scanner hardware.
"""

from pathlib import Path
from typing import Any, NamedTuple

from mrrate_bids.errors import TableError
from mrrate_bids.inheritance import Sidecars, read_json_object

__all__ = ['UNKNOWN', 'Scanner', 'Scanners', 'find_raw']


class Scanner(NamedTuple):
    """A type of scanner; each part is empty where nothing is said."""

    manufacturer: str = ''
    model: str = ''
    field: str = ''
    """Tesla."""

    @classmethod
    def read(cls, sidecar: dict[str, Any]) -> 'Scanner':
        """Read a sidecar.

        >>> Scanner.read({'Manufacturer': ' ACME ', 'MagneticFieldStrength': 1.5})
        Scanner(manufacturer='ACME', model='', field='1.5')
        """
        keys = ('Manufacturer', 'ManufacturersModelName', 'MagneticFieldStrength')
        values = (sidecar.get(key) for key in keys)
        return cls(*('' if value is None else ' '.join(str(value).split()) for value in values))

    def __str__(self) -> str:
        """Return a title: field strengths that differ by measurement only are the same.

        >>> str(Scanner('ACME', 'Aera', '1.494')), str(Scanner())
        ('ACME Aera 1.5 T', 'unknown scanner')
        """
        return (
            ' '.join(filter(None, [self.manufacturer, self.model, self._tesla]))
            or 'unknown scanner'
        )

    @property
    def _tesla(self) -> str:
        try:
            return f'{round(float(self.field), 1):g} T'
        except ValueError:
            return self.field


UNKNOWN = Scanner()
"""One of which nothing is said."""


class Scanners:
    """The scanners of a raw dataset.

    Parameters
    ----------
    bids
        The dataset; ``None`` when nobody knows where it is.
    """

    def __init__(self, bids: Path | None) -> None:
        self._sidecars = Sidecars(bids) if bids else None

    def of(self, inside: str) -> Scanner:
        """Return the scanner of an image by its path in the dataset."""
        if self._sidecars is None or not inside:
            return UNKNOWN
        try:
            return Scanner.read(self._sidecars.read(inside))
        except TableError:
            return UNKNOWN  # the run that read this sidecar has said so


def find_raw(out: Path) -> Path | None:
    """Return the raw dataset that the results in *out* name as theirs, where it is still there.

    Source: BIDS 1.10.1, "Dataset description", DatasetLinks.
    """
    for path in sorted(out.glob('mrrate-*/dataset_description.json')):
        try:
            links = read_json_object(path).get('DatasetLinks')
        except TableError:
            continue
        link = links.get('raw') if isinstance(links, dict) else None
        if isinstance(link, str) and (path.parent / link / 'dataset_description.json').is_file():
            return (path.parent / link).resolve()
    return None
