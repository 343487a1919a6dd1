"""``mrrate-bids run BIDS_DIR OUTPUT_DIR participant``."""

import math
import sys
from pathlib import Path
from typing import Any

import click

from mrrate_bids.app.options import DEFAULT_STEPS, EXTRACTORS, STEPS
from mrrate_bids.cli.options import (
    PATH,
    ListCommand,
    debug_option,
    dry_run_option,
    list_option,
)
from mrrate_bids.computing.presets import BUFFER_MM, PRESETS
from mrrate_bids.errors import UsageError
from mrrate_bids.naming import ATLAS

__all__ = ['command']

_CHOSEN = (
    *('extractor', 'preset', 'buffer_mm', 'seed', 'threads', 'device', 'offline'),
    *('hdbet_weights', 'nvseg_weights'),
)
"""Options that a run takes as they are."""


class _Finite(click.FloatRange):
    """A range that neither NaN nor infinity lies in."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f'{value} is not a finite number.', param, ctx)
        return number


@click.command(cls=ListCommand, name='run')
@click.argument('bids_dir', type=PATH)
@click.argument('output_dir', type=PATH)
@click.argument('analysis_level', type=click.Choice(['participant']))
@list_option(
    '--participant-label', 'participants', label='LABEL,…', help='Subjects, with or without sub-.'
)
@list_option(
    '--session-label', 'sessions', label='LABEL,…', help='Sessions, with or without ses-.'
)
@click.option(
    '--bids-filter-file', type=PATH, help='JSON with entities by suffix, as fMRIPrep has it.'
)
@click.option(
    '-d',
    '--derivatives',
    multiple=True,
    metavar='[NAME=]PATH',
    help='A derivative dataset, or a folder of them, whose results are used and not computed.',
)
@list_option(
    '--steps',
    choices=STEPS,
    help=f'What is computed.  [default: {",".join(DEFAULT_STEPS)}]',
)
@click.option(
    '--brain-extractor',
    'extractor',
    type=click.Choice(EXTRACTORS),
    default='hd-bet',
    show_default=True,
    help='hd-bet finds the brain in every series; deepbet, whose weights come with it, in the '
    'centre T1w, and the other series get its mask through their transforms; derivatives takes '
    'masks from --derivatives only.',
)
@click.option(
    '--hdbet-weights',
    default='',
    envvar='MRRATE_BIDS_HDBET_WEIGHTS',
    show_envvar=True,
    metavar='DIR',
    help='Folder of the weights of HD-BET.  [default: where HD-BET puts them]',
)
@click.option(
    '--nvseg-weights',
    default='',
    envvar='MRRATE_BIDS_NVSEG_WEIGHTS',
    show_envvar=True,
    metavar='PATH',
    help='Weights of NV-Segment-CTMR, for the step seg.',
)
@click.option(
    '--registration',
    'preset',
    type=click.Choice(PRESETS),
    default='reference',
    show_default=True,
    help='reference has the published parameters of MR-RATE; fast takes a fraction of the time.',
)
@click.option(
    '--template',
    default=ATLAS,
    show_default=True,
    metavar='NAME[:res-N]',
    help='Of TemplateFlow.',
)
@click.option(
    '--offline', is_flag=True, help='Never ask the network; templates must be there already.'
)
@click.option(
    '--device',
    default='auto',
    show_default=True,
    metavar='auto|cpu|cuda[:N]',
    help='Where networks run.',
)
@click.option(
    '--quickshear-buffer',
    'buffer_mm',
    type=_Finite(min=0),
    default=BUFFER_MM,
    show_default=True,
    help='Between the brain and the plane of defacing, in mm.',
)
@click.option(
    '--nprocs',
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help='Nodes at the same time.',
)
@click.option(
    '--omp-nthreads',
    'threads',
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help='Threads of a node; only with 1 the same input gives the same bytes.',
)
@click.option('--mem', 'memory_gb', type=_Finite(min=1), help='Memory in GB, together.')
@click.option('--random-seed', 'seed', type=int, default=42, show_default=True)
@click.option(
    '-w',
    '--work-dir',
    type=PATH,
    default='work',
    show_default=True,
    help='Intermediate results; a run that was interrupted goes on from them.',
)
@click.option(
    '--clean-workdir',
    is_flag=True,
    help='Empty the work folder first: nothing goes on from what was interrupted.',
)
@click.option(
    '--use-plugin',
    'plugin_file',
    type=PATH,
    metavar='FILE',
    help='YAML that names a plugin of Nipype (SLURM, …) and its plugin_args.',
)
@click.option(
    '--stop-on-first-crash',
    'stop_early',
    is_flag=True,
    help='Start nothing more after the first failure.',
)
@dry_run_option
@debug_option
def command(bids_dir: Path, output_dir: Path, analysis_level: str, **options: Any) -> None:
    """Compute brain masks, defacing, co-registration, atlas space and segmentation of a dataset.

    OUTPUT_DIR gets a dataset for each: mrrate-defaced, mrrate-coreg, mrrate-atlas,
    mrrate-nvsegctmr and mrrate-anatref. What exists already is used. With BIDS_DIR/derivatives as
    OUTPUT_DIR, mrrate-bids import makes a release of it.

    \b
    Examples
      mrrate-bids run bids bids/derivatives participant
      mrrate-bids run bids out participant --brain-extractor deepbet --registration fast
      mrrate-bids run bids out participant --participant-label 01 02 --steps mask,deface
      mrrate-bids run bids out participant -d mrrate-defaced=masks/mrrate-defaced --steps coreg
    """
    from mrrate_bids.cli.compute_report import report_pending  # noqa: PLC0415
    from mrrate_bids.cli.console import report_summary, watching  # noqa: PLC0415

    work = options['work_dir'].resolve()
    if work.is_relative_to(bids_dir.resolve()):
        raise UsageError(
            f'the work folder {work} lies inside the dataset', hint='Give another --work-dir.'
        )
    run = _prepare(bids_dir, output_dir, options)
    engine = _make_engine(work, options)
    if options['dry_run']:
        sys.exit(report_pending(run))
    with engine.held(), watching('Computing') as watch:
        if options['clean_workdir']:
            engine.clean()
        summary = run.execute(engine, watch=watch)
    report_summary(summary, run.home)
    sys.exit(summary.exit_code)


def _make_engine(work: Path, options: dict[str, Any]) -> Any:
    from mrrate_bids.app.engine import Engine  # noqa: PLC0415
    from mrrate_bids.app.plugin import read_plugin  # noqa: PLC0415

    path = options['plugin_file']
    plugin = read_plugin(path) if path else {}
    early = options['stop_early']
    return Engine(work, options['nprocs'], options['memory_gb'], plugin, stop_early=early)


def _prepare(bids_dir: Path, output_dir: Path, options: dict[str, Any]) -> Any:
    from mrrate_bids.app.given import parse_derivatives  # noqa: PLC0415
    from mrrate_bids.app.inputs import read_filter  # noqa: PLC0415
    from mrrate_bids.app.options import Options  # noqa: PLC0415
    from mrrate_bids.app.run import ComputeRun, Scope  # noqa: PLC0415
    from mrrate_bids.computing.template import parse_template  # noqa: PLC0415

    template, resolution = parse_template(options['template'])
    chosen = {name: options[name] for name in _CHOSEN}
    for name in ('hdbet_weights', 'nvseg_weights'):
        if chosen[name]:  # nodes run in folders of their own
            chosen[name] = str(Path(chosen[name]).expanduser().resolve())
    steps = options['steps'] or DEFAULT_STEPS
    ordered = tuple(step for step in STEPS if step in steps)
    path = options['bids_filter_file']
    scope = Scope(
        participants=options['participants'],
        sessions=options['sessions'],
        filters=read_filter(path) if path else {},
        derivatives=parse_derivatives(options['derivatives']),
    )
    asked = Options(steps=ordered, template=template, resolution=resolution, **chosen)
    return ComputeRun(bids_dir, output_dir, scope=scope, options=asked)
