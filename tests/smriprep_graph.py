"""The anatomical workflow of sMRIPrep, with and without the results that it finds in a dataset.

A script, for sMRIPrep reads TEMPLATEFLOW_HOME when it is imported:
``python smriprep_graph.py DERIVATIVES SUBJECT SESSION T1W OUT`` writes OUT/graph.json.
"""

import json
import sys
from pathlib import Path

from small_bids import OWN


def nodes_of(found, image, out):
    """Return the names of all nodes, as sMRIPrep computes with its own options."""
    from niworkflows.utils.spaces import Reference, SpatialReferences
    from smriprep.workflows.anatomical import init_anat_fit_wf

    workflow = init_anat_fit_wf(
        bids_root=str(Path(image).parents[3]),
        output_dir=out,
        freesurfer=False,
        hires=False,
        longitudinal=False,
        msm_sulc=False,
        t1w=[image],
        t2w=[],
        skull_strip_mode='force',
        skull_strip_template=Reference(OWN, {'res': '1'}),
        spaces=SpatialReferences([OWN], checkpoint=True),
        precomputed=found,
        omp_nthreads=1,
    )
    return sorted(workflow.list_node_names())


def check(found, out):
    """Run the first two nodes that take our files: they refuse grids that do not agree."""
    from niworkflows.interfaces.header import ValidateImage
    from niworkflows.interfaces.nibabel import ApplyMask

    valid = ValidateImage(in_file=found['t1w_preproc']).run(cwd=out).outputs.out_file
    brain = ApplyMask(in_file=valid, in_mask=found['t1w_mask']).run(cwd=out).outputs.out_file
    return {'same': Path(valid).samefile(found['t1w_preproc']), 'brain': brain}


def main(derivatives, subject, session, image, out):
    from smriprep.utils.bids import collect_derivatives

    found = collect_derivatives(derivatives, subject, [OWN], session_id=session)
    report = {
        'found': found,
        'every session': collect_derivatives(derivatives, subject, [OWN]),
        'with': nodes_of(found, image, out),
        'without': nodes_of({}, image, out),
        'first': check(found, out),
    }
    Path(out, 'graph.json').write_text(json.dumps(report))


if __name__ == '__main__':
    main(*sys.argv[1:])
