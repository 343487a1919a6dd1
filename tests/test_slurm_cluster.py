"""Arrays of jobs and single nodes on a real Slurm, which these tests start on this machine.

What comes of parts that run at the same time, are killed and are submitted again is, byte for
byte, what comes of one process.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import fetches
import hostile
import pytest
import slurm_node
import small_bids
from bad_server import BadServer, serving

from mrrate_bids.tables import read_tsv

if reason := slurm_node.why_not():
    pytest.skip(f'Slurm: {reason}', allow_module_level=True)

PARTS = 3
ROOT = Path(__file__).parents[1]
VISITS = tuple((f'sub-{n:02d}', 'ses-1', ('T1w',)) for n in range(1, PARTS + 1))


class Cluster:
    """The commands of Slurm, and ours, in its environment."""

    def __init__(self, environment):
        path = f'{Path(sys.executable).parent}{os.pathsep}{environment["PATH"]}'
        self.env = environment | {'PATH': path, 'COLUMNS': '200'}

    def call(self, *words, code=0, **more):
        command = list(map(str, words))
        options = {'env': self.env, 'capture_output': True, 'text': True} | more
        done = subprocess.run(command, check=False, **options)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def ours(self, *words, **more):
        return self.call('mrrate-bids', *words, **more)

    def submit(self, *words, cwd):
        """Submit a command of ours, and return the numbers of its jobs."""
        said = self.ours('slurm', '--submit', *words, cwd=cwd)
        return re.findall(r'^Job (\d+)', said, flags=re.MULTILINE)

    def again(self, script, *options, cwd):
        return self.call('sbatch', '--parsable', *options, script, cwd=cwd).strip()

    def wait(self, *jobs, seconds=90):
        """Wait for jobs; return the exit code and signal of each of their parts."""
        until, codes = time.monotonic() + seconds, {}
        for job in jobs:
            while running := self.states(job) - ENDED:
                assert time.monotonic() < until, (job, running, self.call('squeue'))
                time.sleep(0.1)
            codes |= self.codes(job)
        return codes

    def kill(self, job=''):
        """Kill every process of a job, or of all that run, as a machine that goes down does.

        Tells whether there was one. Slurm writes -1 for a step that has none, or no more: to the
        system that means all processes of this machine.
        """
        command = ['scontrol', 'listpids', *filter(None, [job])]
        said = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        found = [int(line.split()[0]) for line in said.stdout.splitlines()[1:]]
        pids = [pid for pid in found if pid > 1]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def requeue(self, job):
        """Put the parts of a job back, as Slurm does when a machine goes down."""
        parts = [f'{job}_{number}' for number in range(1, PARTS + 1)]
        for part in parts:
            self.call('scontrol', 'requeue', part)

    def is_idle(self):
        return not self.call('squeue', '--noheader').strip()

    def _show(self, job):
        return self.call('scontrol', '--oneliner', 'show', 'job', job)

    def states(self, job):
        return set(re.findall(r' JobState=(\S+)', self._show(job)))

    def codes(self, job):
        found = {}
        for line in self._show(job).splitlines():
            part = re.search(r' ArrayTaskId=(\d+) ', line)
            code = re.search(r' ExitCode=(\d+):(\d+) ', line)
            found[int(part[1]) if part else job] = (int(code[1]), int(code[2]))
        return found


ENDED = {'COMPLETED', 'FAILED', 'CANCELLED', 'NODE_FAIL', 'TIMEOUT'}
FINE = dict.fromkeys(range(1, PARTS + 1), (0, 0))


@pytest.fixture(scope='session')
def cluster():
    # Slurm refuses a path of a socket of more than 108 characters.
    root = Path(tempfile.mkdtemp(prefix='slurm-'))
    root.chmod(0o755)
    with slurm_node.daemons(root) as environment:
        yield Cluster(small_bids.clean_environment() | environment)
    shutil.rmtree(root)


def logs(folder):
    return '\n'.join(path.read_text() for path in sorted(folder.glob('*.log')))


def wait_for(what, seconds=60):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


# Export and import


@pytest.fixture(scope='module')
def many(tmp_path_factory):
    """Return a release, its dataset, and the release that is made of this again."""
    root = tmp_path_factory.mktemp('many')
    studies = [
        hostile.Study(f'STUDY{n:05d}', str(n // 2), f'batch{n % 2:02d}', seed=n % 5)
        for n in range(8)
    ]
    source = hostile.write_release(root / 'release', studies)
    assert hostile.export(source, root / 'bids').code == 0
    return source, root / 'bids'


def test_export_and_import_as_arrays(cluster, many, tmp_path):
    """Folders with blanks, quotes and signs of patterns are no trouble."""
    source, expected = many
    where = tmp_path / "it's 5% of %j"
    where.mkdir()
    (job,) = cluster.submit(
        *('--array', PARTS, '--cpus', 1, '--mem', '1G', '--logs', 'all logs'),
        *('export', source, 'bids'),
        cwd=where,
    )
    assert cluster.wait(job) == FINE, logs(where / 'all logs')
    assert len(list((where / 'all logs').glob(f'mrrate-export-{job}_*.log'))) == PARTS
    assert hostile.tree(where / 'bids') == hostile.tree(expected)
    (job,) = cluster.submit('--array', PARTS, '--cpus', 1, 'import', 'bids', 'again', cwd=where)
    assert cluster.wait(job) == FINE, logs(where)
    cluster.ours('import', expected, tmp_path / 'alone')
    assert hostile.tree(where / 'again') == hostile.tree(tmp_path / 'alone')


def test_exit_code_of_a_part_is_that_of_the_command(cluster, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    (broken,) = source.glob(f'**/{hostile.VICTIM}.zip')
    broken.write_bytes(broken.read_bytes()[:100])
    script = tmp_path / 'export.sh'
    words = ('--array', PARTS, '--output-script', script, 'export', source, 'bids')
    cluster.ours('slurm', *words, cwd=tmp_path)
    codes = cluster.wait(cluster.again(script, cwd='/'))
    # One that ends later names it, too: its tables are of all that has been done by then.
    assert codes[2] == (3, 0), logs(tmp_path)
    assert {code for code, _ in codes.values()} <= {0, 3}
    assert f'{hostile.VICTIM}.zip: is truncated' in logs(tmp_path)
    once_more = cluster.wait(cluster.again(script, '--array=2', cwd='/'))
    assert once_more == {2: (3, 0)}


def test_one_job_and_modules(cluster, many, tmp_path):
    """A command that looks at everything has no parts; its program is the one of the setup."""
    setup = tmp_path / 'setup'
    setup.write_text(
        f'echo "loaded${{NOT_SET}}"\nexport PATH={Path(sys.executable).parent}:$PATH\n'
    )
    words = ('validate', '--skip-bids-validator', many[1])
    (job,) = cluster.submit('--setup', f'@{setup}', *words, cwd=tmp_path)
    assert cluster.wait(job) == {job: (3, 0)}, logs(tmp_path)
    assert logs(tmp_path).startswith('loaded\n')
    assert 'transforms rigid' in logs(tmp_path)  # which those of these studies are not


def test_what_slurm_does_not_have(cluster, many, tmp_path):
    words = ('slurm', '--submit', '--partition', 'none', 'export', many[0], 'bids')
    done = subprocess.run(
        ['mrrate-bids', *map(str, words)],
        env=cluster.env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert 'invalid partition' in done.stderr
    assert 'Traceback' not in done.stderr


# Fetch


@pytest.mark.slow
@pytest.mark.parametrize('how', ['kill', 'requeue'])
def test_fetch_that_is_stopped_and_goes_on(how, cluster, tmp_path):
    """Killed and submitted again, or put back by Slurm itself, it ends in what was published."""
    studies = fetches.twenty_studies()[:6]
    source = fetches.write_release(tmp_path / 'source', studies)
    script, part = tmp_path / 'fetch.sh', tmp_path / 'part'
    with serving(BadServer(source)) as server:
        words = ('--array', PARTS, '--cpus', 1, '--logs', 'logs', '--output-script', script)
        slowly = ('fetch', server.url, part, '--what', 'native', '--limit-rate', '1.5')
        cluster.ours('slurm', *words, *slowly, cwd=tmp_path)
        job = cluster.again(script, cwd=tmp_path)
        wait_for(lambda: len(list(part.glob('MR-RATE/mri/*/*/img/*.nii.gz'))) >= 2)
        if how == 'kill':
            cluster.kill()
            assert set(cluster.wait(job).values()) == {(0, 9)}
            assert len(fetches.images(part)) < 18
            job = cluster.again(script, cwd=tmp_path)
        else:
            cluster.requeue(job)
        assert cluster.wait(job) == FINE, logs(tmp_path / 'logs')
    assert fetches.images(part) == fetches.published(studies, kinds=['image'])
    rows = read_tsv(part / '.mrrate-bids/fetch/studies.tsv')
    assert [row['state'] for row in rows] == ['complete'] * len(studies)
    fetches.assert_nothing_half_written(part)


# Runs


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Return a dataset, its masks, the words of a run, and what one process makes."""
    pytest.importorskip('bids')
    pytest.importorskip('nipype')
    root = tmp_path_factory.mktemp('world')
    bids = small_bids.make_bids(root / 'bids', VISITS)
    masks = small_bids.make_masks(root / 'masks', VISITS)
    options = ('--brain-extractor', 'derivatives', '-d', masks, '--steps', 'deface')
    options += ('--skip-bids-validation',)
    done = small_bids.call(
        *('run', bids, root / 'alone', 'participant', *options, '--nprocs', 1),
        *('-w', root / 'work'),
        env=small_bids.clean_environment(),
        cwd=root,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return SimpleNamespace(bids=bids, options=options, alone=root / 'alone')


def results(out):
    """Return what was computed, by its path; reports and logs tell when and where.

    Receipts tell when, too, in ns of 19 digits, under a digest of all that they say.
    """
    found = {}
    for path in sorted(out.rglob('*')):
        inside = path.relative_to(out)
        if path.is_file() and inside.parts[0] not in {'reports', 'logs'}:
            found[inside.as_posix()] = re.sub(
                rb'\b\d{19}\b|"digest": "\w+"', b'', path.read_bytes()
            )
    return {name: data for name, data in found.items() if not name.endswith('.lock')}


def assert_same(out, alone):
    made, expected = results(out), results(alone)
    assert made.keys() == expected.keys()
    assert [name for name in made if made[name] != expected[name]] == []
    pages = {path.name for path in (alone / 'reports').glob('*.html')}
    assert pages <= {path.name for path in (out / 'reports').glob('*.html')}


@pytest.fixture
def out(world, request):
    """Return a folder for results next to that of one process, so that links are the same."""
    return world.alone.with_name(request.node.name)


def test_run_as_an_array_with_a_page_of_all(cluster, world, out, tmp_path):
    words = ('run', world.bids, out, 'participant', *world.options)
    jobs = cluster.submit('--array', PARTS, '--cpus', 1, '--mem', '1G', *words, cwd=tmp_path)
    assert cluster.wait(*jobs) == FINE | {0: (0, 0)}, logs(tmp_path)
    assert_same(out, world.alone)
    assert (out / 'reports/group.html').exists()
    assert sorted(path.name for path in (tmp_path / 'work').iterdir()) == [
        f'shard-{n}-of-{PARTS}' for n in range(1, PARTS + 1)
    ]


def test_run_that_is_killed_and_submitted_again(cluster, world, out, tmp_path):
    script = tmp_path / 'run.sh'
    words = ('--array', '1', '--cpus', 1, '--output-script', script)
    command = ('run', world.bids, out, 'participant', *world.options)
    cluster.ours('slurm', *words, *command, cwd=tmp_path)
    job = cluster.again(script, cwd=tmp_path)
    wait_for(lambda: list(tmp_path.rglob('result_*.pklz')))  # the first node has ended
    cluster.kill()
    assert cluster.wait(job) == {1: (0, 9)}
    states = [json.loads(path.read_text())['state'] for path in out.rglob('receipts/*/*.json')]
    assert states.count('complete') < PARTS
    assert cluster.wait(cluster.again(script, cwd=tmp_path)) == {1: (0, 0)}, logs(tmp_path)
    assert_same(out, world.alone)


def plugin_file(folder):
    """Write the file of the plugin that the documentation shows."""
    text = (ROOT / 'docs/how-to/cluster.md').read_text(encoding='utf-8')
    (shown,) = re.findall(r'^```yaml\n(.*?)^```$', text, flags=re.MULTILINE | re.DOTALL)
    path = folder / 'slurm.yml'
    path.write_text(shown.replace('--time=4:00:00 --mem=8G', '--time=5 --mem=500M'))
    return path


@pytest.mark.slow
def test_plugin_of_nipype(cluster, world, out, tmp_path):
    words = ('run', world.bids, out, 'participant', *world.options)
    env = {name: text for name, text in cluster.env.items() if name not in {'LOGNAME', 'USER'}}
    where = tmp_path / '5% of %j'
    where.mkdir()
    cluster.ours(*words, '--use-plugin', plugin_file(tmp_path), cwd=where, env=env)
    assert_same(out, world.alone)
    assert list((where / 'work').rglob('slurm-*.out'))


def test_plugin_for_what_slurm_does_not_have(cluster, world, out, tmp_path):
    path = plugin_file(tmp_path)
    path.write_text(path.read_text().replace('--time', '--partition=none --time'))
    words = ('run', world.bids, out, 'participant', *world.options, '--use-plugin', path)
    said = ' '.join(cluster.ours(*words, cwd=tmp_path, code=3).split())
    assert 'invalid partition specified: none' in said
    assert 'crash file' not in said


@pytest.mark.slow
def test_node_whose_job_is_killed(cluster, world, out, tmp_path):
    """Its study fails, in words; the others are done, and the next run does it, too."""
    words = ['mrrate-bids', 'run', world.bids, out, 'participant', *world.options]
    words += ['--use-plugin', plugin_file(tmp_path)]
    running = subprocess.Popen(
        list(map(str, words)),
        env=cluster.env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    mine = ('squeue', '--noheader', '--states=RUNNING', '--format=%A')
    wait_for(lambda: any(cluster.kill(job) for job in cluster.call(*mine).split()[:1]))
    said, _ = running.communicate(timeout=90)
    assert running.returncode == 3, said
    assert 'failed unexpectedly' in said
    assert 'Traceback' not in said
    assert len(list(out.rglob('*_defacemask.nii.gz'))) == PARTS - 1
    cluster.ours(*words[1:], cwd=tmp_path)
    assert_same(out, world.alone)


def test_jobs_of_nodes_end_with_an_interrupted_run(cluster, world, out, tmp_path):
    words = ['mrrate-bids', 'run', world.bids, out, 'participant', *world.options]
    words += ['--use-plugin', plugin_file(tmp_path)]
    running = subprocess.Popen(list(map(str, words)), env=cluster.env, cwd=tmp_path)
    mine = ('squeue', '--noheader', '--format=%A')
    wait_for(lambda: cluster.call(*mine).split())
    job = cluster.call(*mine).split()[0]
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=30) == 130
    assert cluster.states(job) <= {'CANCELLED', 'COMPLETING'}
    wait_for(cluster.is_idle, 20)


# The page of the documentation


def test_commands_of_the_page(cluster, many, tmp_path):
    (tmp_path / 'MR-RATE-all').symlink_to(many[0], target_is_directory=True)
    text = (ROOT / 'docs/how-to/cluster.md').read_text(encoding='utf-8')
    export, *_ = re.findall(r'^```console\n(.*?)^```$', text, flags=re.MULTILINE | re.DOTALL)
    for line in export.splitlines():
        command = line.removeprefix('$ ')
        cluster.call('bash', '-c', command, cwd=tmp_path)
    wait_for(cluster.is_idle)
    assert hostile.tree(tmp_path / 'bids') == hostile.tree(many[1])
