"""What tells the state of a study's files at their source, by repository; receipts keep it."""

from collections.abc import Callable

from mrrate_bids.archives import Place, list_place
from mrrate_bids.catalog import Study
from mrrate_bids.receipts import Receipt, signature
from mrrate_bids.sources import state_of

__all__ = ['Signs', 'read_signs', 'signs_of', 'write_signs']

Signs = dict[str, str]
"""What changes when the files of a study change at the source, by repository."""


def signs_of(study: Study, *, home_of: Callable[[Place], str]) -> Signs:
    """Return the states of a study's places as they are now.

    Parameters
    ----------
    study
        The study.
    home_of
        Tells the repository of a place.

    Raises
    ------
    AccessError, NetworkError
        When the source does not tell.
    """
    states: dict[str, list[object]] = {}
    for place in study.places:
        state = state_of(place.path) if place.zipped else _states(place)
        states.setdefault(home_of(place), []).append(state)
    return {name: signature(state) for name, state in states.items()}


def _states(place: Place) -> list[object]:
    return [[member.name, *state_of(member.path)] for member in list_place(place).members]


def read_signs(receipt: Receipt) -> Signs:
    """Return the states of a study's places that a receipt was written for."""
    pairs = (part.partition('=') for part in receipt.signature.split())
    return {name: sign for name, _, sign in pairs}


def write_signs(receipt: Receipt, signs: Signs) -> None:
    """Keep the states of a study's places; an empty one is that of no place."""
    receipt.signature = ' '.join(f'{name}={sign}' for name, sign in sorted(signs.items()))
