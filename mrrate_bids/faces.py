"""Which images show a face: those that were not made from a defaced one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrrate_bids.errors import TableError
from mrrate_bids.inheritance import read_json_object
from mrrate_bids.naming import COMPUTED, KINDS
from mrrate_bids.sidecars import sidecar_path

__all__ = ['MARKS', 'SHOWING', 'is_faceless', 'says_faceless', 'sources_of']

SHOWING = ('coreg-image', 'atlas-image', 'anatref-image')
"""File kinds that show the head as the image shows it that they were made from."""

MARKS = (
    COMPUTED['defaced-image'].bids.partition('{')[0],
    f'_{KINDS["defacing-mask"].bids.rpartition("_")[2].removesuffix(".gz")}',
)
"""What names of defaced images and of defacing masks have, and no others."""


def is_faceless(image: Path) -> bool:
    """Tell whether an image was made without the face, by its sidecar; else it may show one."""
    try:
        return says_faceless(read_json_object(Path(sidecar_path(str(image)))))
    except TableError:
        return False


def says_faceless(sidecar: Mapping[str, Any]) -> bool:
    """Tell whether a sidecar names a defaced image or a defacing mask as a source.

    >>> says_faceless({'Sources': ['bids:defaced:sub-1/anat/sub-1_desc-defaced_T1w.nii.gz']})
    True
    >>> says_faceless({'Sources': ['bids:raw:sub-1/anat/sub-1_T1w.nii.gz']})
    False
    """
    return any(mark in one for one in sources_of(sidecar) for mark in MARKS)


def sources_of(sidecar: Mapping[str, Any]) -> list[str]:
    """Return what a sidecar names as sources, whatever stands there."""
    sources = sidecar.get('Sources', [])
    return [str(one) for one in (sources if isinstance(sources, list) else [sources])]
