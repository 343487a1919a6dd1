"""The published lists of studies that were repaired or added."""

import json

import pytest

from mrrate_bids.errors import UsageError
from mrrate_bids.status.fix_list import FixList
from mrrate_bids.status.holding import Holding


def read(tmp_path, content):
    path = tmp_path / 'fixes.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    fixes = FixList()
    fixes.read(path)
    return fixes


def marked(fixes, repository, *, current=False):
    holding = Holding('batch00', 'A', repository)
    fixes.mark(holding, current=current)
    return holding.again


def test_repaired_studies(tmp_path):
    fixes = read(tmp_path, {'coreg': {'batch00': ['A']}, 'nvseg': {'batch01': ['B', 'C']}})
    assert fixes.studies('MR-RATE-coreg', 'batch00') == {'A'}
    assert fixes.studies('MR-RATE-nvseg-ctmr', 'batch01') == {'B', 'C'}
    assert fixes.studies('MR-RATE-atlas', 'batch00') == set()
    assert 'replaced' in marked(fixes, 'MR-RATE-coreg')
    assert not marked(fixes, 'MR-RATE-coreg', current=True)
    assert not marked(fixes, 'MR-RATE-atlas')


def test_added_studies_are_of_two_repositories(tmp_path):
    fixes = read(tmp_path, {'batch00': ['A']})
    for repository in ('MR-RATE-coreg', 'MR-RATE-atlas'):
        assert fixes.studies(repository, 'batch00') == {'A'}
        assert 'added' in marked(fixes, repository)
    assert not marked(fixes, 'MR-RATE')


@pytest.mark.parametrize('name', ['0', '00', 'batch0', 'batch00'])
def test_batch_by_its_number(name, tmp_path):
    assert read(tmp_path, {'coreg': {name: ['A']}}).studies('MR-RATE-coreg', 'batch00') == {'A'}
    assert read(tmp_path, {name: ['A']}).studies('MR-RATE-atlas', 'batch00') == {'A'}


def test_batches_that_are_not_here_are_counted(tmp_path):
    content = {'batch00': ['A'], 'batch77': ['A', 'B'], 'batch03': ['C']}
    fixes = read(tmp_path, {'coreg': content, 'atlas': content})
    assert fixes.elsewhere(['batch00', 'batch01']) == {'batch03': 1, 'batch77': 2}
    assert fixes.elsewhere(content) == {}


@pytest.mark.parametrize(
    ('content', 'why'),
    [
        ('{', 'cannot be read as JSON'),
        ('[]', 'is no table of studies'),
        ('{}', 'is no table of studies'),
        ({'elsewhere': {'batch00': ['A']}}, "names 'elsewhere', which is no repository"),
        ({'coreg': {'batch00': 'A'}}, "no list of studies for 'batch00'"),
        ({'coreg': ['A']}, "names 'coreg', which is no batch"),
        ({'coreg': {'MR-RATE': ['A']}}, "names 'MR-RATE', which is no batch"),
        ({'batch00': [1]}, "no list of studies for 'batch00'"),
        ({'coreg': {'batch00': ['A']}, 'batch01': ['B']}, 'no list of studies'),
    ],
)
def test_list_that_is_none(content, why, tmp_path):
    with pytest.raises(UsageError, match=why) as caught:
        read(tmp_path, content)
    assert 'fixes.json' in str(caught.value)
    assert 'as published' in caught.value.hint
