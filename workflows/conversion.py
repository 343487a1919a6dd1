"""Export and import in shares, so that any plugin of Nipype can spread them over machines."""

from typing import Any

from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline import engine as pe

from mrrate_bids.interfaces.convert import ExportShard, ImportShard

__all__ = ['init_export_wf', 'init_import_wf']


def init_export_wf(*, shards: int, jobs: int = 1, name: str = 'export_wf') -> Any:
    """Build the graph that exports a release.

    .. workflow::

        inputnode -> shard_1 … shard_N -> merge -> outputnode

    Parameters
    ----------
    shards
        Shares, each a node; they may run at the same time into one folder.
    jobs
        Studies at the same time in each.
    name
        Of the workflow.

    Inputs
    ------
    source
        The release.
    target
        The dataset that is written, by its whole path.

    Outputs
    -------
    summaries
        A JSON file for each share: how its studies ended.
    """
    return _init_shards_wf(ExportShard, shards=shards, jobs=jobs, name=name)


def init_import_wf(*, shards: int, jobs: int = 1, name: str = 'import_wf') -> Any:
    """Build the graph that imports a dataset.

    .. workflow::

        inputnode -> shard_1 … shard_N -> merge -> outputnode

    Parameters
    ----------
    shards
        Shares, each a node; they may run at the same time into one folder.
    jobs
        Studies at the same time in each.
    name
        Of the workflow.

    Inputs
    ------
    source
        The dataset.
    target
        The release that is written, by its whole path.

    Outputs
    -------
    summaries
        A JSON file for each share: how its studies ended.
    """
    return _init_shards_wf(ImportShard, shards=shards, jobs=jobs, name=name)


def _init_shards_wf(interface: Any, *, shards: int, jobs: int, name: str) -> Any:
    workflow = pe.Workflow(name=name)
    inputnode = pe.Node(IdentityInterface(fields=['source', 'target']), name='inputnode')
    outputnode = pe.Node(IdentityInterface(fields=['summaries']), name='outputnode')
    merge = pe.Node(Merge(shards), name='merge', run_without_submitting=True)
    for number in range(1, shards + 1):
        work = interface(shard=f'{number}/{shards}', jobs=jobs)
        node = pe.Node(work, name=f'shard_{number}', n_procs=jobs)
        workflow.connect(
            [
                (inputnode, node, [('source', 'source'), ('target', 'target')]),
                (node, merge, [('summary', f'in{number}')]),
            ]
        )
    workflow.connect(merge, 'out', outputnode, 'summaries')
    return workflow
