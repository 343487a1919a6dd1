"""A release whose tables are here and whose images are elsewhere."""

from pathlib import Path

from mrrate_bids.archives import Place
from mrrate_bids.catalog import Batch, Release, study_of
from mrrate_bids.fetching.listing import Store
from mrrate_bids.naming import NATIVE

__all__ = ['RemoteRelease']


class RemoteRelease(Release):
    """A release that is read where it is published.

    Parameters
    ----------
    root
        The folder that holds the tables, as it would hold the repositories.
    stores
        The repositories, by their names in a release.
    """

    def __init__(self, root: Path, stores: dict[str, Store]) -> None:
        super().__init__(root, {}, root / NATIVE)
        self._stores = stores
        self._homes: dict[str, str] = {}

    def home(self, place: Place) -> str:
        """Return the repository that a place belongs to."""
        return self._homes[str(place.path)]

    def read_batch(self, name: str) -> Batch:
        """Read the tables of a batch and list its places; what nobody asked for is not said."""
        batch = super().read_batch(name)
        known = {study.study for study in batch.studies}
        batch.problems = [p for p in batch.problems if not p.study or p.study in known]
        for study in batch.studies:
            study.asked = None  # at the source everything should be there
        return batch

    def find_places(self, batch: Batch) -> dict[str, list[Place]]:
        """Find the zips of each study, and on a disk its folders."""
        found: dict[str, list[Place]] = {}
        self._homes.clear()
        for name, store in self._stores.items():
            for entry in store.folder(f'mri/{batch.name}'):
                if entry.folder and not isinstance(entry.location, Path):
                    continue
                zipped = entry.name.endswith('.zip') and not entry.folder
                if zipped or entry.folder:
                    uid = study_of(entry.name) if zipped else entry.name
                    found.setdefault(uid, []).append(Place(entry.location, uid, zipped))
                    self._homes[str(entry.location)] = name
        return found
