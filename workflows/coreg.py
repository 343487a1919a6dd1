"""The rigid transform between one series and the centre T1w."""

from typing import Any

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe

from mrrate_bids.computing.ants_session import REPEATABLE, Session
from mrrate_bids.interfaces.register import Coregister

__all__ = ['init_coreg_wf']


def init_coreg_wf(
    *,
    preset: str = 'reference',
    session: Session = REPEATABLE,
    judged: bool = True,
    name: str = 'coreg_wf',
) -> Any:
    """Build the graph that registers a series to the centre.

    The transform is found on the images as they are, so that it does not depend on how they are
    defaced.

    .. workflow::

        inputnode -> register -> outputnode

    Parameters
    ----------
    preset
        Of the registration: ``reference`` or ``fast``.
    session
        Seed and threads of ANTs.
    judged
        Whether the series has a brain mask of its own that judges the result.
    name
        Of the workflow.

    Inputs
    ------
    centre
        The centre T1w.
    centre_mask
        Its brain mask.
    moving
        The series.
    moving_mask
        Its own brain mask, where *judged*.

    Outputs
    -------
    transform
        ITK ``.mat``, from points of the centre to points of the series.
    quality
        JSON file with the numbers that judge the registration.
    """
    workflow = pe.Workflow(name=name)
    fields = ['centre', 'centre_mask', 'moving', 'moving_mask']
    inputnode = pe.Node(IdentityInterface(fields=fields), name='inputnode')
    outputnode = pe.Node(IdentityInterface(fields=['transform', 'quality']), name='outputnode')
    register = pe.Node(
        Coregister(preset=preset, seed=session.seed, threads=session.threads),
        name='register',
        mem_gb=2,
        n_procs=session.threads,
    )
    wanted = fields if judged else fields[:-1]
    workflow.connect(
        [
            (inputnode, register, [(field, field) for field in wanted]),
            (register, outputnode, [('transform', 'transform'), ('quality', 'quality')]),
        ]
    )
    return workflow
