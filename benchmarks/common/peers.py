"""The registration call of BrainLes-Preprocessing, in an environment of its own."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np

from common.places import BRAINLES
from mrrate_bids.computing.ants_session import THREADS
from mrrate_bids.computing.transforms import read_transform

_REGISTER = """
import json, sys, time, warnings
warnings.simplefilter('ignore')
from brainles_preprocessing.registration.ANTs.ANTs import ANTsRegistrator
fixed, moving, folder = sys.argv[1:]
begun = time.perf_counter()
ANTsRegistrator().register(fixed, moving, f'{folder}/out.nii.gz', f'{folder}/out.mat',
                           f'{folder}/out.log')
print(json.dumps({'seconds': time.perf_counter() - begun}))
"""

_STUDY = """
import json, sys, time, warnings
from pathlib import Path
warnings.simplefilter('ignore')
from brainles_preprocessing.modality import CenterModality, Modality
from brainles_preprocessing.preprocessor import AtlasCentricPreprocessor
centre, atlas, folder, *moving = map(Path, sys.argv[1:])
centre_modality = CenterModality('centre', centre, raw_skull_output_path=folder / 'c.nii.gz')
others = [Modality(f'm{i}', path, raw_skull_output_path=folder / f'{i}.nii.gz',
                   atlas_correction=False) for i, path in enumerate(moving)]
tool = AtlasCentricPreprocessor(centre_modality, others, atlas_image_path=atlas,
                                temp_folder=folder / 'temp', use_gpu=False)
begun = time.perf_counter()
tool.run_coregistration()
middle = time.perf_counter()
tool.run_atlas_registration()
end = time.perf_counter()
print(json.dumps({'coregistration': middle - begun, 'atlas': end - middle}))
"""


def brainles_register(fixed: Path, moving: Path, work: Path) -> tuple[np.ndarray, float]:
    """Return the matrix that the peer finds (fixed to moving, RAS mm), and seconds."""
    folder = work / f'brainles_{moving.name}'
    folder.mkdir(exist_ok=True)
    said = _call(_REGISTER, fixed, moving, folder)
    return read_transform(folder / 'out.mat'), said['seconds']


def brainles_study(centre: Path, moving: list[Path], atlas: Path, work: Path) -> dict[str, float]:
    """Return seconds of co-registration and atlas registration of a study, imports left out."""
    folder = work / 'brainles_study'
    shutil.rmtree(folder, ignore_errors=True)  # of the turn before
    (folder / 'temp').mkdir(parents=True)
    return _call(_STUDY, centre, atlas, folder, *moving)


def _call(script: str, *arguments: Path) -> dict[str, float]:
    command = [BRAINLES, '-c', script, *map(str, arguments)]
    # Ours in this process have set it to 1: the peer takes the threads that it takes by itself.
    own = {name: value for name, value in os.environ.items() if name != THREADS}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=own)
    return json.loads(done.stdout.splitlines()[-1])
