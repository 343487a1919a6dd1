"""What ``mrrate-bids slurm`` writes, and what it refuses before it writes anything."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import hostile
import pytest
from said import Said

from mrrate_bids.cli import main

COMMANDS = {
    'export': ('export', 'release', 'bids', '--split', 'val'),
    'fetch': ('fetch', 'hf://datasets/Forithmus/MR-RATE', 'part', '--batch', '00'),
    'group': ('run', 'bids', 'out', 'group'),
    'import': ('import', 'bids', 'release', '--no-zip'),
    'merge': ('merge', 'release'),
    'run': ('run', 'bids', 'out', 'participant', '--participant-label', '01', '02'),
    'validate': ('validate', 'bids'),
}
PARTS = ('export', 'fetch', 'import', 'run')
WHOLE = sorted(COMMANDS.keys() - set(PARTS))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Stand in an empty folder, on a machine without Slurm."""
    there = tmp_path / 'bin'
    there.mkdir()
    monkeypatch.setenv('PATH', str(there))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(folder):
    """Make an empty dataset."""
    (folder / 'data').mkdir()
    text = '{"Name": "x", "BIDSVersion": "1.10.1", "DatasetType": "raw"}'
    (folder / 'data/dataset_description.json').write_text(text)


def script_of(*words):
    said = Said('slurm', *words)
    assert said.code == 0, said.text + said.errors
    return said.text


def refused(*words):
    said = Said('slurm', *words)
    assert said.code == 2, said.text
    return said.errors


def bash(*arguments, **more):
    command = ['/bin/bash', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def directives(script):
    return dict(re.findall(r'^#SBATCH --([a-z-]+)=?(.*)$', script, flags=re.MULTILINE))


def words_of(script, folder, *, part='2'):
    """Run a script with a program that prints what it is called with; return the words."""
    program = folder / 'bin/mrrate-bids'
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    text = re.sub(r'^( *)/\S*/mrrate-bids ', r'\1mrrate-bids ', script, flags=re.MULTILINE)
    env = {'PATH': f'{folder}/bin', 'SLURM_CPUS_PER_TASK': '4', 'SLURM_MEM_PER_NODE': '16384'}
    done = bash('-c', text, env=env | ({'SLURM_ARRAY_TASK_ID': part} if part else {}))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize('name', sorted(COMMANDS))
def test_bash_and_shellcheck_read_it(name, folder):
    path = folder / 'script.sh'
    path.write_text(script_of('--setup', 'module load x', *COMMANDS[name]))
    done = bash('-n', path)
    assert (done.returncode, done.stderr) == (0, '')
    if checker := shutil.which('shellcheck', path=os.defpath):
        done = subprocess.run([checker, path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize('name', PARTS)
def test_each_part_gets_the_words_as_they_were_given(name, folder):
    script = script_of('--array', 3, *COMMANDS[name])
    command, *words = COMMANDS[name]
    workers = '--nprocs' if name == 'run' else '--jobs'
    assert words_of(script, folder) == [command, '--shard', '2/3', workers, '4', *words]
    assert directives(script)['array'] == '1-3'


@pytest.mark.parametrize('name', WHOLE)
def test_command_that_is_one_job(name, folder):
    script = script_of(*COMMANDS[name])
    command, *words = COMMANDS[name]
    workers = '--nprocs' if name == 'group' else '--jobs'
    assert words_of(script, folder, part='') == [command, workers, '4', *words]
    assert 'array' not in directives(script)
    assert 'is one job' in refused('--array', 2, *COMMANDS[name])
    assert 'is one job' in refused('--max-running', 2, *COMMANDS[name])


@pytest.mark.parametrize(('parts', 'some'), [(2, '2'), (3, '2,3')])
def test_parts_that_are_submitted_again_are_named_once(parts, some):
    assert f'sbatch --array={some} SCRIPT' in script_of('--array', parts, *COMMANDS['export'])


def test_part_0_makes_the_page_of_all(folder):
    script = script_of('--array', 3, *COMMANDS['run'])
    assert words_of(script, folder, part='0') == ['run', 'bids', 'out', 'group']
    assert '--array=0 --dependency=afterany:JOB SCRIPT' in script
    hidden = script_of('--array', 3, *COMMANDS['run'], '--hide-faces')
    assert words_of(hidden, folder, part='0') == ['run', 'bids', 'out', 'group', '--hide-faces']
    assert '"$part" = 0' not in script_of('--array', 3, *COMMANDS['export'])


ODD = ("it's a", 'b $HOME `id` "c"', '--where', "age < 40 and x == 'y;z' # no comment")


def test_words_that_a_shell_would_read_otherwise(folder):
    script = script_of('export', *ODD)
    assert words_of(script, folder, part='1')[-4:] == list(ODD)


def test_what_slurm_is_asked_for():
    asked = directives(
        script_of(
            *('--array', 28, '--max-running', 4, '--time', '1-12:00:00', '--mem', '16G'),
            *('--cpus', 8, '--gpus', 1, '--partition', 'long', '--account', 'lab'),
            *COMMANDS['run'],
        )
    )
    assert asked == {
        'job-name': 'mrrate-run',
        'array': '1-28%4',
        'cpus-per-task': '8',
        'mem': '16G',
        'time': '1-12:00:00',
        'gres': 'gpu:1',
        'partition': 'long',
        'account': 'lab',
        'chdir': str(Path.cwd()),
        'output': f'{Path.cwd()}/%x-%A_%a.log',
        'open-mode': 'append',
        'requeue': '',
    }


def test_memory_and_threads_of_a_run(folder):
    script = script_of('--mem', '16G', '--cpus', 4, *COMMANDS['run'], '--omp-nthreads', 2)
    words = words_of(script, folder, part='1')
    assert words[1:7] == ['--shard', '1/1', '--nprocs', '2', '--mem-gb', '16']
    given = ('--mem', '16G', *COMMANDS['run'], '--nprocs', 1, '--mem-gb', 3)
    assert words_of(script_of(*given), folder)[1:4] == ['--shard', '2/1', 'bids']
    assert '--cpus' in refused('--cpus', 2, *COMMANDS['run'], '--omp-nthreads', 3)
    assert 'too little' in refused('--mem', '900M', *COMMANDS['run'])
    assert 'too little' in refused('--mem', '900', *COMMANDS['run'])


def test_setup_may_use_variables_that_are_not_set(folder):
    (folder / 'setup').write_text('echo "$NOT_SET"\n')
    script = script_of('--setup', '@setup', '--setup', 'echo two', *COMMANDS['export'])
    assert '\nmrrate-bids export' in script
    assert words_of(script, folder)[:3] == ['', 'two', 'export']
    assert 'cannot be read' in refused('--setup', '@none', *COMMANDS['export'])
    (folder / 'setup').write_text('echo marked\n', encoding='utf-8-sig')
    script = script_of('--setup', '@setup', *COMMANDS['export'])
    assert '\necho marked\n' in script
    (folder / 'setup').write_bytes(b'\xff\x00')
    assert 'is no text in UTF-8' in refused('--setup', '@setup', *COMMANDS['export'])


def test_script_outside_of_slurm_says_so(folder):
    done = bash('-c', script_of(*COMMANDS['export']), env={'SLURM_CPUS_PER_TASK': '1'})
    assert done.returncode != 0
    assert 'this is for sbatch' in done.stderr


def test_script_as_a_file_tells_how_to_go_on(folder):
    words = ('--array', 9, '--logs', 'all logs', '--output-script', 'a b.sh', *COMMANDS['export'])
    said = Said('slurm', *words)
    assert said.code == 0
    assert (folder / 'all logs').is_dir()
    text = (folder / 'a b.sh').read_text()
    assert directives(text)['output'] == f"'{folder}/all logs/%x-%A_%a.log'"
    for line in ("sbatch 'a b.sh'", "sbatch --array=2,9 'a b.sh'", 'squeue --name=mrrate-export'):
        assert line in said.text
        assert line in text


@pytest.mark.parametrize(
    ('words', 'says'),
    [
        (('export', 'a', 'b', '--bogus'), 'No such option'),
        (('export', 'a'), "Missing argument 'BIDS_DIR'"),
        (('run', 'a', 'b', 'all'), "'all' is not one of"),
        (('export', 'a', 'b', '--modality', 'CT'), 'is none of'),
        (('export', 'a', 'b', '--shard', '1/2'), '--shard is what each job is given'),
        (('export', 'a', 'b', '--dry-run'), 'needs no cluster'),
        (('fetch', 'a', 'b', '--where', "modality === 'FLAIR'"), 'cannot be evaluated'),
        (('export', 'a', 'b', '--where', "modality = 'FLAIR'"), 'is no condition'),
        (('export', 'a', 'b', '--shard', '3/2'), 'Write I/N with I from 1 to N'),
        (('fetch', 'a', 'b', '--timeout', 'nan'), 'not a finite number'),
        (('fetch', 'a', 'b', '--token', 'hf_secret'), 'others may read the script'),
        (('select', 'a'), 'No such command'),
        (('--time', 'soon', 'export', 'a', 'b'), 'not of the form'),
        (('--mem', '0', 'export', 'a', 'b'), 'not of the form'),
        (('--partition', 'a\nb', 'export', 'a', 'b'), 'not of the form'),
        (('--array', '0', 'export', 'a', 'b'), 'not in the range'),
        (('--submit', 'validate', 'data'), 'there is no sbatch on this machine'),
        (('--submit', 'export', 'a', 'b'), 'a is not a folder'),
        (('--submit', 'merge', 'a'), 'a is not a folder'),
        (('--submit', 'fetch', 'a', 'b'), 'a is not a folder'),
        (('--submit', 'fetch', 'file://a', 'b'), 'a is not a folder'),
        (('--submit', 'export', 'bin', 'b'), 'bin holds no MR-RATE repository'),
        (('--submit', 'import', 'bin', 'b'), 'bin is no BIDS dataset'),
        (('--submit', 'run', 'bin', 'b', 'participant'), 'bin is no BIDS dataset'),
        (('--submit', 'run', 'bin', 'b', 'group'), 'bin is no BIDS dataset'),
        (('--submit', 'validate', 'bin'), 'bin is no BIDS dataset'),
        (('export', 'a', 'b', '--where', 'modality === 1'), 'cannot be evaluated'),
        (('fetch', 'hf://datasets/a/b', 'b', '--where', 'age <'), 'cannot be evaluated'),
        (('import', 'data', 'b', '--rule', 'nosuch=1'), "'nosuch=1' is no rule"),
        (('import', 'data', 'b', '--merged'), '--merged is for extracted files'),
    ],
)
def test_what_is_refused(words, says, folder, data):
    said = refused('--output-script', 'script.sh', '--logs', 'logs', *words)
    assert says in ' '.join(said.split())
    assert 'hf_secret' not in said
    assert sorted(path.name for path in folder.iterdir()) == ['bin', 'data']


@pytest.mark.parametrize('name', sorted(COMMANDS.keys() - {'fetch'}))
def test_folder_that_is_not_there_yet_is_told(name, data):
    said = Said('slurm', *COMMANDS[name])
    assert said.code == 0
    name = next(word for word in COMMANDS[name][1:] if not word.startswith('-'))
    assert said.errors == f'Warning: {name} is not a folder. Jobs that find it so fail.\n'
    sbatch = Path('bin/sbatch')
    sbatch.write_text('#!/bin/sh\necho 12\n')
    sbatch.chmod(0o755)
    inside = Said('slurm', '--setup', 'module load x', '--submit', 'export', 'none', 'b')
    assert (inside.code, inside.errors[:8]) == (0, 'Warning:')


def test_column_that_the_release_does_not_have(folder):
    hostile.write_release(folder / 'release', hostile.three_studies())
    said = refused('export', 'release', 'b', '--where', 'modalty == 1')
    assert "there is no column 'modalty'" in said
    assert Said('slurm', *COMMANDS['export']).errors == ''


def test_folder_with_a_line_break(folder, monkeypatch):
    (folder / 'a\nb').mkdir()
    monkeypatch.chdir(folder / 'a\nb')
    assert 'line break' in refused(*COMMANDS['export'])


def test_numbers_of_jobs_and_how_the_last_waits(folder, data):
    """A cluster may add its name to the number; what is submitted goes in as it would be shown."""
    sbatch = folder / 'bin/sbatch'
    sbatch.write_text(
        f'#!/bin/sh\necho "$@" >>{folder}/called\n/bin/cat >{folder}/script\necho "12;here"\n'
    )
    sbatch.chmod(0o755)
    words = ('run', 'data', *COMMANDS['run'][2:])
    said = Said('slurm', '--array', 3, '--submit', *words)
    assert said.code == 0
    assert said.text.startswith('Job 12: 3 parts\nJob 12: one page and one table of all studies')
    assert (folder / 'called').read_text().splitlines() == [
        '--parsable',
        '--parsable --array=0 --dependency=afterany:12',
    ]
    assert (folder / 'script').read_text() == script_of('--array', 3, *words)


def test_slurm_that_refuses(folder, data):
    sbatch = folder / 'bin/sbatch'
    sbatch.write_text('#!/bin/sh\necho "sbatch: error: invalid account" >&2\nexit 1\n')
    sbatch.chmod(0o755)
    assert 'invalid account' in refused('--submit', 'validate', 'data')


def test_job_that_runs_is_named_when_the_last_part_is_refused(folder, data):
    sbatch = folder / 'bin/sbatch'
    sbatch.write_text(
        '#!/bin/sh\ncase "$*" in *--array=0*) echo "no" >&2; exit 1;; esac\necho 12\n'
    )
    sbatch.chmod(0o755)
    said = refused('--array', 3, '--submit', 'run', 'data', *COMMANDS['run'][2:])
    assert 'job 12, all parts but the last, was submitted' in said
    assert 'scancel 12' in said


def test_token_that_is_not_there_is_told(folder, data):
    said = Said('slurm', 'fetch', 'https://host/x', 'part', '--token', '@gone')
    assert said.code == 0
    assert said.errors.startswith('Warning: --token: there is no file gone')


def test_logs_that_are_a_file(folder, data):
    (folder / 'taken').write_text('')
    said = refused('--logs', 'taken', 'export', 'data', 'b')
    assert 'taken: File exists' in said
    assert 'A file is where a folder should be' in said


def test_every_command_that_is_taken_is_tried():
    group = main.get_command(None, 'slurm')
    assert set(group.list_commands(None)) == {words[0] for words in COMMANDS.values()}


@pytest.mark.parametrize('source', ['http://me:secret@h/x', 'x::http://h/x?token=secret'])
def test_address_with_a_secret_is_in_no_script(source, folder):
    said = Said('slurm', 'fetch', source, 'part')
    assert said.code == 2
    assert 'secret' not in said.text + said.errors


def test_script_takes_the_place_of_no_other_file(folder, data):
    Path('table.csv').write_text('a,b\n')
    said = Said('slurm', '--output-script', 'table.csv', 'export', 'data', 'b')
    assert said.code == 3
    assert Path('table.csv').read_text() == 'a,b\n'
    for _ in range(2):
        assert Said('slurm', '--output-script', 'a.sh', 'export', 'data', 'b').code == 0
