"""A defect in words: as text, as a dictionary, as a row."""

import pytest

from mrrate_bids.errors import ArchiveError, ImageError
from mrrate_bids.problems import Problem

FULL = Problem('error', 'is empty', 'Fetch it.', 'batch00', 'S', 't1w-raw-axi', 'img/a')


@pytest.mark.parametrize(
    ('problem', 'text'),
    [
        (FULL, 'batch00 S t1w-raw-axi: is empty → Fetch it.'),
        (Problem('error', 'is empty'), 'is empty'),
        (Problem('error', 'is empty', study='S'), 'S: is empty'),
        (Problem('warning', 'is odd', 'Look.'), 'is odd → Look.'),
    ],
)
def test_text(problem, text):
    assert str(problem) == text


@pytest.mark.parametrize('problem', [FULL, Problem('warning', 'is odd'), Problem('error', '')])
def test_dictionary_and_back(problem):
    record = {'message': problem.message} | problem.to_dict()
    assert Problem.from_dict(record) == problem
    assert all(problem.to_dict().values())


def test_row_has_every_field():
    row = ['error', 'is empty', 'Fetch it.', 'batch00', 'S', 't1w-raw-axi', 'img/a']
    assert FULL.row() == row


@pytest.mark.parametrize('error', [ArchiveError('bad'), ImageError('bad', hint='Do this.')])
def test_from_error(error):
    problem = Problem.from_error(error, batch='b', study='s')
    assert problem == Problem('error', 'bad', error.hint, 'b', 's')
