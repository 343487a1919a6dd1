"""``mrrate-bids resources``: list, fetch and verify weights and templates."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mrrate_bids.cli.options import debug_option, offline_option

if TYPE_CHECKING:
    from mrrate_bids.resources import Resource, Verdict

__all__ = ['command']

NAMES = ('hd-bet', 'nvseg-ctmr', 'MNI152NLin2009cSym')
_STYLES = {
    'here': 'green',
    'published': 'green',
    'recorded': 'green',
    'absent': 'dim',
    'unknown': 'yellow',
}
_names = click.argument('names', metavar='[NAME]…', nargs=-1, type=click.Choice(NAMES))


@click.group(name='resources', invoke_without_command=True)
@offline_option
@debug_option
@click.pass_context
def command(ctx: click.Context, offline: bool) -> None:
    """List, fetch and verify the weights and the template that commands need.

    \b
    hd-bet              weights of HD-BET 2, for brain masks
    nvseg-ctmr          weights of NV-Segment-CTMR, for segmentation; a licence of its own
    MNI152NLin2009cSym  the template of the atlas space

    \b
    Examples
      mrrate-bids resources
      mrrate-bids resources fetch hd-bet
      mrrate-bids resources verify
    """
    if ctx.invoked_subcommand is None:
        _list()


@command.command(name='list')
@offline_option
@debug_option
def list_command(offline: bool) -> None:
    """Show what there is, under which licence, and where it lies. Asks nothing of the network."""
    _list()


@command.command(name='fetch')
@click.argument('names', metavar='NAME…', nargs=-1, type=click.Choice(NAMES), required=True)
@click.option('--accept-license', is_flag=True, help='You have read the licence, and accept it.')
@click.option(
    '--mirror',
    default='',
    metavar='URL',
    envvar='MRRATE_BIDS_MIRROR',
    show_envvar=True,
    help='A server that has the same paths, as http://mirror:8000.',
)
@offline_option
@debug_option
def fetch_command(
    names: tuple[str, ...], accept_license: bool, mirror: str, offline: bool
) -> None:
    """Fetch resources to where commands look for them; what is there and right stays.

    What broke off goes on with the same command. What arrives is compared with what was
    published, and recorded in resources.lock next to it. What differs from that is fetched anew,
    and the old file kept with .differs at the end of its name.

    \b
    Examples
      mrrate-bids resources fetch hd-bet MNI152NLin2009cSym
      mrrate-bids resources fetch nvseg-ctmr --accept-license
    """
    from mrrate_bids.resources import fetch, read_resources  # noqa: PLC0415

    resources, offline = read_resources(), offline or _group_is_offline()
    for name in names:
        resource = resources[name]
        with _progress(name) as progress:
            entries = fetch(
                resource,
                mirror=mirror,
                offline=offline,
                accepted=accept_license,
                progress=progress,
            )
        click.echo(f'{name}: {resource.home}' + ('' if entries else ' (there already)'))
        for entry in entries or ():
            click.echo(f'  {entry.sha256}  {entry.path}')
        click.echo(f'  licence: {resource.licence}')


def _group_is_offline() -> bool:
    """Tell whether --offline stands before the name of the command."""
    parent = click.get_current_context().parent
    return bool(parent and parent.params.get('offline'))


@command.command(name='verify')
@_names
@click.option(
    '--record',
    'recording',
    is_flag=True,
    help='Record what is there, where there is nothing to compare with.',
)
@offline_option
@debug_option
def verify_command(names: tuple[str, ...], recording: bool, offline: bool) -> None:
    """Read every file and compare it with what was published, else with what was recorded.

    Nothing is loaded, and nothing asked of the network. Without NAME all that is there is
    verified.

    \b
    Examples
      mrrate-bids resources verify
      mrrate-bids resources verify hd-bet --record
    """
    from mrrate_bids.resources import read_resources, record, verify  # noqa: PLC0415

    resources = read_resources()
    verdicts = [verdict for name in names or NAMES for verdict in verify(resources[name])]
    if recording:
        for verdict in verdicts:
            if verdict.state == 'unknown':  # what differs is not blessed
                record(verdict.resource, [verdict.file])
        verdicts = [verdict for name in names or NAMES for verdict in verify(resources[name])]
    _show_verdicts(verdicts)
    if all(verdict.state == 'absent' for verdict in verdicts):
        click.echo('Nothing is here to be verified: mrrate-bids resources fetch NAME fetches it.')
    lacking = [v for v in verdicts if v.state == 'absent' and _is_missed(v, verdicts, names)]
    sys.exit(3 if lacking or any(verdict.is_bad for verdict in verdicts) else 0)


def _is_missed(verdict: 'Verdict', verdicts: 'list[Verdict]', names: tuple[str, ...]) -> bool:
    """Tell whether a file should be there: it was asked for, or others of its kind are there."""
    name = verdict.resource.name
    return name in names or any(v.state != 'absent' for v in verdicts if v.resource.name == name)


def _list() -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from mrrate_bids.resources import Lock, read_resources, state_of  # noqa: PLC0415

    console = Console()
    table = Table('name', 'file', 'size', 'digest', 'state', title='Resources')
    table.title_justify = 'left'
    table.columns[1].overflow = table.columns[3].overflow = 'fold'
    for resource in read_resources().values():
        lock, state = Lock(resource.home), state_of(resource)
        for number, file in enumerate(resource.file):
            noted = lock.get(resource.name, resource.place(file))
            size = file.size or (noted.size if noted else None)
            table.add_row(
                '' if number else resource.name,
                file.path.rpartition('/')[2],
                'unknown' if size is None else f'{size:,}',
                _digest(file.sha256, file.md5, noted.sha256 if noted else ''),
                '' if number else f'[{_STYLES.get(state, "red")}]{state}',
            )
        table.add_section()
    console.print(table)
    for resource in read_resources().values():
        _describe(console, resource)


def _digest(sha256: str, md5: str, recorded: str) -> str:
    if sha256:
        return f'sha256 {sha256}'
    if recorded:
        return f'sha256 {recorded} (recorded)'
    return f'md5 {md5}, sha256 unknown' if md5 else 'unknown'


def _describe(console: Any, resource: 'Resource') -> None:
    def say(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    say(f'{resource.name}: {resource.title}')
    say(f'  for      {resource.used_by}')
    say(f'  from     {resource.address}')
    say(f'  licence  {resource.licence} {resource.licence_url}'.rstrip())
    say(f'  lies in  {resource.home} ({resource.variable} names another folder)')


def _show_verdicts(verdicts: 'list[Verdict]') -> None:
    from rich.console import Console  # noqa: PLC0415

    console = Console()
    words = {
        'published': 'equal to the published file',
        'recorded': 'equal to what was recorded',
        'absent': 'absent',
        'unknown': 'nothing to compare with; --record records it',
    }
    for verdict in verdicts:
        text = words.get(verdict.state) or f'DIFFERS: {verdict.reason}; fetch it again'
        console.print(f'[{_STYLES.get(verdict.state, "red")}]{verdict.resource.name}[/]', end=' ')
        line = f'{verdict.path}: {text}'
        console.print(line, soft_wrap=True, highlight=False, markup=False)
        if verdict.sha256:
            console.print(f'  sha256 {verdict.sha256}', soft_wrap=True, highlight=False)


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, and nothing in a log."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from mrrate_bids.resources.download import say_nothing  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield say_nothing
        return
    columns = (TextColumn('{task.description}'), BarColumn(), DownloadColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as shown:
        task = shown.add_task(name, total=None)
        yield lambda here, total: shown.update(task, completed=here, total=total or None)
