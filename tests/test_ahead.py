"""Work in threads, a few items ahead."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mrrate_bids.ahead import run_ahead


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize('count', [0, 1, 3, 4, 5, 50])
def test_every_item_comes_with_its_result(pool, count):
    pairs = list(run_ahead(pool, 2, str, range(count)))
    assert sorted(pairs) == [(number, str(number)) for number in range(count)]


def test_items_are_read_a_few_ahead(pool):
    read = []

    def items():
        for number in range(100):
            read.append(number)
            yield number

    for done, _ in enumerate(run_ahead(pool, 2, abs, items())):
        assert len(read) <= done + 4
    assert len(read) == 100


def test_equal_items_are_all_done(pool):
    assert list(run_ahead(pool, 2, abs, [-1] * 9)) == [(-1, 1)] * 9


@pytest.fixture
def blocked():
    """Return a pool with one thread, what it began, and the gate that it waits at."""
    begun, gate = [], threading.Event()

    def work(number):
        begun.append(number)
        if number:
            gate.wait(10)
        else:
            raise ValueError('lost')
        return number

    with ThreadPoolExecutor(1) as pool:
        yield pool, work, begun, gate
        gate.set()


def test_failure_is_raised_and_cancels_the_rest(blocked):
    pool, work, begun, gate = blocked
    with pytest.raises(ValueError, match='lost'):
        list(run_ahead(pool, 4, work, range(8)))
    gate.set()
    pool.shutdown()
    assert set(begun) <= {0, 1, 2}
    assert 7 not in begun


def test_nobody_wants_the_rest(blocked):
    pool, work, begun, gate = blocked
    results = run_ahead(pool, 2, lambda number: number or work(1), [9, 0, 5, 6])
    assert next(results) == (9, 9)
    results.close()
    gate.set()
    pool.shutdown()
    assert begun in ([], [1])


def test_items_that_fail(pool):
    def items():
        yield 1
        raise RuntimeError('gone')

    with pytest.raises(RuntimeError, match='gone'):
        list(run_ahead(pool, 2, abs, items()))
