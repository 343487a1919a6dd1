"""The brain mask of one series."""

from typing import Any

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe

from mrrate_bids.computing.brain import files_of
from mrrate_bids.computing.brain_choice import HD_BET, Choice
from mrrate_bids.computing.devices import uses_gpu
from mrrate_bids.interfaces.brain import CarryMask, ExtractBrain, TakeMask

__all__ = ['MASK_SOURCES', 'init_brain_mask_wf']

MASK_SOURCES = ('found', 'carried', 'given')


def init_brain_mask_wf(
    *, source: str = 'found', choice: Choice = HD_BET, name: str = 'brain_mask_wf'
) -> Any:
    """Build the graph that gives a series its brain mask.

    .. workflow::

        inputnode -> mask -> outputnode

    Parameters
    ----------
    source
        ``found`` in the image by an extractor, ``carried`` over from the centre, or ``given`` by
        another pipeline and turned to the grid of the image.
    choice
        The extractor.
    name
        Of the workflow.

    Inputs
    ------
    image
        The series.
    centre
        The centre T1w; for ``carried``.
    centre_mask
        Its brain mask; for ``carried``.
    transform
        ITK transform from points of the centre to points of the series; for ``carried``.
    given
        A mask; for ``given``.

    Outputs
    -------
    mask
        1 brain, 0 everything else; uint8 on the grid of the image.
    quality
        JSON file with the volume of the mask.
    """
    workflow = pe.Workflow(name=name)
    fields = ['image', 'centre', 'centre_mask', 'transform', 'given']
    inputnode = pe.Node(IdentityInterface(fields=fields), name='inputnode')
    outputnode = pe.Node(IdentityInterface(fields=['mask', 'quality']), name='outputnode')
    node, wanted = _mask_node(source, choice)
    workflow.connect(
        [
            (inputnode, node, [(field, field) for field in wanted]),
            (node, outputnode, [('mask', 'mask'), ('quality', 'quality')]),
        ]
    )
    return workflow


def _mask_node(source: str, choice: Choice) -> tuple[Any, tuple[str, ...]]:
    """Return the node that makes the mask, and the inputs it needs."""
    if source == 'carried':
        return (
            pe.Node(
                CarryMask(threads=choice.threads), name='mask', mem_gb=1.5, n_procs=choice.threads
            ),
            ('image', 'centre', 'centre_mask', 'transform'),
        )
    if source == 'given':
        return pe.Node(TakeMask(), name='mask', mem_gb=1), ('image', 'given')
    extract = ExtractBrain(
        extractor=choice.name,
        weights=choice.weights,
        device=choice.device,
        threads=choice.threads,
        use_gpu=uses_gpu(choice.device),  # what Nipype schedules with n_gpu_procs
    )
    if files := files_of(choice):
        extract.inputs.weight_files = [str(path) for path in files]
    return pe.Node(extract, name='mask', mem_gb=3, n_procs=choice.threads), ('image',)
