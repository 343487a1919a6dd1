"""What a command would refuse before it begins, for those that write it down for later."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrrate_bids.errors import SourceError

__all__ = ['rehearse']

_READS = {'export': 'source', 'fetch': 'source', 'merge': 'dest', 'validate': 'directory'}
"""What names the folder that a command reads; the others say ``bids_dir``."""

_OF_DATASETS = {'import', 'run', 'validate'}
_NO_DATASET = 'Give the folder with dataset_description.json.'


def rehearse(name: str, values: Mapping[str, Any]) -> SourceError | None:
    """Look at the words of a command; nothing is written, and no network is asked.

    Parameters
    ----------
    name
        The command.
    values
        Its arguments and options, by the names it has for them.

    Returns
    -------
    SourceError
        When what it reads is not there, which may be so only until it begins.

    Raises
    ------
    MrRateError
        When it could not work, whatever is there.
    """
    if values.get('where'):
        from mrrate_bids.expressions import Expression  # noqa: PLC0415

        Expression(values['where'])
    if name == 'fetch':
        from mrrate_bids.fetching.source import refuse_secrets  # noqa: PLC0415

        refuse_secrets(values['source'])
    try:
        _require_folder(name, values)
        _require_token(values.get('token') or '')
        if name == 'export':
            from mrrate_bids.cli.export import prepare  # noqa: PLC0415

            prepare(values['source'], values['bids_dir'], dict(values))
        elif name == 'import':
            from mrrate_bids.cli.importing import prepare as prepare_import  # noqa: PLC0415

            prepare_import(values['bids_dir'], values['release_dir'], dict(values))
        elif name == 'merge':
            from mrrate_bids.merging import Merge  # noqa: PLC0415

            Merge(values['dest'], repositories=values['repositories']).find()
    except SourceError as error:
        return error
    return None


def _require_token(token: str) -> None:
    if token.startswith('@') and not Path(token[1:]).is_file():
        raise SourceError(f'--token: there is no file {token[1:]}')


def _require_folder(name: str, values: Mapping[str, Any]) -> None:
    """Make sure that what is read is there: a release, a dataset, or either.

    Raises
    ------
    SourceError
        When it is not.
    """
    from mrrate_bids.catalog import find_repositories  # noqa: PLC0415
    from mrrate_bids.checks.tree import is_dataset  # noqa: PLC0415
    from mrrate_bids.fetching.source import local_folder  # noqa: PLC0415

    value = values[_READS.get(name, 'bids_dir')]
    folder = value if isinstance(value, Path) else local_folder(value)
    if folder is None:
        return  # on a server
    if not folder.is_dir():
        raise SourceError(f'{folder} is not a folder')
    if name not in _OF_DATASETS or is_dataset(folder):
        return
    if name != 'validate' or not find_repositories(folder):
        raise SourceError(f'{folder} is no BIDS dataset', hint=_NO_DATASET)
