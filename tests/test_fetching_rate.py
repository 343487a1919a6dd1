"""Bytes are counted, and no more of them come in a second than is allowed."""

import threading
import time

from mrrate_bids.fetching.rate import Rate


def test_without_a_limit_nobody_waits():
    rate, start = Rate(), time.monotonic()
    for _ in range(1000):
        rate.take(1 << 30)
    assert rate.moved == 1000 << 30
    assert time.monotonic() - start < 1


def test_threads_share_a_limit():
    rate, start = Rate(100_000), time.monotonic()
    threads = [threading.Thread(target=rate.take, args=(10_000,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rate.moved == 40_000
    assert time.monotonic() - start >= 0.4
