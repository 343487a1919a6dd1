"""The command line: help, exit codes, two-line errors, completion."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from makers import make_release

from mrrate_bids import __version__, cli
from mrrate_bids.cli import main
from mrrate_bids.cli.options import CommaList
from mrrate_bids.errors import SourceError, UsageError
from mrrate_bids.naming import INCLUDES, PLANES
from mrrate_bids.tables import read_tsv

COMMANDS = main.list_commands(click.Context(main))
STUDIES = [
    {
        'batch': 'batch00',
        'patient': '1',
        'study': 'A',
        'series': ['t1w-raw-sag', 'flair-raw-axi'],
        'split': 'train',
    },
    {
        'batch': 'batch01',
        'patient': '2',
        'study': 'B',
        'series': ['t1w-raw-axi', 'swi-raw-axi'],
        'split': 'val',
    },
]


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    return make_release(tmp_path_factory.mktemp('release'), STUDIES)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _ok(*arguments, code=0):
    result = _run(*arguments)
    assert result.exit_code == code, f'{result.output}\n{result.exception!r}'
    return result


def _process(*arguments, **environment):
    command = [sys.executable, '-m', 'mrrate_bids', *map(str, arguments)]
    environment = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def _images(bids):
    return sorted(path.name for path in Path(bids).glob('sub-*/ses-*/anat/*.nii.gz'))


@pytest.mark.parametrize('flag', ['-h', '--help'])
@pytest.mark.parametrize('command', [(), *((name,) for name in COMMANDS)])
def test_help(command, flag):
    text = _ok(*command, flag).stdout
    assert text.startswith('Usage: ')
    assert 'Example' in text
    assert '\\b' not in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize('command', COMMANDS)
def test_commands_are_listed_with_what_they_are_for(command):
    text = _ok('--help').stdout
    (line,) = re.findall(rf'^  {command} +(.+)$', text, flags=re.MULTILINE)
    assert line.endswith('.')


def test_options_of_export_are_explained():
    text = _ok('export', '--help').stdout
    command = main.get_command(click.Context(main), 'export')
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.opts[-1] in text


def test_version():
    assert _ok('--version').stdout == f'mrrate-bids, version {__version__}\n'


def test_no_command():
    result = _run()
    assert result.exit_code == 2
    assert 'Usage: ' in result.output


def test_export_and_once_more(source, here):
    result = _ok('export', source, 'bids')
    assert _images('bids') == [
        'sub-1_ses-A_acq-axi_run-01_FLAIR.nii.gz',
        'sub-1_ses-A_acq-sag_run-01_T1w.nii.gz',
        'sub-2_ses-B_acq-axi_rec-SWI_run-01_T2starw.nii.gz',
        'sub-2_ses-B_acq-axi_run-01_T1w.nii.gz',
    ]
    assert re.search(r'done.*skipped.*partial.*failed.*not on disk', result.stdout)
    assert re.search(r'\b2\b.*\b0\b.*\b0\b.*\b0\b.*\b0\b', result.stdout)
    result = _ok('export', source, 'bids')
    assert re.search(r'\b0\b.*\b2\b.*\b0\b.*\b0\b.*\b0\b', result.stdout)


def test_export_into_the_current_folder(source, here):
    _ok('export', source, '.', '--include', 'raw')
    assert (here / 'participants.tsv').exists()
    assert len(_images('.')) == 4


@pytest.mark.parametrize(
    ('options', 'images'),
    [
        (['--modality', 'flair'], ['FLAIR']),
        (['--modality', 'FLAIR,SWI'], ['FLAIR', 'T2starw']),
        (['--modality', 'FLAIR', '--modality', 'SWI'], ['FLAIR', 'T2starw']),
        (['--plane', 'sag'], ['T1w']),
        (['--split', 'VAL'], ['T2starw', 'T1w']),
        (['--batch', '1', '--plane', 'axi', '--modality', 'T1w'], ['T1w']),
        (['--patient', '1', '--where', "modality == 'FLAIR'"], ['FLAIR']),
        (['--study', 'B', '--where', 'is_center_modality'], ['T1w']),
        (['--shard', '1/2'], ['FLAIR', 'T1w']),
        (['--shard', '2/2', '--jobs', '1'], ['T2starw', 'T1w']),
    ],
)
def test_selection(source, here, options, images):
    _ok('export', source, 'bids', '--include', 'raw', *options)
    assert [name.split('_')[-1].removesuffix('.nii.gz') for name in _images('bids')] == images


@pytest.mark.parametrize(
    ('include', 'datasets'),
    [
        ('raw', set()),
        ('raw,defaced', {'mrrate-defaced'}),
        ('coreg,atlas', {'mrrate-coreg', 'mrrate-atlas'}),
        ('seg', {'mrrate-nvsegctmr', 'mrrate-vistaseg'}),
    ],
)
def test_include(source, here, include, datasets):
    _ok('export', source, 'bids', '--include', include)
    assert {path.name for path in here.glob('bids/derivatives/*')} == datasets


def test_dry_run_writes_the_plan_and_nothing_else(source, here):
    result = _ok('export', source, 'bids', '--dry-run', '--plan-file', 'plans/a.tsv')
    assert 'nothing was exported' in result.stdout
    assert [path.name for path in here.iterdir()] == ['plans']
    planned = {r['target'] for r in read_tsv(here / 'plans/a.tsv') if r['kind'] == 'image'}
    _ok('export', source, 'bids')
    assert {p for p in planned if p.endswith('.gz')} == {
        path.relative_to(here / 'bids').as_posix()
        for path in here.glob('bids/sub-*/ses-*/anat/*.nii.gz')
    }


@pytest.mark.parametrize('link', ['auto', 'hardlink', 'symlink', 'copy'])
def test_link(here, link):
    make_release(here / 'release', STUDIES[:1], zipped=False)
    _ok('export', 'release', 'bids', '--link', link, '--include', 'raw')
    original = here / 'release/MR-RATE/mri/batch00/A/img/A_t1w-raw-sag.nii.gz'
    (image,) = here.glob('bids/sub-1/ses-A/anat/*T1w.nii.gz')
    assert image.is_symlink() == (link == 'symlink')
    assert (image.stat().st_ino == original.stat().st_ino) == (link != 'copy')


def _is_two_lines(text):
    first, second = text.splitlines()
    return first.startswith('Error: ') and second.startswith('  ') and second.strip()


USAGE = [
    (['gone', 'bids'], 'gone is not a folder'),
    (['.', 'bids'], 'holds no MR-RATE repository'),
    (['SOURCE', 'bids', '--shard', '3/2'], "'3/2' is no shard"),
    (['SOURCE', 'bids', '--batch', '07'], 'there is no batch 07'),
    (['SOURCE', 'bids', '--study', 'NOSUCH'], 'there is no study_uid NOSUCH'),
    (['SOURCE', 'bids', '--where', 'te_ms > 3'], "there is no column 'te_ms'"),
    (['SOURCE', 'bids', '--where', 'TE_ms >'], 'cannot be evaluated'),
    (['SOURCE', 'bids', '--where', 'TE_ms'], 'is no condition'),
    (['SOURCE', 'bids', '--where', 'TE_ms', '--dry-run'], 'is no condition'),
]


@pytest.mark.parametrize(('arguments', 'message'), USAGE)
def test_command_that_cannot_work(source, here, arguments, message):
    arguments = [source if a == 'SOURCE' else a for a in arguments]
    result = _ok('export', *arguments, code=2)
    assert _is_two_lines(result.stderr)
    assert message in result.stderr
    assert not _images('bids')
    assert not Path('export-plan.tsv').exists()


@pytest.mark.parametrize(
    'arguments',
    [
        ['frobnicate'],
        ['export'],
        ['export', 'a', 'b', '--frobnicate'],
        ['export', 'a', 'b', '--modality', 'PET'],
        ['export', 'a', 'b', '--split', 'training'],
        ['export', 'a', 'b', '--include', 'raw,all'],
        ['export', 'a', 'b', '--jobs', '0'],
        ['export', 'a', 'b', '--link', 'move'],
        ['demo', 'a', '--voxel', 'nan'],
        ['demo', 'a', '--voxel', 'inf'],
        ['completion', 'powershell'],
    ],
)
def test_arguments_that_are_refused(here, arguments):
    result = _ok(*arguments, code=2)
    assert 'Usage: ' in result.stderr
    assert 'Traceback' not in result.stderr


def test_something_set_aside(here):
    make_release(here / 'release', STUDIES)
    (here / 'release/MR-RATE/mri/batch00/A.zip').write_bytes(b'PK\x05\x06' + b'\0' * 18)
    result = _ok('export', 'release', 'bids', code=3)
    assert 'is an empty zip (22 bytes)' in result.stdout
    assert _images('bids') == [
        'sub-2_ses-B_acq-axi_rec-SWI_run-01_T2starw.nii.gz',
        'sub-2_ses-B_acq-axi_run-01_T1w.nii.gz',
    ]
    problems = read_tsv(here / 'bids/sourcedata/mrrate/problems.tsv')
    assert any('empty zip' in p['message'] and p['study'] == 'A' for p in problems)
    _ok('export', 'release', 'bids', '--dry-run', code=3)


@pytest.mark.parametrize(
    ('bids', 'message'),
    [
        ('release/bids', 'lies inside the release'),
        ('release', 'lies inside the release'),
        ('file/bids', 'a file where a folder should be'),
        ('file', 'a file where a folder should be'),
    ],
)
def test_destination_that_cannot_take_files(here, bids, message):
    make_release(here / 'release', STUDIES)
    (here / 'file').write_text('content')
    before = sorted((here / 'release').rglob('*'))
    result = _ok('export', 'release', bids, code=3)
    assert message in result.stderr.replace('\n', ' ')
    assert result.stderr.splitlines()[-2].startswith('Error: ')
    assert sorted((here / 'release').rglob('*')) == before
    assert (here / 'file').read_text() == 'content'


def test_debug_shows_the_traceback(here):
    plain = _process('export', 'gone', 'bids')
    assert plain.returncode == 2
    assert plain.stdout == ''
    assert _is_two_lines(plain.stderr)
    debug = _process('export', 'gone', 'bids', '--debug')
    assert debug.returncode != 0
    assert debug.stderr.startswith('Traceback')
    assert 'SourceError: gone is not a folder' in debug.stderr


@pytest.fixture
def failing(monkeypatch):
    """Return a function that makes the command ``demo`` fail with an exception."""

    def fail_with(error):
        def show(out, *, tell, **options):
            tell('Beginning')
            raise error

        monkeypatch.setattr('mrrate_bids.showcase.show', show)

    return fail_with


UNEXPECTED = [
    (ValueError('odd\n  cell'), 'unexpected ValueError: odd cell'),
    (KeyError('a'), "unexpected KeyError: 'a'"),
    (OSError(5, 'Input/output error'), 'unexpected OSError: [Errno 5] Input/output error'),
    (PermissionError(1, 'without a file'), 'unexpected PermissionError: [Errno 1] without a file'),
    (RuntimeError(), 'unexpected RuntimeError:'),
    (EOFError('early'), 'unexpected EOFError: early'),
]


@pytest.mark.parametrize(('error', 'message'), UNEXPECTED)
def test_unexpected_error_is_two_lines(here, failing, error, message):
    failing(error)
    result = _ok('demo', 'out', code=1)
    first, second = result.stderr.splitlines()
    assert first == f'Error: {message}'
    assert '--debug' in second
    raised = _run('demo', 'out', '--debug').exception
    assert error in (raised, raised.__cause__)


@pytest.mark.parametrize(
    ('error', 'code', 'remedy'),
    [
        (OSError(errno.ENOSPC, 'No space left on device'), 3, 'Make room'),
        (OSError(errno.EROFS, 'Read-only file system', '/data/x'), 3, 'choose another folder'),
        (PermissionError(errno.EACCES, 'Permission denied', '/data/x'), 2, 'Ask its owner'),
        (PermissionError(errno.EACCES, 'Permission denied', b'/data/x'), 2, 'Ask its owner'),
    ],
    ids=['full', 'read-only', 'closed', 'closed, as bytes'],
)
def test_what_the_system_refuses_has_a_remedy(error, code, remedy, here, failing):
    failing(error)
    first, second = _ok('demo', 'out', code=code).stderr.splitlines()
    where = '/data/x: ' if error.filename else ''
    assert first == f'Error: {where}{error.strerror}'
    assert remedy in second
    assert error is _run('demo', 'out', '--debug').exception


@pytest.mark.parametrize('times', [1, 2])
def test_interrupt_is_one_line_and_another_one_kills(times, tmp_path):
    """Threads that are at work are waited for, but not by who asks again."""
    script = (
        'import signal, threading, time; from mrrate_bids import showcase, cli\n'
        'def show(*args, **more):\n'
        '    threading.Thread(target=time.sleep, args=(3,)).start()\n'
        f'    if {times} > 1:\n'
        '        threading.Timer(1, signal.raise_signal, [signal.SIGINT]).start()\n'
        '    signal.raise_signal(signal.SIGINT)\n'
        'showcase.show = show\n'
        "cli.main(['demo', 'out'])"
    )
    command = [sys.executable, '-c', script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == (130 if times == 1 else -signal.SIGINT)
    assert done.stderr == 'Interrupted.\n'


@pytest.mark.parametrize('ending', [None, UsageError('no'), ValueError('odd')])
def test_what_ctrl_c_does_is_as_before(ending, here, failing):
    if ending:
        failing(ending)
    before = signal.getsignal(signal.SIGINT)
    _run('--version') if ending is None else _run('demo', 'out')
    assert signal.getsignal(signal.SIGINT) is before


def test_command_in_a_thread(here, failing):
    failing(UsageError('no'))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(_run, 'demo', 'out').result().exit_code == 2


def test_reader_that_has_seen_enough(here, failing):
    failing(BrokenPipeError(errno.EPIPE, 'Broken pipe'))
    assert _ok('demo', 'out', code=1).stderr == ''


def test_what_click_raises_is_left_to_click(here, failing):
    failing(click.UsageError('not like this'))
    assert 'Error: not like this' in _ok('demo', 'out', code=2).stderr
    failing(click.Abort())
    assert _ok('demo', 'out', code=1).stderr == 'Aborted!\n'


def test_encoding_that_lacks_characters(here, failing):
    failing(SourceError('→ 💡'))
    result = CliRunner(charset='latin-1').invoke(main, ['demo', 'out'])
    assert result.exit_code == 2
    assert result.stdout_bytes == b'Beginning ?\n'
    assert b'Error: ? ?' in result.stderr_bytes


@pytest.mark.parametrize('encoding', ['latin-1', 'ascii'])
def test_problems_in_an_encoding_that_lacks_characters(here, encoding):
    make_release(here / 'release', STUDIES)
    (here / 'release/MR-RATE/mri/batch00/A.zip').write_bytes(b'PK\x05\x06' + b'\0' * 18)
    done = _process('export', 'release', 'bids', PYTHONIOENCODING=encoding)
    assert done.returncode == 3, done.stderr
    assert 'is an empty zip (22 bytes)' in done.stdout
    done = _process('export', '--help', PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr


def test_groups_and_planes_are_those_of_the_naming_table():
    options = {p.name: p for p in main.get_command(click.Context(main), 'export').params}
    assert options['include'].type.get_metavar(options['include']) == ','.join(INCLUDES)
    assert options['planes'].type.get_metavar(options['planes']) == ','.join(PLANES)
    for module in ('export', 'options'):
        text = (Path(cli.__file__).parent / f'{module}.py').read_text(encoding='utf-8')
        assert not re.search("'(coreg|obl)'", text)


def test_list_type_works_with_every_click():
    """Before click 8.4 a type has no subscript, before 8.2 its metavar is asked for alone."""
    assert '__orig_bases__' not in vars(CommaList)
    assert CommaList(('a', 'b')).get_metavar(click.Option(['--x'])) == 'a,b'


def test_module_can_be_run():
    assert _process('--version').stdout.endswith(f'{__version__}\n')


def test_nothing_but_plain_text_where_there_is_no_terminal(source, here):
    done = _process('export', source, 'bids', '--include', 'raw')
    assert done.returncode == 0
    assert '\x1b' not in done.stdout + done.stderr
    assert 'batch00: 1/1 studies' in done.stderr


@pytest.mark.parametrize('shell', ['bash', 'zsh', 'fish'])
def test_completion_script(shell):
    script = _ok('completion', shell).stdout
    assert '_MRRATE_BIDS_COMPLETE' in script
    if shutil.which(shell):
        checked = subprocess.run([shell, '-n'], input=script, text=True, check=False)
        assert checked.returncode == 0


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        ('mrrate-bids ex', 'export'),
        ('mrrate-bids export a b --mod', '--modality'),
        ('mrrate-bids completion z', 'zsh'),
    ],
)
def test_completion(words, expected):
    count = len(words.split()) - 1
    asked = {'_MRRATE_BIDS_COMPLETE': 'bash_complete', 'COMP_WORDS': words}
    asked['COMP_CWORD'] = str(count)
    result = CliRunner().invoke(main, prog_name='mrrate-bids', env=asked)
    assert expected in [line.split(',')[-1] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        ('a', ('A',)),
        ('a,B', ('A', 'B')),
        (' a , b ,', ('A', 'B')),
        (('A',), ('A',)),
    ],
)
def test_values_separated_by_commas(value, expected):
    assert CommaList(('A', 'B')).convert(value, None, None) == expected


def test_value_that_is_no_choice():
    with pytest.raises(click.BadParameter, match="'x' is none of A, B"):
        CommaList(('A', 'B')).convert('a,x', None, None)
    assert CommaList().convert('x,Y', None, None) == ('x', 'Y')


def test_lists_may_be_several_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_release(tmp_path / 'release', STUDIES)
    uids = [study['study'] for study in STUDIES[:2]]
    result = CliRunner().invoke(
        main, ['export', 'release', 'bids', '--study', *uids, '--jobs', '1', '--include', 'raw']
    )
    assert result.exit_code == 0, result.output
    sessions = {path.name for path in (tmp_path / 'bids').glob('sub-*/ses-*')}
    assert sessions == {f'ses-{uid}' for uid in uids}


def test_app_tells_a_bad_value_as_the_command_does(here):
    from mrrate_bids.cli.app import main as app

    result = CliRunner().invoke(app, ['bids', 'out', 'participant', '--shard', '3/2'])
    assert result.exit_code == 2
    assert _is_two_lines(result.stderr)
    assert "'3/2' is no shard" in result.stderr
