"""The T1w of a session that fMRIPrep and sMRIPrep take over."""

from typing import Any

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe

from mrrate_bids.computing.ants_session import REPEATABLE, Session
from mrrate_bids.interfaces.register import MakeReference

__all__ = ['init_anatref_wf']


def init_anatref_wf(*, session: Session = REPEATABLE, name: str = 'anatref_wf') -> Any:
    """Build the graph that makes the reference T1w of a session.

    .. workflow::

        inputnode -> reference -> outputnode

    Parameters
    ----------
    session
        Seed and threads of ANTs.
    name
        Of the workflow.

    Inputs
    ------
    image
        The centre T1w as it may be published.
    mask
        Its brain mask.

    Outputs
    -------
    preproc
        Without shading (N4), axes turned to RAS.
    brain
        The brain mask on the same grid.
    """
    workflow = pe.Workflow(name=name)
    inputnode = pe.Node(IdentityInterface(fields=['image', 'mask']), name='inputnode')
    outputnode = pe.Node(IdentityInterface(fields=['preproc', 'brain']), name='outputnode')
    reference = pe.Node(
        MakeReference(seed=session.seed, threads=session.threads),
        name='reference',
        mem_gb=2,
        n_procs=session.threads,
    )
    workflow.connect(
        [
            (inputnode, reference, [('image', 'image'), ('mask', 'mask')]),
            (reference, outputnode, [('preproc', 'preproc'), ('brain', 'brain')]),
        ]
    )
    return workflow
