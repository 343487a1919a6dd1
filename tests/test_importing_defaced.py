"""What a release publishes of images that were defaced."""

import gzip
import io
import json
import zipfile

import nibabel as nib
import numpy as np
import pytest
from foreign_bids import make_dataset

from mrrate_bids.acceptance import Rules
from mrrate_bids.importing.run import ImportRun, ImportSettings
from mrrate_bids.naming import COMPUTED, KINDS, derived_name
from mrrate_bids.sidecars import sidecar_path

KIND = COMPUTED['defaced-image']


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path / 'bids', sessions=False, subjects=1)


def _deface(root, image):
    """Write what a run makes of an image: here a slab of it is 0."""
    source = nib.load(image)
    values = np.asarray(source.dataobj).copy()
    values[: values.shape[0] // 3] = 0
    stem, _, suffix = image.name.partition('.')[0].rpartition('_')
    folder = root / KIND.folder / image.parent.relative_to(root)
    folder.mkdir(parents=True, exist_ok=True)
    about = {'Name': KIND.dataset, 'BIDSVersion': '1.10.1', 'DatasetType': 'derivative'}
    (root / KIND.folder / 'dataset_description.json').write_text(json.dumps(about))
    nib.save(
        nib.Nifti1Image(values, source.affine, source.header),
        folder / derived_name(KIND, stem, suffix),
    )
    return values


def _import(root, target):
    settings = ImportSettings(rules=Rules.parse(['min_age=0', 'min_shape=0', 'min_fov_mm=0']))
    return ImportRun(root, target, settings=settings).execute(jobs=1)


def _published(target):
    """Return the voxels of every image of the native repository."""
    found = {}
    for path in target.glob('MR-RATE/mri/*/*.zip'):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if '/img/' in name:
                    data = gzip.GzipFile(fileobj=io.BytesIO(archive.read(name))).read()
                    found[name] = np.asarray(nib.Nifti1Image.from_bytes(data).dataobj)
    return found


def test_defaced_images_are_published_instead(dataset, tmp_path):
    images = sorted(dataset.glob('sub-*/anat/*.nii*'))
    defaced = [_deface(dataset, image) for image in images]
    summary = _import(dataset, tmp_path / 'release')
    assert summary.exit_code == 0, summary.problems
    published = list(_published(tmp_path / 'release').values())
    assert published
    for values in published:
        assert any(np.array_equal(values, one) for one in defaced)


def test_study_that_was_refused_by_a_run_is_not_published_with_its_faces(tmp_path):
    """Other studies of the dataset were defaced; of this one nothing was."""
    dataset = make_dataset(tmp_path / 'bids', sessions=False, subjects=2)
    images = sorted(dataset.glob('sub-*/**/anat/*.nii*'))
    subjects = sorted({next(p for p in image.parts if p.startswith('sub-')) for image in images})
    assert len(subjects) > 1
    for image in images:
        if subjects[0] not in image.parts:
            _deface(dataset, image)
    summary = _import(dataset, tmp_path / 'release')
    assert summary.exit_code == 3
    raw = [np.asarray(nib.load(i).dataobj) for i in images if subjects[0] in i.parts]
    for values in _published(tmp_path / 'release').values():
        assert not any(np.array_equal(values, one) for one in raw)


def test_image_with_a_face_among_defaced_ones_is_set_aside(dataset, tmp_path):
    first, *others = sorted(dataset.glob('sub-*/anat/*.nii*'))
    kept = [_deface(dataset, image) for image in others]
    summary = _import(dataset, tmp_path / 'release')
    assert summary.exit_code == 3
    assert any(
        'was not defaced' in p.message and first.name in p.message for p in summary.problems
    )
    raw = np.asarray(nib.load(first).dataobj)
    published = list(_published(tmp_path / 'release').values())
    assert not any(np.array_equal(values, raw) for values in published)
    assert len(published) <= len(kept)


@pytest.mark.parametrize('made_from', ['image', 'defaced-image', 'nothing that is known'])
def test_study_with_a_registered_face_is_set_aside(made_from, dataset, tmp_path):
    images = sorted(dataset.glob('sub-*/anat/*.nii*'))
    for image in images:
        _deface(dataset, image)
    centre = next(image for image in images if 'mprage_T1w' in image.name)
    made = _register(dataset, centre, made_from)
    summary = _import(dataset, tmp_path / 'release')
    refused = [p.message for p in summary.problems if 'not made from a defaced image' in p.message]
    if made_from == 'defaced-image':
        assert refused == []
        assert _published(tmp_path / 'release')
    else:
        assert [message.partition(':')[0] for message in refused] == [made]
        assert summary.exit_code == 3
        assert not _published(tmp_path / 'release')


def _register(root, centre, made_from):
    """Write a co-registered image whose sidecar names what it was made from; return its path."""
    kind = KINDS['coreg-image']
    stem, _, suffix = centre.name.partition('.')[0].rpartition('_')
    folder = centre.parent.relative_to(root)
    place = root / kind.folder / folder / derived_name(kind, stem, suffix)
    place.parent.mkdir(parents=True)
    about = {'Name': kind.dataset, 'BIDSVersion': '1.10.1', 'DatasetType': 'derivative'}
    (root / kind.folder / 'dataset_description.json').write_text(json.dumps(about))
    nib.save(nib.load(centre), place)
    uris = {
        'image': [f'bids:raw:{folder}/{centre.name}'],
        'defaced-image': [f'bids:defaced:{folder}/{derived_name(KIND, stem, suffix)}'],
    }
    sidecar = place.parent / sidecar_path(place.name)
    sidecar.write_text(json.dumps({'Sources': uris.get(made_from)}))
    return f'{kind.folder}{folder}/{place.name}'
