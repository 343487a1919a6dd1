"""Which results are outdated: a run as the last one, or of the images of now, gives others.

No image is opened: runs have left word of results of other options, and an image that has changed
has another size or time.
"""

from contextlib import suppress
from pathlib import Path

from mrrate_bids.app.origin import Origin, sign_images
from mrrate_bids.receipts import Receipt

__all__ = ['find_outdated']


def find_outdated(receipt: Receipt, bids: Path | None) -> frozenset[str]:
    """Return the paths of outdated results of a study.

    Parameters
    ----------
    receipt
        Of the study.
    bids
        The raw dataset; ``None`` when nobody knows where it is. Of an image that is not in it any
        more nothing is said here: the table of problems names its results.
    """
    images = {output.series for output in receipt.outputs}
    now = {one: sign for one in images if (sign := _sign(receipt, one, bids))}
    changed = {
        output.path
        for output in receipt.outputs
        if output.series in now and Origin.parse(output.origin).images != now[output.series]
    }
    return frozenset({*receipt.outdated, *changed})


def _sign(receipt: Receipt, image: str, bids: Path | None) -> str:
    """Return what images are told by; empty where they, or the centre, are not there."""
    if bids and receipt.centre:
        with suppress(OSError):
            return sign_images((image, bids / image), (receipt.centre, bids / receipt.centre))
    return ''
