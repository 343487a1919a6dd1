"""The engine: failures in words, going on, and a work folder for one run."""

import gc
import itertools
import os
import shutil
import signal
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from hdbet_weights import configure, make_weights

pytest.importorskip('bids')
pytest.importorskip('nipype')

from nipype.interfaces.base import BaseInterfaceInputSpec, TraitedSpec, traits
from nipype.pipeline import engine as pe

from mrrate_bids.app.engine import Engine
from mrrate_bids.app.follower import Failure
from mrrate_bids.app.options import Options
from mrrate_bids.app.plugin import LongestFirst
from mrrate_bids.app.slurm import Slurm
from mrrate_bids.computing.brain_choice import Choice
from mrrate_bids.errors import ResourceError, UsageError
from mrrate_bids.interfaces.base import Step
from mrrate_bids.workflows.brain_mask import init_brain_mask_wf


class CountSpec(BaseInterfaceInputSpec):
    number = traits.Int(mandatory=True)
    fails = traits.Str()


class CountedSpec(TraitedSpec):
    number = traits.Int()


class Count(Step):
    """Add one, or fail."""

    input_spec, output_spec = CountSpec, CountedSpec

    def _compute(self, runtime):
        if self.inputs.fails == 'in words':
            raise UsageError('the voxels are wrong', hint='Look at them.')
        if self.inputs.fails == 'badly':
            raise ZeroDivisionError
        self._results['number'] = self.inputs.number + 1
        return runtime


def make_graph(name, **fails):
    """Return a graph of three nodes, one after the other."""
    workflow = pe.Workflow(name=name)
    nodes = [pe.Node(Count(), name=f'n{n}') for n in range(3)]
    nodes[0].inputs.number = 0
    for node in nodes:
        if node.name in fails:
            node.inputs.fails = fails[node.name]
    for one, other in itertools.pairwise(nodes):
        workflow.connect(one, 'number', other, 'number')
    return workflow


@pytest.mark.parametrize('processes', [1, 2])
def test_engine_tells_what_failed_and_goes_on(processes, tmp_path):
    graphs = [
        ('sub-01/ses-1', make_graph('sub_01_ses_1_wf')),
        ('sub-02', make_graph('sub_02_wf', n1='in words')),
        ('sub-03', make_graph('sub_03_wf', n0='badly')),
        ('sub-04', make_graph('sub_04_wf')),
    ]
    done = []
    engine = Engine(tmp_path / 'work', processes)
    failures = engine.run(graphs, watch=done.append)
    assert gc.get_freeze_count() == 0
    assert failures['sub-02'] == [Failure('the voxels are wrong', 'Look at them.')]
    ((message, hint),) = failures['sub-03']
    assert message.endswith('_wf.sub_03_wf.n0 failed unexpectedly')
    assert str(tmp_path / 'work/mrrate_bids_crash') in hint
    assert set(failures) == {'sub-02', 'sub-03'}
    # a bar that waited for the failed ones would never end
    assert sorted({progress.studies for progress in done} - {0}) == [1, 2, 3, 4]
    assert done[-1].all_steps == 12
    crashes = (tmp_path / 'work/mrrate_bids_crash').glob('*/crash-*.txt')
    assert sorted(path.parent.name for path in crashes) == ['sub-02', 'sub-03']


class Interrupt(Count):
    """Get what Ctrl-C sends, in the middle of the work."""

    def _compute(self, runtime):
        signal.raise_signal(signal.SIGINT)
        return super()._compute(runtime)


def test_ctrl_c_is_no_failure_of_a_node(tmp_path):
    """Nipype would go on with the other studies."""
    before, first, ran = signal.getsignal(signal.SIGINT), make_graph('sub_01_wf'), []
    node = pe.Node(Interrupt(number=0), name='n')
    first.add_nodes([node])
    graphs = [('sub-01', first), ('sub-02', make_graph('sub_02_wf'))]
    engine = Engine(tmp_path / 'work')
    with pytest.raises(KeyboardInterrupt):
        engine.run(graphs, watch=ran.append)
    assert not any(progress.studies for progress in ran)
    assert signal.getsignal(signal.SIGINT) is before
    assert gc.get_freeze_count() == 0


def test_engine_goes_on_from_what_is_there(tmp_path):
    """A failure of an earlier run is no failure of this one; what ended is not run again."""
    engine = Engine(tmp_path / 'work')
    graph = make_graph('sub_01_wf', n2='in words')
    assert 'sub-01' in engine.run([('sub-01', graph)], watch=lambda n: None)
    (first,) = (tmp_path / 'work').glob('mrrate_bids_*_wf/sub_01_wf/n0')
    before = {path.name: path.stat().st_mtime_ns for path in first.glob('result*')}
    done = []
    assert engine.run([('sub-01', make_graph('sub_01_wf'))], watch=done.append) == {}
    assert done[-1] == (1, 3, 3)
    assert before == {path.name: path.stat().st_mtime_ns for path in first.glob('result*')}


def test_failure_of_nipype_itself(tmp_path):
    engine = Engine(tmp_path, plugin={'plugin': 'NoSuchPlugin'})
    failures = engine.run([('sub-01', make_graph('sub_01_wf'))], watch=lambda n: None)
    ((message, _),) = failures['sub-01']
    assert message.startswith('Nipype failed: ')
    assert 'NoSuchPlugin' in message


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """Return the place of a program that answers for Slurm's."""
    home = tmp_path / 'programs'
    home.mkdir()
    monkeypatch.setenv('PATH', f'{home}:{os.environ["PATH"]}')
    return home / 'sbatch'


def test_slurm_that_takes_no_job(sbatch, tmp_path):
    """Each study is told its own words, and no crash file that is not there."""
    sbatch.write_text('#!/bin/sh\necho sbatch: error: invalid partition >&2\nexit 1\n')
    sbatch.chmod(0o755)
    arguments = {'sbatch_args': '-p none', 'retry_timeout': 0}
    engine = Engine(tmp_path / 'w', plugin={'plugin': 'SLURM', 'plugin_args': arguments})
    graphs = [(label, make_graph(f'{label.replace("-", "_")}_wf')) for label in ('sub-1', 'sub-2')]
    failures = engine.run(graphs, watch=lambda n: None)
    assert sorted(failures) == ['sub-1', 'sub-2']
    for ((message, hint),) in failures.values():
        assert message == 'Slurm does not take the job (sbatch: error: invalid partition)'
        assert 'sinfo' in hint


def test_words_of_a_job(sbatch, tmp_path, monkeypatch):
    """Paths with blanks and signs of patterns stay whole, and what is asked for comes last."""
    said = tmp_path / 'said'
    sbatch.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {said}\necho Submitted batch job 17 on cluster x\n'
    )
    sbatch.chmod(0o755)
    monkeypatch.setenv('ACCOUNT', 'mine')
    plugin = Slurm(plugin_args={'sbatch_args': '-A $ACCOUNT --comment="two words" --overcommit'})
    node = make_graph('sub_01_wf').get_node('n0')
    script = str(tmp_path / '5% of it/job.sh')
    assert plugin._submit_batchtask(script, node) == 17
    log = str(tmp_path / '5%% of it/slurm-%j.out')
    words = said.read_text().splitlines()
    assert words[:5] == ['-o', log, '-e', log, '-J']
    assert words[6:] == ['-A', 'mine', '--comment=two words', '--overcommit', script]
    sbatch.write_text('#!/bin/sh\necho Hello\n')
    with pytest.raises(ResourceError, match=r'no number of a job \(Hello\)'):
        plugin._submit_batchtask(script, node)


def test_plugin_by_number_of_processes(tmp_path):
    follower = SimpleNamespace()
    assert Engine(tmp_path)._plugin(follower)['plugin'] == 'Linear'
    several = Engine(tmp_path, 3, 8.0)._plugin(follower)
    assert isinstance(several['plugin'], LongestFirst)
    asked = {'plugin': 'MultiProc', 'plugin_args': {'n_procs': 2}}
    named = Engine(tmp_path, 3, plugin=asked)._plugin(follower)['plugin']
    assert isinstance(named, LongestFirst)
    assert named.plugin_args['n_procs'] == 2
    assert several['plugin'].plugin_args['n_procs'] == 3
    assert several['plugin'].plugin_args['memory_gb'] == 8.0
    own = Engine(tmp_path, plugin={'plugin': 'SLURM', 'plugin_args': {'sbatch_args': '-p x'}})
    chosen = own._plugin(follower)['plugin']
    assert isinstance(chosen, Slurm)
    assert chosen.plugin_args == {'status_callback': follower, 'sbatch_args': '-p x'}
    other = Engine(tmp_path, plugin={'plugin': 'SGE', 'plugin_args': {'qsub_args': '-q x'}})
    assert other._plugin(follower)['plugin'] == 'SGE'


def _masks_of(tmp_path, weights, count=1):
    """Return graphs that find the brain in images of noise, with their labels."""
    graphs, choice = [], Choice('hd-bet', weights=str(weights), device='cpu')
    for number in range(count):
        path = tmp_path / f'{number}.nii.gz'
        if not path.exists():
            values = np.random.default_rng(number).integers(100, 900, (40, 40, 40), np.int16)
            nib.save(nib.Nifti1Image(values, np.diag([3.0, 3, 3, 1])), path)
        graph = init_brain_mask_wf(choice=choice, name=f'sub_{number}_wf')
        graph.inputs.inputnode.image = str(path)
        graphs.append((f'sub-{number}', graph))
    return graphs


@pytest.fixture
def coarse_weights(tmp_path):
    """Return weights for a grid of 3 mm, where a network is quick."""
    weights = make_weights(tmp_path / 'weights')
    configure(spacing=[3.0, 3.0, 3.0])(weights / 'plans.json')
    return weights


def test_each_worker_loads_the_network_once(tmp_path, coarse_weights, monkeypatch):
    from mrrate_bids.computing.hdbet import Extractor

    load = Extractor.load

    def count(*given, **more):
        with (tmp_path / 'loads').open('a') as file:
            file.write(f'{os.getpid()}\n')
        return load(*given, **more)

    monkeypatch.setattr(Extractor, 'load', count)
    graphs = _masks_of(tmp_path, coarse_weights, 6)
    engine = Engine(tmp_path / 'work', processes=2)
    options = Options(hdbet_weights=str(coarse_weights), device='cpu')
    engine.check(options, [graph for _, graph in graphs])
    assert engine.run(graphs, watch=lambda done: None) == {}
    workers = (tmp_path / 'loads').read_text().split()
    assert 1 <= len(workers) <= 2
    assert len(workers) == len(set(workers))
    assert str(os.getpid()) not in workers


def test_work_folder_does_not_remember_other_weights(tmp_path, coarse_weights):
    def found():
        engine = Engine(tmp_path / 'work')
        assert engine.run(_masks_of(tmp_path, coarse_weights), watch=lambda done: None) == {}
        (mask,) = (tmp_path / 'work').rglob('brain_mask.nii.gz')
        return mask.stat().st_mtime_ns, np.asarray(nib.load(mask).dataobj)

    first, second = found(), found()
    assert first[0] == second[0]
    others = make_weights(tmp_path / 'others', seed=1)
    checkpoint = 'fold_all/checkpoint_final.pth'
    shutil.copyfile(others / checkpoint, coarse_weights / checkpoint)
    third = found()
    assert (third[1] != first[1]).any()


def test_work_folder_is_held_by_one_run(tmp_path):
    one, busy = Engine(tmp_path / 'work').held(), 'is the --work-dir of another run .process'
    with one, pytest.raises(UsageError, match=busy), Engine(tmp_path / 'work').held():
        pass
    with Engine(tmp_path / 'work').held():
        pass


def test_work_folder_that_cannot_be(tmp_path):
    (tmp_path / 'file').touch()
    for place in (tmp_path / 'file', tmp_path / 'file/in'):
        with pytest.raises(UsageError, match='cannot be written'), Engine(place).held():
            pass


def test_one_bad_file_is_one_failure_of_a_study(tmp_path):
    """Every node that reads it says the same; other words, and other studies, count on."""
    first, second = pe.Workflow(name='sub_01_wf'), pe.Workflow(name='sub_02_wf')
    for number, words in enumerate(['in words', 'in words', 'badly', 'in words']):
        first.add_nodes([pe.Node(Count(number=0, fails=words), name=f'n{number}')])
    second.add_nodes([pe.Node(Count(number=0, fails='in words'), name='n0')])
    done = []
    failures = Engine(tmp_path).run([('sub-01', first), ('sub-02', second)], watch=done.append)
    said = [failure.message for failure in failures['sub-01']]
    assert said.count('the voxels are wrong') == 1
    assert len(said) == 2
    assert failures['sub-02'] == [Failure('the voxels are wrong', 'Look at them.')]
    assert done[-1] == (2, 5, 5)
