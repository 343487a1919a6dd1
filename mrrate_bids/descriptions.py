"""What a dataset says of itself: its description, README, CHANGES, ignore list and inherited JSON.

Sources: BIDS 1.10.1, "Dataset description", "The inheritance principle", "Derivatives".
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mrrate_bids import __released__, __version__
from mrrate_bids.errors import TableError
from mrrate_bids.files import write_if_changed
from mrrate_bids.inheritance import read_json_object
from mrrate_bids.naming import ATLAS, in_template
from mrrate_bids.sidecars import inherited, link_name
from mrrate_bids.templates import read_text, read_toml

__all__ = [
    'PROGRAM',
    'About',
    'describe_dataset',
    'describe_result',
    'format_json',
    'given_link',
    'is_computed',
    'is_exported',
    'linked_elsewhere',
    'tool_version',
    'write_inherited',
]

PROGRAM = 'mrrate-bids'
"""Our name in GeneratedBy."""

_COMPUTED_BY = 'Computed with mrrate-bids run'

_GIVEN = 'given'
"""How links to datasets of the user begin, so that they are never taken for ours."""

_IMAGE = 'MRRATE_BIDS_CONTAINER'
"""TYPE:TAG, as ``docker:mrrate-bids:0.2.0``."""

_IGNORED = {'': ('sessions.json',), 'derivative': ('*_xfm.*',)}


@dataclass(frozen=True, slots=True)
class About:
    """What the caller knows better than the templates: where the data come from."""

    name: str = ''
    license: str = ''
    source: str = ''
    authors: tuple[str, ...] = ()


def format_json(content: dict[str, Any]) -> str:
    """Return *content* as it stands in every JSON file of a dataset."""
    return json.dumps(content, indent=2, ensure_ascii=False) + '\n'


@cache
def _texts() -> Any:
    return read_toml('datasets.toml')


def describe_dataset(
    folder: Path,
    dataset: str,
    *,
    about: About,
    siblings: Iterable[str],
    kinds: set[tuple[str, str]],
) -> None:
    """Write the files at the root of a dataset that do not depend on its studies.

    Parameters
    ----------
    folder
        The root of the dataset.
    dataset
        Its name in the naming table; empty for the raw one.
    about
        Name, licence, source and authors, where they differ from the release's.
    siblings
        Names of all derivative datasets next to it.
    kinds
        Pairs of file kind and BIDS suffix that it holds.
    """
    facts = _texts()[dataset or 'raw']
    source = about.source or facts['source']
    license_ = about.license or _texts()['raw']['License']
    name = about.name if about.name and not dataset else facts['Name']
    description = _description(dataset, about, source=source, license_=license_)
    description['DatasetLinks'] = _links(dataset, siblings)
    write_if_changed(folder / 'dataset_description.json', format_json(description))
    readme = read_text('README-derivative.md' if dataset else 'README-raw.md')
    text = readme.format(name=name, license=license_, source=source)
    write_if_changed(folder / 'README.md', text)
    changes = f'{__version__} {__released__}\n  - Exported with mrrate-bids {__version__}.\n'
    write_if_changed(folder / 'CHANGES', changes)
    ignored = _IGNORED['derivative' if dataset else '']
    write_if_changed(folder / '.bidsignore', '\n'.join(ignored) + '\n')
    for kind, suffix in sorted(kinds):
        write_inherited(folder, kind, suffix, released=True)


def _description(dataset: str, about: About, *, source: str, license_: str) -> dict[str, Any]:
    facts = dict(_texts()[dataset or 'raw'])
    raw = _texts()['raw']
    tool = {'Name': PROGRAM, 'Version': __version__}
    made_by = facts.get('made_by', [])
    own = [{'Name': dataset, 'Version': __version__}] if dataset else []
    description = {
        'Name': (about.name if not dataset else '') or facts['Name'],
        'BIDSVersion': _texts()['bids_version'],
        'DatasetType': 'derivative' if dataset else 'raw',
        'License': license_,
        'Authors': list(about.authors) or raw['Authors'],
        'HowToAcknowledge': raw['HowToAcknowledge'],
        'ReferencesAndLinks': raw['ReferencesAndLinks'],
        'GeneratedBy': [*own, *([tool] if not dataset else []), *made_by]
        + ([tool] if dataset else []),
        'SourceDatasets': [{'URL': source}],
    }
    if about.source:
        description['ReferencesAndLinks'] = [about.source]
        del description['HowToAcknowledge']
    return description


def _links(dataset: str, siblings: Iterable[str]) -> dict[str, str]:
    if not dataset:
        return {link_name(name): f'derivatives/{name}' for name in sorted(siblings)}
    links = {link_name(name): f'../{name}' for name in sorted(siblings) if name != dataset}
    return {link_name(''): '../..'} | links


def given_link(dataset: str) -> str:
    """Return the name in ``DatasetLinks`` of a dataset that the user gave, never one of ours.

    >>> given_link('mrrate-defaced'), given_link('fmriprep-24.1')
    ('givenDefaced', 'givenFmriprep241')
    """
    name = re.sub('[^0-9A-Za-z]', '', link_name(dataset))
    return f'{_GIVEN}{name[:1].upper()}{name[1:]}'


def describe_result(
    folder: Path,
    dataset: str,
    *,
    raw: Path,
    siblings: Iterable[str],
    extractor: str,
    given: Mapping[str, Path] | None = None,
) -> None:
    """Write the files at the root of a dataset that was computed.

    Parameters
    ----------
    folder, dataset
        Its root, and its name in the naming table.
    raw
        The dataset that it was computed from.
    siblings
        Names of the datasets next to it.
    extractor
        What finds brains.
    given
        Datasets that the user gave, by the names of their links; those of earlier runs stay.
    """
    said = read_json_object(raw / 'dataset_description.json')
    tool = {'Name': PROGRAM, 'Version': __version__, 'Description': _COMPUTED_BY} | _container()
    description = {
        'Name': f'{said.get("Name", raw.name)}: {dataset}',
        'BIDSVersion': _texts()['bids_version'],
        'DatasetType': 'derivative',
        'GeneratedBy': [
            {'Name': dataset, 'Version': __version__},
            *_tools(dataset, extractor),
            tool,
        ],
        'DatasetLinks': {link_name(''): os.path.relpath(raw, folder)}
        | {link_name(name): f'../{name}' for name in sorted(siblings) if name != dataset}
        | _given_links(folder, given or {}),
    }
    for key in ('License', 'Authors', 'HowToAcknowledge'):
        if said.get(key):
            description[key] = said[key]
    if doi := said.get('DatasetDOI'):
        description['SourceDatasets'] = [{'DOI': doi}]
    write_if_changed(folder / 'dataset_description.json', format_json(description))
    text = read_text('README-result.md').format(name=description['Name'], dataset=dataset)
    write_if_changed(folder / 'README.md', text)
    write_if_changed(folder / '.bidsignore', '\n'.join(_IGNORED['derivative']) + '\n')


def _container() -> dict[str, Any]:
    """Return the container that the program runs in, as ``GeneratedBy`` has it.

    The images of this project set the variable.
    """
    kind, _, tag = os.environ.get(_IMAGE, '').partition(':')
    return {'Container': {'Type': kind, 'Tag': tag}} if kind and tag else {}


def _given_links(folder: Path, given: Mapping[str, Path]) -> dict[str, str]:
    """Return links to datasets of the user, with those that files of earlier runs may name."""
    before = _links_of(folder).items()
    stays = {name: place for name, place in before if not _is_sibling(name, place)}
    stays.pop(link_name(''), None)
    links = {name: os.path.relpath(root, folder) for name, root in given.items()}
    return dict(sorted((stays | links).items()))


def linked_elsewhere(folder: Path, dataset: str) -> str | None:
    """Return where a dataset of the user lies that the one in *folder* names as one of ours."""
    name = link_name(dataset)
    place = _links_of(folder).get(name)
    if place is None or _is_sibling(name, place):
        return None
    return os.path.normpath(folder / place)


def _is_sibling(name: str, place: str) -> bool:
    """Tell whether a link leads to one of ours, next to the dataset that has it."""
    return place.startswith('../') and link_name(place.removeprefix('../')) == name


def _links_of(folder: Path) -> dict[str, str]:
    try:
        said = read_json_object(folder / 'dataset_description.json').get('DatasetLinks')
    except TableError:  # or there is none yet
        return {}
    links = said if isinstance(said, dict) else {}
    return {name: place for name, place in links.items() if isinstance(place, str)}


def _tools(dataset: str, extractor: str) -> list[dict[str, str]]:
    """Return what a run uses for a dataset, with the versions that are installed."""
    extractors, tools = _texts()['extractors'], list(_texts()[dataset].get('made_by', []))
    tools = [tool for tool in tools if tool['Name'] not in _texts()['built_in']]
    names = {one['Name'] for one in extractors.values()}
    if any(tool['Name'] in names for tool in tools):
        tools = [tool for tool in tools if tool['Name'] not in names]
        tools += [extractors[extractor]] if extractor in extractors else []
    return [tool | tool_version(tool['Name']) for tool in tools]


def is_exported(root: Path) -> bool:
    """Tell whether a raw dataset says that an export of a release wrote it."""
    return any(tool.get('Name') == PROGRAM for tool in _makers(root))


def is_computed(root: Path) -> bool:
    """Tell whether a derivative dataset says that a run computed it."""
    return any(tool.get('Description') == _COMPUTED_BY for tool in _makers(root))


def _makers(root: Path) -> list[dict[str, Any]]:
    """Return ``GeneratedBy`` of a dataset, as far as it can be read."""
    try:
        said = read_json_object(root / 'dataset_description.json').get('GeneratedBy')
    except TableError:
        return []
    return [tool for tool in (said if isinstance(said, list) else ()) if isinstance(tool, dict)]


def tool_version(name: str) -> dict[str, str]:
    """Return the version of a tool, as ``GeneratedBy`` has it; nothing where it has none."""
    try:
        return {'Version': version(_texts()['packages'].get(name, name))}
    except PackageNotFoundError:
        return {}


def write_inherited(
    folder: Path,
    kind: str,
    suffix: str,
    *,
    space: tuple[str, int] = (ATLAS, 1),
    released: bool = False,
) -> None:
    """Write what holds for every file of a kind at the root of its dataset.

    Parameters
    ----------
    folder
        The root of the dataset.
    kind, suffix
        File kind, and BIDS suffix of the image.
    space
        Template and resolution of files in atlas space.
    released
        Whether the dataset holds files of a release.
    """
    name, content, labels = inherited(kind, suffix, released=released)
    if space != (ATLAS, 1) and ATLAS in name:
        name = in_template(name, *space)
        content['SpatialReference'] = f'{space[0]}, as TemplateFlow has it'
        content['Resolution'] = f'resolution {space[1]} of the template'
    write_if_changed(folder / name, format_json(content))
    if labels:
        write_if_changed(folder / name.replace('.json', '.tsv'), read_text(labels))
