"""The studies of a BIDS dataset: found with pybids, each with its centre and what exists already.

Sources: Yarkoni et al. 2019, PyBIDS, JOSS 4(40):1294; BIDS 1.10.1, "Filesystem structure".
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrrate_bids.app.assembly import Assembly
from mrrate_bids.app.given import Given
from mrrate_bids.app.study import Study
from mrrate_bids.errors import TableError, UsageError
from mrrate_bids.inheritance import Sidecars, read_json_object, split_name
from mrrate_bids.locks import held
from mrrate_bids.problems import Problem
from mrrate_bids.selection import Shard

__all__ = ['Found', 'find_studies', 'has_index', 'read_filter']

_SUFFIXES = ('T1w', 'T2w', 'FLAIR', 'T2starw', 'angio', 'PDw', 'swi', 'SWI')
_CENTRE = 'T1w'
_OF_OTHERS = {'asl', 'bold', 'dwi', 'epi', 'fmap', 'm0scan', 'pet', 'roi', 'sbref'}
"""Filters of fMRIPrep and its kin that mean no anatomical image."""

_INDEX = 'layout_index.sqlite'
"""As pybids calls it, in the folder of an index."""

_PART = 2000
"""So many subjects are indexed at a time."""

_ANY = '*'
_PLAIN = (str, int, float, bool, type(None))


@dataclass
class Found:
    """The studies that can be computed, and what was set aside before anything ran."""

    studies: list[Study] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def failed(self) -> set[str]:
        """Labels of studies of which nothing can be computed."""
        wrong = {p.study for p in self.problems if p.study}
        return wrong - {study.label for study in self.studies}


def find_studies(  # noqa: PLR0913  (all but the first may be left out)
    root: Path,
    *,
    participants: Iterable[str] = (),
    sessions: Iterable[str] = (),
    filters: Mapping[str, Any] | None = None,
    given: Given | None = None,
    rule: str = 'earliest',
    database: Path | None = None,
    shard: Shard | None = None,
) -> Found:
    """Return the studies of a dataset.

    Parameters
    ----------
    root
        The raw dataset.
    participants, sessions
        Labels with or without ``sub-`` and ``ses-``; all if empty.
    filters
        Entities by suffix, as a filter file has them: ``{'t1w': {'acquisition': 'sag'}}``.
    given
        Where results are looked for that exist already.
    rule
        Which T1w is the centre: the ``earliest``, or the ``best``, whose voxels are smallest.
    database
        Folder of an index of the whole dataset, made if it is not there; without it nobody but
        *participants* is indexed.
    shard
        Which part of the participants; the sessions of one stay together, so that a part is
        indexed alone.

    Raises
    ------
    UsageError
        When the dataset cannot be indexed, a participant or session is not in it, or no image
        is what was asked for.
    """
    _refuse_no_dataset(root)
    wanted = list(dict.fromkeys(label.removeprefix('sub-') for label in participants))
    everybody, part = _subjects(root, wanted), shard or Shard()
    subjects = [label for number, label in enumerate(everybody) if part.has(number)]
    found, assembly = Found(), Assembly(root, Sidecars(root), given or Given({}), rule)
    whole = _whole_index(root, database) if database and subjects else None
    if whole:
        found.problems += _name_absent(whole, root, subjects, database)
    asked = {label.removeprefix('ses-') for label in sessions}
    seen, suffixes = _labels_of_sessions(root, set(everybody) - set(subjects)), set[str]()
    if not subjects:
        return found
    for session, images in _sessions(root, subjects, filters or {}, whole):
        seen.add(session[1])
        if not asked or session[1] in asked:
            suffixes |= {split_name(path.name)[1] for path in images}
            study, problems = assembly.assemble(session, images)
            found.problems += problems
            found.studies += [study] if study else []
    _refuse_absent(root, wanted, asked, seen)
    if part.count == 1:  # a part may hold nothing of what the whole has
        _refuse_nothing(root, suffixes, filters or {})
    return found


def _refuse_no_dataset(root: Path) -> None:
    try:
        read_json_object(root / 'dataset_description.json')
    except TableError as error:
        raise UsageError(str(error), hint='Name the root of a BIDS dataset.') from error


def _refuse_absent(root: Path, wanted: list[str], asked: set[str], seen: set[str]) -> None:
    """Raise when a session is not there, of the dataset or of the participants that are wanted."""
    if missing := sorted(asked - seen):
        who = ', '.join(f'sub-{label}' for label in wanted) or str(root)
        raise UsageError(
            f'{who} has no session {missing[0]!r}',
            hint=f'It has {", ".join(sorted(filter(None, seen))) or "none"}.',
        )


def _labels_of_sessions(root: Path, subjects: Iterable[str]) -> set[str]:
    """Return the labels of the sessions of participants of other parts, by their folders."""
    return {path.name[4:] for label in subjects for path in (root / f'sub-{label}').glob('ses-*')}


def _refuse_nothing(root: Path, suffixes: set[str], filters: Mapping[str, Any]) -> None:
    """Raise when nothing can be computed because of what was asked for."""
    if not suffixes:
        raise UsageError(
            f'{root} has no anatomical image of what was asked for',
            hint='Check --participant-label, --session-label and --bids-filter-file.',
        )
    if _CENTRE.lower() in filters and _CENTRE not in suffixes:
        raise UsageError(
            f'the filter of {_CENTRE.lower()} matches no image',
            hint='Every study needs a T1w: correct --bids-filter-file.',
        )


def _subjects(root: Path, wanted: list[str]) -> list[str]:
    here = sorted(path.name[4:] for path in root.glob('sub-*') if path.is_dir())
    if not here:
        raise UsageError(f'{root} has no folder sub-*', hint='Name the root of a BIDS dataset.')
    if missing := sorted(set(wanted) - set(here), key=wanted.index):
        raise UsageError(
            f'{root} has no participant {missing[0]!r}',
            hint=f'It has {", ".join(here[:8])}{" …" if len(here) > 8 else ""}.',
        )
    return wanted or here


def _sessions(
    root: Path, subjects: list[str], filters: Mapping[str, Any], whole: Any
) -> Iterator[tuple[tuple[str, str], list[Path]]]:
    """Yield subject and session with the images of the session.

    A part of the subjects is looked at a time: without a database an index is in memory, where
    that of a large dataset would not fit, and whatever is asked of one costs all that is in it.
    """
    for start in range(0, len(subjects), _PART):
        part = subjects[start : start + _PART]
        yield from _images(whole or _index(root, part), part, filters)


@dataclass(frozen=True, slots=True)
class _Others:
    """What pybids leaves out: files of subjects that are not *wanted*.

    It takes the place of a regular expression, which would try one name after the other.
    """

    wanted: frozenset[str]

    def search(self, path: str) -> bool:
        """Tell whether a path, from the root of the dataset, is another subject's."""
        first = path.split('/', 2)[1]
        return first.startswith('sub-') and first[4:] not in self.wanted


def has_index(folder: Path) -> bool:
    """Tell whether a folder has an index."""
    return (folder / _INDEX).exists()


def _whole_index(root: Path, database: Path) -> Any:
    """Return a layout of the whole dataset, from an index that is made when there is none.

    It gets its name when it is whole: other parts of a run wait for it, and one that was being
    made when its run was killed is made anew.
    """
    path, part = database / _INDEX, database / f'.{_INDEX}.part'
    if not path.exists():
        with held(database / '.lock'):
            if not path.exists():
                shutil.rmtree(part, ignore_errors=True)
                _index(root, None, part)
                (part / _INDEX).replace(path)
                part.rmdir()
    return _index(root, None, database)


def _index(root: Path, subjects: list[str] | None, database: Path | None = None) -> Any:
    """Return a layout of pybids, of everybody or of some *subjects*."""
    from bids import BIDSLayout, BIDSLayoutIndexer  # noqa: PLC0415  (slow)
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    skipped: list[Any] = ['derivatives', 'sourcedata']
    if subjects is not None:
        skipped.append(_Others(frozenset(subjects)))
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=skipped)
    try:
        return BIDSLayout(root, indexer=indexer, derivatives=False, database_path=database)
    except (OSError, ValueError, AttributeError, SQLAlchemyError) as error:
        # pybids finds no dataset in an index that is not whole: that is the AttributeError.
        # SQLAlchemy adds the statement that failed, and where its own documentation is.
        said = getattr(error, 'orig', None) or error
        what = 'cannot be used as an index' if database else 'cannot be indexed'
        raise UsageError(
            f'{database or root}: {what} ({" ".join(str(said).split())})',
            hint='Check the dataset; give another --bids-database-dir, or none.',
        ) from error


def _name_absent(
    layout: Any, root: Path, subjects: list[str], database: Path | None
) -> Iterator[Problem]:
    """Say which participants have come since an index was made, and are not in it.

    Raises
    ------
    UsageError
        When none of the participants that were asked for is in it, or it is of another dataset.
    """
    if Path(layout.root).resolve() != root.resolve():
        raise UsageError(
            f'{database}: is the index of {layout.root}', hint='Give another --bids-database-dir.'
        )
    known = set(layout.get_subjects())
    absent = [one for one in subjects if one not in known and _has_images(root / f'sub-{one}')]
    if not absent:
        return
    more = f' and {len(absent) - 1} more' if len(absent) > 1 else ''
    text = f'{database}: lacks sub-{absent[0]}{more}, added since; nothing of that is computed'
    hint = 'Remove that folder, it is made anew; or give another --bids-database-dir, or none.'
    if len(absent) == len(subjects):
        raise UsageError(text, hint=hint)
    yield Problem('warning', text, hint)


def _has_images(folder: Path) -> bool:
    return next(folder.glob('**/anat/*.nii*'), None) is not None


def _images(
    layout: Any, subjects: list[str], filters: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, str], list[Path]]]:
    """Yield subject and session with the images of the session."""
    _refuse_unknown(filters, set(layout.get_entities()))
    images: dict[str, dict[str, list[Path]]] = {subject: {} for subject in subjects}
    for file in layout.get(subject=subjects):  # a session counts that has anything
        images[file.entities['subject']].setdefault(_session_of(file), [])
    for suffix in _SUFFIXES:
        query = {'suffix': suffix, 'extension': ['.nii', '.nii.gz'], 'datatype': 'anat'}
        asked_for = {'subject': subjects} | filters.get(suffix.lower(), {})
        asked = asked_for.pop('subject')
        query |= {entity: _meant(value) for entity, value in asked_for.items()}
        if wanted := [subject for subject in subjects if _asks_for(subject, asked)]:
            for file in _ask(layout, suffix, {**query, 'subject': wanted}):
                images[file.entities['subject']][_session_of(file)].append(Path(file.path))
    for subject, sessions in images.items():
        for session, paths in sorted(sessions.items()):
            yield (subject, session), sorted(paths)


def _session_of(file: Any) -> str:
    return str(file.entities.get('session', ''))


def _ask(layout: Any, suffix: str, query: Mapping[str, Any]) -> list[Any]:
    """Return the files of a query; pybids has no words of its own for a value it cannot take."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    try:
        return list(layout.get(**query))
    except (TypeError, ValueError, OverflowError, SQLAlchemyError) as error:
        said = ' '.join(str(error).split()) or type(error).__name__
        raise UsageError(
            f'pybids cannot ask for what the filter of {suffix.lower()} says ({said})',
            hint='Correct the values in --bids-filter-file.',
        ) from error


def _meant(value: Any) -> Any:
    """Return what a value of a filter file means to pybids, as fMRIPrep reads it: ``*`` is any."""
    from bids.layout import Query  # noqa: PLC0415  (slow)

    return Query.ANY if value == _ANY else value


def _asks_for(subject: str, wanted: Any) -> bool:
    """Tell whether a filter takes a subject, with or without ``sub-``."""
    return wanted == _ANY or subject in {str(one).removeprefix('sub-') for one in _listed(wanted)}


def _refuse_unknown(filters: Mapping[str, Any], known: set[str]) -> None:
    """Raise when a filter names an entity that pybids does not know."""
    for suffix, entities in filters.items():
        if unknown := sorted(set(entities) - known):
            raise UsageError(
                f'the filter of {suffix} names {unknown[0]!r}, which is no entity',
                hint=f'Entities are {", ".join(sorted(known))}.',
            )


def read_filter(path: Path) -> dict[str, Any]:
    """Read a filter file of a BIDS-App: JSON, entities by suffix.

    Raises
    ------
    UsageError
        When it cannot be read, or filters something that no app knows.
    """
    try:
        content = read_json_object(path)
    except TableError as error:
        raise UsageError(str(error), hint='See the filter files of fMRIPrep.') from error
    known = {suffix.lower() for suffix in _SUFFIXES}
    if strange := sorted(content.keys() - known - _OF_OTHERS):
        raise UsageError(
            f'{path}: {strange[0]} filters no image',
            hint=f'Filters of ours are called {", ".join(sorted(known))}.',
        )
    ours = {name: entities for name, entities in content.items() if name in known}
    if wrong := [name for name, entities in ours.items() if not isinstance(entities, dict)]:
        raise UsageError(
            f'{path}: the filter of {wrong[0]} is no object of entities',
            hint=f'Filters are objects of entities, called {", ".join(sorted(known))}.',
        )
    for name, entities in ours.items():
        for entity, value in entities.items():
            if not all(isinstance(one, _PLAIN) for one in _listed(value)):
                raise UsageError(
                    f'{path}: the filter of {name} asks for no value of {entity}',
                    hint='A value is a text, a number, null, or a list of these.',
                )
    return ours


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
