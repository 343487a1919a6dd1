"""A release can be trained on as it is: loaders find what it has, and nothing else."""

import shutil
import zipfile

import hostile
import numpy as np
import pytest
from foreign_bids import make_dataset
from hostile import CENTRE, VICTIM
from round_trip import import_
from sound_release import affine_at, nifti, sound_studies
from training_loader import FOLDERS, Volumes, discover, read_labels, read_splits

from mrrate_bids.catalog import open_release

SPACES = list(FOLDERS)


def expected_series(release, *, of):
    """Return the series of each study as the metadata have them."""
    opened = open_release(release)
    studies = [s for name in opened.batches for s in opened.read_batch(name).studies]
    return {
        study.study: sorted(study.cell(row, 'series_id') for row in study.rows)
        for study in studies
        if study.study in of
    }


@pytest.fixture(scope='module')
def merged(release, tmp_path_factory):
    """Return the demo release, extracted and merged into one repository."""
    root = tmp_path_factory.mktemp('merged') / 'MR-RATE'
    for name in ('metadata', 'reports', 'pathology_labels'):
        shutil.copytree(release / 'MR-RATE' / name, root / name)
    shutil.copy(release / 'MR-RATE/splits.csv', root)
    for path in release.glob('*/mri/*/*.zip'):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(root / 'mri' / path.parent.name)
    return root


@pytest.mark.parametrize('space', SPACES)
def test_every_volume_of_the_demo_is_found_and_can_be_loaded(merged, space):
    found = discover(merged / 'mri', space=space)
    tag = {'native_space': '', 'coreg_space': 'coreg_', 'atlas_space': 'atlas_'}[space]
    series = {
        uid: sorted(name.removeprefix(tag) for name in volumes.series)
        for uid, volumes in found.items()
    }
    assert series == expected_series(merged, of=found)
    assert found
    for volumes in found.values():
        for image in volumes.load():
            assert np.asanyarray(image.dataobj).any()


def test_defaced_background_of_the_demo_is_0(merged):
    for volumes in discover(merged / 'mri').values():
        for path, image in zip(volumes.paths, volumes.load(), strict=True):
            assert (image.get_fdata() == 0).any(), path


@pytest.mark.parametrize('space', SPACES)
@pytest.mark.parametrize('layout', ['merged', 'extracted'])
def test_every_volume_of_a_small_release_is_found(tmp_path, layout, space):
    studies = sound_studies()
    root = hostile.write_release(tmp_path, studies, layout=layout)
    repository = {'coreg_space': 'MR-RATE-coreg', 'atlas_space': 'MR-RATE-atlas'}.get(space)
    home = 'MR-RATE' if layout == 'merged' else repository or 'MR-RATE'
    found = discover(root / home / 'mri', space=space)
    assert {uid: len(volumes.paths) for uid, volumes in found.items()} == {
        study.uid: len(study.series) for study in studies
    }
    for volumes in found.values():
        assert all(image.ndim == 3 for image in volumes.load())


def test_hostile_release_is_found_when_it_is_merged(tmp_path):
    studies = hostile.three_studies()
    root = hostile.write_release(tmp_path, studies, layout='merged')
    for space in SPACES:
        found = discover(root / 'MR-RATE/mri', space=space)
        assert {uid: len(v.load()) for uid, v in found.items()} == {
            study.uid: len(study.series) for study in studies
        }


def test_splits_and_labels_of_the_demo(merged):
    studies = set(discover(merged / 'mri'))
    assert studies <= read_splits(merged / 'splits.csv').keys()
    (path,) = (merged / 'pathology_labels').glob('*.csv')
    classes, labels = read_labels(path)
    assert classes
    assert studies & labels.keys()  # not every study has labels
    assert {value for numbers in labels.values() for value in numbers} <= {0.0, 1.0}


def test_other_splits_are_refused(tmp_path):
    (tmp_path / 'splits.csv').write_text('study_uid,split\nA,dev\n')
    with pytest.raises(ValueError, match='dev'):
        read_splits(tmp_path / 'splits.csv')


def test_first_folder_decides_the_layout(tmp_path):
    root = hostile.write_release(tmp_path, sound_studies(), layout='merged') / 'MR-RATE/mri'
    (root / 'A/native_space/img').mkdir(parents=True)
    assert discover(root) == {}
    (root / 'A').rename(root / 'zzz')
    assert len(discover(root)) == 3


def test_layout_of_studies_without_batches(tmp_path):
    image = tmp_path / 'STUDY/native_space/img/a.nii.gz'
    image.parent.mkdir(parents=True)
    image.write_bytes(nifti(np.ones((2, 2, 2), np.float32), affine_at()))
    assert discover(tmp_path) == {'STUDY': Volumes('STUDY', (image,))}


@pytest.mark.parametrize(
    ('data', 'says'),
    [
        (np.ones((2, 2, 2, 2), np.float32), '4 dimensions'),
        (np.full((2, 2, 2), np.nan, np.float32), 'not finite'),
    ],
)
def test_volume_that_cannot_be_trained_on_is_named(tmp_path, data, says):
    victim = sound_studies()[1]
    victim.files['MR-RATE'][victim.image(CENTRE)] = nifti(data, affine_at())
    root = hostile.write_release(tmp_path, [victim], layout='merged')
    with pytest.raises(ValueError, match=f'{VICTIM}_{CENTRE}.nii.gz has .*{says}'):
        discover(root / 'MR-RATE/mri')[VICTIM].load()


@pytest.mark.parametrize('space', SPACES)
def test_release_that_was_imported_is_found_as_the_published_one(
    space, merged, exported, tmp_path
):
    done = import_(exported, tmp_path / 'back', '--no-zip', '--merged')
    assert done.code == 0, done.output
    ours = discover(tmp_path / 'back/MR-RATE/mri', space=space)
    theirs = discover(merged / 'mri', space=space)
    assert {uid: v.series for uid, v in ours.items()} == {u: v.series for u, v in theirs.items()}
    assert read_splits(tmp_path / 'back/MR-RATE/splits.csv') == read_splits(merged / 'splits.csv')
    for volumes in ours.values():
        volumes.load()


def test_release_of_a_foreign_dataset_can_be_trained_on(tmp_path):
    dataset = make_dataset(tmp_path / 'dataset')
    assert import_(dataset, tmp_path / 'release', '--no-zip', '--merged').code == 0
    found = discover(tmp_path / 'release/MR-RATE/mri')
    splits = read_splits(tmp_path / 'release/MR-RATE/splits.csv')
    assert found.keys() == splits.keys()
    assert sorted(len(volumes.load()) for volumes in found.values()) == [1, 1, 1, 6]
