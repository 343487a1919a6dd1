"""Options that several commands share, and how their values are read."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mrrate_bids.cli import DEBUG
from mrrate_bids.cli.candidates import offer_list
from mrrate_bids.cli.given_file import text_of
from mrrate_bids.errors import TableError, UsageError
from mrrate_bids.naming import PLANES
from mrrate_bids.shares import SPLIT_NAMES

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = [
    'PATH',
    'CommaList',
    'Finite',
    'debug_option',
    'dry_run_option',
    'jobs_option',
    'link_option',
    'list_option',
    'make_offline_option',
    'offline_option',
    'plan_file_option',
    'selection_options',
    'shard_option',
]

Command = TypeVar('Command', bound=Callable[..., Any])


class _Path(click.Path):
    """A path; an empty one, as of a variable that is not set, is not taken for this folder."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Refuse nothing but the empty path."""
        if value == '':
            self.fail('The path is empty.', param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)
_WHOLE = '1/1'
_WIDE = 60  # choices that do not fit into the help are told by the label


class Finite(click.FloatRange):
    """A range that neither NaN nor infinity lies in."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Read a number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f'{value} is not a finite number.', param, ctx)
        return number


class CommaList(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """Values separated by commas; the option may also be repeated.

    Parameters
    ----------
    choices
        The values that are allowed; empty allows any, and ``@FILE`` for those in a file, one in a
        line or in a column of a table.
    label
        What the help shows for a value.
    column
        The column of a table.
    """

    name = 'list'

    def __init__(
        self, choices: tuple[str, ...] = (), *, label: str = 'LIST', column: str = ''
    ) -> None:
        self._choices = {choice.lower(): choice for choice in choices}
        self._label = label
        self._column = column

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Show the choices in the help."""
        choices = ','.join(self._choices.values())
        return choices if choices and len(choices) < _WIDE else self._label

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that are allowed; empty where any is."""
        return tuple(self._choices.values())

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> 'list[CompletionItem]':
        """Offer what may stand after the last comma."""
        return offer_list(ctx, param, incomplete, self.choices)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split and check a value."""
        if isinstance(value, tuple):
            return value
        parts = tuple(part.strip() for part in str(value).split(',') if part.strip())
        if not parts:
            self.fail('the list is empty; leave the option out to take everything.', param, ctx)
        if not self._choices:
            return tuple(value for part in parts for value in self._read(part, param, ctx))
        for part in parts:
            if part.lower() not in self._choices:
                self.fail(f'{part!r} is none of {", ".join(self._choices.values())}.', param, ctx)
        return tuple(self._choices[part.lower()] for part in parts)

    def _read(
        self, part: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        """Return a value, or those of a file that is named as ``@FILE``."""
        if not part.startswith('@'):
            return [part]
        path = Path(part[1:])
        try:
            values = self._values(path)
        except (UsageError, TableError) as error:
            self.fail(f'{error}.', param, ctx)
        if not values:
            self.fail(f'{path} holds no {self._column or "value"}.', param, ctx)
        return values

    def _values(self, path: Path) -> list[str]:
        """Return the values of a list, one in a line, or of a column of a table."""
        from mrrate_bids.tables import parse_tsv  # noqa: PLC0415  (only when a file is named)

        text = text_of(path)
        lines = text.splitlines()
        header = lines[0].split('\t') if lines else []
        if len(header) > 1 or (self._column and header == [self._column]):
            lines = [row.get(self._column, '') for row in parse_tsv(text, name=str(path))]
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _flatten(
    ctx: click.Context, param: click.Parameter, value: tuple[tuple[str, ...], ...]
) -> tuple[str, ...]:
    return tuple(part for parts in value for part in parts)


def list_option(
    *names: str,
    choices: tuple[str, ...] = (),
    label: str = 'LIST',
    column: str = '',
    default: tuple[str, ...] = (),
    help: str,  # noqa: A002
) -> Any:
    """Return an option that takes values separated by commas, repeated or both."""
    kind = CommaList(choices, label=label, column=column)
    some = [default] if default else []
    return click.option(
        *names, type=kind, multiple=True, default=some, callback=_flatten, help=help
    )


def _check_where(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Refuse what is no expression, before anything is read or fetched for it."""
    if value:
        from mrrate_bids.expressions import Expression  # noqa: PLC0415  (most commands have none)

        Expression(value)
    return value


def _check_shard(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Refuse what is no part of a whole, before anything is read or fetched for it."""
    if value != _WHOLE:
        from mrrate_bids.selection import Shard  # noqa: PLC0415  (most commands have none)

        Shard.parse(value)
    return value


def selection_options(command: Command) -> Command:
    """Add the options that say which studies and series to take."""
    options = [
        list_option('--batch', 'batches', label='00,05', help='Batches of the release.'),
        list_option(
            '--patient',
            'patients',
            label='ID,…',
            column='patient_uid',
            help='Patients, by patient_uid, or @FILE.',
        ),
        list_option(
            '--study',
            'studies',
            label='UID,…',
            column='study_uid',
            help='Studies, by study_uid, or @FILE.',
        ),
        list_option('--split', 'splits', choices=SPLIT_NAMES, help='Splits of the release.'),
        list_option(
            '--modality',
            'modalities',
            choices=('T1w', 'T2w', 'FLAIR', 'SWI', 'MRA'),
            help='Modalities.',
        ),
        list_option('--plane', 'planes', choices=tuple(PLANES), help='Acquisition planes.'),
        click.option(
            '--where',
            default='',
            metavar='EXPR',
            callback=_check_where,
            help='A condition on any column of metadata, splits, labels or reports, as '
            '"FieldStrength_T >= 3 and modality == \'FLAIR\'". Also age, plane, split.',
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


jobs_option = click.option(
    '-j',
    '--jobs',
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help='Studies to work on at the same time.',
)
shard_option = click.option(
    '--shard',
    default=_WHOLE,
    metavar='I/N',
    callback=_check_shard,
    help='Do the I-th of N equal parts; parts may run at the same time into one folder.',
)
dry_run_option = click.option(
    '-n', '--dry-run', is_flag=True, help='Show and write the plan, change nothing else.'
)
link_option = click.option(
    '--link',
    type=click.Choice(['auto', 'hardlink', 'symlink', 'copy']),
    default='auto',
    show_default=True,
    help='How extracted files are taken over; auto links where the filesystem can, else copies.',
)


def make_offline_option(help: str) -> Any:  # noqa: A002
    """Return the option that keeps a command off the network."""
    return click.option(
        '--offline', is_flag=True, envvar='MRRATE_BIDS_OFFLINE', show_envvar=True, help=help
    )


offline_option = make_offline_option('Never ask the network.')


def plan_file_option(default: str) -> Any:
    """Return the option that names the table of the plan."""
    return click.option(
        '--plan-file',
        type=PATH,
        default=default,
        show_default=True,
        help='Where --dry-run writes the plan.',
    )


def _remember_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[DEBUG] = value


debug_option = click.option(
    '--debug',
    is_flag=True,
    expose_value=False,
    callback=_remember_debug,
    help='Show the traceback of an error.',
)
