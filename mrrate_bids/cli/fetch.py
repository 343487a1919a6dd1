"""``mrrate-bids fetch SOURCE DEST``."""

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mrrate_bids.cli import end_when_asked_again
from mrrate_bids.cli.given_file import text_of
from mrrate_bids.cli.options import (
    PATH,
    Finite,
    debug_option,
    dry_run_option,
    list_option,
    make_offline_option,
    plan_file_option,
    selection_options,
    shard_option,
)
from mrrate_bids.cli.words import ListCommand
from mrrate_bids.errors import DataError, DestinationError, SourceError, UsageError

if TYPE_CHECKING:
    from mrrate_bids.fetching.listing import Entry
    from mrrate_bids.fetching.rate import Rate

__all__ = ['command']

_WHAT = {'native': 'raw', 'masks': 'defaced', 'coreg': 'coreg', 'atlas': 'atlas', 'seg': 'seg'}
_TABLES = 'tables'
_DEFAULT = ('native', 'masks', _TABLES)
_SLOWEST, _LONGEST = 0.001, 86_400.0
_SELECTION = ('batches', 'patients', 'studies', 'splits', 'modalities', 'planes', 'where')


@click.command(cls=ListCommand, name='fetch')
@click.argument('source')
@click.argument('dest', type=PATH)
@list_option(
    '--what',
    choices=(*_WHAT, _TABLES),
    help='Images, brain and defacing masks, co-registered, atlas space, segmentations; tables '
    f'are reports and labels, too.  [default: {",".join(_DEFAULT)}]',
)
@selection_options
@click.option(
    '--whole-zips', is_flag=True, help='Keep the zip of each study as published, with all series.'
)
@click.option(
    '--verify',
    is_flag=True,
    help='Read every file that is here, and fetch anew what is not what was fetched.',
)
@click.option(
    '--to-bids',
    type=PATH,
    metavar='BIDS_DIR',
    help='Write the files as BIDS datasets there, not into DEST, which gets the tables.',
)
@list_option(
    '--revision',
    'revisions',
    label='[NAME=]REV',
    help='Branch, tag or commit of the repositories of the Hub, or of the one of that name.',
)
@click.option(
    '-j',
    '--jobs',
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help='Studies to fetch at the same time, each over a connection.',
)
@click.option(
    '--limit-rate',
    'limit',
    type=Finite(min=_SLOWEST),
    metavar='MB/S',
    help='Megabytes in a second, all connections together; 0.001 at least.',
)
@click.option(
    '--timeout',
    type=Finite(min=0, min_open=True, max=_LONGEST),
    default=60,
    show_default=True,
    help='Seconds without a byte after which a connection counts as broken.',
)
@click.option(
    '--token',
    metavar='TOKEN|@FILE',
    default='',
    help='Who you are to the server.  [default for the Hub: HF_TOKEN, or that of hf auth login]',
)
@make_offline_option('Ask no server: tell what of the selection is here.')
@shard_option
@plan_file_option('fetch-plan.tsv')
@dry_run_option
@debug_option
def command(source: str, dest: Path, **options: Any) -> None:
    """Fetch a release of MR-RATE, or only the part of it that is wanted.

    SOURCE is where the repository MR-RATE is published: hf://datasets/OWNER/NAME, an address of a
    web server that lists its folders, any URL that fsspec opens, or a folder. DEST becomes a
    release with the part that was asked for, which every other command reads. The tables come
    first; of each study only the files that are wanted, by their range in the zip. Run the same
    command again to go on, or another one to fetch more into the same DEST.

    \b
    Examples
      mrrate-bids fetch hf://datasets/Forithmus/MR-RATE part --split val --modality FLAIR --dry-run
      mrrate-bids fetch hf://datasets/Forithmus/MR-RATE part --what native --where \\
          "split == 'val' and modality == 'FLAIR' and plane == 'AXIAL'"
      mrrate-bids fetch hf://datasets/Forithmus/MR-RATE part --batch 00 --whole-zips
      mrrate-bids fetch hf://datasets/Forithmus/MR-RATE tables --split val --to-bids bids
    """
    from mrrate_bids.cli.console import report_summary  # noqa: PLC0415
    from mrrate_bids.fetched import HOME  # noqa: PLC0415
    from mrrate_bids.fetching.source import local_folder  # noqa: PLC0415

    options['offline'] = options['offline'] and local_folder(source) is None
    _check(options)
    _check_folders(source, dest, options['to_bids'])
    if options['offline']:
        summary = _look_here(dest, options)
        report_summary(summary, dest / HOME)
        sys.exit(summary.exit_code)
    if options['dry_run']:
        with tempfile.TemporaryDirectory() as scratch:
            sys.exit(_fetch(source, dest, Path(scratch), options))
    sys.exit(_fetch(source, dest, dest, options))


def _check(options: dict[str, Any]) -> None:
    options['what'] = options['what'] or _DEFAULT
    options['groups'] = tuple(group for name, group in _WHAT.items() if name in options['what'])
    bids = options['to_bids']
    if bids and options['whole_zips']:
        raise UsageError(
            '--whole-zips keeps zips, --to-bids makes none', hint='Leave one of them out.'
        )
    if bids and options['verify']:
        raise UsageError(
            '--verify reads what was fetched into DEST, --to-bids fetches nothing into it',
            hint='Check the datasets with mrrate-bids validate BIDS_DIR.',
        )
    if bids and options['offline']:
        raise UsageError(
            '--offline asks no server',
            hint='Use mrrate-bids export DEST BIDS_DIR for what is here.',
        )
    if bids and not options['groups']:
        raise UsageError('--to-bids needs images', hint='Name more than tables in --what.')
    options['token'] = _token(options['token'])


def _token(given: str) -> str:
    """Return a token, or that in a file that is named as ``@FILE``."""
    token = text_of(Path(given[1:])).strip() if given.startswith('@') else given
    if given and not re.fullmatch(r'[!-~]+', token):  # as RFC 9110 has it, without blanks
        where = given if given.startswith('@') else 'the given one'
        raise UsageError(f'--token: {where} is no token', hint='A token is a word in ASCII.')
    return token


def _check_folders(source: str, dest: Path, bids: Path | None) -> None:
    """Make sure that nothing is written into what is read, or into a repository."""
    from mrrate_bids.catalog import is_repository  # noqa: PLC0415
    from mrrate_bids.checks.tree import is_dataset  # noqa: PLC0415
    from mrrate_bids.export_run import refuse_nesting  # noqa: PLC0415
    from mrrate_bids.fetching.source import local_folder  # noqa: PLC0415
    from mrrate_bids.naming import NATIVE  # noqa: PLC0415

    if not source:
        raise UsageError('SOURCE is empty', hint='Say where the release is published.')
    if local := local_folder(source):
        for folder in filter(None, (dest, dest / NATIVE, bids)):
            refuse_nesting(local, folder)
    try:
        taken = dest.is_dir() and is_repository(dest)
        inside = bids is not None and bids.resolve() in [dest.resolve(), *dest.resolve().parents]
        inside = inside or any(map(is_dataset, [dest, *dest.absolute().parents]))
    except OSError as error:
        raise DestinationError(f'{dest}: cannot be written ({error.strerror})') from error
    if taken:
        raise DestinationError(
            f'{dest} is a repository of a release', hint='Give the folder that holds it.'
        )
    if inside:
        raise DestinationError(
            f'{dest} is, or lies in, a BIDS dataset', hint='Choose a folder next to it.'
        )


def _selection(options: dict[str, Any]) -> Any:
    from mrrate_bids.selection import Selection  # noqa: PLC0415

    return Selection(**{name: options[name] for name in _SELECTION})


def _look_here(dest: Path, options: dict[str, Any]) -> Any:
    from mrrate_bids.catalog import open_release  # noqa: PLC0415
    from mrrate_bids.fetching.run import look_here  # noqa: PLC0415
    from mrrate_bids.selection import check_where  # noqa: PLC0415

    try:
        release, selection = open_release(dest), _selection(options)
    except SourceError as error:
        raise DataError(
            f'nothing of a release was fetched into {dest} yet ({error})',
            hint='Run the same command without --offline, where there is a network.',
        ) from error
    if selection.where:
        check_where(release, selection.where)
    return look_here(release, dest, selection, options['groups'], verify=options['verify'])


def _fetch(source: str, dest: Path, home: Path, options: dict[str, Any]) -> int:
    """Fetch the tables into *home*, then what is wanted; return the exit code."""
    from mrrate_bids.cli.fetch_report import report_plan, watch_bytes  # noqa: PLC0415
    from mrrate_bids.fetched import HOME  # noqa: PLC0415
    from mrrate_bids.fetching.rate import Rate  # noqa: PLC0415
    from mrrate_bids.fetching.release import RemoteRelease  # noqa: PLC0415
    from mrrate_bids.fetching.run import write_source  # noqa: PLC0415
    from mrrate_bids.fetching.source import repositories_of  # noqa: PLC0415
    from mrrate_bids.selection import check_where  # noqa: PLC0415

    rate = Rate((options['limit'] or 0) * 1e6)
    repositories, selection = _open(source, home, rate, options), _selection(options)
    with _stopping(repositories.stop):
        stores = repositories.require(repositories_of(options['groups']))
        tables = _fetch_tables(repositories, home, selection, options)
        release = RemoteRelease(home, stores)
        if selection.where:
            check_where(release, selection.where)
        if not options['dry_run']:
            write_source(dest, source, repositories)
        if not options['groups']:
            click.echo(f'{len(tables)} tables in {dest}')
            return 0
        run = _prepare(release, dest, selection, options, given_up=lambda: rate.is_stopped)
        if options['dry_run']:
            return report_plan(run, tables, options['plan_file'])
        with watch_bytes(rate) as watch:
            summary = run.execute(jobs=options['jobs'], watch=watch)
    return _report(summary, rate, options['to_bids'], dest / HOME)


def _open(source: str, home: Path, rate: 'Rate', options: dict[str, Any]) -> Any:
    from mrrate_bids.fetched import HOME  # noqa: PLC0415
    from mrrate_bids.fetching.client import HttpSettings  # noqa: PLC0415
    from mrrate_bids.fetching.source import (  # noqa: PLC0415
        open_repositories,
        parse_revisions,
    )

    return open_repositories(
        source,
        spool=home / HOME / 'spool',
        rate=rate,
        jobs=options['jobs'],
        revisions=parse_revisions(options['revisions']),
        settings=HttpSettings(options['token'], options['timeout']),
    )


def _fetch_tables(
    repositories: Any, home: Path, selection: Any, options: dict[str, Any]
) -> 'dict[str, Entry]':
    from mrrate_bids.cli.fetch_report import watch_bytes  # noqa: PLC0415
    from mrrate_bids.fetching.tables import Tables, find_tables  # noqa: PLC0415

    everything = _TABLES in options['what'] or bool(selection.where)
    tables = find_tables(repositories.native, selection, everything=everything)
    with watch_bytes(repositories.rate, unit=' tables') as watch:
        Tables(home, verify=options['verify']).fetch(
            tables,
            jobs=options['jobs'],
            watch=lambda done, total: watch('tables', done, total, repositories.rate.moved),
        )
    return tables


def _prepare(
    release: Any,
    dest: Path,
    selection: Any,
    options: dict[str, Any],
    *,
    given_up: Callable[[], bool],
) -> Any:
    from mrrate_bids.export import ExportSettings  # noqa: PLC0415
    from mrrate_bids.export_run import ExportRun  # noqa: PLC0415
    from mrrate_bids.fetching.reading import StreamingExporter  # noqa: PLC0415
    from mrrate_bids.fetching.run import FetchRun  # noqa: PLC0415
    from mrrate_bids.fetching.study import Fetcher, FetchSettings  # noqa: PLC0415
    from mrrate_bids.selection import Shard  # noqa: PLC0415

    shard, groups, bids = Shard.parse(options['shard']), options['groups'], options['to_bids']
    if bids:
        settings = ExportSettings(include=groups)
        exporter = StreamingExporter(bids, settings, source=release.root)
        return ExportRun(
            release, bids, selection=selection, settings=settings, shard=shard, exporter=exporter
        )
    wanted = FetchSettings(groups, options['whole_zips'], options['verify'])
    fetcher = Fetcher(dest, wanted, home_of=release.home, given_up=given_up)
    return FetchRun(release, dest, selection=selection, fetcher=fetcher, shard=shard)


def _report(summary: Any, rate: 'Rate', bids: Path | None, home: Path) -> int:
    from rich.filesize import decimal  # noqa: PLC0415

    from mrrate_bids.cli.console import report_summary  # noqa: PLC0415
    from mrrate_bids.receipts import FOLDER  # noqa: PLC0415

    report_summary(summary, bids / FOLDER if bids else home)
    click.echo(f'{decimal(rate.moved)} came from the server.')
    return int(summary.exit_code)


@contextmanager
def _stopping(stop: Any) -> Iterator[None]:
    """Let Ctrl-C stop the connections too; without it a study would be fetched to its end."""
    import signal  # noqa: PLC0415
    import threading  # noqa: PLC0415

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        stop()
        end_when_asked_again()
        raise KeyboardInterrupt

    earlier = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)
