"""Anybody's BIDS dataset becomes a release: names, rows, images, splits, and what is refused."""

import gzip
import json
import re
import shutil
from collections import Counter

import foreign_bids
import hostile
import nibabel as nib
import numpy as np
import pytest
from foreign_bids import AXIAL, SAGITTAL, SHAPE, Series, make_dataset, write_series
from round_trip import content, import_, rows, tables

from mrrate_bids.catalog import open_release
from mrrate_bids.release_validation import validate_release
from mrrate_bids.tables import read_tsv

SERIES = {
    't1w-raw-sag': 'acq-mprage_T1w',
    't1w-raw-axi': 'acq-mprage_ce-gadolinium_T1w',
    't2w-raw-axi': 'run-1_T2w',
    't2w-raw-axi-2': 'run-2_T2w',
    'flair-raw-axi': 'FLAIR',
    'swi-raw-axi': 'acq-swi_T2starw',
}


@pytest.fixture
def dataset(tmp_path):
    """Return a dataset of three subjects and four visits."""
    return make_dataset(tmp_path / 'dataset')


@pytest.fixture
def run(dataset, tmp_path):
    """Return a function that imports the dataset and gives release and output."""

    def run(*options, code=0, target='release'):
        done = import_(dataset, tmp_path / target, *options)
        assert done.code == code, done.output
        return tmp_path / target, ' '.join(done.output.split())

    return run


def mapping(tmp_path, name='release'):
    return read_tsv(tmp_path / f'{name}-import/mapping.tsv')


def rejected(tmp_path):
    return {
        r['image'].rpartition('/')[2]: r
        for r in read_tsv(tmp_path / 'release-import/rejected.tsv')
    }


def metadata(release, batch='batch00'):
    header, *lines = rows((release / f'MR-RATE/metadata/{batch}_metadata.csv').read_bytes())
    return header, [dict(zip(header, line, strict=True)) for line in lines]


def study_of(tmp_path, subject, session, name='release'):
    (entry,) = [
        e
        for e in mapping(tmp_path, name)
        if (e['participant_id'], e['session_id']) == (subject, session)
    ]
    return entry['study_uid']


def images(release, study):
    found = content(release)
    return {
        where.rpartition(f'{study}_')[2].removesuffix('.nii.gz'): data
        for where, data in found.items()
        if f'!{study}/img/' in where
    }


def load(data):
    return nib.Nifti1Image.from_bytes(gzip.decompress(data))


# What a release is made of.


def test_series_are_named_by_suffix_entities_affine_and_order(run, tmp_path):
    release, _ = run()
    study = study_of(tmp_path, 'sub-01', 'ses-1')
    assert set(images(release, study)) == set(SERIES)
    _, found = metadata(release)
    centres = {
        r['series_id']
        for r in found
        if r['study_uid'] == study and r['is_center_modality'] == 'True'
    }
    assert centres == {'t1w-raw-sag'}


@pytest.mark.parametrize('series_id', SERIES)
def test_voxels_are_those_of_the_dataset(series_id, run, dataset, tmp_path):
    release, _ = run()
    data = images(release, study_of(tmp_path, 'sub-01', 'ses-1'))[series_id]
    (source,) = dataset.glob(f'sub-01/ses-1/anat/*_{SERIES[series_id]}.nii*')
    ours, theirs = load(data), nib.load(source)
    np.testing.assert_array_equal(ours.get_fdata(), theirs.get_fdata())
    np.testing.assert_allclose(ours.affine, theirs.affine)
    assert ours.get_data_dtype() in (np.uint16, np.float32)
    if theirs.get_data_dtype() == np.uint16 and source.name.endswith('.gz'):
        assert data == source.read_bytes()


def test_row_of_a_series_has_the_columns_order_and_units_of_the_release(run, tmp_path):
    release, _ = run()
    header, found = metadata(release)
    assert header[:5] == [
        'patient_uid',
        'study_uid',
        'series_id',
        'classified_modality',
        'is_derived',
    ]
    known = header.index('Manufacturer')
    assert header[known + 1 :] == sorted(header[known + 1 :])
    study = study_of(tmp_path, 'sub-01', 'ses-1')
    (row,) = [r for r in found if (r['study_uid'], r['series_id']) == (study, 't1w-raw-axi')]
    assert row['TE_ms'] == '15.97'
    assert row['TR_ms'] == '2300'
    assert row["Patient'sAge"] == '021Y'
    assert row["Patient'sSex"] == 'M'
    assert row['acquisition_plane'] == 'AXIAL'
    assert row['array_shape'] == '[18, 18, 16]'
    assert row['contrast_enhanced'] == 'True'
    assert row['SeriesNumber'] == '9.0'
    (flair,) = [r for r in found if r['series_id'] == 'flair-raw-axi']
    assert (flair['TE_ms'], flair['SeriesNumber']) == ('', '')


def test_what_the_rules_keep_out_is_named_with_rule_and_value(run, tmp_path):
    run()
    found = rejected(tmp_path)
    assert set(found) == {'sub-01_ses-1_angio.nii.gz'}
    reject = found['sub-01_ses-1_angio.nii.gz']
    assert reject['rule'] == 'min_fov_mm'
    assert '60' in reject['value']
    assert '140' in reject['limit']


def test_rules_can_be_changed(run, tmp_path):
    release, _ = run('--rule', 'min_fov_mm=50', '--rule', 'min_age=22', code=3)
    study = study_of(tmp_path, 'sub-02', 'ses-1')
    assert images(release, study)
    assert {r['rule'] for r in rejected(tmp_path).values()} == {'min_age'}


def test_unknown_age_is_refused_unless_the_rule_is_off(dataset, run, tmp_path):
    (dataset / 'participants.tsv').unlink()
    _, output = run(code=3)
    assert 'min_age' in output
    release, _ = run('--rule', 'min_age=0', target='other')
    assert len(metadata(release)[1]) == 9


@pytest.mark.parametrize('sessions', [True, False])
def test_dataset_with_and_without_sessions(sessions, tmp_path):
    dataset = make_dataset(tmp_path / 'data', sessions=sessions)
    assert import_(dataset, tmp_path / 'release').code == 0
    studies = {r['study_uid'] for r in metadata(tmp_path / 'release')[1]}
    assert len(studies) == (4 if sessions else 3)


# Identifiers, splits, batches.


def test_fresh_identifiers_say_nothing_and_stay(run, dataset, tmp_path):
    release, _ = run()
    first = mapping(tmp_path)
    assert all(re.fullmatch('[A-Z2-7]{10}', entry['study_uid']) for entry in first)
    assert all(entry['patient_uid'].isdecimal() for entry in first)
    names = ' '.join(content(release)) + str(tables(release))
    assert 'sub-' not in names
    assert not list(release.rglob('*mapping*'))
    write_series(dataset, 'sub-00', 'ses-1', foreign_bids.ONE[0])
    with (dataset / 'participants.tsv').open('a') as file:
        file.write('sub-00\t40\tF\tcontrol\n')
    run()
    assert [e for e in mapping(tmp_path) if e['participant_id'] != 'sub-00'] == first


def test_seed_gives_the_same_release_again(run, tmp_path):
    one, _ = run('--seed', '7', target='one')
    two, _ = run('--seed', '7', target='two')
    three, _ = run('--seed', '8', target='three')
    assert content(one) == content(two)
    assert content(one).keys() != content(three).keys()


def test_labels_can_be_kept(run, tmp_path):
    release, _ = run('--uids', 'keep')
    studies = {r['study_uid'] for r in metadata(release)[1]}
    assert {r['patient_uid'] for r in metadata(release)[1]} == {'01', '02', '03'}
    assert len(studies) == 4


def test_no_patient_is_in_two_splits_and_shares_are_met(tmp_path):
    dataset = make_dataset(tmp_path / 'data', subjects=2)
    series = Series('T1w', SAGITTAL)
    for number in range(3, 41):
        for session in ('ses-a', 'ses-b')[: 1 + number % 2]:
            write_series(dataset, f'sub-{number:02d}', session, series)
    options = ('--rule', 'min_age=0', '--split', '50,25,25')
    assert import_(dataset, tmp_path / 'release', *options, '--batch-size', '7').code == 0
    header, *lines = rows((tmp_path / 'release/MR-RATE/splits.csv').read_bytes())
    assert header == ['batch_id', 'patient_uid', 'study_uid', 'split']
    of = {}
    for _, patient, _, split in lines:
        of.setdefault(patient, set()).add(split)
    assert all(len(splits) == 1 for splits in of.values())
    count = Counter(split for (split,) in of.values())
    assert count == {'train': 20, 'val': 10, 'test': 10}
    batches = Counter(
        path.parent.name for path in (tmp_path / 'release/MR-RATE/mri').rglob('*.zip')
    )
    assert sum(batches.values()) == len(lines)
    assert set(batches.values()) <= {7, len(lines) % 7}


def test_split_in_participants_is_kept(dataset, run, tmp_path):
    text = (dataset / 'participants.tsv').read_text().splitlines()
    split = ['split', 'test', 'val', 'train']
    (dataset / 'participants.tsv').write_text(
        '\n'.join(f'{line}\t{cell}' for line, cell in zip(text, split, strict=True)) + '\n'
    )
    run()
    assert {(e['participant_id'], e['split']) for e in mapping(tmp_path)} == {
        ('sub-01', 'test'),
        ('sub-02', 'val'),
        ('sub-03', 'train'),
    }


# Derivatives of others.


def test_brain_mask_of_fmriprep_is_taken_over(run, dataset, tmp_path):
    root = dataset / 'derivatives/fmriprep'
    image = nib.load(next(dataset.glob('sub-01/ses-1/anat/*acq-mprage_T1w.nii.gz')))
    mask = nib.Nifti1Image((image.get_fdata() > 50).astype(np.uint8), image.affine)
    canonical = nib.as_closest_canonical(mask)
    assert not np.allclose(canonical.affine, image.affine)
    path = root / 'sub-01/ses-1/anat/sub-01_ses-1_desc-brain_mask.nii.gz'
    path.parent.mkdir(parents=True)
    nib.save(canonical, path)
    nib.save(canonical, path.with_name('sub-01_ses-1_space-MNI_desc-brain_mask.nii.gz'))
    about = {
        'Name': 'fMRIPrep',
        'BIDSVersion': '1.8.0',
        'DatasetType': 'derivative',
        'GeneratedBy': [{'Name': 'fMRIPrep'}],
    }
    (root / 'dataset_description.json').write_text(json.dumps(about))
    release, _ = run()
    study = study_of(tmp_path, 'sub-01', 'ses-1')
    found = content(release)
    (where,) = [w for w in found if 'brain-mask' in w]
    assert where.endswith(f'{study}_t1w-raw-sag_brain-mask.nii.gz')
    ours = load(found[where])
    np.testing.assert_array_equal(ours.get_fdata(), mask.get_fdata())
    np.testing.assert_allclose(ours.affine, image.affine)
    assert ours.get_data_dtype() == np.uint8
    report = validate_release(open_release(release))
    assert report.exit_code == 0
    assert any('has 1 of 6 brain masks' in f.problem.message for f in report.findings)


def test_derivatives_under_our_names_are_found_by_the_name_of_their_image(run, dataset, tmp_path):
    root = dataset / 'derivatives/mrrate-defaced'
    (image,) = dataset.glob('sub-03/ses-1/anat/*T1w.nii.gz')
    name = 'sub-03_ses-1_acq-mprage_space-orig_label-brain_desc-T1w_mask.nii.gz'
    path = root / 'sub-03/ses-1/anat' / name
    path.parent.mkdir(parents=True)
    loaded = nib.load(image)
    nib.save(nib.Nifti1Image(np.ones(loaded.shape, np.uint8), loaded.affine), path)
    about = {'Name': 'x', 'BIDSVersion': '1.8.0', 'DatasetType': 'derivative'}
    (root / 'dataset_description.json').write_text(json.dumps(about))
    release, _ = run()
    study = study_of(tmp_path, 'sub-03', 'ses-1')
    found = content(release)
    assert (
        found[f'MR-RATE/mri/batch00/{study}.zip!{study}/seg/{study}_t1w-raw-sag_brain-mask.nii.gz']
        == path.read_bytes()
    )


def make_mask(dataset, pipeline, name, *, shape=SHAPE, affine=SAGITTAL):
    """Write a mask of another pipeline."""
    root = dataset / 'derivatives' / pipeline
    about = {'Name': pipeline, 'BIDSVersion': '1.8.0', 'DatasetType': 'derivative'}
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (root / 'dataset_description.json').write_text(json.dumps(about))
    nib.save(nib.Nifti1Image(np.ones(shape, np.uint8), affine), path)
    return path


@pytest.mark.parametrize(
    'name',
    [
        'sub-01/ses-1/anat/sub-01_ses-1_run-7_desc-brain_mask.nii.gz',
        'sub-01/ses-1/anat/sub-01_ses-1_acq-other_desc-brain_mask.nii.gz',
        'sub-01/ses-1/func/sub-01_ses-1_desc-brain_mask.nii.gz',
    ],
)
def test_brain_mask_of_another_image_is_not_taken(name, run, dataset):
    make_mask(dataset, 'fmriprep', name)
    release, _ = run()
    assert not [where for where in content(release) if 'brain-mask' in where]


def test_mask_follows_its_image_to_another_grid(run, dataset, tmp_path):
    """An image that is replaced by one on another grid takes its old mask along no more."""
    name = 'sub-03/ses-1/anat/sub-03_ses-1_desc-brain_mask.nii.gz'
    make_mask(dataset, 'fmriprep', name)
    release, _ = run('--no-zip')
    assert len([w for w in content(release) if 'brain-mask' in w]) == 1
    write_series(dataset, 'sub-03', 'ses-1', Series('acq-mprage_T1w', AXIAL))
    release, output = run('--no-zip', code=3)
    assert 'another grid' in output
    assert not [w for w in content(release) if 'brain-mask' in w]


def test_link_to_what_is_elsewhere(run, dataset):
    """A derivative that was not fetched costs the study nothing but itself."""
    mask = 'sub-03_ses-1_acq-mprage_space-orig_label-brain_desc-T1w_mask.nii.gz'
    path = make_mask(dataset, 'mrrate-defaced', f'sub-03/ses-1/anat/{mask}')
    path.unlink()
    path.symlink_to('.git/annex/objects/nothing')
    release, output = run(code=3)
    assert mask in output
    assert len(metadata(release)[1]) == 9


# There and back again.


def test_release_of_a_foreign_dataset_can_be_exported_and_comes_back(run, tmp_path):
    release, _ = run()
    done = hostile.export(release, tmp_path / 'bids')
    assert done.code == 0, done.output
    again = import_(tmp_path / 'bids', tmp_path / 'again')
    assert again.code == 0
    assert content(release) == content(tmp_path / 'again')


def test_image_that_was_added_to_an_export_appears(source, tmp_path):
    assert hostile.export(source, tmp_path / 'bids').code == 0
    image = write_series(
        tmp_path / 'bids',
        'sub-22',
        f'ses-{hostile.VICTIM}',
        Series('acq-sag_run-01_T2w', SAGITTAL),
    )
    done = import_(tmp_path / 'bids', tmp_path / 'back', '--defaced-elsewhere')
    assert done.code == 0, done.output
    told = ' '.join(done.output.split())
    assert 'T2w.nii.gz has no brain-mask, no defacing-mask, no coreg-image' in told
    _, found = metadata(tmp_path / 'back')
    order = [(r['study_uid'], r['series_id']) for r in found]
    assert order[-1] == (hostile.VICTIM, 't2w-raw-sag')
    row = found[-1]
    assert (row['patient_uid'], row["Patient'sAge"], row['is_center_modality']) == (
        '22',
        '042Y',
        'False',
    )
    assert images(tmp_path / 'back', hostile.VICTIM)['t2w-raw-sag'] == image.read_bytes()
    old, new = tables(source), tables(tmp_path / 'back')
    header_old, *lines_old = rows(old['MR-RATE/metadata/batch00_metadata.csv'])
    _, *lines_new = rows(new['MR-RATE/metadata/batch00_metadata.csv'])
    assert [line[: len(header_old)] for line in lines_new[:-1]] == lines_old


def test_session_that_was_added_to_a_patient_of_an_export_keeps_patient_and_split(
    source, tmp_path
):
    assert hostile.export(source, tmp_path / 'bids').code == 0
    write_series(tmp_path / 'bids', 'sub-22', 'ses-NEWSESSION', Series('T1w', SAGITTAL))
    done = import_(tmp_path / 'bids', tmp_path / 'back', '--defaced-elsewhere')
    assert done.code == 0, done.output
    _, *lines = rows((tmp_path / 'back/MR-RATE/splits.csv').read_bytes())
    of_patient = [line for line in lines if line[1] == '22']
    assert len(of_patient) == 2
    assert {line[3] for line in of_patient} == {'val'}


@pytest.mark.parametrize('options', [(), ('--no-zip',), ('--no-zip', '--link', 'copy')])
def test_second_run_writes_nothing(options, run):
    release, _ = run(*options)
    assert len(content(release)) == 11
    before = hostile.stamps(release)
    run(*options)
    assert hostile.stamps(release) == before


def test_table_of_sessions_says_who_somebody_is(run, dataset):
    """Age and sex of a foreign table are spelt in many ways; none contradicts itself."""
    people = 'participant_id\tsex\nsub-01\tfemale\nsub-02\tMale\nsub-03\tn/a\n'
    (dataset / 'participants.tsv').write_text(people)
    for number, ages in enumerate((['34.0'], ['34.5', '93'], ['40']), start=1):
        lines = [f'ses-{n}\t{age}' for n, age in enumerate(ages, start=1)]
        table = '\n'.join(['session_id\tage', *lines])
        (dataset / f'sub-0{number}/sub-0{number}_sessions.tsv').write_text(f'{table}\n')
    release, _ = run()
    _, found = metadata(release)
    assert {row["Patient'sAge"] for row in found} == {'034Y', '089Y', '040Y'}
    assert {row["Patient'sSex"] for row in found} == {'F', 'M', ''}


def test_report_that_names_no_session(run, dataset, tmp_path):
    """It is that of the only session; with several sessions it is nobody's, and is named."""
    folder = dataset / 'phenotype'
    folder.mkdir()
    (folder / 'radiology_report.tsv').write_text(
        'participant_id\treport\nsub-02\tWhose?\nsub-03\tNormal.\n'
    )
    release, output = run()
    assert 'sub-02, which has several sessions' in output
    (data,) = [d for w, d in tables(release).items() if 'reports/' in w]
    assert rows(data)[1:] == [[study_of(tmp_path, 'sub-03', 'ses-1'), 'Normal.']]


def test_split_that_no_release_has(run, dataset, tmp_path):
    text = (dataset / 'participants.tsv').read_text().splitlines()
    cells = ['split', 'fold1', 'training', 'val']
    lines = [f'{line}\t{cell}' for line, cell in zip(text, cells, strict=True)]
    (dataset / 'participants.tsv').write_text('\n'.join(lines) + '\n')
    _, output = run()
    assert "the split 'fold1' of sub-01 is none of a release" in output
    assert {e['split'] for e in mapping(tmp_path)} <= {'train', 'val', 'test'}
    assert {e['split'] for e in mapping(tmp_path) if e['participant_id'] == 'sub-03'} == {'val'}


@pytest.mark.parametrize('private', ['descrip', 'extension', 'gzip'])
def test_nothing_private_in_a_header_reaches_the_release(private, run, dataset, tmp_path):
    path = broken(dataset, dtype=np.uint16)
    image = nib.load(path)
    image = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
    if private == 'descrip':
        image.header['descrip'] = b'DOE^JOHN'
    if private == 'extension':
        image.header.extensions.append(nib.nifti1.Nifti1Extension('comment', b'DOE^JOHN'))
    if private == 'gzip':
        with path.open('wb') as out, gzip.GzipFile('DOE^JOHN.nii', 'wb', fileobj=out) as file:
            file.write(image.to_bytes())
    else:
        path.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
    release, _ = run()
    data = images(release, study_of(tmp_path, 'sub-03', 'ses-1'))['t2w-raw-axi']
    assert b'DOE^JOHN' not in data + gzip.decompress(data)
    np.testing.assert_array_equal(load(data).get_fdata(), image.get_fdata())


def test_no_link_tells_which_subject_became_which_patient(run, tmp_path):
    _, output = run('--no-zip', '--link', 'symlink', code=2)
    assert 'the links would show the labels' in output
    assert not (tmp_path / 'release').exists()
    assert not (tmp_path / 'release-import').exists()
    release, _ = run('--no-zip', '--link', 'symlink', '--uids', 'keep')
    assert any(path.is_symlink() for path in release.rglob('*.nii.gz'))


@pytest.mark.parametrize('place', ['other/new', 'other/MR-RATE/new', 'other/MR-RATE-new'])
@pytest.mark.parametrize('what', ['release', 'work'])
def test_mapping_never_lies_in_a_release(place, what, dataset, tmp_path):
    hostile.write_release(tmp_path / 'other', hostile.three_studies())
    before = hostile.tree(tmp_path)
    target = tmp_path / (place if what == 'release' else 'release')
    options = ('--work-dir', str(tmp_path / place)) if what == 'work' else ()
    done = import_(dataset, target, *options)
    assert done.code == 3
    assert 'lies inside the release' in ' '.join(done.output.split())
    assert hostile.tree(tmp_path) == before


def test_images_that_are_not_accepted_are_counted(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, output = run('--dry-run')
    assert '1 images would not be accepted' in output
    _, output = run()
    assert '1 images were not accepted' in output


def test_plan_has_no_file_of_a_study_that_would_be_set_aside(dataset, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_series(dataset, 'sub-02', 'ses-3', Series('T2w'))
    _, output = run('--dry-run', code=3)
    assert 'sub-02/ses-3: no T1w' in output
    assert len(read_tsv(tmp_path / 'import-plan.tsv')) == 9


def test_identifiers_that_are_drawn_are_not_drawn_again(run, tmp_path):
    run('--seed', '3')
    before = mapping(tmp_path)
    _, output = run('--seed', '4')
    assert 'visits that have identifiers keep them' in output
    assert mapping(tmp_path) == before
    _, output = run('--seed', '3')
    assert 'keep them' not in output


@pytest.mark.parametrize('age', ['89+', '>89', '≥ 89', '89'])
def test_age_that_its_table_caps(age, run, dataset):
    people = f'participant_id\tage\nsub-01\t{age}\nsub-02\t{age}\nsub-03\t{age}\n'
    (dataset / 'participants.tsv').write_text(people)
    release, _ = run()
    assert {row["Patient'sAge"] for row in metadata(release)[1]} == {'089Y'}


def test_table_of_participants_that_names_nobody(run, dataset):
    (dataset / 'participants.tsv').write_text('subject\tage\nsub-01\t30\n')
    _, output = run('--rule', 'min_age=0', code=3)
    assert 'participants.tsv: has no column participant_id' in output


def test_subject_with_two_rows(run, dataset):
    with (dataset / 'participants.tsv').open('a') as file:
        file.write('sub-03\t50\tF\tcontrol\n')
    _, output = run()
    assert 'participants.tsv: sub-03 has 2 rows; the last was taken' in output


def test_large_whole_numbers_are_rounded_with_a_warning(run, dataset):
    path = broken(dataset)
    values = np.zeros((18, 18, 16), np.uint32)
    values[0, 0, 0] = 4_000_000_123
    nib.save(nib.Nifti1Image(values, AXIAL), path)
    _, output = run()
    assert 'float32 changes large whole numbers by up to 123' in output


def test_remedy_of_a_damaged_image_speaks_of_no_release(run, dataset, tmp_path):
    broken(dataset).write_bytes(b'garbage')
    run(code=3)
    (reject,) = [r for r in rejected(tmp_path).values() if r['rule'] == 'readable']
    assert reject['limit'] == 'Repair or remove the image.'


def test_folder_of_another_import(run, dataset, tmp_path):
    """Neither a folder of one release for another, nor a release that was swapped, is taken."""
    run('--work-dir', str(tmp_path / 'work'))
    hostile.write_release(tmp_path / 'other', hostile.three_studies())
    before = hostile.tree(tmp_path / 'other')
    done = import_(dataset, tmp_path / 'other', '--work-dir', str(tmp_path / 'work'))
    assert done.code == 3
    assert 'belongs to the import into' in ' '.join(done.output.split())
    shutil.rmtree(tmp_path / 'release')
    (tmp_path / 'other').rename(tmp_path / 'release')
    done = import_(dataset, tmp_path / 'release', '--work-dir', str(tmp_path / 'work'))
    assert done.code == 3
    assert 'which this import did not write' in ' '.join(done.output.split())
    assert hostile.tree(tmp_path / 'release') == before


def test_release_and_its_folder_may_be_moved_together(run, dataset, tmp_path):
    run()
    (tmp_path / 'elsewhere').mkdir()
    for name in ('release', 'release-import'):
        (tmp_path / name).rename(tmp_path / 'elsewhere' / name)
    before = hostile.stamps(tmp_path / 'elsewhere/release')
    assert import_(dataset, tmp_path / 'elsewhere/release').code == 0
    assert hostile.stamps(tmp_path / 'elsewhere/release') == before


# Bad input.


def broken(dataset, name='T2w', **more):
    return write_series(dataset, 'sub-03', 'ses-1', Series(name, **more))


def test_sidecars_are_missing(run, dataset, tmp_path):
    for path in dataset.rglob('sub-*.json'):
        path.unlink()
    release, output = run()
    assert 'is missing or empty' in output
    assert len(metadata(release)[1]) == 9


@pytest.mark.parametrize(
    ('make', 'reason'),
    [
        (lambda d: broken(d, shape=(18, 18, 16, 3)), '4-D'),
        (lambda d: broken(d).write_bytes(b'garbage'), 'gzip'),
        (lambda d: (p := broken(d)).write_bytes(p.read_bytes()[:500]), 'truncated'),
        (lambda d: broken(d).write_bytes(b''), 'empty'),
    ],
    ids=['4-D', 'no gzip', 'truncated', 'empty'],
)
def test_unusable_image_is_set_aside_and_the_rest_goes_on(make, reason, run, dataset, tmp_path):
    make(dataset)
    release, output = run(code=3)
    assert 'sub-03_ses-1_T2w.nii.gz' in output
    assert reason.lower() in output.lower()
    study = study_of(tmp_path, 'sub-03', 'ses-1')
    assert set(images(release, study)) == {'t1w-raw-sag'}
    assert len(metadata(release)[1]) == 9


@pytest.mark.parametrize('dtype', [np.uint16, np.int16])
def test_byte_in_the_middle_is_wrong(dtype, run, dataset):
    """Both ends agree, so only the checksum of gzip tells; it is looked at in every new file."""
    path = broken(dataset, dtype=dtype)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    _, output = run(code=3)
    assert path.name in output


def test_colour_image(run, dataset):
    path = broken(dataset)
    voxels = np.zeros((18, 18, 16), dtype=[('R', 'u1'), ('G', 'u1'), ('B', 'u1')])
    nib.save(nib.Nifti1Image(voxels, AXIAL), path)
    _, output = run(code=3)
    assert 'RGB' in output
    assert path.name in output


def test_sform_and_qform_disagree(run, dataset):
    path = broken(dataset)
    image = nib.load(path)
    image.set_sform(SAGITTAL, code=1)
    image.set_qform(AXIAL, code=1)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None, image.header), path)
    _, output = run(code=3)
    assert 'sform' in output
    assert 'qform' in output


def test_subjects_that_differ_by_case_only(run, dataset, tmp_path):
    shutil.copytree(dataset / 'sub-03', dataset / 'sub-AB')
    shutil.copytree(dataset / 'sub-03', dataset / 'sub-ab')
    for subject in ('sub-AB', 'sub-ab'):
        for path in (dataset / subject).rglob('sub-03*'):
            path.rename(path.with_name(path.name.replace('sub-03', subject)))
    with (dataset / 'participants.tsv').open('a') as file:
        file.write('sub-AB\t40\tF\tx\nsub-ab\t40\tF\tx\n')
    _, output = run(code=3)
    assert 'sub-ab differs from sub-AB by case only' in output
    assert {e['participant_id'] for e in mapping(tmp_path)} == {
        'sub-01',
        'sub-02',
        'sub-03',
        'sub-AB',
    }


def test_session_without_t1w_is_set_aside_with_the_reason(run, dataset, tmp_path):
    write_series(dataset, 'sub-04', 'ses-1', Series('T2w'))
    with (dataset / 'participants.tsv').open('a') as file:
        file.write('sub-04\t40\tF\tx\n')
    release, output = run(code=3)
    assert 'sub-04/ses-1: no T1w' in output
    study = study_of(tmp_path, 'sub-04', 'ses-1')
    assert not any(study in where for where in content(release))
    assert study not in str(tables(release))


def test_session_without_anatomical_images_is_no_study(run, dataset, tmp_path):
    (dataset / 'sub-03/ses-2/func').mkdir(parents=True)
    (dataset / 'sub-03/ses-2/func/sub-03_ses-2_task-rest_bold.json').write_text('{}')
    run()
    assert len(mapping(tmp_path)) == 4


def test_phenotype_rows_without_subject_are_named(run, dataset, tmp_path):
    folder = dataset / 'phenotype'
    folder.mkdir()
    (folder / 'radiology_report.tsv').write_text(
        'participant_id\tsession_id\treport\nsub-01\tses-1\tNormal.\nsub-77\tses-1\tGhost\n'
    )
    release, output = run()
    assert 'sub-77 ses-1' in output
    (data,) = [d for w, d in tables(release).items() if 'reports/' in w]
    study = study_of(tmp_path, 'sub-01', 'ses-1')
    assert rows(data) == [['study_uid', 'report'], [study, 'Normal.']]


@pytest.mark.parametrize('damage', ['a file', 'another release', 'inside', 'outside', 'itself'])
def test_target_that_cannot_be(damage, dataset, tmp_path):
    target = tmp_path / 'release'
    if damage == 'a file':
        target.write_text('mine')
    elif damage == 'another release':
        hostile.write_release(target, hostile.three_studies())
    elif damage == 'inside':
        target = dataset / 'release'
    elif damage == 'outside':
        target = tmp_path
    else:
        target = dataset
    before = hostile.tree(tmp_path)
    done = import_(dataset, target)
    assert done.code == 3
    assert 'nothing was written' in done.output or damage == 'a file'
    assert hostile.tree(tmp_path) == before


def test_target_of_another_dataset(run, dataset, tmp_path):
    run()
    other = make_dataset(tmp_path / 'other', subjects=1)
    before = hostile.tree(tmp_path)
    done = import_(other, tmp_path / 'release')
    assert done.code == 3
    assert 'was imported from' in ' '.join(done.output.split())
    assert hostile.tree(tmp_path) == before


@pytest.mark.parametrize(
    'options',
    [
        ('--split', '90,10'),
        ('--split', '90,9,9'),
        ('--split', 'a,b,c'),
        ('--rule', 'what=1'),
        ('--rule', 'min_age=old'),
        ('--participant', '99'),
        ('--merged',),
        ('--shard', '3/2'),
        ('--batch-size', '0'),
    ],
)
def test_options_that_make_no_sense(options, dataset, tmp_path):
    done = import_(dataset, tmp_path / 'release', *options)
    assert done.code == 2
    assert not list((tmp_path / 'release').glob('*')) if (tmp_path / 'release').exists() else True


def test_no_dataset(tmp_path):
    done = import_(tmp_path, tmp_path / 'release')
    assert done.code == 2
    assert 'is no BIDS dataset' in done.output


def test_dry_run_writes_the_plan_only(run, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = hostile.tree(dataset)
    _, output = run('--dry-run')
    assert 'nothing was imported' in output
    assert 'drawn for this plan only' in output
    assert not (tmp_path / 'release').exists()
    assert not (tmp_path / 'release-import').exists()
    plan = read_tsv(tmp_path / 'import-plan.tsv')
    assert len(plan) == 9
    assert {row['action'] for row in plan} == {'convert', 'link'}
    assert hostile.tree(dataset) == before
