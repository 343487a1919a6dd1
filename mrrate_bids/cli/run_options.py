"""The options of ``mrrate-bids run``, in the groups of its help."""

from typing import Any

import click

from mrrate_bids.app.options import CENTRE_RULES, DEFAULT_STEPS, DERIVATIVES, EXTRACTORS, STEPS
from mrrate_bids.cli.config_file import config_file_option
from mrrate_bids.cli.groups import group
from mrrate_bids.cli.options import (
    PATH,
    Finite,
    debug_option,
    list_option,
    offline_option,
    shard_option,
)
from mrrate_bids.computing import hdbet_weights, vista3d_weights
from mrrate_bids.computing.brain_choice import EXTRACTORS as NETWORKS
from mrrate_bids.computing.brain_choice import HD_BET
from mrrate_bids.computing.presets import BUFFER_MM, PRESETS, SEED
from mrrate_bids.naming import ATLAS

__all__ = ['run_options']

_MOST_SEED = 2**31 - 1


_IMAGES = group(
    'Which images',
    list_option(
        *('--participant-label', '--participant_label', 'participants'),
        label='LABEL,…',
        help='Subjects, with or without sub-.',
    ),
    list_option(
        *('--session-label', '--session_label', 'sessions'),
        label='LABEL,…',
        help='Sessions, with or without ses-.',
    ),
    shard_option,
    click.option(
        '--bids-filter-file', type=PATH, help='JSON with entities by suffix, as fMRIPrep has it.'
    ),
    click.option(
        '--bids-database-dir',
        type=PATH,
        metavar='DIR',
        help='Index of pybids over the whole dataset, made once and used again. Without it only '
        'the participants that are asked for are indexed.',
    ),
    click.option(
        '--skip-bids-validation',
        is_flag=True,
        help='Do not ask the BIDS validator first; what it finds is told, and stops nothing. '
        'Parts of a dataset are not validated.',
    ),
    click.option(
        '-d',
        '--derivatives',
        multiple=True,
        metavar='[NAME=]PATH',
        help='A derivative dataset, or a folder of them, whose results are used and not computed.',
    ),
)

_WHAT = group(
    'What is computed',
    list_option(
        '--steps',
        choices=STEPS,
        default=DEFAULT_STEPS,
        help=f'Steps.  [default: {",".join(DEFAULT_STEPS)}]',
    ),
    list_option(
        *('--output-spaces', '--template', 'spaces'),
        label='NAME[:res-N],…',
        default=(ATLAS,),
        help='Templates of TemplateFlow for the step atlas; T1w, the space of the step coreg, '
        f'may be named, too.  [default: {ATLAS}]',
    ),
    click.option(
        '--center-rule',
        'center_rule',
        type=click.Choice(CENTRE_RULES),
        default=CENTRE_RULES[0],
        show_default=True,
        help='Which T1w the others refer to: the earliest that a release accepts, or the one with '
        'the smallest voxels.',
    ),
    click.option(
        '--boilerplate-only', is_flag=True, help='Only write the methods text, logs/CITATION.*.'
    ),
    click.option(
        '--reports-only', is_flag=True, help='Only make the reports of what was computed.'
    ),
    click.option(
        '--hide-faces',
        is_flag=True,
        help='Show only images in reports, also in that of all studies, that are defaced or were '
        'made from defaced ones.',
    ),
)

_TOLD = '; '.join(f'{name}: {network.told}' for name, network in NETWORKS.items())
_TOLD += f'; {DERIVATIVES}: takes masks from --derivatives only.'

_BRAIN = group(
    'Brain masks, defacing and segmentation',
    click.option(
        '--brain-extractor',
        'extractor',
        type=click.Choice(EXTRACTORS),
        default=HD_BET.name,
        show_default=True,
        help=_TOLD,
    ),
    click.option(
        '--hdbet-weights',
        default='',
        envvar=hdbet_weights.ENVIRONMENT,
        show_envvar=True,
        metavar='DIR',
        help='Folder of the weights of HD-BET.  [default: where HD-BET puts them]',
    ),
    click.option(
        '--nvseg-weights',
        default='',
        envvar=vista3d_weights.VARIABLE,
        show_envvar=True,
        metavar='PATH',
        help='Weights of NV-Segment-CTMR, for the step seg.  [default: where resources fetch '
        'puts them]',
    ),
    click.option(
        '--quickshear-buffer',
        'buffer_mm',
        type=Finite(min=0),
        default=BUFFER_MM,
        show_default=True,
        help='Between the brain and the plane of defacing, in mm.',
    ),
    click.option(
        '--device',
        default='auto',
        show_default=True,
        metavar='auto|cpu|cuda[:N]',
        help='Where networks run.',
    ),
)

_REGISTRATION = group(
    'Registration',
    click.option(
        '--registration',
        'preset',
        type=click.Choice(PRESETS),
        default='reference',
        show_default=True,
        help='reference has the published parameters of MR-RATE; fast takes a fraction of the '
        'time.',
    ),
    click.option(
        *('--random-seed', 'seed'),
        type=click.IntRange(1, _MOST_SEED),
        default=SEED,
        show_default=True,
        help='Of ANTs, which takes 0 for the time of the day.',
    ),
    offline_option,
)

_PERFORMANCE = group(
    'Performance',
    click.option(
        *('--nprocs', '--nthreads', '--n-cpus', 'nprocs'),
        type=click.IntRange(min=1),
        default=2,
        show_default=True,
        help='Nodes at the same time.',
    ),
    click.option(
        '--omp-nthreads',
        'threads',
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help='Threads of a node; only with 1 the same input gives the same bytes.',
    ),
    click.option(
        *('--mem', '--mem-gb', 'memory_gb'),
        type=Finite(min=1),
        help='Memory in GB, together.',
    ),
    click.option(
        '--low-mem',
        is_flag=True,
        help='Segment in smaller windows, which takes half the memory; labels differ a little.',
    ),
    click.option(
        *('--use-plugin', '--nipype-plugin-file', 'plugin_file'),
        type=PATH,
        metavar='FILE',
        help='YAML that names a plugin of Nipype (SLURM, …) and its plugin_args.',
    ),
    click.option(
        '--resource-monitor',
        is_flag=True,
        help='Write what memory and processors each node used, into the work folder.',
    ),
)

_RUNNING = group(
    'Running',
    click.option(
        '-w',
        '--work-dir',
        type=PATH,
        default='work',
        show_default=True,
        help='Intermediate results; a run that was interrupted goes on from them.',
    ),
    click.option(
        '--clean-workdir',
        is_flag=True,
        help='Empty the work folder first: nothing goes on from what was interrupted.',
    ),
    click.option(
        '--stop-on-first-crash',
        'stop_early',
        is_flag=True,
        help='Start nothing more after the first failure.',
    ),
    config_file_option,
    click.option('--write-graph', is_flag=True, help='Draw the graph of each study into logs/.'),
    click.option('--notrack', is_flag=True, help='Accepted, and not needed: nothing is tracked.'),
    click.option(
        '-n', '--dry-run', is_flag=True, help='Show how much there is to compute; change nothing.'
    ),
    click.option('-v', '--verbose', count=True, help='Say more; -vv what Nipype says, too.'),
    debug_option,
)


def run_options(command: Any) -> Any:
    """Add all of them to a command."""
    for add in reversed((_IMAGES, _WHAT, _BRAIN, _REGISTRATION, _PERFORMANCE, _RUNNING)):
        command = add(command)
    return command
