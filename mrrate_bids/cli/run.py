"""``mrrate-bids run BIDS_DIR OUTPUT_DIR LEVEL``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mrrate_bids.cli.groups import GroupedCommand
from mrrate_bids.cli.options import PATH
from mrrate_bids.cli.run_options import run_options

if TYPE_CHECKING:
    from mrrate_bids.app.engine import Engine
    from mrrate_bids.app.logs import Logs
    from mrrate_bids.app.run import ComputeRun
    from mrrate_bids.problems import Problem

__all__ = ['command']


@click.command(cls=GroupedCommand, name='run')
@click.argument('bids_dir', type=PATH)
@click.argument('output_dir', type=PATH)
@click.argument('analysis_level', type=click.Choice(['participant', 'group']))
@run_options
@click.pass_context
def command(
    ctx: click.Context, /, bids_dir: Path, output_dir: Path, analysis_level: str, **options: Any
) -> None:
    """Compute brain masks, defacing, co-registration, atlas space and segmentation of a dataset.

    OUTPUT_DIR gets a dataset for each: mrrate-defaced, mrrate-coreg, mrrate-atlas,
    mrrate-nvsegctmr and mrrate-anatref, and a page for each study in reports/. What exists already
    is used. With BIDS_DIR/derivatives as OUTPUT_DIR, mrrate-bids import makes a release of it. The
    level group makes one page and one table of all studies in OUTPUT_DIR.

    \b
    Examples
      mrrate-bids run bids bids/derivatives participant
      mrrate-bids run bids out participant --brain-extractor deepbet --registration fast
      mrrate-bids run bids out participant --participant-label 01 02 --steps mask,deface
      mrrate-bids run bids out participant -d mrrate-defaced=masks/mrrate-defaced --steps coreg
      mrrate-bids run bids out participant --shard 1/4      (on the first of four machines)
      mrrate-bids run bids out group
    """
    if analysis_level == 'group':
        from mrrate_bids.group.report import write_group  # noqa: PLC0415

        click.echo(write_group(output_dir, bids_dir, faces=not options['hide_faces']))
        return
    from mrrate_bids.app.logs import Logs  # noqa: PLC0415
    from mrrate_bids.cli.run_setup import check_machine, make_engine, make_runs  # noqa: PLC0415

    runs, logs = make_runs(bids_dir, output_dir, options), Logs(output_dir.resolve())
    engine = make_engine(bids_dir, options, logs.folder)
    runs[0].notes += check_machine(options)
    if options['boilerplate_only']:
        click.echo(_write_boilerplate(runs, logs))
        return
    if options['dry_run']:
        from mrrate_bids.cli.compute_report import report_pending  # noqa: PLC0415

        sys.exit(max(report_pending(run, engine) for run in runs))
    sys.exit(_compute(ctx, runs, engine, logs))


def _write_boilerplate(runs: 'list[ComputeRun]', logs: 'Logs') -> Path:
    from mrrate_bids.app.boilerplate import write_boilerplate  # noqa: PLC0415

    return write_boilerplate(logs.root, *(run.options for run in runs))


def _compute(ctx: click.Context, runs: 'list[ComputeRun]', engine: 'Engine', logs: 'Logs') -> int:
    """Run everything that was asked for, and return the exit code."""
    from mrrate_bids.cli.config_file import format_config  # noqa: PLC0415
    from mrrate_bids.cli.console import report_summary, watching  # noqa: PLC0415

    options, summaries = ctx.params, []
    runs[0].notes += _check_raw(runs[0], options)

    def keep() -> None:
        logs.keep_config(format_config(ctx))
        _write_boilerplate(runs, logs)

    runs[0].keep = keep
    with engine.held():
        if options['clean_workdir']:
            engine.clean()
        if not options['reports_only']:
            _fetch_templates(runs)
        for run in runs:
            run.graphs = logs.folder if options['write_graph'] else None
            with watching('Computing', unit='') as watch:
                work = run.report if options['reports_only'] else run.execute
                summaries.append(work(engine, watch=watch))
    for run, summary in zip(runs, summaries, strict=True):
        title = f'Studies, {run.options.template}' if len(runs) > 1 else 'Studies'
        report_summary(summary, run.home, title=title)
    click.echo(f'Reports: {runs[0].out / "reports"}')
    return max(summary.exit_code for summary in summaries)


def _fetch_templates(runs: 'list[ComputeRun]') -> None:
    """Get the templates of all runs before any of them computes for hours."""
    if runs[0].found.studies:
        for run in runs:
            _ = run.atlas


def _check_raw(run: 'ComputeRun', options: dict[str, Any]) -> 'list[Problem]':
    """Return what the validator says; parts of a dataset are not validated, nor for reports."""
    if options['skip_bids_validation'] or options['reports_only'] or options['participants']:
        return []
    if run.scope.shard.count > 1:
        return []
    from mrrate_bids.app.raw_check import check_raw  # noqa: PLC0415

    return check_raw(run.bids)
