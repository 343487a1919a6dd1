"""A dataset of equal studies with brain masks, and a TemplateFlow home with a template."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from common.cases import find_brain
from common.places import SHARED
from mrrate_bids.naming import KINDS, derived_name

_NAMES = {'T1w': 'run-1_T1w', 'T1wCE': 'ce-gadolinium_run-1_T1w', 'T2w': 'T2w', 'FLAIR': 'FLAIR'}
_STANDIN = 'standin_MNI152NLin2009aSym_on2009cSymGrid_res-1_desc-brain'


def make_studies(work: Path, count: int) -> tuple[Path, Path, Path]:
    """Write the dataset ``bids`` and ``masks``; return it, the template and the home."""
    bids, masks = work / 'bids', work / 'masks/mrrate-defaced'
    centre = SHARED / 'tcga-fg-6692/TCGA-FG-6692_T1w.nii.gz'
    brain = find_brain(centre, work)
    for folder, kind in ((bids, 'raw'), (masks, 'derivative')):
        folder.mkdir(parents=True)
        about = {'Name': 'heads', 'BIDSVersion': '1.10.1', 'DatasetType': kind}
        (folder / 'dataset_description.json').write_text(json.dumps(about))
    for number in range(count):
        inside = f'sub-{number + 1:02d}/anat'
        for name, entities in _NAMES.items():
            source = SHARED / f'tcga-fg-6692/TCGA-FG-6692_{name}.nii.gz'
            image = bids / inside / f'sub-{number + 1:02d}_{entities}.nii.gz'
            image.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, image)
            stem, _, suffix = image.name.removesuffix('.nii.gz').rpartition('_')
            mask = masks / inside / derived_name(KINDS['brain-mask'], stem, suffix)
            mask.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(brain, mask)
            # What it says of itself: it was not found in this image and judges nothing.
            Path(str(mask).replace('.nii.gz', '.json')).write_text('{"Carried": true}')
    return bids, *make_home(work)


def make_home(work: Path) -> tuple[Path, Path]:
    """Return the template and a TemplateFlow home that has it."""
    home = work / 'templateflow'
    environment = os.environ | {'TEMPLATEFLOW_HOME': str(home), 'TEMPLATEFLOW_AUTOUPDATE': 'off'}
    subprocess.run([sys.executable, '-c', 'import templateflow.api'], check=True, env=environment)
    folder = home / 'tpl-MNI152NLin2009cSym'
    for end, name in (('T1w', 'res-1_T1w'), ('mask', 'res-1_desc-brain_mask')):
        source = SHARED / f'templates/{_STANDIN}_{end}.nii.gz'
        shutil.copy(source, folder / f'tpl-MNI152NLin2009cSym_{name}.nii.gz')
    return folder / 'tpl-MNI152NLin2009cSym_res-1_T1w.nii.gz', home
