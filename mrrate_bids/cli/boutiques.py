"""The Boutiques descriptor of ``mrrate-bids-app``, made of its command line.

Platforms such as CBRAIN and the command ``bosh`` read from it how the program is called::

    python -m mrrate_bids.cli.boutiques > boutiques.json

Source: Glatard et al. 2018, Boutiques: a flexible framework to integrate command-line applications
in computing platforms, GigaScience 7(5): giy016; version 0.5 of its schema.
"""

import inspect
import json
import re
from importlib.metadata import metadata
from itertools import chain
from typing import Any

import click

from mrrate_bids import __version__
from mrrate_bids.cli.app import main
from mrrate_bids.cli.candidates import is_path
from mrrate_bids.cli.groups import title_of
from mrrate_bids.cli.options import CommaList

__all__ = ['describe', 'render']

Input = dict[str, Any]

_OUTPUT = 'output_dir'
_WRITTEN = (_OUTPUT, 'work_dir', 'bids_database_dir')
"""Folders that need not exist; Boutiques lets a ``File`` be one that does."""

_LEADING = ('participant_label', 'session_label')
"""Options that follow the arguments, where the Boutiques template of BIDS-Apps has them."""

_ENDING = ('help', 'version')

_ERRORS = {
    1: 'Anything else.',
    2: 'The command as given cannot work.',
    3: 'Some studies failed or something was set aside; the table at the end names it.',
    130: 'Stopped with Ctrl-C.',
}


def render() -> str:
    """Return the text of ``boutiques.json``."""
    return json.dumps(describe(main), indent=2, ensure_ascii=False)


def describe(command: click.Command) -> dict[str, Any]:
    """Return the descriptor of a command that has the arguments of a BIDS-App."""
    inputs = {param: _inputs(param) for param in command.params if _is_input(param)}
    listed = sorted(chain.from_iterable(inputs.values()), key=_rank)
    keys = dict.fromkeys(entry['value-key'] for entry in listed)
    about = metadata('mrrate-bids')
    return {
        'name': command.name,
        'description': _plain((command.help or '').partition('\b')[0]),
        'author': about['Author'],
        'tool-version': __version__,
        'schema-version': '0.5',
        'command-line': f'mkdir -p [OUTPUT_DIR]; {command.name} {" ".join(keys)}',
        'container-image': {'type': 'docker', 'image': f'mrrate-bids:{__version__}'},
        'inputs': listed,
        'groups': _groups(inputs),
        'output-files': [
            {
                'id': 'results',
                'name': 'Results',
                'description': 'The folder of the datasets that were computed.',
                'path-template': '[OUTPUT_DIR]',
                'optional': False,
            }
        ],
        'error-codes': [{'code': code, 'description': text} for code, text in _ERRORS.items()],
        'tags': {
            'domain': ['neuroinformatics', 'mri', 'bids-app'],
            'license': about['License'],
        },
    }


def _is_input(param: click.Parameter) -> bool:
    """Tell whether a parameter says what is done; ``--help`` and ``--version`` do not."""
    return param.name not in _ENDING and not getattr(param, 'hidden', False)


def _rank(entry: Input) -> int:
    """Return 0 for arguments, 1 and 2 for the options that follow them, 3 for others."""
    if 'command-line-flag' not in entry:
        return 0
    return 1 + (*_LEADING, entry['id']).index(entry['id'])


def _inputs(param: click.Parameter) -> list[Input]:
    """Return what stands for a parameter: one input, or one for each of ``--this/--that``."""
    if isinstance(param, click.Option):
        flags = [_first_long(names) for names in (param.opts, param.secondary_opts) if names]
        return [_option(param, flag) for flag in flags]
    name = param.name or ''
    entry = _input(name) | _kind(param) | {'optional': not param.required}
    if name != _OUTPUT:
        return [entry]
    new = {'description': 'A folder for the results; it need not exist.', 'optional': True}
    old = {'description': 'One that exists, which may lie outside the working directory.'}
    return [
        entry | new,
        entry | new | old | _input(f'existing_{name}', key=name) | {'type': 'File'},
    ]


def _option(param: click.Option, flag: str) -> Input:
    entry = _input(flag.lstrip('-').replace('-', '_'))
    if param.help:
        entry['description'] = _plain(param.help) + _default(param)
    return entry | _kind(param, flag) | {'optional': not param.required, 'command-line-flag': flag}


def _default(param: click.Option) -> str:
    """Return the default as the help tells it.

    As ``default-value`` Boutiques would pass it on, and it would win over ``--config-file``.
    """
    return f' [default: {param.to_info_dict()["default"]}]' if param.show_default else ''


def _input(name: str, *, key: str = '') -> Input:
    readable = name.replace('_', ' ').capitalize()
    return {'id': name, 'name': readable, 'value-key': f'[{(key or name).upper()}]'}


def _kind(param: click.Parameter, flag: str = '') -> Input:
    """Return the type of an input, and whether it is a list."""
    if getattr(param, 'is_flag', False) or getattr(param, 'count', False):
        return {'type': 'Flag'}
    kind = _value(param)
    if isinstance(param.type, CommaList):
        return kind | {'list': True, 'list-separator': ','}
    if param.multiple:
        return kind | {'list': True, 'list-separator': f' {flag} '}
    if param.nargs > 1:
        number = param.nargs
        return kind | {'list': True, 'min-list-entries': number, 'max-list-entries': number}
    return kind | {'list': True} if param.nargs < 0 else kind


def _value(param: click.Parameter) -> Input:
    """Return the type of one value."""
    kind = param.type
    if isinstance(kind, (click.types.IntParamType, click.types.FloatParamType)):
        integer = isinstance(kind, click.types.IntParamType)
        return {'type': 'Number', 'integer': integer} | _limits(kind)
    if isinstance(kind, click.Choice):
        return {'type': 'String', 'value-choices': list(kind.choices)}
    if isinstance(kind, CommaList) and kind.choices:
        return {'type': 'String', 'value-choices': list(kind.choices)}
    if is_path(param) and not _is_written(param):
        return {'type': 'File'}
    return {'type': 'String'}


def _is_written(param: click.Parameter) -> bool:
    return param.name in _WRITTEN or getattr(param.type, 'writable', False)


def _limits(kind: Any) -> Input:
    limits: Input = {}
    for end, name in (('min', 'minimum'), ('max', 'maximum')):
        if getattr(kind, end, None) is not None:
            limits[name] = getattr(kind, end)
            if getattr(kind, f'{end}_open'):
                limits[f'exclusive-{name}'] = True
    return limits


def _groups(inputs: dict[click.Parameter, list[Input]]) -> list[dict[str, Any]]:
    """Return the groups of the help, and those of inputs of which one may be given."""
    titled: dict[str, list[str]] = {}
    for param, entries in inputs.items():
        if isinstance(param, click.Option):
            titled.setdefault(title_of(param), []).extend(entry['id'] for entry in entries)
    listed = [_group(title, ids) for title, ids in titled.items()]
    return listed + _exclusive(inputs)


def _exclusive(inputs: dict[click.Parameter, list[Input]]) -> list[dict[str, Any]]:
    """Return groups of inputs that set the same value."""
    members: dict[str, list[str]] = {}
    for param, entries in inputs.items():
        members.setdefault(param.name or '', []).extend(entry['id'] for entry in entries)
    needed = {param.name for param in inputs if param.required}
    return [
        _group(f'{name} or another', ids)
        | {'mutually-exclusive': True, 'one-is-required': name in needed}
        for name, ids in members.items()
        if len(ids) > 1
    ]


def _group(title: str, ids: list[str]) -> dict[str, Any]:
    name = re.sub(r'\W+', '_', title).lower()
    return {'id': f'{name}_group', 'name': title.replace('_', ' '), 'members': ids}


def _first_long(names: list[str]) -> str:
    return next((name for name in names if name.startswith('--')), names[0])


def _plain(text: str) -> str:
    """Return a text in one line."""
    return ' '.join(inspect.cleandoc(text).split())


if __name__ == '__main__':
    click.echo(render())
