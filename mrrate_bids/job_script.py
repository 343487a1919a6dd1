"""A command of ours as a script for Slurm: one job, or an array of jobs that share the work.

Source: the manual page of sbatch, "INPUT ENVIRONMENT VARIABLES", "filename pattern".
"""

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mrrate_bids import __version__
from mrrate_bids.errors import ResourceError, UsageError
from mrrate_bids.templates import read_text

__all__ = ['PART', 'Job', 'Shell', 'call_sbatch', 'find_sbatch', 'hints', 'render', 'submit']

_SBATCH = 'sbatch'


class Shell(str):
    """A word that the shell reads: it has variables, and quotes where it needs them."""

    __slots__ = ()


PART = '$part'
"""What the script calls the number of its part, from 1."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a script does, and what it asks for.

    Parameters
    ----------
    name
        The command of ours.
    command
        All its words, the program first.
    folder
        Where relative paths of it begin.
    logs
        The folder of logs.
    parts
        How many jobs share the work; 0 for one that has it all.
    resources
        Options of sbatch and their values, without hyphens.
    setup
        Lines of bash that come first.
    last, last_what
        The words of what is done once all parts have ended, and what that is.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    logs: Path
    parts: int = 0
    resources: tuple[tuple[str, str], ...] = ()
    setup: str = ''
    last: tuple[str, ...] = ()
    last_what: str = ''

    @property
    def title(self) -> str:
        """What Slurm calls it."""
        return f'mrrate-{self.name}'

    @property
    def log(self) -> str:
        """The pattern of the names of logs; what is a ``%`` in a folder is none of a pattern."""
        folder = str(self.logs).replace('%', '%%')
        return f'{folder}/%x-{"%A_%a" if self.parts else "%j"}.log'


def render(job: Job, *, script: str = 'SCRIPT') -> str:
    """Return the script; *script* is what its comments call it."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  (slow)

    environment = Environment(  # noqa: S701  (bash; every word of a user is quoted)
        lstrip_blocks=True, trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {'directive': _directive, 'lines': _lines}
    template = environment.from_string(read_text('slurm.sh'))
    return template.render(job=job, hints=list(hints(job, script)), version=__version__)


def hints(job: Job, script: str) -> Iterator[tuple[str, str]]:
    """Yield what one may want to do, and the command for it."""
    name = shlex.quote(script)
    yield 'Submit', f'sbatch {name}'
    if job.last:
        yield 'And then', f'sbatch --array=0 --dependency=afterany:JOB {name}'
    yield 'Watch', f'squeue --name={job.title}'
    yield 'All again', f'sbatch {name}'
    if job.parts > 1:
        some = ','.join(dict.fromkeys(('2', str(job.parts))))
        yield 'Some again', f'sbatch --array={some} {name}'


def _directive(value: object) -> str:
    """Quote a value for a line ``#SBATCH``, which Slurm reads much as a shell does.

    Raises
    ------
    UsageError
        When it has a line break, which no such line can have.
    """
    text = str(value)
    if '\n' in text:
        raise UsageError(f'{text!r} has a line break, which Slurm cannot read')
    return shlex.quote(text)


def _lines(words: Sequence[str], indent: int) -> str:
    """Return a command of bash, a line for each option; ours end with what the shell reads."""
    lines, before = [_quote(words[0])], ''
    for word in words[1:]:
        if isinstance(before, Shell) or word.startswith('-'):
            lines.append(_quote(word))
        else:
            lines[-1] += f' {_quote(word)}'
        before = word
    return (' \\\n' + ' ' * (indent + 4)).join(lines)


def _quote(word: str) -> str:
    return str(word) if isinstance(word, Shell) else shlex.quote(word)


def find_sbatch() -> str:
    """Return the program that submits jobs.

    Raises
    ------
    ResourceError
        When there is none on this machine.
    """
    found = shutil.which(_SBATCH)
    if found is None:
        raise ResourceError(
            'there is no sbatch on this machine',
            hint='Run this where jobs are submitted (slurm --output-script needs no Slurm).',
        )
    return found


def submit(job: Job, text: str) -> list[str]:
    """Hand the script to Slurm; return the number of the job, and of the one that comes last.

    Raises
    ------
    ResourceError
        When Slurm does not take it.
    """
    first = _sbatch(text)
    if not job.last:
        return [first]
    try:
        return [first, _sbatch(text, '--array=0', f'--dependency=afterany:{first}')]
    except ResourceError as error:
        raise ResourceError(
            f'{error}; job {first}, all parts but the last, was submitted and will run',
            hint=f'Submit part 0 by hand when it is done, or cancel it: scancel {first}.',
        ) from error


def _sbatch(text: str, *options: str) -> str:
    said = call_sbatch('--parsable', *options, text=text)
    return said.strip().partition(';')[0]  # the name of a cluster may follow


def call_sbatch(*words: str, text: str = '') -> str:
    """Call sbatch, and return what it said; *text* is a script that no word names.

    Raises
    ------
    ResourceError
        With its own words, when Slurm does not take the job.
    """
    command = [find_sbatch(), *words]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = ' '.join((done.stderr or done.stdout).split())
        hint = 'Ask for what the cluster has: see sinfo.'
        raise ResourceError(f'Slurm does not take the job ({said})', hint=hint)
    return done.stdout
