"""``mrrate-bids select DIR``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mrrate_bids.cli.options import (
    PATH,
    ListCommand,
    debug_option,
    list_option,
    selection_options,
)
from mrrate_bids.errors import UsageError
from mrrate_bids.naming import KINDS

if TYPE_CHECKING:
    from mrrate_bids.index import Selected

__all__ = ['command']

_SHOWN = 20


@click.command(cls=ListCommand, name='select')
@click.argument('directory', metavar='DIR', type=PATH)
@selection_options
@list_option(
    '--kind',
    'kinds',
    choices=tuple(KINDS),
    label='KIND,…',
    help=f'Kinds of files: {", ".join(KINDS)}. [default: all]',
)
@list_option(
    '--columns', 'columns', label='NAME,…', help='Columns to tell of each file; any of the tables.'
)
@click.option(
    '--out',
    metavar='FILE',
    type=PATH,
    help='Write the files as .tsv or .parquet; as .txt the study_uid of each study, one a line.',
)
@click.option('--paths', is_flag=True, help='Tell paths only; of a file in a zip ZIP!/MEMBER.')
@click.option('--rebuild', is_flag=True, help='Index everything anew.')
@debug_option
def command(directory: Path, **options: Any) -> None:
    """List files of a release or a BIDS dataset by what the tables say.

    The first call indexes DIR, in DIR/.mrrate-bids or, where that cannot be written, in the cache
    of the user; later ones index only what has changed: tables, and folders in which files came or
    went. What was edited inside a file that kept its place is seen after --rebuild.

    \b
    Examples
      mrrate-bids select MR-RATE-all --where "FieldStrength_T >= 3 and split == 'val'"
      mrrate-bids select bids --where "report.str.contains('glioma')" --out studies.txt
      mrrate-bids export MR-RATE-all part --study @studies.txt
      mrrate-bids select bids --modality FLAIR --kind image,brain-mask --paths
    """
    from mrrate_bids.index import Index, Query, answer  # noqa: PLC0415
    from mrrate_bids.index.query import DEFAULT_COLUMNS  # noqa: PLC0415
    from mrrate_bids.selection import Selection  # noqa: PLC0415

    out = options['out']
    if out and out.suffix not in {'.tsv', '.parquet', '.txt'}:
        raise UsageError(
            f'--out {out}: the ending says what to write', hint='Use .tsv, .parquet or .txt.'
        )
    names = ('batches', 'patients', 'studies', 'splits', 'modalities', 'planes')
    selection = Selection(**{name: options[name] for name in names})
    columns = options['columns'] or DEFAULT_COLUMNS
    query = Query(options['where'], selection, options['kinds'], tuple(columns))
    index = Index(directory)
    with _watching() as watch:
        index.renew(rebuild=options['rebuild'], watch=watch)
    selected = answer(index, query)
    _tell(selected, out, paths=options['paths'])
    for problem in index.problems:
        click.echo(f'{problem.severity} {problem}', err=True)
    sys.exit(3 if index.problems else 0)


def _watching() -> Any:
    """Show progress on a terminal; an index of a batch takes seconds."""
    from contextlib import nullcontext  # noqa: PLC0415

    if not sys.stderr.isatty():
        return nullcontext()
    from mrrate_bids.cli.console import watching  # noqa: PLC0415  (rich takes a tenth of a second)

    return watching('Indexing', unit='')


def _tell(selected: 'Selected', out: Path | None, *, paths: bool) -> None:
    if out:
        _write(selected, out, paths=paths)
    elif paths:
        for path in selected.paths():
            click.echo(path)
    elif sys.stdout.isatty():
        _show(selected)
    else:
        click.echo(_as_tsv(selected), nl=False)
    counts = ', '.join(f'{number:,} {name}' for name, number in selected.counts().items())
    where = f' in {out}' if out else ''
    click.echo(f'{counts}{where}' if len(selected.frame) else 'Nothing was found.', err=True)


def _as_tsv(selected: 'Selected') -> str:
    from mrrate_bids.tables import format_tsv  # noqa: PLC0415

    return format_tsv(selected.columns, selected.table.itertuples(index=False, name=None))


def _write(selected: 'Selected', out: Path, *, paths: bool) -> None:
    from mrrate_bids.files import appear, write_text  # noqa: PLC0415

    out = out.absolute()
    if out.suffix == '.txt':
        lines = selected.paths() if paths else selected.studies()
        write_text(out, ''.join(f'{line}\n' for line in lines))
        return
    if paths:
        selected.frame['file'] = list(selected.paths())
        selected = type(selected)(selected.root, selected.frame, (*selected.columns, 'file'))
    if out.suffix == '.tsv':
        write_text(out, _as_tsv(selected))
        return
    with appear(out) as draft:
        selected.table.to_parquet(draft, index=False)


def _show(selected: 'Selected') -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(*selected.columns)
    for row in selected.table.head(_SHOWN).itertuples(index=False, name=None):
        table.add_row(*row)
    Console().print(table)
    if len(selected.frame) > _SHOWN:
        click.echo(f'… and {len(selected.frame) - _SHOWN:,} more; --out FILE writes them all')
