"""Options that several commands share, and how their values are read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mrrate_bids.cli import DEBUG

__all__ = [
    'CommaList',
    'debug_option',
    'dry_run_option',
    'jobs_option',
    'selection_options',
    'shard_option',
]

Command = TypeVar('Command', bound=Callable[..., Any])
PATH = click.Path(path_type=Path)


class CommaList(click.ParamType[tuple[str, ...]]):
    """Values separated by commas; the option may also be repeated.

    Parameters
    ----------
    choices
        The values that are allowed; empty allows any.
    """

    name = 'list'

    def __init__(self, choices: tuple[str, ...] = (), *, label: str = 'LIST') -> None:
        self._choices = {choice.lower(): choice for choice in choices}
        self._label = label

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the choices in the help."""
        return ','.join(self._choices.values()) or self._label

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
            return parts
        for part in parts:
            if part.lower() not in self._choices:
                self.fail(f'{part!r} is none of {", ".join(self._choices.values())}.', param, ctx)
        return tuple(self._choices[part.lower()] for part in parts)


def _flatten(
    ctx: click.Context, param: click.Parameter, value: tuple[tuple[str, ...], ...]
) -> tuple[str, ...]:
    return tuple(part for parts in value for part in parts)


def list_option(*names: str, choices: tuple[str, ...] = (), label: str = 'LIST', help: str) -> Any:  # noqa: A002
    """Return an option that takes values separated by commas, repeated or both."""
    kind = CommaList(choices, label=label)
    return click.option(*names, type=kind, multiple=True, callback=_flatten, help=help)


def selection_options(command: Command) -> Command:
    """Add the options that say which studies and series to take."""
    options = [
        list_option('--batch', 'batches', label='00,05', help='Batches of the release.'),
        list_option('--patient', 'patients', label='ID,…', help='Patients, by patient_uid.'),
        list_option('--study', 'studies', label='UID,…', help='Studies, by study_uid.'),
        list_option(
            '--split', 'splits', choices=('train', 'val', 'test'), help='Splits of the release.'
        ),
        list_option(
            '--modality',
            'modalities',
            choices=('T1w', 'T2w', 'FLAIR', 'SWI', 'MRA'),
            help='Modalities.',
        ),
        list_option(
            '--plane', 'planes', choices=('axi', 'sag', 'cor', 'obl'), help='Acquisition planes.'
        ),
        click.option(
            '--where',
            default='',
            metavar='EXPR',
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
    default='1/1',
    metavar='I/N',
    help='Do the I-th of N equal parts; parts may run at the same time into one folder.',
)
dry_run_option = click.option(
    '-n', '--dry-run', is_flag=True, help='Show and write the plan, change nothing else.'
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
