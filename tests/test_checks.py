"""Break one thing in an export at a time: the check must name the study and the file."""

import gzip
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from mrrate_bids.checks import CHECKS
from mrrate_bids.receipts import Receipts
from mrrate_bids.validation import validate

PATIENT, STUDY = '7731', '2END5JBWVA'
TWICE, FIRST, SECOND = '10482', 'K5QZ7MWB2D', 'V3NHT6RYPC'
FOLDER = f'sub-{PATIENT}/ses-{STUDY}'
ANAT = f'{FOLDER}/anat/sub-{PATIENT}_ses-{STUDY}'
IMAGE = f'{ANAT}_acq-cor_run-01_T2w.nii.gz'
SCANS = f'{FOLDER}/sub-{PATIENT}_ses-{STUDY}_scans.tsv'
SESSIONS = f'sub-{TWICE}/sub-{TWICE}_sessions.tsv'
RECEIPT = f'sourcedata/mrrate/receipts/batch00/{STUDY}.json'
BRAIN = (
    f'derivatives/mrrate-defaced/{ANAT}_acq-cor_run-01_space-orig_label-brain_desc-T2w_mask.nii.gz'
)
DEFACING = f'derivatives/mrrate-defaced/{ANAT}_acq-cor_run-01_mod-T2w_space-orig_defacemask.nii.gz'
SEGMENTED = (
    f'derivatives/mrrate-nvsegctmr/{ANAT}_acq-cor_run-01_space-orig_seg-nvsegctmrbody'
    '_desc-T2w_dseg.nii.gz'
)
COREG = f'derivatives/mrrate-coreg/{ANAT}_acq-cor_run-01_space-T1w_T2w.nii.gz'
COREG_BRAIN = (
    f'derivatives/mrrate-coreg/{ANAT}_acq-axi_run-01_space-T1w_label-brain_desc-T1w_mask.nii.gz'
)
ATLAS = f'derivatives/mrrate-atlas/{ANAT}_acq-cor_run-01_space-MNI152NLin2009cSym_res-1_T2w.nii.gz'
MATRIX = f'derivatives/mrrate-coreg/{ANAT}_acq-cor_run-01_from-T2w_to-T1w_mode-image_xfm.mat'
TO_ATLAS = (
    f'derivatives/mrrate-atlas/{ANAT}_acq-axi_run-01_from-T1w_to-MNI152NLin2009cSym'
    '_mode-image_xfm.mat'
)


def check(root, name, **options):
    """Return what one check found, and make sure that it ran."""
    report = validate(root, bids_validator=False, **options)
    (row,) = [row for row in report.rows if row.check == CHECKS[name][0]]
    found = [f.problem for f in report.findings if f.check == name]
    assert not row.not_run
    assert row.errors + row.warnings == len(found)
    return found


def only(found, *, file, study=STUDY, says, severity='error'):
    """Make sure that there is one finding, about this file of this study."""
    (problem,) = found
    assert (problem.file, problem.study, problem.severity) == (file, study, severity)
    assert file.rpartition('/')[2] in problem.message
    assert says in problem.message
    assert problem.remedy


def flip(path, *, at):
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def edit_receipt(root, change):
    receipts = Receipts(root)
    receipt = receipts.load('batch00', STUDY)
    change(receipt)
    receipts.save(receipt)


def rewrite(path, change):
    """Write an image again with other voxels, affine or type."""
    image = nib.load(path)
    nib.save(change(np.asanyarray(image.dataobj), image.affine), path)


@pytest.mark.parametrize('deep', [False, True])
def test_intact_dataset_has_no_findings_and_every_check_runs(exported, deep):
    report = validate(exported, bids_validator=False, deep=deep)
    assert report.findings == []
    not_run = {row.check for row in report.rows if row.not_run} - {'BIDS validator'}
    assert not_run == (set() if deep else {CHECKS['masks'][0]})


def test_every_written_file_is_compared_with_its_receipt(exported):
    report = validate(exported, bids_validator=False)
    written = [p for p in exported.glob('**/sub-*/ses-*/**/*') if p.is_file()]
    rows = {row.check: row for row in report.rows}
    assert rows[CHECKS['receipts'][0]].files == len(written)
    images = [p for p in written if p.name.endswith('.nii.gz')]
    assert rows[CHECKS['images'][0]].files == len(images)
    # All but the raw images, whose grid is their own, and one centre per study in the atlas.
    assert rows[CHECKS['grids'][0]].files == len(images) - 14 - 3


@pytest.mark.parametrize('at', [0.0, 0.5, 0.999])
def test_flipped_bit_differs_from_the_receipt(copied, at):
    flip(copied / IMAGE, at=at)
    only(check(copied, 'receipts'), file=IMAGE, says='CRC-32')


def test_flipped_bit_in_an_image_is_found_by_unpacking(copied):
    flip(copied / IMAGE, at=0.5)
    assert check(copied, 'images') == []
    only(check(copied, 'images', deep=True), file=IMAGE, says='gzip stream is damaged')


def test_bomb_whose_ends_agree_needs_deep(tmp_path, exported):
    """Zeros between the image and a last member whose trailer is that of the image."""
    path = tmp_path / 'bids/sub-1/anat/sub-1_T1w.nii.gz'
    path.parent.mkdir(parents=True)
    raw = gzip.decompress((exported / IMAGE).read_bytes())
    path.write_bytes(gzip.compress(raw) + gzip.compress(bytes(80 << 20)) + gzip.compress(raw))
    (tmp_path / 'bids/dataset_description.json').write_text(
        '{"Name": "x", "BIDSVersion": "1.8.0"}'
    )
    for deep, says in ((False, []), (True, ['unpacks to more than its header says'])):
        report = validate(tmp_path / 'bids', bids_validator=False, deep=deep)
        found = [f.problem.message for f in report.findings if f.check == 'images']
        assert len(found) == len(says)
        assert all(text in message for text, message in zip(says, found, strict=True))


def test_flipped_bit_without_crc_in_the_receipt_needs_deep(copied):
    def forget(receipt):
        receipt.outputs = [output._replace(crc32=None) for output in receipt.outputs]

    edit_receipt(copied, forget)
    flip(copied / IMAGE, at=0.5)
    report = validate(copied, bids_validator=False)
    assert report.findings == []
    (found,) = validate(copied, bids_validator=False, deep=True).problems
    assert found.file == IMAGE


def test_truncated_image(copied):
    data = (copied / IMAGE).read_bytes()
    (copied / IMAGE).write_bytes(data[:-100])
    only(check(copied, 'images'), file=IMAGE, says='truncated')
    only(check(copied, 'receipts'), file=IMAGE, says=f'has {len(data) - 100:,} bytes')


def test_empty_image(copied):
    (copied / IMAGE).write_bytes(b'')
    only(check(copied, 'images'), file=IMAGE, says='is empty')


def test_link_to_a_file_that_is_gone(copied, tmp_path):
    (copied / IMAGE).unlink()
    (copied / IMAGE).symlink_to(tmp_path / 'gone.nii.gz')
    only(check(copied, 'images'), file=IMAGE, says='cannot be read')
    only(check(copied, 'receipts'), file=IMAGE, says='is missing')


def test_missing_file_and_what_was_made_from_it(copied):
    (copied / BRAIN).unlink()
    only(check(copied, 'receipts'), file=BRAIN, says='is missing')
    sidecar = DEFACING.replace('.nii.gz', '.json')
    only(check(copied, 'references'), file=sidecar, says='points at nothing')


def test_missing_study(copied):
    for folder in copied.glob(f'**/{FOLDER}'):
        shutil.rmtree(folder)
    found = check(copied, 'receipts')
    assert len(found) == len(Receipts(copied).load('batch00', STUDY).outputs)
    assert {problem.study for problem in found} == {STUDY}
    assert all('is missing' in problem.message for problem in found)


@pytest.mark.parametrize(
    'path', [f'{ANAT}_acq-sag_run-07_T1w.nii.gz', BRAIN.replace('run-01', 'run-02')]
)
def test_file_that_no_receipt_knows(copied, path):
    shutil.copy(copied / IMAGE, copied / path)
    only(check(copied, 'receipts'), file=path, says='no receipt knows')


def test_file_outside_of_sessions_that_no_receipt_knows(copied):
    path = f'sub-{PATIENT}/notes.txt'
    (copied / path).write_text('?')
    only(check(copied, 'receipts'), file=path, study='', says='no receipt knows')


def test_study_that_no_receipt_knows(copied):
    path = f'sub-{PATIENT}/ses-OTHER'
    shutil.copytree(copied / FOLDER, copied / path)
    only(check(copied, 'receipts'), file=path, study='OTHER', says='no receipt knows')


def test_dataset_that_the_export_did_not_write_is_left_alone(copied):
    other = copied / 'derivatives/fmriprep'
    (other / FOLDER / 'anat').mkdir(parents=True)
    (other / f'{ANAT}_desc-preproc_T1w.json').write_text('{}')
    (other / 'dataset_description.json').write_text(
        '{"Name": "x", "BIDSVersion": "1.10.1", "DatasetType": "derivative"}'
    )
    assert validate(copied, bids_validator=False).findings == []


def test_unfinished_study(copied):
    edit_receipt(copied, lambda receipt: setattr(receipt, 'state', 'started'))
    only(check(copied, 'receipts'), file=FOLDER, says='unfinished')


def test_unfinished_study_without_any_file(copied):
    edit_receipt(copied, lambda receipt: setattr(receipt, 'state', 'started'))
    for folder in copied.glob(f'**/{FOLDER}'):
        shutil.rmtree(folder)
    only(check(copied, 'receipts'), file=FOLDER, says='unfinished')


def test_damaged_receipt(copied):
    (copied / RECEIPT).write_text('{"format": 1')
    only(check(copied, 'receipts'), file=RECEIPT, says='damaged')


def test_study_that_the_export_set_something_aside_of(copied):
    problem = {'severity': 'error', 'message': 'a.nii.gz: is empty'}
    edit_receipt(copied, lambda receipt: receipt.problems.append(problem))
    found = check(copied, 'receipts')
    only(found, file=FOLDER, says='1 problems', severity='warning')


@pytest.mark.parametrize('path', [BRAIN, DEFACING, SEGMENTED, COREG, COREG_BRAIN, ATLAS])
def test_shifted_grid(copied, path):
    def shift(voxels, affine):
        affine[0, 3] += 0.5
        return nib.Nifti1Image(voxels, affine)

    rewrite(copied / path, shift)
    only(check(copied, 'grids'), file=path, says='lies on another grid than')


def test_cropped_grid(copied):
    rewrite(copied / BRAIN, lambda voxels, affine: nib.Nifti1Image(voxels[:-1], affine))
    only(check(copied, 'grids'), file=BRAIN, says='lies on another grid than')


def test_centre_of_the_scans_table_serves_where_there_is_no_receipt(copied):
    shutil.rmtree(copied / 'sourcedata')
    rewrite(copied / COREG, lambda voxels, affine: nib.Nifti1Image(voxels[:-1], affine))
    only(check(copied, 'grids'), file=COREG, says='lies on another grid than')


def test_second_centre(copied):
    edit(copied / SCANS, 'CORONAL\tT2w\tFalse', 'CORONAL\tT2w\tTrue')
    only(check(copied, 'centres'), file=SCANS, says='2 series are marked')


def test_centre_of_a_dataset_without_derivatives_is_counted(copied):
    shutil.rmtree(copied / 'derivatives')
    row = next(row for row in validate(copied).rows if row.check == 'one centre per study')
    assert row.files == 3


@pytest.mark.parametrize('export', [True, False])
def test_no_centre(copied, export):
    if not export:
        shutil.rmtree(copied / 'sourcedata')
    edit(copied / SCANS, 'True', 'False')
    only(check(copied, 'centres'), file=SCANS, says='0 series are marked')


def test_no_centre_is_needed_where_it_was_not_asked_for(copied):
    edit(copied / SCANS, 'True', 'False')
    edit_receipt(copied, lambda receipt: receipt.series.pop(receipt.centre))
    assert check(copied, 'centres') == []


def test_patient_in_two_splits(copied):
    edit(copied / SESSIONS, '\t38\tt1w-raw-sag\ttrain', '\t38\tt1w-raw-sag\tval')
    found = check(copied, 'splits')
    only(found, file=SESSIONS, study='', says=f'{FIRST} in train, {SECOND} in val')


def test_patient_in_another_split_than_its_studies(copied):
    edit(copied / 'participants.tsv', '\ttest\t', '\ttrain\t')
    path = f'sub-{PATIENT}/sub-{PATIENT}_sessions.tsv'
    says = f'{STUDY} in test, participants.tsv says train'
    only(check(copied, 'splits'), file=path, study='', says=says)


def _shear(matrix):
    matrix[0, 1] += 0.01


def _mirror(matrix):
    matrix[0] *= -1


def _lose(matrix):
    matrix[0, 0] = np.nan


@pytest.mark.parametrize('path', [MATRIX, TO_ATLAS])
@pytest.mark.parametrize(
    ('change', 'says'), [(_shear, 'not rigid'), (_mirror, 'determinant -1'), (_lose, 'not finite')]
)
def test_transform_that_is_not_rigid(copied, path, change, says):
    content = loadmat(copied / path)
    values = content['AffineTransform_double_3_3']
    matrix = values[:9].reshape(3, 3).copy()
    change(matrix)
    values[:9] = matrix.reshape(9, 1)
    names = {k: v for k, v in content.items() if not k.startswith('__')}
    savemat(copied / path, names, format='4')
    only(check(copied, 'transforms'), file=path, says=says)


@pytest.mark.parametrize('size', [0, 10, 20, 50, 100, 126, 150])
def test_transform_cut_short(copied, size):
    data = (copied / MATRIX).read_bytes()
    (copied / MATRIX).write_bytes(data[:size])
    only(check(copied, 'transforms'), file=MATRIX, says='')


def test_transform_of_another_kind(copied):
    savemat(copied / MATRIX, {'x': np.eye(4)}, format='4')
    only(check(copied, 'transforms'), file=MATRIX, says='no ITK transform')


def test_rigid_transform_of_six_parameters(copied):
    names = {'Euler3DTransform_double_3_3': np.zeros((6, 1)), 'fixed': np.zeros((3, 1))}
    savemat(copied / MATRIX, names, format='4')
    assert check(copied, 'transforms') == []


@pytest.mark.parametrize('path', [BRAIN, DEFACING, COREG_BRAIN])
def test_mask_with_another_value(copied, path):
    def spoil(voxels, affine):
        voxels = voxels.copy()
        voxels[3, 3, 3] = 7
        return nib.Nifti1Image(voxels, affine)

    rewrite(copied / path, spoil)
    only(check(copied, 'masks', deep=True), file=path, says='holds 7')


def test_mask_of_another_type(copied):
    rewrite(copied / BRAIN, lambda v, affine: nib.Nifti1Image(v.astype(np.int16), affine))
    only(check(copied, 'masks', deep=True), file=BRAIN, says='int16')


def test_mask_with_scaled_values(copied):
    def scale(voxels, affine):
        image = nib.Nifti1Image(voxels, affine)
        image.header.set_slope_inter(2, 0)
        return image

    rewrite(copied / BRAIN, scale)
    only(check(copied, 'masks', deep=True), file=BRAIN, says='scaled')


def _tables(root):
    return [problem.message for problem in check(root, 'tables')]


def test_participants(copied):
    path = copied / 'participants.tsv'
    text = path.read_text()
    path.write_text(text + 'sub-9\t9\t50\tF\ttrain\tbatch00\n')
    assert _tables(copied) == ['participants.tsv: sub-9 has a row and no folder']
    path.write_text(''.join(text.splitlines(keepends=True)[:-1]))
    assert _tables(copied) == [f'participants.tsv: sub-{PATIENT} has a folder and no row']
    path.write_text(text + text.splitlines()[1] + '\n')
    assert _tables(copied) == [f'participants.tsv: has 2 rows for sub-{TWICE}']
    path.write_text(text + 'sub-9\n')
    assert _tables(copied) == ['participants.tsv: row 3 has 1 cells, not 6']
    path.unlink()
    assert _tables(copied) == ['participants.tsv: is missing']


def test_sessions(copied):
    path = copied / SESSIONS
    text = path.read_text()
    path.write_text(text.replace(f'ses-{FIRST}', 'ses-OTHER'))
    found = check(copied, 'tables')
    assert {p.file for p in found} == {SESSIONS}
    assert [p.message.split(': ')[1] for p in found] == [
        'ses-K5QZ7MWB2D has a folder and no row',
        'ses-OTHER has a row and no folder',
    ]
    path.unlink()
    only(check(copied, 'tables'), file=SESSIONS, study='', says='is missing')


def test_scans_row_of_a_file_that_is_not_there(copied):
    edit(copied / SCANS, '_acq-cor_run-01_T2w', '_acq-cor_run-02_T2w')
    found = check(copied, 'tables')
    assert {(p.file, p.study) for p in found} == {(SCANS, STUDY)}
    assert ['run-02_T2w.nii.gz has a row and no file' in p.message for p in found] == [False, True]
    assert 'run-01_T2w.nii.gz has no row' in found[0].message


def test_scans_row_twice(copied):
    path = copied / SCANS
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + '\n')
    only(check(copied, 'tables'), file=SCANS, says='has 2 rows for anat/')


def test_scans_that_are_no_table(copied):
    (copied / SCANS).write_bytes(b'filename\n\xff\n')
    only(check(copied, 'tables'), file=SCANS, says='not UTF-8')


@pytest.mark.parametrize(
    ('uri', 'says'),
    [
        ('bids:raw:sub-1/nothing.nii.gz', 'points at nothing'),
        ('bids::sub-1/nothing.nii.gz', 'points at nothing'),
        ('bids:defaced:nothing.json', 'points at nothing'),
        ('bids:elsewhere:README.md', "no 'elsewhere'"),
        ('bids:raw', 'not a BIDS URI'),
    ],
)
@pytest.mark.parametrize('key', ['Sources', 'SpatialReference', 'IntendedFor'])
def test_reference(copied, uri, says, key):
    path = COREG.replace('.nii.gz', '.json')
    (copied / path).write_text(json.dumps({key: [uri] if key == 'Sources' else uri}))
    only(check(copied, 'references'), file=path, says=says)


def test_reference_in_an_inherited_sidecar(copied):
    path = 'derivatives/mrrate-coreg/space-T1w_T2w.json'
    (copied / path).write_text('{"Sources": ["bids:raw:nothing"]}')
    only(check(copied, 'references'), file=path, study='', says='points at nothing')


def test_verbatim_cells_are_no_references(copied):
    path = IMAGE.replace('.nii.gz', '.json')
    (copied / path).write_text('{"MRRATE": {"ProtocolName": "bids:x:y"}}')
    assert check(copied, 'references') == []


def test_sidecar_that_is_no_json(copied):
    path = IMAGE.replace('.nii.gz', '.json')
    (copied / path).write_text('{')
    only(check(copied, 'references'), file=path, says='JSON')


def test_linked_dataset_that_is_not_here_is_said_once(exported, tmp_path):
    root = shutil.copytree(exported / 'derivatives/mrrate-coreg', tmp_path / 'x/y/mrrate-coreg')
    found = check(root, 'references')
    assert len(found) == 4
    assert {problem.severity for problem in found} == {'warning'}
    assert "'raw' (../..) is not here" in found[-1].message


def test_description_that_cannot_be_read(copied):
    path = 'derivatives/mrrate-coreg/dataset_description.json'
    (copied / path).write_text('[]')
    only(check(copied, 'references'), file=path, study='', says='not readable')
