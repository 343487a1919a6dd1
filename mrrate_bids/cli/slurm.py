"""``mrrate-bids slurm COMMAND …``: another command as a script for a cluster."""

import re
import sysconfig
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mrrate_bids.cli import Lazy
from mrrate_bids.cli.given_file import text_of
from mrrate_bids.cli.options import PATH
from mrrate_bids.errors import DestinationError, UsageError

if TYPE_CHECKING:
    from mrrate_bids.job_script import Job

__all__ = ['command']

_WORDS = 'mrrate_bids.slurm_words'
_TAKEN = ('export', 'import', 'run', 'fetch', 'validate', 'merge')
_WORKERS = {'jobs': '--jobs', 'nprocs': '--nprocs'}
"""Options that say how much is done at the same time."""

_PROGRAM = 'mrrate-bids'


class _Pattern(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A word that Slurm understands."""

    name = 'text'

    def __init__(self, pattern: str, example: str) -> None:
        self._pattern, self._example = pattern, example

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Read a value."""
        if not re.fullmatch(self._pattern, value):
            self.fail(f'{value!r} is not of the form {self._example}.', param, ctx)
        return value


_TIME = _Pattern(r'\d+(:\d\d?){0,2}|\d+-\d\d?(:\d\d?){0,2}', 'MINUTES, HH:MM:SS or D-HH:MM:SS')
_MEMORY = _Pattern(r'[1-9]\d*[KMGT]?', '16G')
_NAME = _Pattern(r'[\w.,:@/+-]+', 'NAME')


class _Scripts(Lazy):
    """A group of the commands that may run on a cluster; each writes a script of itself."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_TAKEN)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        real = super().get_command(ctx, cmd_name)
        if real is None:
            return None
        written = copy(real)  # it reads its words as ever
        written.callback = _write
        return written

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and remember its words as they were given."""
        found = super().resolve_command(ctx, args)
        ctx.meta[_WORDS] = tuple(found[2])
        return found


@click.command(cls=_Scripts, name='slurm', subcommand_metavar='COMMAND [ARGS]…')
@click.option(
    '--array',
    type=click.IntRange(min=1),
    metavar='N',
    help='How many jobs share the work (--shard I/N of the command).  [default: 1]',
)
@click.option(
    '--max-running', type=click.IntRange(min=1), metavar='K', help='Jobs at the same time.'
)
@click.option('--time', type=_TIME, metavar='D-HH:MM:SS', help='After which a job is stopped.')
@click.option('--mem', type=_MEMORY, metavar='16G', help='Memory of a job.')
@click.option(
    '--cpus',
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help='Processors of a job (--jobs or --nprocs of the command).',
)
@click.option('--gpus', type=click.IntRange(min=1), help='Graphics processors of a job.')
@click.option('--partition', type=_NAME, help='Where jobs run.')
@click.option('--account', type=_NAME, help='Whom they are charged to.')
@click.option(
    '--logs',
    type=PATH,
    metavar='DIR',
    default='.',
    show_default=True,
    help='Folder of what jobs say; it is made at once, for Slurm makes none.',
)
@click.option(
    '--setup',
    metavar='TEXT|@FILE',
    multiple=True,
    help='Lines of bash that come first, as "module load …"; the mrrate-bids of a job is then '
    'the one they lead to, otherwise this one.',
)
@click.option('--output-script', type=PATH, metavar='FILE', help='Write the script there.')
@click.option('--submit', is_flag=True, help='Submit the jobs, and print their numbers.')
def command(**options: Any) -> None:
    """Write a script that runs COMMAND on a cluster with Slurm, or submit it.

    The options of Slurm stand before COMMAND; what follows it is as without slurm and is read at
    once. Each job does a part of the work into the same folders. A job that was killed, ran
    out of time or failed is submitted again as it is, and goes on. The script is printed unless
    --output-script or --submit is given; its comments say how it is submitted and watched.

    \b
    Examples
      mrrate-bids slurm --array 28 --time 12:00:00 export MR-RATE-all bids
      mrrate-bids slurm --array 28 --output-script export.sh export MR-RATE-all bids
      mrrate-bids slurm --array 100 --max-running 8 --gpus 1 --mem 16G --submit \\
          run bids bids/derivatives participant
      mrrate-bids slurm --setup "module load python" --submit import bids release
    """


def _write(**values: Any) -> None:
    """Write, print or submit the script of the command that was just read."""
    from mrrate_bids.files import write_text  # noqa: PLC0415
    from mrrate_bids.job_script import find_sbatch, render, submit  # noqa: PLC0415

    ctx = click.get_current_context()
    asked = (ctx.parent or ctx).params
    job, target = _make_job(ctx, asked), asked['output_script']
    _rehearse(ctx, asked)
    text = render(job, script=str(target or 'SCRIPT'))
    if asked['submit']:
        find_sbatch()  # before anything is written
    if target and target.is_file() and not _is_script(target):
        raise DestinationError(
            f'{target} is another file, and would be lost', hint='Give the script another name.'
        )
    job.logs.mkdir(parents=True, exist_ok=True)
    if target:
        write_text(target.absolute(), text)
    if asked['submit']:
        _report(job, submit(job, text))
    elif target:
        _show_hints(job, target)
    else:
        click.echo(text, nl=False)


def _is_script(path: Path) -> bool:
    with path.open('rb') as file:
        return file.read(2) == b'#!'


def _rehearse(ctx: click.Context, asked: dict[str, Any]) -> None:
    """Refuse what no job could do; what is not there yet may be when a script is submitted.

    In the container of --setup folders may have other names, too.
    """
    from mrrate_bids.cli.rehearsal import rehearse  # noqa: PLC0415

    lacking = rehearse(str(ctx.info_name), ctx.params)
    if lacking and asked['submit'] and not asked['setup']:
        raise lacking
    if lacking:
        click.echo(f'Warning: {lacking}. Jobs that find it so fail.', err=True)


def _show_hints(job: 'Job', target: Path) -> None:
    from mrrate_bids.job_script import hints  # noqa: PLC0415

    click.echo(f'Script: {target}')
    for what, line in hints(job, str(target)):
        click.echo(f'  {what:<12}{line}')


def _report(job: 'Job', numbers: list[str]) -> None:
    click.echo(f'Job {numbers[0]}' + (f': {job.parts} parts' if job.parts else ''))
    for number in numbers[1:]:
        click.echo(f'Job {number}: {job.last_what}, after them')
    click.echo(f'  Watch       squeue --job={",".join(numbers)}')
    click.echo(f'  Logs        {job.log}')
    click.echo('  All again   the same command; what is done is not done again')


def _make_job(ctx: click.Context, asked: dict[str, Any]) -> 'Job':
    from mrrate_bids.job_script import Job  # noqa: PLC0415

    _refuse(ctx)
    name, parts = str(ctx.info_name), _parts(ctx, asked)
    setup = '\n'.join(_read(text) for text in asked['setup'])
    program = _PROGRAM if setup else _own_program()
    last: tuple[str, ...] = ()
    if parts and name == 'run':
        folders = (str(ctx.params['bids_dir']), str(ctx.params['output_dir']))
        last = (program, 'run', *folders, 'group')
        last += ('--hide-faces',) if ctx.params['hide_faces'] else ()
    return Job(
        name=name,
        command=(program, name, *_own_options(ctx, asked, parts), *ctx.meta[_WORDS]),
        folder=Path.cwd(),
        logs=asked['logs'].absolute(),
        parts=parts,
        resources=tuple(_resources(asked, parts)),
        setup=setup,
        last=last,
        last_what='one page and one table of all studies' if last else '',
    )


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE


def _refuse(ctx: click.Context) -> None:
    if _is_given(ctx, 'shard'):
        raise UsageError(
            '--shard is what each job is given', hint='Leave it out; --array says how many.'
        )
    if ctx.params.get('token') and not ctx.params['token'].startswith('@'):
        raise UsageError(
            '--token: others may read the script',
            hint='Write --token @FILE, or leave it out: jobs inherit HF_TOKEN.',
        )
    if ctx.params.get('dry_run'):
        raise UsageError('--dry-run needs no cluster', hint='Run the command without slurm.')


def _parts(ctx: click.Context, asked: dict[str, Any]) -> int:
    """Return how many jobs share the work; 0 where one has it all."""
    name = str(ctx.info_name)
    # Parts of validate have a table and an answer each: nobody would put them together.
    is_shared = 'shard' in ctx.params and name != 'validate'
    is_whole = not is_shared or ctx.params.get('analysis_level') == 'group'
    if is_whole and (asked['array'] or asked['max_running']):
        level = ' … group' if is_shared else ''
        raise UsageError(
            f'{name}{level} looks at everything at once and is one job',
            hint='Leave out --array and --max-running; give it more --cpus.',
        )
    return 0 if is_whole else asked['array'] or 1


def _own_options(ctx: click.Context, asked: dict[str, Any], parts: int) -> list[str]:
    """Return the options of the command that follow from what Slurm gives to a job."""
    from mrrate_bids.job_script import PART, Shell  # noqa: PLC0415

    options: list[str] = []
    if parts:
        options += ['--shard', Shell(f'"{PART}/{parts}"')]
    for name, flag in _WORKERS.items():
        if name in ctx.params and not _is_given(ctx, name):
            options += [flag, Shell(f'"{_workers(ctx, asked)}"')]
    if 'memory_gb' in ctx.params and asked['mem'] and not _is_given(ctx, 'memory_gb'):
        _refuse_little(asked['mem'])
        options += ['--mem-gb', Shell('"$((SLURM_MEM_PER_NODE / 1024))"')]
    return options


def _workers(ctx: click.Context, asked: dict[str, Any]) -> str:
    """Return how much is done at the same time, for the shell: not more than processors."""
    threads = ctx.params.get('threads', 1)
    if threads > asked['cpus']:
        raise UsageError(
            f'--omp-nthreads {threads} are more than the {asked["cpus"]} processors of a job',
            hint='Give --cpus, before the command.',
        )
    return '$SLURM_CPUS_PER_TASK' if threads == 1 else f'$((SLURM_CPUS_PER_TASK / {threads}))'


def _refuse_little(memory: str) -> None:
    """Refuse less than run takes; without a unit Slurm reads megabytes."""
    units = {'K': 2**-20, 'M': 2**-10, 'G': 1, 'T': 2**10}
    number, unit = memory.rstrip('KMGT'), memory[-1] if memory[-1] in units else 'M'
    if int(number) * units[unit] < 1:
        raise UsageError(f'--mem {memory} is too little', hint='A run needs 1G, better 8G.')


def _resources(asked: dict[str, Any], parts: int) -> list[tuple[str, str]]:
    at_once = f'%{asked["max_running"]}' if asked['max_running'] else ''
    wanted = {
        'array': f'1-{parts}{at_once}' if parts else None,
        'cpus-per-task': asked['cpus'],
        'mem': asked['mem'],
        'time': asked['time'],
        'gres': f'gpu:{asked["gpus"]}' if asked['gpus'] else None,
        'partition': asked['partition'],
        'account': asked['account'],
    }
    return [(name, str(value)) for name, value in wanted.items() if value]


def _read(text: str) -> str:
    """Return lines of bash, or those of a file that is named as ``@FILE``."""
    if not text.startswith('@'):
        return text
    return text_of(Path(text[1:])).strip('\n')


def _own_program() -> str:
    """Return the program that runs now by its full path, which holds on every machine."""
    own = Path(sysconfig.get_path('scripts'), _PROGRAM)
    return str(own) if own.exists() else _PROGRAM
