"""What a shell offers for a value: choices, labels of the dataset, templates, files.

A shell waits for this at every press of the Tab key: names of folders are read, and no more.
"""

import os
import re
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

__all__ = ['PATHS', 'Text', 'is_path', 'offer_list']

_MOST = 500
"""How many values are offered; shells take a millisecond for each."""

PATHS = ('DIR', 'FILE', 'PATH')
"""How the help shows values that are paths."""

_TEMPLATE = re.compile(r'tpl-(?P<name>[A-Za-z0-9]+)/tpl-(?P=name)_res-[0-9]+_T1w\.nii\.gz')


def is_path(param: click.Parameter) -> bool:
    """Tell whether a parameter takes a path, by its type or by what the help shows for it.

    >>> is_path(click.Option(['--weights'], metavar='DIR'))
    True
    """
    return isinstance(param.type, click.Path) or param.metavar in PATHS


class Text(click.types.StringParamType):
    """Text of which a shell can offer something, by the name of the option or by its metavar."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer values, or let the shell offer paths."""
        if (param.metavar or '').endswith(PATHS):  # [NAME=]PATH, too
            return [CompletionItem(incomplete, type='file')]
        return _offer(_find(ctx, param), incomplete)


def offer_list(
    ctx: click.Context, param: click.Parameter, incomplete: str, choices: Iterable[str]
) -> list[CompletionItem]:
    """Offer what may stand after the last comma, without what the list has already.

    Parameters
    ----------
    ctx
        Of the command line so far.
    param
        The option.
    incomplete
        The word so far.
    choices
        The values that are allowed; empty where any is.
    """
    before, comma, last = incomplete.rpartition(',')
    taken = {*before.split(','), *_given(ctx, param.name or '')}
    found = [value for value in choices or _find(ctx, param) if value not in taken]
    return _offer(found, last, before=before + comma)


def _offer(values: list[str], incomplete: str, *, before: str = '') -> list[CompletionItem]:
    fitting = [v for v in values if v.lower().startswith(incomplete.lower())]
    if incomplete.startswith(('sub-', 'ses-')):
        prefix, label = incomplete[:4], incomplete[4:]
        fitting = [prefix + v for v in values if v.startswith(label)]
    return [CompletionItem(before + value) for value in _beginnings(fitting)]


def _beginnings(values: list[str], most: int = _MOST) -> list[str]:
    """Return beginnings of the values where these are too many.

    >>> _beginnings(['101', '102', '23'], most=2)
    ['10', '23']
    """
    if len(values) <= most:
        return values
    length = 1
    while len({value[: length + 1] for value in values}) <= most:
        length += 1
    return sorted({value[:length] for value in values})


def _given(ctx: click.Context, name: str) -> list[str]:
    """Return the values of an option that stand on the line; defaults may be given as well."""
    is_given = ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
    return _flat(ctx.params.get(name)) if is_given else []


def _flat(values: object) -> list[str]:
    if isinstance(values, str):
        return [values]
    return [part for value in values for part in _flat(value)] if isinstance(values, tuple) else []


def _find(ctx: click.Context, param: click.Parameter) -> list[str]:
    finder = _FINDERS.get(param.name or '')
    try:
        return finder(ctx) if finder else _alternatives(param)
    except OSError:
        return []  # a folder that is not there or cannot be read has nothing to offer


def _alternatives(param: click.Parameter) -> list[str]:
    """Return the words of a metavar such as ``auto|cpu|cuda[:N]``."""
    metavar = param.metavar or ''
    return [re.sub(r'\[.*', '', word) for word in metavar.split('|')] if '|' in metavar else []


def _subjects(ctx: click.Context) -> list[str]:
    return _labels(ctx.params.get('bids_dir'), 'sub-')


def _sessions(ctx: click.Context) -> list[str]:
    """Return the sessions of the participants that were asked for, or of the first ones."""
    root = ctx.params.get('bids_dir')
    asked = [label.removeprefix('sub-') for label in _flat(ctx.params.get('participants'))]
    subjects = asked or _labels(root, 'sub-')[:_MOST]
    return sorted({s for subject in subjects for s in _labels(root, f'sub-{subject}', 'ses-')})


def _labels(root: object, *parts: str) -> list[str]:
    """Return the labels of folders: those that begin with the last of *parts*."""
    if not isinstance(root, (str, Path)):
        return []
    *folders, prefix = parts
    typed = os.path.expandvars(root)  # the shell has replaced neither variables nor ~
    with os.scandir(Path(typed, *folders).expanduser()) as entries:
        found = (entry for entry in entries if entry.name.startswith(prefix))
        return sorted(entry.name.removeprefix(prefix) for entry in found if entry.is_dir())


def _templates(ctx: click.Context) -> list[str]:
    """Return templates with a T1w image; to import TemplateFlow would take a second."""
    names: list[str] = []
    if home := os.environ.get('TEMPLATEFLOW_HOME'):
        paths = Path(home).glob('tpl-*/*_T1w.nii.gz')
        names += [path.relative_to(home).as_posix() for path in paths]
    spec = find_spec('templateflow')
    for folder in (spec and spec.submodule_search_locations) or ():
        with ZipFile(Path(folder, 'conf/templateflow-skel.zip')) as file:
            names += file.namelist()
    return sorted({found['name'] for name in names if (found := _TEMPLATE.fullmatch(name))})


_FINDERS: dict[str, Callable[[click.Context], list[str]]] = {
    'participants': _subjects,
    'sessions': _sessions,
    'spaces': _templates,
}
"""Where values come from, by the name of the parameter."""
