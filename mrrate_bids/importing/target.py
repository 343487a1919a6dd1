"""Where a release may be written: not into something else, not over something else."""

import json
import os
from pathlib import Path

from mrrate_bids.catalog import is_repository, study_of
from mrrate_bids.errors import DestinationError
from mrrate_bids.files import write_if_changed
from mrrate_bids.naming import REPOSITORIES, encode_label
from mrrate_bids.receipts import Receipts

__all__ = ['claim_target', 'refuse_foreign', 'refuse_nesting']

_RUN = 'import.json'


def claim_target(source: Path, target: Path, work: Path, *, terms: str) -> bool:
    """Note which release is made from which dataset, and on which terms at first.

    Parameters
    ----------
    source, target, work
        The dataset, the release and the folder of the import.
    terms
        What identifiers and splits follow from.

    Returns
    -------
    same
        Whether these are the terms that it was begun with.

    Raises
    ------
    DestinationError
        When the note cannot be written.
    """
    first = _read(work / _RUN).get('terms') or terms
    facts = _facts(source, target, work) | {'terms': first}
    write_if_changed(work / _RUN, json.dumps(facts, indent=1) + '\n')
    return first == terms


def _facts(source: Path, target: Path, work: Path) -> dict[str, str]:
    """Return what an import is about; release and folder may be moved together."""
    relative = os.path.relpath(target.resolve(), work.resolve())
    return {'source': str(source.resolve()), 'target': relative}


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
        _refuse_release(name, path)
    if resolved[1][1] in resolved[0][1].parents:
        raise DestinationError(
            f'{target}: holds the dataset {source}',
            hint='Choose a folder next to it; nothing was written.',
        )


def _refuse_release(name: str, path: Path) -> None:
    """Refuse a folder inside a release: who publishes that would publish the mapping."""
    release = next(filter(is_repository, path.parents), path.parent)
    if is_repository(release) or any(is_repository(release / known) for known in REPOSITORIES):
        raise DestinationError(
            f'{path}: {name} lies inside the release {release}',
            hint='Choose a folder outside of it; nothing was written.',
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
    earlier, now = _read(work / _RUN), _facts(source, target, work)
    if earlier and earlier['source'] != now['source']:
        raise DestinationError(
            f'{target} was imported from {earlier["source"]}, not from {source}',
            hint='Choose another folder; nothing was written.',
        )
    if earlier and earlier['target'] != now['target']:
        raise DestinationError(
            f'{work} belongs to the import into {(work / earlier["target"]).resolve()}',
            hint='Name another folder with --work-dir; nothing was written.',
        )
    stranger = _stranger(target, Receipts(target, work)) if earlier else ''
    if stranger:
        raise DestinationError(
            f'{target} holds {stranger}, which this import did not write',
            hint='Choose an empty folder; nothing was written.',
        )
    if others and not earlier:
        raise DestinationError(
            f'{target} holds something that was not imported from {source}: {others[0]}',
            hint='Choose an empty folder; nothing was written.',
        )


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        facts = {name: str(found[name]) for name in ('source', 'target')}
        return facts | {'terms': str(found.get('terms', ''))}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _stranger(target: Path, receipts: Receipts) -> str:
    """Return a study of the release that no receipt knows: it was swapped for another one."""
    found = {
        study_of(path.name) if path.suffix == '.zip' else path.name: path
        for repository in REPOSITORIES
        for path in target.glob(f'{repository}/mri/*/[!.]*')
    }
    known = receipts.homes()  # read last, for another shard may have begun meanwhile
    unknown = (path for study, path in found.items() if encode_label(study) not in known)
    return next((path.relative_to(target).as_posix() for path in unknown), '')
