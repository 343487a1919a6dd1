"""Where a release may be written: not into something else, not over something else."""

import json
from pathlib import Path

from mrrate_bids.errors import DestinationError
from mrrate_bids.files import write_if_changed

__all__ = ['claim_target', 'refuse_foreign', 'refuse_nesting']

_RUN = 'import.json'


def claim_target(source: Path, work: Path) -> None:
    """Note which dataset a release is made from.

    Raises
    ------
    DestinationError
        When the note cannot be written.
    """
    text = json.dumps({'source': str(source.resolve())}, indent=1) + '\n'
    write_if_changed(work / _RUN, text)


def refuse_nesting(source: Path, target: Path, work: Path) -> None:
    """Refuse folders of which one lies inside another.

    Raises
    ------
    DestinationError
        When the release, or the folder of the import, would be part of something else.
    """
    places = {'the dataset': source, 'the release': target, 'the folder of the import': work}
    resolved = [(name, path.resolve()) for name, path in places.items()]
    for name, path in resolved[1:]:
        for other, outside in resolved:
            if other != name and (path == outside or outside in path.parents):
                raise DestinationError(
                    f'{path}: {name} lies inside {other} {outside}',
                    hint='Choose a folder next to it; nothing was written.',
                )
    if resolved[1][1] in resolved[0][1].parents:
        raise DestinationError(
            f'{target}: holds the dataset {source}',
            hint='Choose a folder next to it; nothing was written.',
        )


def refuse_foreign(source: Path, target: Path, work: Path) -> None:
    """Refuse a target that holds something else than an earlier import of this dataset.

    Raises
    ------
    DestinationError
        When it does, or is a file.
    """
    if target.exists() and not target.is_dir():
        raise DestinationError(f'{target} is a file', hint='Name a folder.')
    names = {path.name for path in target.iterdir()} if target.is_dir() else set()
    others = sorted(name for name in names - {'lost+found'} if not name.startswith('.'))
    try:
        earlier = json.loads((work / _RUN).read_text(encoding='utf-8'))['source']
    except (OSError, ValueError, KeyError, TypeError):
        earlier = ''
    if earlier and earlier != str(source.resolve()):
        raise DestinationError(
            f'{target} was imported from {earlier}, not from {source}',
            hint='Choose another folder; nothing was written.',
        )
    if others and not earlier:
        raise DestinationError(
            f'{target} holds something that was not imported from {source}: {others[0]}',
            hint='Choose an empty folder; nothing was written.',
        )
