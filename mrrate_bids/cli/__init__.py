"""The command line: ``mrrate-bids COMMAND``.

Commands are imported when they are called, so that ``--help`` does not wait for numpy.
"""

import errno
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from mrrate_bids import __version__
from mrrate_bids.errors import DestinationError, MrRateError, UsageError

__all__ = ['DEBUG', 'Handled', 'Lazy', 'end_when_asked_again', 'main']

DEBUG = 'mrrate_bids.debug'
"""Where the context remembers that ``--debug`` was given."""

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_MISPLACED = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
_COMMANDS = {
    'demo': 'Make a small release, export it, validate it and draw it.',
    'fetch': 'Fetch a release of MR-RATE, or the part of it that is wanted.',
    'export': 'Turn a release of MR-RATE into BIDS datasets.',
    'import': 'Turn BIDS datasets into a release of MR-RATE.',
    'merge': 'Bring derivative repositories into the tree of MR-RATE.',
    'resources': 'List, fetch and verify weights and templates.',
    'run': 'Compute masks, defacing, registrations and segmentations.',
    'slurm': 'Write a script that runs a command on a cluster, or submit it.',
    'select': 'List files by what the tables say.',
    'view': 'Make a dataset of one T1w a session, as Clinica asks for.',
    'status': 'Show what of a release lies on disk, and what is damaged.',
    'validate': 'Check BIDS datasets, or a release of MR-RATE.',
    'completion': 'Print the shell completion script.',
}
_MODULES = {'import': 'importing'}
"""Modules that cannot be called like their command."""


class Handled(click.Command):
    """A command whose errors are two lines and an exit code; ``--debug`` shows the traceback."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read the arguments; from here on something may be shown."""
        _show_what_can_be_shown()
        try:
            return super().make_context(info_name, args, parent, **extra)
        except MrRateError as error:  # what an option says of its value
            _report(error)
            raise click.exceptions.Exit(error.exit_code) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with _interruptible():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo('Interrupted.', err=True)
            ctx.exit(_INTERRUPTED)
        except Exception as error:
            if ctx.meta.get(DEBUG) or getattr(error, 'errno', None) == errno.EPIPE:
                if isinstance(error, EOFError):  # to click it is the user who has gone
                    raise RuntimeError('a file ended early') from error
                raise  # click is silent about a reader that has seen enough
            known = _named(error)
            _report(known)
            ctx.exit(known.exit_code)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a command in order, which may take a while, and another one at once."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # a part of a command, or somebody else decides
        return

    def handle(number: int, frame: Any) -> None:
        end_when_asked_again()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is handle:  # nobody has asked
            signal.signal(signal.SIGINT, signal.default_int_handler)


def end_when_asked_again() -> None:
    """Let Ctrl-C kill from now on: Python would wait for its threads, and show a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _show_what_can_be_shown() -> None:
    """Print ``?`` for a character that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, 'reconfigure', None)
        if reconfigure:
            reconfigure(errors='replace')


def _named(error: Exception) -> MrRateError:
    """Return an error of our own tree for one of another kind.

    >>> _named(PermissionError(errno.EACCES, 'Permission denied', '/data/x'))
    UsageError('/data/x: Permission denied')
    """
    if isinstance(error, MrRateError):
        return error
    if isinstance(error, OSError) and error.strerror:
        where = '' if error.filename is None else f'{os.fsdecode(error.filename)}: '
        if error.errno in _FULL:
            return DestinationError(f'{where}{error.strerror}')
        if where and error.errno in _FORBIDDEN:
            return UsageError(f'{where}{error.strerror}', hint='Ask its owner for access.')
        if where and error.errno in _MISPLACED:
            hint = 'A file is where a folder should be, or the other way round.'
            return UsageError(f'{where}{error.strerror}', hint=hint)
    return MrRateError(' '.join(f'unexpected {type(error).__name__}: {error}'.split()))


def _report(error: MrRateError) -> None:
    click.secho(f'Error: {error}', fg='red', err=True)
    click.echo(f'  {error.hint}', err=True)


class Lazy(Handled, click.Group):
    """A group whose commands live in modules of their own name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        name = _MODULES.get(cmd_name, cmd_name)
        module = importlib.import_module(f'mrrate_bids.cli.{name}')
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section('Commands'):
            formatter.write_dl([(name, _COMMANDS[name]) for name in self.list_commands(ctx)])


@click.group(
    cls=Lazy,
    context_settings={'help_option_names': ['-h', '--help'], 'max_content_width': 100},
    epilog='Documentation: docs/ of the source tree. Exit codes: 0 all done, 2 usage, '
    '3 something was set aside (named in the table), 1 anything else.',
)
@click.version_option(__version__, prog_name='mrrate-bids')
def main() -> None:
    """Move brain MRI between the MR-RATE release and BIDS, losing nothing.

    \b
    Examples
      mrrate-bids demo demo
      mrrate-bids fetch hf://datasets/Forithmus/MR-RATE /data/part --split val --dry-run
      mrrate-bids export /data/MR-RATE-all /data/bids --split val --modality FLAIR
      mrrate-bids import /data/bids /data/release
      mrrate-bids run /data/bids /data/bids/derivatives participant
      mrrate-bids select /data/bids --where "age < 40" --paths
      mrrate-bids view /data/bids /data/bids-t1w
      mrrate-bids validate /data/bids
    """
