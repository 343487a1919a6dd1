"""Requests that come to nothing are counted in a row, and by what was asked for."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mrrate_bids.fetching.losses import BYTES, FACTS, Losses


@pytest.mark.parametrize(
    ('won', 'lost', 'ends'),
    [(BYTES, BYTES, False), (BYTES, FACTS, False), (FACTS, FACTS, False), (FACTS, BYTES, True)],
)
def test_success_begins_anew(won, lost, ends):
    """A server that tells sizes need not deliver; one that delivers is well."""
    losses = Losses(most=3)
    assert [losses.lose(lost), losses.lose(lost)] == [False, False]
    losses.win(won)
    assert losses.lose(lost) is ends


def test_no_loss_is_lost_between_threads():
    losses = Losses(most=10_000)
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(losses.lose, [BYTES] * 10_000))
    assert told.count(True) == 1
