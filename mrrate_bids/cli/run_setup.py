"""From the words of the command line to a run."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrrate_bids.app.options import STEPS, Options
from mrrate_bids.errors import UsageError
from mrrate_bids.naming import ATLAS

if TYPE_CHECKING:
    from mrrate_bids.app.engine import Engine
    from mrrate_bids.app.run import ComputeRun
    from mrrate_bids.problems import Problem

__all__ = ['check_machine', 'make_engine', 'make_options', 'make_runs']

_CHOSEN = (
    *('extractor', 'preset', 'buffer_mm', 'seed', 'threads', 'device', 'offline'),
    *('hdbet_weights', 'nvseg_weights', 'center_rule', 'low_mem'),
)
"""Options that a run takes as they are."""

_ODD = set("'\\[]*?")
"""What Nipype's plugin for Slurm takes for something else: the end of a text, or a pattern."""

_OF_THE_STUDY = {'T1w', 'anat'}
"""What other apps call the space of the centre; the step coreg makes it."""


def make_options(asked: Mapping[str, Any]) -> Iterator[Options]:
    """Yield the options of a run for each template.

    From the second on only the atlas is left, and defacing where the first run could not do it.

    Raises
    ------
    UsageError
        When something that was asked for does not exist.
    """
    from mrrate_bids.computing.template import parse_template  # noqa: PLC0415

    chosen = {name: asked[name] for name in _CHOSEN}
    for name in ('hdbet_weights', 'nvseg_weights'):
        if chosen[name]:  # nodes run in folders of their own
            chosen[name] = str(Path(chosen[name]).expanduser().resolve())
    steps = [step for step in STEPS if step in asked['steps']]
    spaces = list(dict.fromkeys(asked['spaces']))
    templates = [parse_template(space) for space in spaces if space not in _OF_THE_STUDY]
    if not templates:
        steps = [step for step in steps if step != 'atlas']
        if not steps:
            raise UsageError(
                f'--output-spaces {",".join(spaces)} names no template for the step atlas',
                hint='Name one, or ask for another step.',
            )
        templates = [(ATLAS, 1)]
    for number, (template, resolution) in enumerate(templates):
        # Where faces are taken away, a study of which that failed must show none here either.
        again = [step for step in steps if step in {'deface', 'atlas'}]
        wanted = again if number else steps
        if 'atlas' in steps or not number:
            yield Options(steps=tuple(wanted), template=template, resolution=resolution, **chosen)


def make_runs(bids: Path, out: Path, asked: Mapping[str, Any]) -> 'list[ComputeRun]':
    """Return a run for each template.

    Raises
    ------
    UsageError
        When a file or folder that was named cannot be used.
    """
    from mrrate_bids.app.given import parse_derivatives  # noqa: PLC0415
    from mrrate_bids.app.inputs import has_index, read_filter  # noqa: PLC0415
    from mrrate_bids.app.run import ComputeRun  # noqa: PLC0415
    from mrrate_bids.app.scope import Scope  # noqa: PLC0415
    from mrrate_bids.selection import Shard  # noqa: PLC0415

    path, database = asked['bids_filter_file'], asked['bids_database_dir']
    if database:
        _refuse_inside(bids, database, 'index', '--bids-database-dir')
    if database and asked['dry_run'] and not has_index(database):
        database = None  # and none is made
    scope = Scope(
        participants=asked['participants'],
        sessions=asked['sessions'],
        filters=read_filter(path) if path else {},
        derivatives=parse_derivatives(asked['derivatives']),
        database=database,
        shard=Shard.parse(asked['shard']),
    )
    runs = [
        ComputeRun(bids, out, scope=scope, options=one, is_first=not number)
        for number, one in enumerate(make_options(asked))
    ]
    for run in runs:
        run.shows_faces = not asked['hide_faces']
        run.is_last = run is runs[-1]
    return runs


def make_engine(bids: Path, asked: Mapping[str, Any], crashes: Path) -> 'Engine':
    """Return what runs graphs; each part of a run has a work folder of its own.

    Raises
    ------
    UsageError
        When the work folder lies inside the dataset, or the file of a plugin is none.
    """
    from mrrate_bids.app.engine import Engine  # noqa: PLC0415
    from mrrate_bids.selection import Shard  # noqa: PLC0415

    work, shard = asked['work_dir'].resolve(), Shard.parse(asked['shard'])
    _refuse_inside(bids, work, 'work folder', '--work-dir')
    if shard.count > 1:
        work /= f'shard-{shard.index}-of-{shard.count}'
    return Engine(
        work,
        asked['nprocs'],
        asked['memory_gb'],
        _read_plugin(asked['plugin_file'], work) if asked['plugin_file'] else {},
        stop_early=asked['stop_early'],
        verbosity=asked['verbose'],
        monitors=asked['resource_monitor'],
        crashes=crashes,
    )


def _read_plugin(path: Path, work: Path) -> dict[str, Any]:
    """Read the file of a plugin; refuse a work folder whose name it would stumble over."""
    from mrrate_bids.app.plugin import read_plugin  # noqa: PLC0415

    plugin, odd = read_plugin(path), ' '.join(sorted(_ODD.intersection(str(work))))
    if odd and plugin['plugin'] == 'SLURM':
        raise UsageError(
            f"--work-dir: {work} has {odd}, which Nipype's plugin for Slurm cannot take",
            hint='Give another --work-dir.',
        )
    return plugin


def check_machine(asked: Mapping[str, Any]) -> 'list[Problem]':
    """Return what is asked for and not there; other machines of a plugin are not known."""
    from mrrate_bids.app.machine import name_excess  # noqa: PLC0415

    if asked['plugin_file']:
        return []
    nodes, threads = asked['nprocs'], asked['threads']
    return [*name_excess(processes=nodes, threads=threads, memory_gb=asked['memory_gb'])]


def _refuse_inside(bids: Path, folder: Path, what: str, option: str) -> None:
    if folder.resolve().is_relative_to(bids.resolve()):
        raise UsageError(
            f'the {what} {folder} lies inside the dataset', hint=f'Give another {option}.'
        )
