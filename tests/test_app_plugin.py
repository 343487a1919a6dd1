"""Of all nodes that could run, the largest runs first; a worker that dies ends no run."""

from types import SimpleNamespace

import pytest

pytest.importorskip('nipype')

from nipype.interfaces.utility import Function, Merge
from nipype.pipeline import engine as pe

from mrrate_bids.app.plugin import LongestFirst


def test_largest_first_and_else_as_they_come():
    plugin = LongestFirst(plugin_args={'n_procs': 1})
    plugin.procs = [SimpleNamespace(mem_gb=gb) for gb in (1, 3, 0.2, 3, 2)]
    assert plugin._sort_jobs([0, 1, 2, 3, 4], scheduler='tsort') == [1, 3, 4, 0, 2]


def test_nipype_starts_nodes_in_that_order(tmp_path):
    started = []

    def note(node, status):
        if status == 'start':
            started.append(node.name)

    workflow = pe.Workflow(name='wf', base_dir=str(tmp_path))
    sizes = {'a': 0.02, 'b': 0.04, 'c': 0.01, 'd': 0.03}
    workflow.add_nodes([pe.Node(Merge(1), name=name, mem_gb=gb) for name, gb in sizes.items()])
    arguments = {'n_procs': 1, 'status_callback': note, 'raise_insufficient': False}
    workflow.config['execution']['poll_sleep_duration'] = 0.05
    workflow.run(plugin=LongestFirst(plugin_args=arguments))
    assert started == ['b', 'd', 'a', 'c']


def die():
    """End the process, as the system does with one that takes too much memory."""
    import os

    os._exit(9)


def test_worker_that_dies_ends_in_an_error(tmp_path):
    workflow = pe.Workflow('wf', base_dir=str(tmp_path))
    workflow.config['execution'] = {'crashdump_dir': str(tmp_path), 'poll_sleep_duration': 0.1}
    workflow.add_nodes([pe.Node(Function(function=die), name='deadly')])
    with pytest.raises(RuntimeError):
        workflow.run(plugin=LongestFirst(plugin_args={'n_procs': 2}))
