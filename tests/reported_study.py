"""A study with its results on disk, as a run leaves them, of a simulated head."""

import json
from pathlib import Path
from typing import NamedTuple

import heads
import nibabel as nib
import numpy as np

from mrrate_bids.app.options import Options
from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Series, Study
from mrrate_bids.computing.atlas import Atlas
from mrrate_bids.computing.quickshear import deface, shear
from mrrate_bids.naming import ATLAS
from mrrate_bids.receipts import Output, Receipt, Receipts
from mrrate_bids.sidecars import sidecar_path

QUALITY = {
    'brain-mask': {'BrainVolumeMl': 1402.5},
    'defacing-mask': {'HeadRemoved': 0.21},
    'coreg-transform': {'NormalizedMutualInformation': 1.1, 'Sharpness': 4.2, 'BrainDice': 0.93},
    'atlas-transform': {'Sharpness': 1.1, 'AtlasBrainDice': 0.8, 'Start': 'headers'},
    'nvseg-brain': {'LabelsFound': 2},
}
"""The sharpness to the atlas lies below its limit."""

_SAYS = {
    'brain-mask': {'Carried': False},
    'defacing-mask': {'Parameters': {'BufferMm': 8.0}},
    'coreg-transform': {'Preset': 'fast', 'Software': 'antsRegistration', 'RandomSeed': 42},
    'atlas-transform': {'Preset': 'fast', 'Software': 'antsRegistration', 'RandomSeed': 42},
}


_SHOWN = {'coreg-image', 'atlas-image', 'nvseg-brain'}
"""Made from defaced images."""


class Made(NamedTuple):
    """A study, where its results are, and the template."""

    study: Study
    places: Places
    atlas: Atlas


def make_study(
    root: Path, *, subject: str = 'sub-01', session: str = 'ses-1', template: str = ATLAS
) -> Made:
    """Write two series and everything that a run makes of them but segmentations of the body."""
    bids, out = root / 'bids', root / 'out'
    folder = '/'.join(filter(None, (subject, session, 'anat')))
    stem = '_'.join(filter(None, (subject, session)))
    taken, series = {}, []
    (bids / folder).mkdir(parents=True)
    for contrast in ('T1w', 'T2w'):
        name = f'{stem}_{contrast}.nii.gz'
        taken[contrast] = heads.scan(bids / folder, contrast.lower())
        taken[contrast].image.rename(bids / folder / name)
        series.append(Series(bids / folder / name, f'{folder}/{name}'))
    study = Study(subject, session, tuple(series), series[0])
    places = Places(out, Options(extractor='deepbet', preset='fast', template=template))
    for one, head in zip(series, taken.values(), strict=True):
        _write_series(study, one, places, head)
    _write_centre(study, places, taken['T1w'])
    _describe(out)
    template = heads.save(root / 'template.nii.gz', *taken['T1w'].scan[1:3])
    save_receipt(study, places)
    return Made(study, places, Atlas(template, taken['T1w'].mask))


def _write_series(study: Study, one: Series, places: Places, head: heads.Taken) -> None:
    values, affine = head.scan.values, head.scan.affine
    keep = shear(head.brain, affine)
    images = {
        'brain-mask': head.brain,
        'defacing-mask': keep,
        'defaced-image': deface(values, keep),
        'coreg-image': deface(values, keep),
        'atlas-image': deface(values, keep),
    }
    for kind, data in images.items():
        write(study, one, places, kind, data, affine)
    if one is not study.centre:
        write(study, one, places, 'coreg-transform')


def _write_centre(study: Study, places: Places, head: heads.Taken) -> None:
    affine = head.scan.affine
    labels = np.where(np.arange(len(head.brain))[:, None, None] % 2, 216, 217) * head.brain
    for kind in ('coreg-brain-mask', 'atlas-brain-mask'):
        write(study, study.centre, places, kind, head.brain, affine)
    write(study, study.centre, places, 'nvseg-brain', labels.astype(np.uint16), affine)
    write(study, study.centre, places, 'atlas-transform')


def write(study, one, places, kind, data=None, affine=None) -> Path:
    """Write a result with its sidecar; a transform is a file of no matter what."""
    path = places.target(study, one, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    if data is None:
        path.write_bytes(b'transform')
    else:
        nib.save(nib.Nifti1Image(data, affine), path)
    content = _SAYS.get(kind, {}) | {'QualityControl': QUALITY.get(kind, {})}
    if kind in _SHOWN:
        defaced = places.target(study, one, 'defaced-image')
        content['Sources'] = [f'bids:defaced:{one.folder}/{defaced.name}']
    Path(sidecar_path(str(path))).write_text(json.dumps(content))
    return path


def _describe(out: Path) -> None:
    made_by = {
        'mrrate-defaced': [{'Name': 'deepbet', 'Version': '1.0', 'Description': 'Brain masks'}]
    }
    for folder in sorted(out.glob('mrrate-*')):
        tools = [{'Name': folder.name, 'Version': '9'}, *made_by.get(folder.name, [])]
        (folder / 'dataset_description.json').write_text(json.dumps({'GeneratedBy': tools}))


def save_receipt(study, places, *, state='complete', problems=()) -> None:
    """Write the receipt of a run."""
    outputs = [Output(str(p), 1) for p in sorted(places.root.rglob('*.nii.gz'))]
    receipt = Receipt(study.subject, study.label, 'run', state, outputs=outputs)
    receipt.problems = [problem.to_dict() for problem in problems]
    Receipts(places.root, places.root / '.mrrate-bids').save(receipt)
