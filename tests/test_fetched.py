"""What a reader learns of a release that was fetched in part."""

import pytest

from mrrate_bids.fetched import HOME, find_part
from mrrate_bids.receipts import Receipt, Receipts


@pytest.fixture
def part(tmp_path):
    receipt = Receipt('1', 'AAAA', 'batch00', 'complete', keys=[['flair-raw-axi', 'raw']])
    Receipts(tmp_path, tmp_path / HOME).save(receipt)
    return tmp_path


@pytest.mark.parametrize('inside', ['', 'MR-RATE'])
def test_part_is_found_from_the_release_and_from_its_repository(inside, part):
    (part / inside).mkdir(exist_ok=True)
    found = find_part(part / inside)
    assert found.asked('batch00', 'AAAA', here=True) == {('flair-raw-axi', 'raw')}


def test_study_without_receipt(part):
    found = find_part(part)
    assert found.asked('batch00', 'BBBB', here=False) == frozenset()
    assert found.asked('batch00', 'BBBB', here=True) is None


def test_release_that_was_not_fetched(tmp_path):
    assert find_part(tmp_path) is None
