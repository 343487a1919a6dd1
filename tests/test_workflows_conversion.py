"""Conversion in shares gives what one run gives."""

import filecmp
import json
from pathlib import Path

import pytest
from nipype import config

from mrrate_bids.workflows.conversion import init_export_wf, init_import_wf


@pytest.fixture(autouse=True)
def quiet(tmp_path):
    config.update_config({'execution': {'crashdump_dir': str(tmp_path), 'check_version': 'false'}})


def _run(workflow, source: Path, target: Path, base: Path):
    workflow.base_dir = str(base)
    workflow.inputs.inputnode.source = str(source)
    workflow.inputs.inputnode.target = str(target)
    graph = workflow.run(plugin='Linear')
    nodes = [node for node in graph.nodes() if node.name.startswith('shard_')]
    return [json.loads(Path(node.result.outputs.summary).read_text()) for node in nodes]


def _files(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob('*') if p.is_file()}


def _assert_equal(one: Path, other: Path) -> None:
    assert _files(one) == _files(other)
    different = [n for n in _files(one) if not filecmp.cmp(one / n, other / n, shallow=False)]
    assert not [name for name in different if '/receipts/' not in name]


def test_export_in_shares(release, exported, tmp_path):
    said = _run(init_export_wf(shards=3), release, tmp_path / 'bids', tmp_path / 'work')
    assert sum(one['counts'].get('done', 0) for one in said) == 3
    assert all(not one['problems'] for one in said)
    _assert_equal(exported, tmp_path / 'bids')


def test_import_in_shares(exported, tmp_path):
    said = _run(init_import_wf(shards=2), exported, tmp_path / 'two', tmp_path / 'work')
    assert sum(one['counts'].get('done', 0) for one in said) == 3
    _run(init_import_wf(shards=1, name='one_wf'), exported, tmp_path / 'one', tmp_path / 'work')
    _assert_equal(tmp_path / 'one', tmp_path / 'two')


def test_error_is_said_in_words(tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(Exception, match='no MR-RATE'):
        _run(init_export_wf(shards=1), tmp_path / 'empty', tmp_path / 'bids', tmp_path / 'work')
    (problem,) = tmp_path.rglob('problem.json')
    assert json.loads(problem.read_text())['hint']


@pytest.mark.parametrize('init', [init_export_wf, init_import_wf])
def test_relative_target_is_refused(init, release, tmp_path):
    """Each node would write into a folder of its own."""
    with pytest.raises(Exception, match='bids is a relative path'):
        _run(init(shards=1), release, Path('bids'), tmp_path / 'work')
    assert not [*tmp_path.rglob('bids')]
