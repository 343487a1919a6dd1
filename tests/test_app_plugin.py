"""Of all nodes that could run, the largest runs first."""

from types import SimpleNamespace

from mrrate_bids.app.plugin import LongestFirst


def test_largest_first_and_else_as_they_come():
    plugin = LongestFirst(plugin_args={'n_procs': 1})
    plugin.procs = [SimpleNamespace(mem_gb=gb) for gb in (1, 3, 0.2, 3, 2)]
    assert plugin._sort_jobs([0, 1, 2, 3, 4], scheduler='tsort') == [1, 3, 4, 0, 2]
