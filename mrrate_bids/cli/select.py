"""``mrrate-bids select DIR``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mrrate_bids.cli.options import (
    PATH,
    debug_option,
    list_option,
    selection_options,
)
from mrrate_bids.cli.words import ListCommand
from mrrate_bids.errors import UsageError
from mrrate_bids.naming import KINDS

if TYPE_CHECKING:
    from mrrate_bids.index import Index, Selected
    from mrrate_bids.problems import Problem

__all__ = ['command']

_SHOWN = 20
_PIECE = 50_000


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
    of the user; later ones index only what has changed: tables, and batches and subjects in which
    something came or went. What was edited inside a file is seen after --rebuild.

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
    if query.where and not len(selected.frame):
        _tell_values(index, query.where)
    _report(index.problems)
    sys.exit(3 if index.problems else 0)


def _report(problems: 'list[Problem]') -> None:
    """Tell what is wrong with the release or dataset; a hundred lines are no help."""
    for problem in problems[:_SHOWN]:
        click.echo(f'{problem.severity} {problem}', err=True)
    if len(problems) > _SHOWN:
        more = len(problems) - _SHOWN
        click.echo(f'… and {more:,} more; mrrate-bids validate tells them all', err=True)


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
        for text in _as_tsv(selected):
            click.echo(text, nl=False)
    counts = ', '.join(f'{number:,} {name}' for name, number in selected.counts().items())
    where = f' in {out}' if out else ''
    click.echo(f'{counts}{where}' if len(selected.frame) else 'Nothing was found.', err=True)


def _tell_values(index: 'Index', where: str) -> None:
    """Tell what there is in the columns of a condition that nothing meets, if that is little."""
    from mrrate_bids.expressions import ALIASES, Expression  # noqa: PLC0415

    for name in sorted(Expression(where).names):
        column = ALIASES.get(name, name)
        cells = index.table([column]).unify_dictionaries()[column].unique().to_pylist()
        if len(cells) <= _SHOWN:
            click.echo(
                f'{name} is {", ".join(sorted(cell or "empty" for cell in cells))}', err=True
            )


def _as_tsv(selected: 'Selected') -> Iterator[str]:
    """Yield a TSV file in pieces: a release has millions of files."""
    from mrrate_bids.tables import format_tsv  # noqa: PLC0415

    yield format_tsv(selected.columns, ())
    for part in selected.parts(_PIECE):
        rows = zip(*map(part.cells, part.columns), strict=True)
        yield format_tsv(part.columns, rows).partition('\n')[2]


def _write(selected: 'Selected', out: Path, *, paths: bool) -> None:
    from mrrate_bids.files import appear, open_if_changed  # noqa: PLC0415

    out = out.absolute()
    told = selected.with_paths() if paths else selected
    if out.suffix == '.parquet':
        with appear(out) as draft:
            _write_parquet(told, draft)
        return
    with open_if_changed(out) as file:
        if out.suffix == '.tsv':
            file.writelines(_as_tsv(told))
        else:
            lines = selected.paths() if paths else selected.studies()
            file.writelines(f'{line}\n' for line in lines)


def _write_parquet(selected: 'Selected', path: str) -> None:
    import pyarrow as pa  # noqa: PLC0415  (slow)
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = pa.schema([(name, pa.string()) for name in selected.columns])
    with pq.ParquetWriter(path, schema) as writer:
        for part in selected.parts(_PIECE):
            writer.write_table(pa.table([part.cells(n) for n in part.columns], schema=schema))


def _show(selected: 'Selected') -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(*selected.columns)
    first = next(selected.parts(_SHOWN), selected)
    for row in zip(*map(first.cells, first.columns), strict=True):
        table.add_row(*row)
    Console().print(table)
    if len(selected.frame) > _SHOWN:
        click.echo(f'… and {len(selected.frame) - _SHOWN:,} more; --out FILE writes them all')
