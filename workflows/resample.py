"""A series on another grid, interpolated once from native."""

from typing import Any

from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline import engine as pe

from mrrate_bids.computing.ants_session import REPEATABLE, Session
from mrrate_bids.interfaces.register import Resample

__all__ = ['init_resample_wf']


def init_resample_wf(
    *, to_atlas: bool = False, session: Session = REPEATABLE, name: str = 'resample_wf'
) -> Any:
    """Build the graph that brings a series to the grid of the centre, or on to a template.

    .. workflow::

        inputnode -> chain -> resample -> outputnode

    Parameters
    ----------
    to_atlas
        Whether both transforms are applied, or the first one only.
    session
        Seed and threads of ANTs.
    name
        Of the workflow.

    Inputs
    ------
    image
        The series as it may be published.
    like
        An image on the grid: the centre T1w or the template.
    coreg_transform
        From points of the centre to points of the series.
    atlas_transform
        From points of the template to points of the centre; where *to_atlas*.

    Outputs
    -------
    resampled
        The series on that grid: float32, linear.
    """
    workflow = pe.Workflow(name=name)
    fields = ['image', 'like', 'coreg_transform', 'atlas_transform']
    inputnode = pe.Node(IdentityInterface(fields=fields), name='inputnode')
    outputnode = pe.Node(IdentityInterface(fields=['resampled']), name='outputnode')
    # As in antsApplyTransforms, what stands last acts first on points of the result.
    steps = [('atlas_transform', 'in1'), ('coreg_transform', 'in2')] if to_atlas else []
    chain = pe.Node(Merge(2), name='chain', run_without_submitting=True)
    resample = pe.Node(
        Resample(seed=session.seed, threads=session.threads),
        name='resample',
        mem_gb=2,
        n_procs=session.threads,
    )
    workflow.connect(
        [
            (inputnode, chain, steps or [('coreg_transform', 'in1')]),
            (inputnode, resample, [('image', 'image'), ('like', 'like')]),
            (chain, resample, [('out', 'transforms')]),
            (resample, outputnode, [('resampled', 'resampled')]),
        ]
    )
    return workflow
