"""Of all nodes that could run, the largest runs first; a worker that dies ends no run.

No worker outlives its run.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
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


def rest():
    """Take longer than many looks."""
    import time

    time.sleep(1)


def test_graph_is_not_looked_at_while_nothing_ends(tmp_path, monkeypatch):
    looks = []
    check = LongestFirst._check_resources

    def count(self, tasks):
        looks.append(len(tasks))
        return check(self, tasks)

    monkeypatch.setattr(LongestFirst, '_check_resources', count)
    workflow = pe.Workflow('wf', base_dir=str(tmp_path))
    workflow.config['execution'] = {'poll_sleep_duration': 0.01}
    workflow.add_nodes([pe.Node(Function(function=rest), name='long')])
    workflow.run(plugin=LongestFirst(plugin_args={'n_procs': 1}))
    assert len(looks) < 10


def fill():
    """Return how many pages the system gave for the second of two equal pieces of memory."""
    import resource

    size = 64 << 20
    once = b'1' * size
    del once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    again = b'2' * size
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, len(again)


@pytest.mark.skipif(sys.platform != 'linux', reason='memory of workers is kept on Linux')
def test_worker_uses_memory_again(tmp_path):
    def note(node, status):
        if status == 'end':
            said.append(node.result.outputs.pages)

    said = []
    workflow = pe.Workflow('wf', base_dir=str(tmp_path))
    workflow.config['execution'] = {'poll_sleep_duration': 0.05}
    function = Function(function=fill, output_names=['pages', 'size'])
    workflow.add_nodes([pe.Node(function, name='fill')])
    workflow.run(plugin=LongestFirst(plugin_args={'n_procs': 1, 'status_callback': note}))
    assert said[0] < 1000  # of 16,384


RUN = """
import signal
from nipype.interfaces.utility import Function
from nipype.pipeline import engine as pe
from mrrate_bids.app.plugin import LongestFirst

def work(native):
    import ctypes, os, pathlib, time
    pathlib.Path(os.environ['PIDS'], str(os.getpid())).touch()
    ctypes.PyDLL(None).sleep(100) if native else time.sleep(100)  # the first as ANTs does

if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.default_int_handler)
    workflow = pe.Workflow('wf', base_dir=os.environ['PIDS'] + '-work')
    workflow.config['execution'] = {'poll_sleep_duration': 0.1}
    nodes = [pe.Node(Function(function=work), name=name) for name in 'ab']
    for node in nodes:
        node.inputs.native = NATIVE
    workflow.add_nodes(nodes)
    try:
        workflow.run(plugin=LongestFirst(plugin_args={'n_procs': 2}))
    except KeyboardInterrupt:
        print('interrupted')
"""


def is_alive(pid):
    """Tell whether a process runs; one that ended and that nobody asked about does not."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def wait_for(what, seconds=60):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != 'linux', reason='it looks into /proc')
@pytest.mark.parametrize('native', [False, True])
@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_run(how, native, tmp_path):
    pids = tmp_path / 'pids'
    pids.mkdir()
    script = tmp_path / 'script.py'
    script.write_text('import os\n' + RUN.replace('NATIVE', str(native)))
    process = subprocess.Popen(
        [sys.executable, script],
        env=os.environ | {'PIDS': str(pids)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    wait_for(lambda: len(list(pids.iterdir())) == 2)
    workers = [int(path.name) for path in pids.iterdir()]
    assert all(map(is_alive, workers))
    # A terminal sends Ctrl-C to all of them, a scheduler what it sends to the first.
    os.killpg(process.pid, how) if how == signal.SIGINT else process.send_signal(how)
    try:
        said, errors = process.communicate(timeout=20)
        wait_for(lambda: not any(map(is_alive, workers)), 10)
    finally:
        for pid in filter(is_alive, workers):
            os.kill(pid, signal.SIGKILL)
    if how == signal.SIGINT:
        assert said.endswith('interrupted\n')
        assert 'Traceback' not in said + errors


DYING = """
import os, signal, time
from pathlib import Path
from nipype import Function, Node, Workflow, config
from mrrate_bids.app.plugin import LongestFirst

def work(name, folder, dies):
    import os, signal, time
    from pathlib import Path
    place = Path(folder)
    (place / f'{name}{len(list(place.iterdir()))}').touch()
    tries = len(list(place.glob(f'{name}*')))
    if tries <= dies:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1)
    (place / f'done-{name}').touch()

if __name__ == '__main__':
    config.update_config({'execution': {'poll_sleep_duration': '0.05', 'crashdump_dir': 'crash'}})
    workflow = Workflow('dying', base_dir='work')
    for name, dies in (('a', DIES), ('b', 0), ('c', 0), ('d', 0)):
        node = Node(Function(['name', 'folder', 'dies'], [], work), name)
        node.inputs.trait_set(name=name, folder=os.environ['TRIES'], dies=dies)
        workflow.add_nodes([node])
    heard = []
    plugin = LongestFirst(plugin_args={
        'n_procs': 1, 'status_callback': lambda node, status: heard.append((node.name, status))
    })
    try:
        workflow.run(plugin=plugin)
    except Exception:
        pass
    print('failed', sorted(name for name, status in heard if status == 'exception'))
"""


@pytest.mark.parametrize(('dies', 'failed'), [(1, []), (9, ['a'])])
def test_worker_that_dies_takes_no_other_node_with_it(dies, failed, tmp_path):
    tries = tmp_path / 'tries'
    tries.mkdir()
    script = tmp_path / 'script.py'
    script.write_text(DYING.replace('DIES', str(dies)))
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | {'TRIES': str(tries)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert f'failed {failed}' in done.stdout, done.stderr
    names = {'a', 'b', 'c', 'd'} - set(failed)
    assert {path.name for path in tries.glob('done-*')} == {f'done-{name}' for name in names}
