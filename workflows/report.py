"""The report of one study, as a graph, so that reports are spread like everything else."""

from collections.abc import Sequence
from typing import Any

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe

from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Study
from mrrate_bids.computing.atlas import Atlas
from mrrate_bids.interfaces.report import Report
from mrrate_bids.problems import Problem

__all__ = ['init_report_wf']


def init_report_wf(
    *,
    study: Study | str,
    places: Places,
    problems: Sequence[Problem] | None = None,
    atlas: Atlas | None = None,
    faces: bool = True,
    name: str = 'report_wf',
) -> Any:
    """Build the graph that writes the report of a study after its results.

    .. workflow::

        report -> outputnode

    Parameters
    ----------
    study
        As it was before the run; or only its label, where it was set aside before anything ran.
    places
        The output, and the options of the run.
    problems
        What went wrong; what the receipt of the study says if ``None``.
    atlas
        The template; looked for on this machine if ``None``.
    faces
        Whether images are shown as they were before faces were taken away.
    name
        Of the workflow.

    Outputs
    -------
    page
        The page.
    """
    workflow = pe.Workflow(name=name)
    outputnode = pe.Node(IdentityInterface(fields=['page']), name='outputnode')
    asked = {'problems': problems, 'atlas': atlas}
    given = {name: value for name, value in asked.items() if value is not None}
    report = pe.Node(
        Report(study=study, places=places, faces=faces, **given), name='report', mem_gb=2
    )
    workflow.connect(report, 'page', outputnode, 'page')
    return workflow
