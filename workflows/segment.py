"""The segmentation of one series."""

from typing import Any

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe

from mrrate_bids.computing.devices import uses_gpu
from mrrate_bids.computing.vista3d_weights import weight_files
from mrrate_bids.interfaces.segment import Segment

__all__ = ['init_segment_wf']


def init_segment_wf(
    *,
    task: str = 'body',
    weights: str = '',
    device: str = 'auto',
    threads: int = 1,
    low_mem: bool = False,
    name: str = 'segment_wf',
) -> Any:
    """Build the graph that segments a series with NV-Segment-CTMR.

    .. workflow::

        inputnode -> segment -> outputnode

    Parameters
    ----------
    task
        ``brain`` for the centre T1w, ``body`` for any series.
    weights
        ``model.pt`` or its folder.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    threads
        Of torch on the CPU.
    low_mem
        Whether the network sees smaller windows.
    name
        Of the workflow.

    Inputs
    ------
    image
        The series.
    mask
        Its brain mask, for the task ``brain``.

    Outputs
    -------
    dseg
        Class numbers of the published dictionary, on the grid of the image.
    quality
        JSON file with the number of labels.
    """
    workflow = pe.Workflow(name=name)
    inputnode = pe.Node(IdentityInterface(fields=['image', 'mask']), name='inputnode')
    outputnode = pe.Node(IdentityInterface(fields=['dseg', 'quality']), name='outputnode')
    segment = pe.Node(
        Segment(
            task=task,
            weights=weights,
            device=device,
            threads=threads,
            low_mem=low_mem,
            use_gpu=uses_gpu(device),  # what Nipype schedules with n_gpu_procs
        ),
        name='segment',
        mem_gb=3 if low_mem else 6,
        n_procs=threads,
    )
    if files := weight_files(weights):
        segment.inputs.weight_files = [str(path) for path in files]
    wanted = ['image', 'mask'] if task == 'brain' else ['image']
    workflow.connect(
        [
            (inputnode, segment, [(field, field) for field in wanted]),
            (segment, outputnode, [('dseg', 'dseg'), ('quality', 'quality')]),
        ]
    )
    return workflow
