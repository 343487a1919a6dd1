"""What a release publishes where faces were taken away: nothing that may show one."""

import gzip
import json
import os
import shutil

import hostile
import nibabel as nib
import numpy as np
import pytest
from foreign_bids import SAGITTAL, Series, make_dataset, write_series
from hostile import GOOD, VICTIM
from round_trip import content, import_

from mrrate_bids.acceptance import Rules
from mrrate_bids.importing.run import ImportRun, ImportSettings
from mrrate_bids.naming import COMPUTED, KINDS, derived_name
from mrrate_bids.sidecars import sidecar_path

KIND, MASK = COMPUTED['defaced-image'], KINDS['defacing-mask']
LAYOUTS = [(), ('--no-zip',), ('--no-zip', '--merged')]
RULES = tuple(
    part for name in ('min_age', 'min_shape', 'min_fov_mm') for part in ('--rule', f'{name}=0')
)
FLAG = '--defaced-elsewhere'
ANAT = f'sub-22/ses-{VICTIM}/anat/sub-22_ses-{VICTIM}'
FLAIR = f'{ANAT}_acq-axi_run-01_FLAIR.nii.gz'


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path / 'bids', sessions=False, subjects=1)


def _deface(root, image):
    """Write what a run makes of an image: here a slab of it is 0."""
    source = nib.load(image)
    values = np.asarray(source.dataobj).copy()
    values[: values.shape[0] // 3] = 0
    nib.save(nib.Nifti1Image(values, source.affine, source.header), _place(root, image, KIND))
    return values


def _place(root, image, kind, *, dataset=''):
    """Return where a file of a kind is that is made from an image; its dataset is there then."""
    stem, _, suffix = image.name.partition('.')[0].rpartition('_')
    home = root / 'derivatives' / (dataset or kind.dataset)
    folder = home / image.parent.relative_to(root)
    folder.mkdir(parents=True, exist_ok=True)
    about = {'Name': home.name, 'BIDSVersion': '1.10.1', 'DatasetType': 'derivative'}
    (home / 'dataset_description.json').write_text(json.dumps(about))
    return folder / derived_name(kind, stem, suffix)


def _import(root, target):
    settings = ImportSettings(rules=Rules.parse(['min_age=0', 'min_shape=0', 'min_fov_mm=0']))
    return ImportRun(root, target, settings=settings).execute(jobs=1)


def _published(target):
    """Return the voxels of every image of the native repository."""
    return {
        where: np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(data)).dataobj)
        for where, data in content(target).items()
        if where.startswith('MR-RATE/mri/') and '/img/' in where
    }


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
        'not known to be defaced' in p.message and first.name in p.message
        for p in summary.problems
    )
    raw = np.asarray(nib.load(first).dataobj)
    published = list(_published(tmp_path / 'release').values())
    assert not any(np.array_equal(values, raw) for values in published)
    assert len(published) <= len(kept)


@pytest.mark.parametrize(
    'made_from', ['image', 'defaced-image', 'defacing-mask', 'nothing that is known']
)
def test_study_with_a_registered_face_is_set_aside(made_from, dataset, tmp_path):
    images = sorted(dataset.glob('sub-*/anat/*.nii*'))
    for image in images:
        _deface(dataset, image)
    centre = next(image for image in images if 'mprage_T1w' in image.name)
    made = _register(dataset, centre, made_from)
    summary = _import(dataset, tmp_path / 'release')
    refused = [p.message for p in summary.problems if 'not made from a defaced image' in p.message]
    if made_from.startswith('defac'):
        assert refused == []
        assert _published(tmp_path / 'release')
    else:
        assert [message.partition(':')[0] for message in refused] == [made]
        assert summary.exit_code == 3
        assert not _published(tmp_path / 'release')


def _register(root, centre, made_from):
    """Write a co-registered image whose sidecar names what it was made from; return its path."""
    place = _place(root, centre, KINDS['coreg-image'])
    nib.save(nib.load(centre), place)
    folder = centre.parent.relative_to(root)
    uris = {
        'image': [f'bids:raw:{folder}/{centre.name}'],
        'defaced-image': [f'bids:defaced:{folder}/{_place(root, centre, KIND).name}'],
        'defacing-mask': [f'bids:given:{folder}/{_place(root, centre, MASK).name}'],
    }
    sidecar = place.parent / sidecar_path(place.name)
    sidecar.write_text(json.dumps({'Sources': uris.get(made_from)}))
    return place.relative_to(root).as_posix()


def _mask(root, image, *, dataset=MASK.dataset, packed=True):
    """Write a defacing mask of an image."""
    source = nib.load(image)
    mask = nib.Nifti1Image(np.ones(source.shape, np.uint8), source.affine)
    place = _place(root, image, MASK, dataset=dataset)
    nib.save(mask, place if packed else place.with_suffix(''))


def _raw(root, subject='*'):
    return sorted(root.glob(f'sub-{subject}/**/anat/*.nii*'))


def _said(done):
    return ' '.join(done.output.split())


# Nothing but a mask, or what was registered, tells that faces were taken away.


@pytest.mark.parametrize('sessions', [True, False])
@pytest.mark.parametrize(
    ('where', 'packed'), [(MASK.dataset, True), ('masks', True), ('masks', False)]
)
def test_masks_that_were_not_applied(where, packed, sessions, tmp_path):
    """Somebody drew them, and no face is taken away from an image yet."""
    root = make_dataset(tmp_path / 'bids', sessions=sessions, subjects=2)
    _mask(root, _raw(root)[0], dataset=where, packed=packed)
    done = import_(root, tmp_path / 'release', *RULES)
    assert done.code == 3
    assert not _published(tmp_path / 'release')
    assert 'not known to be defaced' in _said(done)
    assert '--steps mask,deface' in _said(done)
    assert FLAG in _said(done)


def test_one_error_names_all_images_of_a_study(dataset, tmp_path):
    images = [image.relative_to(dataset).as_posix() for image in _raw(dataset)]
    _mask(dataset, dataset / images[0])
    (problem,) = _import(dataset, tmp_path / 'release').problems
    assert problem.severity == 'error'
    assert problem.file in images
    assert problem.message.startswith(f'{problem.file} and {len(images) - 1} more: ')
    assert problem.study


def test_masks_that_no_dataset_describes(dataset, tmp_path):
    _mask(dataset, _raw(dataset)[0], dataset='masks')
    (dataset / 'derivatives/masks/dataset_description.json').unlink()
    assert _import(dataset, tmp_path / 'release').exit_code == 3
    assert not _published(tmp_path / 'release')


@pytest.mark.parametrize('made_from', ['defaced-image', 'defacing-mask'])
def test_image_with_a_face_is_not_published_beside_registered_ones_without(made_from, tmp_path):
    """What was defaced was removed, or masks lie elsewhere; of others nothing is known."""
    root = make_dataset(tmp_path / 'bids', sessions=False, subjects=2)
    _register(root, _raw(root, '02')[0], made_from)
    done = import_(root, tmp_path / 'release', '--uids', 'keep', *RULES)
    assert done.code == 3
    assert 'sub-02_acq-mprage_T1w.nii.gz: not known to be defaced' in _said(done)
    found = content(tmp_path / 'release')
    assert not [where for where in found if '02x1.zip' in where]
    assert [where for where in found if '01x1.zip' in where]


@pytest.mark.parametrize('layout', LAYOUTS)
def test_flag_says_that_the_images_have_no_faces(layout, dataset, tmp_path):
    first, *_ = _raw(dataset)
    _mask(dataset, first)
    release, options = tmp_path / 'release', (*RULES, *layout)
    assert import_(dataset, release, *options, FLAG).code == 0
    assert len(_published(release)) == len(_raw(dataset))
    assert import_(dataset, release, *options).code == 3  # nobody says so any more
    assert not _published(release)


def test_what_was_published_is_taken_back_when_faces_are_taken_away(tmp_path):
    """The files of the other study are as they were."""
    root = make_dataset(tmp_path / 'bids', sessions=False, subjects=2)
    options = ('--uids', 'keep', *RULES)
    assert import_(root, tmp_path / 'release', *options).code == 0
    for image in _raw(root, '01'):
        _deface(root, image)
    assert import_(root, tmp_path / 'release', *options).code == 3
    found = content(tmp_path / 'release')
    assert not [where for where in found if '02x1.zip' in where]
    assert [where for where in found if '01x1.zip' in where]


def test_plan_says_the_same(tmp_path, monkeypatch):
    root = make_dataset(tmp_path / 'bids', sessions=False, subjects=1)
    _mask(root, _raw(root)[0])
    monkeypatch.chdir(tmp_path)
    done = import_(root, tmp_path / 'release', *RULES, '--dry-run')
    assert done.code == 3
    assert 'not known to be defaced' in _said(done)
    assert '.nii' not in (tmp_path / 'import-plan.tsv').read_text()


# A release has no faces; what is added to it may have one.


@pytest.fixture
def bids(source, tmp_path):
    """Return a dataset that was exported."""
    assert hostile.export(source, tmp_path / 'bids').code == 0
    return tmp_path / 'bids'


def _add(root, where='same session'):
    subject, session = {
        'same session': ('sub-22', f'ses-{VICTIM}'),
        'new session': ('sub-22', 'ses-NEW'),
        'new subject': ('sub-new', 'ses-NEW'),
    }[where]
    return write_series(root, subject, session, Series('acq-new_T1w', SAGITTAL))


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('where', ['same session', 'new session', 'new subject'])
def test_image_that_is_added_to_a_release(where, layout, bids, tmp_path):
    image, options = _add(bids, where), ('--rule', 'min_age=0', *layout)
    done = import_(bids, tmp_path / 'refused', *options)
    assert done.code == 3
    assert f'{image.name}: not known to be defaced' in _said(done)
    assert len(_published(tmp_path / 'refused')) == 5
    assert import_(bids, tmp_path / 'taken', *options, FLAG).code == 0
    raw = np.asarray(nib.load(image).dataobj)
    found = _published(tmp_path / 'taken').values()
    assert any(np.array_equal(values, raw) for values in found)
    defaced = _deface(bids, image)
    assert import_(bids, tmp_path / 'defaced', *options).code == 0
    found = _published(tmp_path / 'defaced').values()
    assert len(found) == 6
    assert any(np.array_equal(values, defaced) for values in found)
    assert not any(np.array_equal(values, raw) for values in found)


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('side', [16, 17])
def test_image_that_replaces_one_of_a_release(side, layout, bids, tmp_path):
    """One of noise is as large as another on the same grid; only its checksum tells."""
    image = bids / FLAIR
    image.unlink()
    image.write_bytes(hostile.volume(77, side=side))
    for options in ((*layout, '--dry-run', '--plan-file', tmp_path / 'plan.tsv'), layout):
        done = import_(bids, tmp_path / 'back', *map(str, options))
        assert done.code == 3
        assert f'{FLAIR}: is not the image that was exported' in _said(done)
        assert FLAG in _said(done)
        assert 'the new one was taken' not in _said(done)
    found = content(tmp_path / 'back')
    assert not [where for where in found if VICTIM in where]
    assert [where for where in found if GOOD in where]


def test_image_that_looks_as_old_and_large_as_that_of_a_release(bids, tmp_path):
    image = bids / FLAIR
    before = image.stat()
    image.unlink()
    image.write_bytes(hostile.volume(77))
    assert image.stat().st_size == before.st_size
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = import_(bids, tmp_path / 'back')
    assert done.code == 3
    assert f'{FLAIR}: is not the image that was exported' in _said(done)
    assert not [where for where in content(tmp_path / 'back') if VICTIM in where]


def test_defaced_version_of_an_image_that_replaces_one_of_a_release(source, tmp_path):
    bids = tmp_path / 'bids'
    assert hostile.export(source, bids, '--include', 'raw').code == 0
    image = bids / FLAIR
    image.unlink()
    image.write_bytes(hostile.volume(77, side=17))
    defaced = _deface(bids, image)
    done = import_(bids, tmp_path / 'back')
    assert done.code == 0, done.output
    (values,) = [v for w, v in _published(tmp_path / 'back').items() if f'{VICTIM}_flair' in w]
    np.testing.assert_array_equal(values, defaced)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_released_image_is_published_byte_for_byte_also_when_it_was_defaced_again(
    layout, source, tmp_path
):
    bids = tmp_path / 'bids'
    assert hostile.export(source, bids, '--include', 'raw').code == 0
    images = _raw(bids)
    for image in images:
        _deface(bids, image)
    done = import_(bids, tmp_path / 'back', *layout)
    assert done.code == 0, done.output
    assert 'missing' not in _said(done)
    assert 'left out' not in _said(done)
    data = [data for where, data in content(tmp_path / 'back').items() if '/img/' in where]
    assert sorted(data) == sorted(image.read_bytes() for image in images)


def test_dataset_that_was_copied_is_as_it_was_exported(bids, tmp_path):
    """Every file is newer than its receipt then."""
    copy = tmp_path / 'copy'
    shutil.copytree(bids, copy, copy_function=shutil.copy)
    for path in copy.rglob('*.nii.gz'):
        path.touch()
    done = import_(copy, tmp_path / 'back')
    assert done.code == 0, done.output
    assert import_(bids, tmp_path / 'other').code == 0
    assert content(tmp_path / 'back') == content(tmp_path / 'other')


@pytest.mark.parametrize('damage', [lambda path: path.write_text('{'), lambda path: path.unlink()])
def test_receipt_that_cannot_be_read(damage, bids, tmp_path):
    """It cannot be told whether the images are those of the release."""
    (receipt,) = (bids / 'sourcedata/mrrate/receipts').rglob(f'{VICTIM}.json')
    damage(receipt)
    done = import_(bids, tmp_path / 'back')
    assert done.code == 3
    assert 'there is no receipt of its export' in _said(done)
    assert not [where for where in content(tmp_path / 'back') if VICTIM in where]


# Registered images of a release.


def _registered(bids):
    (path,) = bids.glob(f'derivatives/mrrate-coreg/**/*{VICTIM}*space-T1w_FLAIR.nii.gz')
    return path


@pytest.mark.parametrize('sources', ['image', 'another image', 'nothing'])
@pytest.mark.parametrize('included', ['raw', 'raw,coreg'])
def test_image_that_is_registered_since(sources, included, source, tmp_path):
    """The images of a release are not defaced again; what is made of them has no face."""
    bids = tmp_path / 'bids'
    assert hostile.export(source, bids, '--include', included).code == 0
    image = bids / FLAIR
    place = _place(bids, image, KINDS['coreg-image'])
    place.unlink(missing_ok=True)
    place.write_bytes(hostile.volume(55))
    named = {'image': image.name, 'another image': 'sub-22_T1w.nii.gz'}.get(sources)
    uris = [f'bids:raw:sub-22/ses-{VICTIM}/anat/{named}'] if named else []
    (place.parent / sidecar_path(place.name)).write_text(json.dumps({'Sources': uris}))
    done = import_(bids, tmp_path / 'back')
    refused = 'was not made from a defaced image' in _said(done)
    assert refused == (sources != 'image'), done.output
    assert bool([w for w in content(tmp_path / 'back') if VICTIM in w]) != refused


def test_registered_image_that_replaces_one_of_a_release(bids, tmp_path):
    """Its sidecar speaks of the old one."""
    place = _registered(bids)
    place.unlink()
    place.write_bytes(hostile.volume(55))
    done = import_(bids, tmp_path / 'back')
    assert done.code == 3
    assert 'was not made from a defaced image' in _said(done)
    assert import_(bids, tmp_path / 'taken', FLAG).code == 0
    found = content(tmp_path / 'taken').values()
    assert hostile.volume(55) in found
