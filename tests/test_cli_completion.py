"""What the shells themselves offer, with the scripts that ``mrrate-bids completion`` prints."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mrrate_bids.app.options import EXTRACTORS
from mrrate_bids.cli import main
from mrrate_bids.cli.completion import PROGRAMS

SHELLS = ('bash', 'fish', 'zsh')
APP = 'mrrate-bids-app bids out participant'
RUN = 'mrrate-bids run bids out participant'

BASH = """
source {script}
COMP_WORDS=({words}) COMP_CWORD={last}
_{program}_completion {command}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
FISH = """
source {script}
complete --do-complete {line} | string split --fields 1 \\t
"""
ZSH = """
compdef() {{ }}
compadd() {{ local name=$@[-1]; print -l -- ${{(P)name}} }}
_describe() {{ local name=$@[-2]; print -l -- ${{${{(P)name}}%%:*}} }}
source {script}
words=({words}) CURRENT=$(({last} + 1))
_{program}_completion
"""
"""In zsh the two commands that take what is offered work at a prompt only; these print it."""


def _ask(shell, line, folder):
    """Return what a shell offers at the end of a line, in a folder."""
    if not shutil.which(shell):
        pytest.skip(f'{shell} is not installed')
    command, *words = shlex.split(line)
    if line.endswith(' '):
        words.append('')
    script = folder / f'{command}.{shell}'
    printed = CliRunner().invoke(main, ['completion', shell, '--program', command]).stdout
    script.write_text(printed, encoding='utf-8')
    text = {'bash': BASH, 'fish': FISH, 'zsh': ZSH}[shell].format(
        script=shlex.quote(str(script)),
        words=' '.join(f"'{word}'" for word in [command, *words]),
        last=len(words),
        program=command.replace('-', '_'),
        command=command,
        line=shlex.quote(line),
    )
    programs = Path(sys.executable).parent
    environment = os.environ | {'PATH': f'{programs}:{os.environ["PATH"]}', 'HOME': str(folder)}
    arguments = {'bash': ['--norc'], 'fish': ['--no-config'], 'zsh': ['-f']}[shell]
    done = subprocess.run(
        [shell, *arguments, '-c', text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ''
    return done.stdout.split()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shell')
    for inside in ('sub-01/ses-a', 'sub-02/ses-b', 'sub-10'):
        (folder / 'bids' / inside).mkdir(parents=True)
    return folder


@pytest.mark.parametrize('shell', SHELLS)
@pytest.mark.parametrize(
    ('line', 'offered'),
    [
        ('mrrate-bids exp', ['export']),
        ('mrrate-bids completion bash --program mrrate-bids-', ['mrrate-bids-app']),
        ('mrrate-bids-app bids out p', ['participant']),
        (f'{APP} --brain-extractor ', list(EXTRACTORS)),
        (f'{APP} --steps mask,de', ['mask,deface']),
        (f'{APP} --participant-label ', ['01', '02', '10']),
        (f'{APP} --participant-label sub-0', ['sub-01', 'sub-02']),
        (f'{RUN} --participant-label 01,', ['01,02', '01,10']),
        (f'{RUN} --participant-label 01 0', ['02']),
        (f'{APP} --session-label ', ['a', 'b']),
        ('mrrate-bids-app ~/bids out participant --participant-label 1', ['10']),
    ],
)
def test_shell_offers(shell, line, offered, folder):
    assert sorted(_ask(shell, line, folder)) == sorted(offered)


@pytest.mark.parametrize('shell', SHELLS)
def test_shell_offers_options_with_what_they_do(shell, folder):
    assert '--steps' in _ask(shell, f'{APP} --st', folder)


@pytest.mark.parametrize('program', PROGRAMS)
@pytest.mark.parametrize('shell', SHELLS)
def test_shell_reads_the_script(shell, program):
    script = CliRunner().invoke(main, ['completion', shell, '--program', program]).stdout
    assert f'_{program.replace("-", "_").upper()}_COMPLETE' in script
    if shutil.which(shell):
        checked = subprocess.run([shell, '-n'], input=script, text=True, check=False)
        assert checked.returncode == 0
