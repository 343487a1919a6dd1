"""What a run is told when it asks for more than the machine has."""

import os

import psutil

from mrrate_bids.app.machine import name_excess

HERE = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()


def test_what_the_machine_has_is_not_named():
    few = name_excess(processes=HERE, threads=1, memory_gb=psutil.virtual_memory().total / 1e9)
    assert [*few, *name_excess(processes=1, threads=HERE, memory_gb=None)] == []


def test_more_nodes_than_processors():
    (problem,) = name_excess(processes=HERE + 1, threads=1, memory_gb=None)
    assert problem.severity == 'warning'
    assert f'--nprocs {HERE + 1} on a machine with {HERE} processors' in problem.message
    assert problem.remedy == f'Use --nprocs {HERE}.'


def test_more_threads_than_processors():
    (problem,) = name_excess(processes=1, threads=HERE + 1, memory_gb=None)
    assert f'--nprocs 1 of {HERE + 1} threads each' in problem.message


def test_more_memory_than_there_is():
    (problem,) = name_excess(processes=1, threads=1, memory_gb=1e6)
    assert '--mem 1e+06 is more than the' in problem.message
