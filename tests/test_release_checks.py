"""Break one thing in a sound release at a time: exactly that is named, with file and remedy."""

import gzip
import shutil
import zipfile

import hostile
import nibabel as nib
import numpy as np
import pytest
from hostile import CENTRE, MOVING, THIRD, VICTIM, Study
from sound_release import (
    SHAPES,
    affine_at,
    atlas_image,
    make_sound,
    masks,
    matrix,
    nifti,
    sound_studies,
)

from mrrate_bids.catalog import open_release
from mrrate_bids.release_validation import validate_release

NATIVE, COREG, ATLAS, SEG = (
    'MR-RATE',
    'MR-RATE-coreg',
    'MR-RATE-atlas',
    'MR-RATE-nvseg-ctmr',
)
IMAGE = f'img/{VICTIM}_{MOVING}.nii.gz'
BRAIN = f'seg/{VICTIM}_{MOVING}_brain-mask.nii.gz'
KEPT = f'seg/{VICTIM}_{MOVING}_defacing-mask.nii.gz'
COREG_IMAGE = f'coreg_img/{VICTIM}_coreg_{MOVING}.nii.gz'
ATLAS_IMAGE = f'atlas_img/{VICTIM}_atlas_{MOVING}.nii.gz'
TO_CENTRE = f'transform/M_coreg_{MOVING}.mat'


@pytest.fixture
def studies():
    return sound_studies()


@pytest.fixture
def victim(studies):
    return studies[1]


@pytest.fixture
def found(studies, tmp_path):
    """Return what is found in these studies, by check; quick unless asked otherwise."""

    def run(change=None, *, layout='zip', **options):
        root = hostile.write_release(tmp_path / 'release', studies, layout=layout)
        if change:
            change(root)
        report = validate_release(open_release(root), **options)
        return [(f.check, f.dataset, f.problem) for f in report.findings]

    return run


def only(
    found, check, *, file='', says, severity='error', study=VICTIM, home=NATIVE, series=MOVING
):
    """Make sure that there is one finding, by this check, that says where and what."""
    ((named, dataset, problem),) = found
    assert (named, dataset, problem.severity) == (check, home, severity)
    assert (problem.study, problem.series) == (study, series)
    assert problem.file.endswith(file)
    assert file.rpartition('/')[2] in problem.message
    assert says in problem.message
    assert problem.remedy


def noise(shape=SHAPES[1], dtype=np.uint16, *, number=1, **more):
    """Return the moving image of a study, defaced, with something else about it."""
    affine = affine_at((number, 0, 0), spacing=number + 1)
    return nifti(np.ones(shape, dtype) * masks(shape)['defacing-mask'].astype(dtype), affine)


@pytest.mark.parametrize('layout', ['zip', 'extracted', 'merged'])
def test_sound_release_has_no_findings(found, layout):
    assert found(layout=layout) == []


def test_sound_release_has_no_findings_in_depth(studies, victim, found):
    studies[:] = [victim]
    assert found(deep=True) == []


# 1. zips and folders


def test_empty_zip(victim, found):
    def change(root):
        victim.zip_of(root, COREG).write_bytes(b'PK\x05\x06' + bytes(18))

    file = f'{VICTIM}_coreg.zip'
    only(found(change), 'archives', file=file, says='empty zip (22', home=COREG, series='')


def test_cut_zip(victim, found):
    def change(root):
        path = victim.zip_of(root, ATLAS)
        path.write_bytes(path.read_bytes()[:-40])

    file = f'{VICTIM}_atlas.zip'
    only(found(change), 'archives', file=file, says='truncated or no zip', home=ATLAS, series='')


def test_cut_native_zip_is_said_once(victim, found):
    def change(root):
        path = victim.zip_of(root)
        path.write_bytes(path.read_bytes()[:-40])

    only(found(change), 'archives', file=f'{VICTIM}.zip', says='truncated or no zip', series='')


@pytest.mark.parametrize(
    ('spoil', 'says'),
    [
        (lambda data: b'', 'is empty'),
        (lambda data: data[:-30], 'truncated'),
        (lambda data: b'no gzip', 'not gzip'),
    ],
)
@pytest.mark.parametrize('layout', ['zip', 'extracted'])
def test_damaged_member(victim, found, spoil, says, layout):
    victim.files[NATIVE][IMAGE] = spoil(victim.files[NATIVE][IMAGE])
    only(found(layout=layout), 'images', file=IMAGE, says=says)


def test_changed_byte_in_a_zip_needs_deep(studies, victim, found):
    studies[:] = [victim]

    def change(root):
        path = victim.zip_of(root, NATIVE)
        data = bytearray(path.read_bytes())
        at = data.index(victim.files[NATIVE][IMAGE])
        data[at + 8] ^= 1  # a flag of gzip's that nothing reads
        path.write_bytes(data)

    assert found(change) == []
    only(found(change, deep=True), 'images', file=IMAGE, says='CRC-32')


def test_changed_byte_in_a_folder_needs_deep(studies, victim, found):
    studies[:] = [victim]
    data = bytearray(victim.files[NATIVE][IMAGE])
    data[-6] ^= 1  # the CRC of gzip
    victim.files[NATIVE][IMAGE] = bytes(data)
    assert found(layout='extracted') == []
    only(found(layout='extracted', deep=True), 'images', file=IMAGE, says='gzip stream is damaged')


def test_deflated_zip(victim, found):
    def change(root):
        method = zipfile.ZIP_DEFLATED
        files = victim.files[COREG]
        path = victim.zip_of(root, COREG)
        hostile.write_zip(path, files, prefix=f'{VICTIM}/', method=method)

    says, file = 'are deflated', f'{VICTIM}_coreg.zip'
    only(
        found(change), 'archives', file=file, says=says, severity='warning', home=COREG, series=''
    )


def test_zip_with_another_root(victim, found):
    def change(root):
        hostile.write_zip(victim.zip_of(root, SEG), {'a.nii.gz': b'x'}, prefix='OTHER/')

    says = 'does not lie in the folder'
    only(found(change), 'archives', file='OTHER/a.nii.gz', says=says, series='')


def test_zip_called_like_that_of_another_repository(victim, found):
    def change(root):
        path = victim.zip_of(root, COREG)
        path.rename(path.with_name(f'{VICTIM}.zip'))

    says, file = f'is called {VICTIM}_coreg.zip', f'{VICTIM}.zip'
    only(found(change), 'archives', file=file, says=says, severity='warning', series='')


def test_unfinished_download(victim, found):
    def change(root):
        (victim.zip_of(root).parent / 'x.incomplete').write_bytes(b'')

    says = 'neither a zip nor a folder'
    only(
        found(change),
        'archives',
        file='x.incomplete',
        says=says,
        severity='warning',
        study='',
        series='',
    )


@pytest.mark.parametrize(
    ('spoil', 'says'),
    [
        (lambda path: path.unlink(), 'lacks 1 of its files'),
        (lambda path: path.write_bytes(b'x'), 'another size of 1'),
    ],
)
def test_half_extracted_folder_next_to_its_zip(victim, found, spoil, says):
    def change(root):
        hostile.write_files(victim.folder_of(root), victim.files[NATIVE])
        spoil(victim.folder_of(root) / IMAGE)

    only(found(change), 'archives', file=f'{VICTIM}.zip', says=says, series='')


def test_whole_folder_next_to_its_zip_is_fine(victim, found):
    def change(root):
        hostile.write_files(victim.folder_of(root), victim.files[NATIVE])

    assert found(change) == []


# 2. files and rows


@pytest.mark.parametrize(
    ('home', 'name'),
    [
        (NATIVE, IMAGE),
        (NATIVE, BRAIN),
        (NATIVE, KEPT),
        (COREG, COREG_IMAGE),
        (COREG, TO_CENTRE),
        (ATLAS, ATLAS_IMAGE),
    ],
)
@pytest.mark.parametrize('layout', ['zip', 'merged'])
def test_missing_file(victim, found, home, name, layout):
    del victim.files[home][name]
    only(found(layout=layout), 'files', file=name, says='is missing', home=home)


@pytest.mark.parametrize(
    ('home', 'name'),
    [
        (COREG, f'coreg_img/{VICTIM}_{CENTRE}.nii.gz'),
        (COREG, f'coreg_seg/{VICTIM}_{CENTRE}_brain-mask.nii.gz'),
        (ATLAS, f'atlas_seg/{VICTIM}_atlas_{CENTRE}_defacing-mask.nii.gz'),
        (ATLAS, f'transform/M_atlas_{CENTRE}.mat'),
    ],
)
def test_missing_file_of_the_centre(victim, found, home, name):
    del victim.files[home][name]
    only(found(), 'files', file=name, says='is missing', home=home, series=CENTRE)


def test_file_without_a_row(victim, found):
    victim.rows.pop(2)
    files = {problem.file for check, _, problem in found() if check == 'files'}
    assert f'img/{VICTIM}_{THIRD}.nii.gz' in files
    assert f'transform/M_coreg_{THIRD}.mat' in files
    assert {check for check, _, _ in found()} == {'files'}


def test_unknown_file(victim, found):
    victim.files[NATIVE]['img/notes.txt'] = b'?'
    says = 'is no file of a release'
    only(found(), 'files', file='img/notes.txt', says=says, severity='warning', series='')


def test_zip_without_rows(studies, victim, found):
    def change(root):
        hostile.write_tables(root, [s for s in studies if s is not victim])

    problems = [problem for check, _, problem in found(change) if check == 'files']
    assert 'has no row in the metadata' in problems[0].message
    assert {problem.study for problem in problems} == {VICTIM}


def test_study_without_native_images(victim, found):
    def change(root):
        victim.zip_of(root).unlink()

    only(found(change), 'files', says='no native image of the study', series='')


def test_batch_without_images_is_one_warning(studies, found):
    def change(root):
        shutil.rmtree(root / NATIVE / 'mri')

    problems = [problem for _, _, problem in found(change)]
    assert [(p.severity, p.batch) for p in problems] == [
        ('warning', 'batch00'),
        ('warning', 'batch01'),
    ]


@pytest.mark.parametrize('home', [COREG, ATLAS, SEG])
def test_derivatives_may_be_absent(studies, victim, found, home):
    del victim.files[home]
    assert found() == []
    for study in studies:
        study.files.pop(home, None)
    assert found(lambda root: shutil.rmtree(root / home)) == []


def test_study_without_any_mask_is_a_warning(victim, found):
    files = victim.files[NATIVE]
    victim.files[NATIVE] = {n: data for n, data in files.items() if n.startswith('img/')}
    says = 'has no brain masks'
    only(found(), 'files', says=says, severity='warning', series='')


# 3. the centre


@pytest.mark.parametrize('marks', [('1', '0', '0'), ('TRUE', 'false', 'False')])
def test_spellings_of_the_centre(victim, found, marks):
    for row, mark in zip(victim.rows, marks, strict=True):
        row['is_center_modality'] = mark
    assert found() == []


@pytest.mark.parametrize('marks', [('False',) * 3, ('True', 'True', 'False')])
def test_one_centre(victim, found, marks):
    for row, mark in zip(victim.rows, marks, strict=True):
        row['is_center_modality'] = mark
    only(found(), 'centres', says='centre series', series='')


def test_mark_that_is_neither_true_nor_false(victim, found):
    victim.rows[1]['is_center_modality'] = 'no'
    only(found(), 'centres', says="is 'no', neither True nor False")


def test_centre_that_files_contradict(victim, found):
    victim.rows[0]['is_center_modality'], victim.rows[1]['is_center_modality'] = 'False', 'True'
    centres = [problem for check, _, problem in found() if check == 'centres']
    assert any('says that' in problem.message for problem in centres)
    assert any(f'the centre {MOVING} is no T1w' in problem.message for problem in centres)


def test_centre_that_is_no_t1w(studies, found):
    study = make_sound(Study('NOTTONEEEE', '44', series=('t2w-raw-axi',)))
    study.rows[0]['classified_modality'] = 'T2w'
    studies.append(study)
    says, series = 'is no T1w', 't2w-raw-axi'
    only(found(), 'centres', says=says, study='NOTTONEEEE', series=series)


# 4. masks


@pytest.mark.parametrize('name', [BRAIN, KEPT])
def test_mask_of_another_type(victim, found, name):
    data = masks(SHAPES[1])['brain-mask'].astype(np.int16)
    victim.files[NATIVE][name] = nifti(data, affine_at((1, 0, 0), spacing=2))
    only(found(), 'masks', file=name, says='is stored as int16, not as uint8')


def test_mask_that_is_scaled(victim, found):
    raw = bytearray(gzip.decompress(victim.files[NATIVE][BRAIN]))
    header = nib.Nifti1Header(bytes(raw[:348]))
    header.set_slope_inter(2, 0)
    raw[:348] = header.binaryblock
    victim.files[NATIVE][BRAIN] = gzip.compress(raw)
    only(found(), 'masks', file=BRAIN, says='its values are scaled (slope 2.0')


def test_values_of_a_mask_need_deep(studies, victim, found):
    studies[:] = [victim]
    data = masks(SHAPES[1])['brain-mask'] * np.uint8(3)
    victim.files[NATIVE][BRAIN] = nifti(data, affine_at((1, 0, 0), spacing=2))
    assert found() == []
    only(found(deep=True), 'masks', file=BRAIN, says='holds 3')


@pytest.mark.parametrize(
    ('home', 'name'), [(NATIVE, BRAIN), (SEG, f'seg/{VICTIM}_{MOVING}_nvseg-ctmr-wb.nii.gz')]
)
def test_mask_on_another_grid(victim, found, home, name):
    shifted = affine_at((3, 0, 0), spacing=2)
    victim.files[home][name] = nifti(masks(SHAPES[1])['brain-mask'], shifted)
    says = f'another grid than the image of {MOVING}'
    only(found(), 'grids', file=name, says=says, home=home)


@pytest.mark.parametrize('layout', ['zip', 'merged'])
def test_face_that_was_left_in_needs_deep(studies, victim, found, layout):
    studies[:] = [victim]
    data = np.ones(SHAPES[1], np.uint16)
    victim.files[NATIVE][IMAGE] = nifti(data, affine_at((1, 0, 0), spacing=2))
    assert found(layout=layout) == []
    says = f'48 voxels outside of {KEPT} are not 0'
    only(found(layout=layout, deep=True), 'values', file=IMAGE, says=says)


# 5. types


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'float64', 'int32'])
def test_type_of_an_image(victim, found, dtype):
    victim.files[NATIVE][IMAGE] = noise(dtype=np.dtype(dtype))
    only(found(), 'types', file=IMAGE, says=f'is stored as {dtype}, not as uint16 or float32')


@pytest.mark.parametrize('dtype', ['uint16', 'float32'])
def test_types_that_are_allowed(victim, found, dtype):
    victim.files[NATIVE][IMAGE] = noise(dtype=np.dtype(dtype))
    assert found() == []


def test_type_of_a_resampled_image(victim, found):
    victim.files[COREG][COREG_IMAGE] = nifti(np.ones(SHAPES[0], np.uint16), affine_at())
    says, file = 'is stored as uint16; resampled images are float32', COREG_IMAGE
    only(found(), 'types', file=file, says=says, severity='warning', home=COREG)


def test_image_in_four_dimensions(victim, found):
    victim.files[NATIVE][IMAGE] = noise((*SHAPES[1], 2))
    reasons = {check: p.message for check, _, p in found() if p.file == IMAGE}
    assert 'has 4 dimensions' in reasons['types']


def test_image_of_an_unknown_type(victim, found):
    raw = bytearray(gzip.decompress(victim.files[NATIVE][IMAGE]))
    raw[70:72] = b'\x07\x00'
    victim.files[NATIVE][IMAGE] = gzip.compress(raw)
    only(found(), 'images', file=IMAGE, says='the NIfTI header makes no sense')


@pytest.mark.parametrize('row', [np.nan, 0])
def test_image_without_a_place_in_space(victim, found, row):
    affine = affine_at((1, 0, 0), spacing=2)
    image = nib.Nifti1Image(np.zeros(SHAPES[1], np.uint16), affine)
    image.header['sform_code'], image.header['qform_code'] = 1, 0
    image.header['srow_x'] = row
    raw = image.header.binaryblock + bytes(4) + image.get_fdata().astype(np.uint16).tobytes()
    victim.files[NATIVE][IMAGE] = gzip.compress(raw)
    only(found(), 'images', file=IMAGE, says='nowhere')


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_values_that_are_not_finite_need_deep(studies, victim, found, value):
    studies[:] = [victim]
    data = np.ones(SHAPES[0], np.float32)
    data[3, 3, 3:5] = value
    victim.files[COREG][COREG_IMAGE] = nifti(data, affine_at())
    assert found() == []
    only(
        found(deep=True),
        'values',
        file=COREG_IMAGE,
        says='2 voxels are not finite',
        severity='warning',
        home=COREG,
    )


# 6. grids


def test_moving_image_off_the_grid_of_the_centre(victim, found):
    victim.files[COREG][COREG_IMAGE] = nifti(np.ones((5, 5, 5), np.float32), affine_at())
    says = f'another grid than the image of {CENTRE}'
    only(found(), 'grids', file=COREG_IMAGE, says=says, home=COREG)


def test_centre_of_the_release_without_native_images_defines_the_grid(victim, found):
    """A merged folder may hold the co-registered images alone."""
    victim.files[COREG][COREG_IMAGE] = nifti(np.ones((5, 5, 5), np.float32), affine_at())
    del victim.files[NATIVE]
    grids = [problem for check, _, problem in found() if check == 'grids']
    assert [problem.file for problem in grids] == [COREG_IMAGE]


def test_atlas_images_on_different_grids(victim, found):
    victim.files[ATLAS][ATLAS_IMAGE] = nifti(np.ones((5, 5, 5), np.float32), affine_at())
    says = f'another grid than the atlas-image of {CENTRE}'
    only(found(), 'grids', file=ATLAS_IMAGE, says=says, home=ATLAS)


def test_atlas_on_another_common_grid(victim, found):
    for name in victim.files[ATLAS]:
        if name.endswith('.nii.gz'):
            dtype = 'float32' if name.startswith('atlas_img') else 'uint8'
            coarse = atlas_image(dtype, shape=(19, 22, 19), origin=(-90.0, -126.0, -72.0))
            victim.files[ATLAS][name] = coarse
    says, file = '19×22×19 (1 × 1 × 1 mm from -90 -126 -72)', f'{VICTIM}_atlas_{CENTRE}.nii.gz'
    only(found(), 'atlas', file=file, says=says, severity='warning', home=ATLAS, series=CENTRE)


# 7. transforms


@pytest.mark.parametrize(
    ('data', 'says'),
    [
        (b'no matrix', 'is not a MATLAB file'),
        (b'a' * 126, 'is not a MATLAB file'),
        (matrix(1)[:50], 'is not a MATLAB file'),
        (b'', 'is empty'),
        (matrix(1.1), 'is not rigid'),
    ],
)
@pytest.mark.parametrize('layout', ['zip', 'extracted'])
def test_transform(victim, found, data, says, layout):
    victim.files[COREG][TO_CENTRE] = data
    check = 'transforms' if data else 'images'
    only(found(layout=layout), check, file=TO_CENTRE, says=says, home=COREG)


# 8. tables


@pytest.mark.parametrize(
    ('column', 'cell', 'says', 'severity'),
    [
        ('classified_modality', 'T2w', 'the series_id says flair', 'error'),
        ('acquisition_plane', 'SAGITTAL', 'the series_id says axi', 'error'),
        ("Patient'sAge", 'old', "'old' is no age", 'warning'),
        ('array_shape', '[6, 7, 8]', 'the header has [7, 8, 6]', 'warning'),
        ('array_spacing_mm', '[2.0, 2.0, 2.5]', 'the header has [2, 2, 2]', 'warning'),
        ('array_spacing_mm', '?', 'the header has [2, 2, 2]', 'warning'),
        ('array_fov_mm', '[114.0, 16.0, 12.0]', 'the header has [14, 16, 12]', 'warning'),
    ],
)
def test_cells_of_a_series(victim, found, column, cell, says, severity):
    victim.rows[1][column] = cell
    check = 'headers' if column.startswith('array') else 'tables'
    file = IMAGE if check == 'headers' else ''
    only(found(), check, file=file, says=says, severity=severity)


@pytest.mark.parametrize(
    ('column', 'cell'),
    [
        ('classified_modality', 'T2-FLAIR'),
        ('classified_modality', ''),
        ('acquisition_plane', ''),
        ("Patient'sAge", '42'),
        ("Patient'sAge", ''),
        ('array_shape', '(7, 8, 6)'),
        ('array_shape', ''),
        ('array_fov_mm', '[14.04, 16.0, 12.0]'),
    ],
)
def test_cells_that_are_fine(victim, found, column, cell):
    victim.rows[1][column] = cell
    assert found() == []


def test_series_twice(victim, found):
    victim.rows.append(victim.rows[1] | {'TE_ms': '1'})
    (first, *others) = [p for check, _, p in found() if check == 'tables']
    assert (first.study, first.series) == (VICTIM, MOVING)
    assert '2 rows of this series that differ' in first.message
    assert not others


def test_unknown_series(victim, found):
    victim.rows.append(victim.rows[1] | {'series_id': 'dwi-raw-axi'})
    only(found(), 'tables', says='is not in the naming table', series='dwi-raw-axi')


def test_uid_of_another_form(studies, found):
    studies.append(make_sound(Study('lower', '44', series=(CENTRE,))))
    says = 'is not of the form'
    only(found(), 'tables', says=says, severity='warning', study='lower', series='')


def test_study_in_two_batches(studies, victim, found):
    again = make_sound(Study(VICTIM, '22', 'batch01', seed=2))
    studies.append(again)
    only(found(), 'tables', says='it has rows in batch00 as well', series='')


def test_study_of_two_patients(victim, found):
    victim.rows[2]['patient_uid'] = '23'
    only(found(), 'tables', says='belongs to several patients: 22, 23', series='')


def _edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_ragged_row(found):
    def change(root):
        _edit(root / NATIVE / 'metadata/batch01_metadata.csv', '15.97', '15.97,1')

    tables = [p.message for check, _, p in found(change) if check == 'tables']
    assert any('data row 1 has' in message for message in tables)


@pytest.mark.parametrize(
    ('column', 'file'),
    [('series_id', 'metadata/batch00_metadata.csv'), ('study_uid', 'splits.csv')],
)
def test_column_that_a_table_lacks(found, column, file):
    def change(root):
        _edit(root / NATIVE / file, column, 'other')

    first = next(p for check, _, p in found(change) if check == 'tables')
    assert f'{file}: lacks the column {column}' in first.message


def test_table_that_is_no_utf8(found):
    def change(root):
        (root / NATIVE / 'reports/batch00_reports.csv').write_bytes(b'study_uid\n\xff\n')

    ((check, _, problem),) = found(change)
    assert check == 'tables'
    assert 'reports/batch00_reports.csv: not UTF-8' in problem.message


@pytest.mark.parametrize('cell', ['2', 'yes', ''])
def test_labels_that_are_neither_0_nor_1(found, cell):
    def change(root):
        path = root / NATIVE / 'pathology_labels/mrrate_labels.csv'
        _edit(path, f'{VICTIM},1', f'{VICTIM},{cell}')

    says = f"mrrate_labels.csv: Gliosis is '{cell}', not 0 or 1"
    only(found(change), 'tables', says=says, series='')


@pytest.mark.parametrize(
    ('file', 'row'),
    [
        ('splits.csv', 'batch00,99,GONEAAAAAA,val'),
        ('pathology_labels/mrrate_labels.csv', 'GONEAAAAAA,1'),
        ('reports/batch00_reports.csv', 'GONEAAAAAA,Normal.'),
    ],
)
def test_row_of_no_study(found, file, row):
    def change(root):
        with (root / NATIVE / file).open('a') as table:
            table.write(f'{row}\n')

    ((check, _, problem),) = found(change)
    assert (check, problem.severity) == ('tables', 'warning')
    assert file in problem.message
    assert '1 rows belong to no study' in problem.message


# 9. splits


def _resplit(root, old, new):
    _edit(root / NATIVE / 'splits.csv', old, new)


def test_patient_in_two_splits(studies, found):
    studies[2] = make_sound(Study(studies[2].uid, '22', 'batch01', (CENTRE,), split='test'))
    says = f'patient 22 is in test with {studies[2].uid} and in val with {VICTIM}'
    ((check, _, problem),) = found()
    assert (check, problem.severity, problem.study) == ('splits', 'error', studies[2].uid)
    assert says in problem.message
    assert problem.remedy


def test_patient_with_studies_in_one_split(studies, found):
    studies[2] = make_sound(Study(studies[2].uid, '22', 'batch01', (CENTRE,), split='val'))
    assert found() == []


@pytest.mark.parametrize(
    ('old', 'new', 'says', 'severity'),
    [
        (
            'VICTIMBBBB,val',
            'VICTIMBBBB,dev',
            "the split 'dev' is none of train, val, test",
            'error',
        ),
        ('22,VICTIMBBBB', '23,VICTIMBBBB', 'says patient 23, the metadata say 22', 'error'),
        ('batch00,22,VICTIMBBBB,val\n', '', 'has no row of the study', 'warning'),
    ],
)
def test_row_of_the_splits(found, old, new, says, severity):
    ((check, _, problem),) = found(lambda root: _resplit(root, old, new))
    assert (check, problem.severity, problem.study) == ('splits', severity, VICTIM)
    assert says in problem.message
    assert problem.remedy


def test_damaged_derivative_does_not_hide_that_the_images_are_gone(victim, found):
    def change(root):
        victim.zip_of(root).unlink()
        victim.zip_of(root, COREG).write_bytes(b'')

    assert [check for check, _, _ in found(change)] == ['archives', 'files']
