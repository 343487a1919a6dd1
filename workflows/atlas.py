"""The centre of a study in atlas space."""

from collections.abc import Sequence
from typing import Any

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe

from mrrate_bids.computing.ants_session import REPEATABLE, Session
from mrrate_bids.interfaces.register import RegisterToAtlas, Resample

__all__ = ['init_atlas_wf']

_RESULTS = {
    'resampled': ('resample', 'shown', ''),
    'mask': ('resample_mask', 'centre', 'centre_mask'),
    'keep_mask': ('resample_keep', 'centre', 'keep_mask'),
}
"""Node that makes an output, with the inputs that are its image and its mask."""


def init_atlas_wf(
    *,
    preset: str = 'reference',
    session: Session = REPEATABLE,
    known: bool = False,
    results: Sequence[str] = ('resampled', 'mask', 'keep_mask'),
    name: str = 'atlas_wf',
) -> Any:
    """Build the graph that brings the centre and its masks to a template.

    .. workflow::

        inputnode -> register -> resample, resample_mask, resample_keep -> outputnode

    Parameters
    ----------
    preset
        Of the registration: ``reference`` or ``fast``.
    session
        Seed and threads of ANTs.
    known
        Whether the transform exists already; nothing is registered then.
    results
        Outputs that are resampled.
    name
        Of the workflow.

    Inputs
    ------
    template
        The T1w of the template.
    template_mask
        Its brain mask; may be left out.
    centre
        The centre T1w.
    centre_mask
        Its brain mask.
    keep_mask
        Its defacing mask, for the result of that name.
    shown
        The centre as it may be published.
    transform
        Where it is *known*.

    Outputs
    -------
    transform
        ITK ``.mat``, from points of the template to points of the centre.
    resampled
        The centre on the grid of the template: float32, linear.
    mask
        Its brain mask there: uint8, nearest voxel.
    keep_mask
        Its defacing mask there.
    quality
        JSON file with the numbers that judge the registration; absent where it is *known*.
    """
    workflow = pe.Workflow(name=name)
    fields = ['template', 'template_mask', 'centre', 'centre_mask', 'keep_mask', 'shown']
    inputnode = pe.Node(IdentityInterface(fields=[*fields, 'transform']), name='inputnode')
    outputs = ['transform', 'resampled', 'mask', 'keep_mask', 'quality']
    outputnode = pe.Node(IdentityInterface(fields=outputs), name='outputnode')
    settings = {'seed': session.seed, 'threads': session.threads}
    source = inputnode
    if not known:
        register = RegisterToAtlas(preset=preset, **settings)
        source = pe.Node(register, name='register', mem_gb=3, n_procs=session.threads)
        wanted = ['template', 'template_mask', 'centre', 'centre_mask']
        workflow.connect(
            [
                (inputnode, source, [(field, field) for field in wanted]),
                (source, outputnode, [('quality', 'quality')]),
            ]
        )
    workflow.connect(source, 'transform', outputnode, 'transform')
    for output in results:
        node_name, image, mask = _RESULTS[output]
        node = pe.Node(Resample(**settings), name=node_name, mem_gb=2, n_procs=session.threads)
        workflow.connect(
            [
                (inputnode, node, [(image, 'image'), ('template', 'like')]),
                (source, node, [('transform', 'transforms')]),
                (node, outputnode, [('resampled', output)]),
            ]
        )
        if mask:
            workflow.connect(inputnode, mask, node, 'mask')
    return workflow
