"""Images that show a face where faces are taken away: looked for on disk, removed or named.

Receipts alone do not tell: runs are killed before they write one, receipts are removed, series get
other names or are left out, and what was edited is nobody's. So the files are asked themselves.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mrrate_bids.app.faces import MASKS, Faces
from mrrate_bids.app.ledger import Ledger, Targets
from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Study, kind_of
from mrrate_bids.errors import TableError
from mrrate_bids.faces import SHOWING, says_faceless, sources_of
from mrrate_bids.inheritance import read_json_object, split_name
from mrrate_bids.problems import Problem
from mrrate_bids.sidecars import bids_uri, sidecar_path

__all__ = ['Uncovering']

_DATASETS = tuple(sorted({kind_of(kind).dataset for kind in SHOWING}))
_RAW = bids_uri('', dataset=_DATASETS[0])
"""How the URI of a raw image begins."""

_AGAIN = 'Compute them again, from the defaced images: --steps coreg,atlas,anatref.'
_REMOVE = 'Remove them; --steps coreg,atlas,anatref computes them from the defaced images.'
_OTHERS = 'Take the faces of these studies away, too, or remove the images.'


@dataclass(frozen=True, slots=True)
class Uncovering:
    """What shows a face in an output folder.

    Parameters
    ----------
    places, ledger
        The output, and its receipts.
    faces
        Whose face is taken away.
    exported
        Datasets in the output that no run computed.
    names
        Whether images that stay are named: a later run may compute them anew.
    """

    places: Places
    ledger: Ledger
    faces: Faces
    exported: Container[str] = ()
    names: bool = True

    def clear(self, study: Study, here: Targets) -> Iterator[Problem]:
        """Remove what runs made of a study with its face; name what they do not vouch for.

        Parameters
        ----------
        study
            One that is defaced, or to be; of others nothing is said.
        here
            What this run computed.
        """
        defaced = self._defaced(study, here)
        if not (defaced or self.faces.go(study)):
            return
        shown = [path for path in self._showing(study.label) if path not in here]
        bare = {one.inside for one in study.series} - defaced  # nothing can take their place
        ours = self.ledger.written(study, but=bare) if defaced else frozenset()
        if gone := [path for path in shown if path in ours]:
            self.ledger.forget(study, gone)
            text = f'{len(gone)} images that showed the face were removed, as {gone[0].name}'
            yield Problem('warning', text, _AGAIN, study=study.label)
        if self.names and (left := [path for path in shown if path not in ours]):
            text = f'{len(left)} images show the face, as {self._inside(left[0])}'
            yield Problem('error', text, _REMOVE, study=study.label)

    def _defaced(self, study: Study, here: Targets) -> set[str]:
        """Return the series whose face is gone."""
        return {
            one.inside
            for one in study.series
            if MASKS & set(one.given)
            or any(self.places.target(study, one, kind) in here for kind in MASKS)
        }

    def name_others(self, known: Container[str], *, most: int | None = None) -> Iterator[Problem]:
        """Name what shows the face of studies that are not *known*, in one warning.

        Nothing is kept but a number, and no sidecar is read twice.

        Parameters
        ----------
        known
            Labels of studies.
        most
            So many images are looked at; all if ``None``.
        """
        shown = filter(self._shows, islice(self._images_of_others(known), most))
        if first := next(shown, None):
            count = 1 + sum(1 for _ in shown)
            text = f'{"" if most is None else "at least "}{count} images of studies outside of '
            text += f'this run show the face, as {self._inside(first)}'
            yield Problem('warning', text, _OTHERS)

    def _inside(self, path: Path) -> str:
        return path.relative_to(self.places.root).as_posix()

    def _showing(self, label: str) -> Iterator[Path]:
        for dataset in _DATASETS:
            yield from filter(self._shows, _images(self.places.root / dataset / label))

    def _images_of_others(self, known: Container[str]) -> Iterator[Path]:
        for root in (self.places.root / dataset for dataset in _DATASETS):
            for subject in sorted(root.glob('sub-*')):
                for folder in (subject, *sorted(subject.glob('ses-*'))):
                    if folder.relative_to(root).as_posix() not in known:
                        yield from _images(folder)

    def _shows(self, image: Path) -> bool:
        """Tell whether an image may show a face: not made without it, nor of a release."""
        try:
            sidecar = read_json_object(Path(sidecar_path(str(image))))
        except TableError:
            sidecar = {}
        if says_faceless(sidecar):
            return False
        raw = [one.removeprefix(_RAW) for one in sources_of(sidecar) if one.startswith(_RAW)]
        if not raw:  # an export names no image that it did not write
            return image.relative_to(self.places.root).parts[0] not in self.exported
        return not all(map(self.faces.is_released, raw))


def _images(folder: Path) -> list[Path]:
    """Return the images of a study that are no masks, packed or not."""
    found = sorted((folder / 'anat').glob('*.nii*'))
    images = [path for path in found if path.name.endswith(('.nii', '.nii.gz'))]
    return [path for path in images if not split_name(path.name)[1].endswith('mask')]
