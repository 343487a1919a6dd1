"""The face of one series, taken away."""

from typing import Any

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe

from mrrate_bids.computing.presets import BUFFER_MM
from mrrate_bids.interfaces.deface import Deface

__all__ = ['init_deface_wf']


def init_deface_wf(*, buffer_mm: float = BUFFER_MM, name: str = 'deface_wf') -> Any:
    """Build the graph that takes the face away from a series.

    .. workflow::

        inputnode -> deface -> outputnode

    Parameters
    ----------
    buffer_mm
        Between the brain and the plane of Quickshear, in mm.
    name
        Of the workflow.

    Inputs
    ------
    image
        The series.
    mask
        Its brain mask; may be left out where a mask is given.
    given
        A defacing mask that exists already and is only applied; may be left out.

    Outputs
    -------
    keep_mask
        1 kept, 0 removed; uint8.
    defaced
        The series, exactly 0 outside *keep_mask*.
    quality
        JSON file with the fraction of the head that was removed.
    """
    workflow = pe.Workflow(name=name)
    inputnode = pe.Node(IdentityInterface(fields=['image', 'mask', 'given']), name='inputnode')
    outputs = ['keep_mask', 'defaced', 'quality']
    outputnode = pe.Node(IdentityInterface(fields=outputs), name='outputnode')
    deface = pe.Node(Deface(buffer_mm=buffer_mm), name='deface', mem_gb=1)
    workflow.connect(
        [
            (inputnode, deface, [('image', 'image'), ('mask', 'mask'), ('given', 'given')]),
            (deface, outputnode, [(field, field) for field in outputs]),
        ]
    )
    return workflow
