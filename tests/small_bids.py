"""Small BIDS datasets of the phantom, its true brain masks, and a TemplateFlow home made of it."""

import json
import os
import subprocess
import sys
import zipfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np

from mrrate_bids.phantom import build_head
from mrrate_bids.phantom_scan import Volume, acquire, resample, rigid, scan_grid

FIELD, VOXEL = (228.0, 240.0, 228.0), 4.0
GRID = Volume((193, 229, 193), nib.affines.from_matvec(np.eye(3), (-96, -132, -78)))
"""Of MNI152NLin2009cSym at res-1."""

COARSE = Volume((65, 77, 65), nib.affines.from_matvec(np.diag([3.0] * 3), (-96, -132, -78)))
CONTRASTS = {'T1w': 't1w', 'T2w': 't2w', 'FLAIR': 'flair'}
POSES = {
    'T1w': rigid((3, 0, 2), (2, -3, -4)),
    'T2w': rigid((-3, 2, 4), (-4, 1, -2)),
    'FLAIR': rigid((2, -3, -4), (1, 4, -6)),
}
CODES = {'T1w': 'RAS', 'T2w': 'ASR', 'FLAIR': 'RAS'}
ORDER = {'FLAIR': 2, 'T1w': 3, 'T2w': 4}
"""Series numbers."""

Visit = tuple[str, str, tuple[str, ...]]
WITH_SESSIONS: tuple[Visit, ...] = (
    ('sub-01', 'ses-1', ('T1w', 'T2w', 'FLAIR')),
    ('sub-02', 'ses-1', ('T1w',)),
)
WITHOUT: tuple[Visit, ...] = (('sub-01', '', ('T1w', 'T2w')), ('sub-02', '', ('T1w',)))
TEMPLATE, OWN = 'MNI152NLin2009cSym', 'Own'

DEFACED = 'mrrate-defaced'
MASK = '_space-orig_label-brain_desc-{X}_mask.nii.gz'


@cache
def head():
    return build_head(voxel=3.0)


@cache
def scan(suffix, *, seed=0):
    """Return voxels, brain mask and affine of a series of the phantom; the same each time."""
    volume = scan_grid(CODES[suffix], field=FIELD, spacing=(VOXEL,) * 3, pose=POSES[suffix])
    values = acquire(
        head(),
        CONTRASTS[suffix],
        volume,
        world_from_head=np.eye(4),
        noise=8.0,
        rng=np.random.default_rng([seed, *suffix.encode()]),
    )
    return values.astype(np.int16), _brain_on(volume), volume.affine


def _brain_on(volume):
    matrix = np.linalg.inv(head().grid.affine) @ volume.affine
    brain = resample(head().brain, matrix=matrix, shape=volume.shape, linear=True)
    return (brain > 127).astype(np.uint8)


def write(path, values, affine):
    """Write an image; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units('mm')
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    nib.save(image, path)
    return path


def describe(root, kind='raw', **more):
    root.mkdir(parents=True, exist_ok=True)
    content = {'Name': 'Small', 'BIDSVersion': '1.10.1', 'DatasetType': kind} | more
    (root / 'dataset_description.json').write_text(json.dumps(content))
    return root


def stem_of(subject, session):
    return f'{subject}_{session}' if session else subject


def image_of(root, visit, suffix, entities=''):
    subject, session, *_ = visit
    return root / subject / session / f'anat/{stem_of(subject, session)}{entities}_{suffix}.nii.gz'


def mask_of(root, visit, suffix):
    subject, session, *_ = visit
    name = f'{stem_of(subject, session)}{MASK.format(X=suffix)}'
    return root / subject / session / 'anat' / name


def make_bids(root: Path, visits=WITH_SESSIONS) -> Path:
    """Write a raw dataset."""
    describe(root)
    (root / 'README').write_text('Phantoms, not patients, for tests of this package.\n')
    subjects = sorted({subject for subject, *_ in visits})
    rows = [f'{subject}\t{40 + number}\tF\n' for number, subject in enumerate(subjects)]
    (root / 'participants.tsv').write_text('participant_id\tage\tsex\n' + ''.join(rows))
    for visit in visits:
        for suffix in visit[2]:
            add_series(root, visit, suffix)
    return root


def add_series(root, visit, suffix, *, entities='', **sidecar):
    """Write a series of the phantom and its sidecar; return the image."""
    values, _, affine = scan(suffix, seed=int(visit[0][4:]))
    path = write(image_of(root, visit, suffix, entities), values, affine)
    content = {'SeriesNumber': ORDER[suffix], 'BodyPart': 'HEAD', 'Manufacturer': 'ACME'} | sidecar
    path.with_name(path.name.replace('.nii.gz', '.json')).write_text(json.dumps(content))
    return path


def make_masks(root: Path, visits=WITH_SESSIONS) -> Path:
    """Write the true brain masks as a derivative dataset in *root*; return *root*."""
    describe(root / DEFACED, 'derivative', GeneratedBy=[{'Name': 'the phantom'}])
    write_masks(root / DEFACED, visits)
    return root


def write_masks(dataset, visits=WITH_SESSIONS):
    for visit in visits:
        for suffix in visit[2]:
            _, brain, affine = scan(suffix, seed=int(visit[0][4:]))
            write(mask_of(dataset, visit, suffix), brain, affine)


def make_templates(home: Path) -> Path:
    """Write a TEMPLATEFLOW_HOME: the default template on its grid, and a coarse one of our own."""
    (package,) = find_spec('templateflow').submodule_search_locations  # an import would unpack
    with zipfile.ZipFile(Path(package) / 'conf' / 'templateflow-skel.zip') as skeleton:
        ours = [name for name in skeleton.namelist() if name.startswith(f'tpl-{TEMPLATE}/')]
        skeleton.extractall(home, ours)
    for name, volume in ((TEMPLATE, GRID), (OWN, COARSE)):
        values = acquire(
            head(),
            't1w',
            volume,
            world_from_head=np.eye(4),
            noise=0.0,
            rng=np.random.default_rng(0),
        )
        start = home / f'tpl-{name}' / f'tpl-{name}_res-1'
        bright = (values / values.max() * 255).astype(np.uint8)
        write(start.with_name(f'{start.name}_T1w.nii.gz'), bright, volume.affine)
        brain = start.with_name(f'{start.name}_desc-brain_mask.nii.gz')
        write(brain, _brain_on(volume), volume.affine)
    return home


def clean_environment(home=None, **more):
    """Return an environment in which nothing can be asked of the network."""
    drop = ('TEMPLATEFLOW_HOME', 'MRRATE_BIDS_HDBET_WEIGHTS', 'MRRATE_BIDS_NVSEG_WEIGHTS')
    kept = {k: v for k, v in os.environ.items() if not k.upper().endswith('_PROXY')}
    kept = {k: v for k, v in kept.items() if k not in drop}
    kept |= {f'{scheme}_PROXY': 'http://127.0.0.1:9' for scheme in ('HTTP', 'HTTPS')}
    kept['NO_PROXY'] = '127.0.0.1'  # servers of tests
    if home is not None:
        kept['TEMPLATEFLOW_HOME'] = str(home)
    return kept | {'TEMPLATEFLOW_AUTOUPDATE': 'off', 'COLUMNS': '200'} | more


def command(*arguments):
    return [sys.executable, '-m', 'mrrate_bids', *map(str, arguments)]


def call(*arguments, env, cwd):
    """Run ``mrrate-bids`` in a process of its own."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
