"""The options of a run as a file: read with ``--config-file``, written by every run."""

import tomllib
from pathlib import Path
from typing import Any

import click

from mrrate_bids import __version__
from mrrate_bids.cli.candidates import PATHS
from mrrate_bids.cli.options import PATH

__all__ = ['config_file_option', 'format_config']

_TABLE = 'options'


def _names(command: click.Command) -> dict[str, click.Option]:
    """Return the options that a file may hold, by each of their names without hyphens in front."""
    options = (param for param in command.params if isinstance(param, click.Option))
    return {
        name.removeprefix('--'): option
        for option in options
        if option.expose_value
        for name in option.opts
        if name.startswith('--')
    }


def _own_names(command: click.Command) -> dict[str, click.Option]:
    """Return the same with one name, the first, for each."""
    found = {option.name: name for name, option in reversed(_names(command).items())}
    return {name: option for name, option in _names(command).items() if found[option.name] == name}


def _load(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Take the values of a file as defaults; what stands on the command line wins."""
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise click.BadParameter(f'{path} cannot be read ({reason}).', ctx, param) from error
    values, known = content.get(_TABLE, content), _names(ctx.command)
    if not isinstance(values, dict):
        raise click.BadParameter(f'{path}: {_TABLE} is no table.', ctx, param)
    named = {name.replace('_', '-'): value for name, value in values.items()}
    if unknown := sorted(named.keys() - known.keys()):
        text = f'{path}: there is no option {unknown[0]!r}; it may hold '
        raise click.BadParameter(text + ', '.join(sorted(_own_names(ctx.command))), ctx, param)
    taken = {name: _value(known[name], value) for name, value in named.items()}
    if wrong := next((name for name, value in taken.items() if value is None), None):
        text = f'{path}: {wrong} is {named[wrong]!r}, and should be {_wanted(known[wrong])}.'
        raise click.BadParameter(text, ctx, param)
    ctx.default_map = {str(known[name].name): value for name, value in taken.items()}


def _value(option: click.Option, value: Any) -> Any:
    """Return a value as click takes a default, or ``None`` for what it would not understand.

    Options that may be repeated have lists. Numbers become text, as they stand on a command line:
    so a label or a folder may be one.
    """
    if option.is_flag:
        return value if isinstance(value, bool) else None
    if not option.multiple:
        return _text(value)
    texts = [_text(one) for one in (value if isinstance(value, list) else [value])]
    return None if None in texts else texts


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return None if '\0' in str(value) else str(value)


def _wanted(option: click.Option) -> str:
    if option.is_flag:
        return 'true or false'
    return 'a text, a number or a list of these' if option.multiple else 'a text or a number'


config_file_option = click.option(
    '--config-file',
    type=PATH,
    metavar='FILE',
    is_eager=True,
    expose_value=False,
    callback=_load,
    help='TOML with options by name; every run writes such a file into logs/. What stands on the '
    'command line wins.',
)


def format_config(ctx: click.Context) -> str:
    """Return the options of a command as a file that ``--config-file`` reads anywhere.

    Paths are absolute: the file may be used in another folder.
    """
    import tomli_w  # noqa: PLC0415

    given = {
        name: _plain(ctx.params[str(option.name)], option)
        for name, option in _own_names(ctx.command).items()
        if ctx.params.get(str(option.name)) not in (None, ())
    }
    arguments = {
        str(param.name): _plain(ctx.params[str(param.name)], param)
        for param in ctx.command.params
        if isinstance(param, click.Argument)
    }
    return tomli_w.dumps({'version': __version__, 'run': arguments, _TABLE: given})


def _plain(value: Any, param: click.Parameter) -> Any:
    if isinstance(value, tuple):
        return [_plain(one, param) for one in value]
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, str) and value and (param.metavar or '').endswith(PATHS):
        from mrrate_bids.app.given import name_and_place  # noqa: PLC0415  (only runs keep options)

        name, place = name_and_place(value)
        whole = str(Path(place).expanduser().absolute())
        return f'{name}={whole}' if name else whole
    return value
