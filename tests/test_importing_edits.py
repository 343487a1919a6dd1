"""What was changed in a dataset since its export appears in the release, or is reported."""

import gzip
import json
import shutil

import hostile
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hostile import CENTRE, FAR, GOOD, MOVING, VICTIM
from round_trip import content, import_, rows, tables

METADATA = 'MR-RATE/metadata/batch00_metadata.csv'
ANAT = f'sub-22/ses-{VICTIM}/anat/sub-22_ses-{VICTIM}'
T1W, FLAIR = f'{ANAT}_acq-axi_run-01_T1w', f'{ANAT}_acq-axi_run-01_FLAIR'
SCANS = f'sub-22/ses-{VICTIM}/sub-22_ses-{VICTIM}_scans.tsv'
SESSIONS = 'sub-22/sub-22_sessions.tsv'


@pytest.fixture
def bids(source, tmp_path):
    """Return a dataset that was exported; a test edits it."""
    assert hostile.export(source, tmp_path / 'bids').code == 0
    return tmp_path / 'bids'


@pytest.fixture
def back(bids, tmp_path):
    """Return a function that imports the dataset and gives the new release."""

    def run(*options, code=0):
        done = import_(bids, tmp_path / 'back', *options)
        assert done.code == code, done.output
        return tmp_path / 'back', done.output

    return run


def edit_json(path, **changes):
    sidecar = json.loads(path.read_text())
    for key, value in changes.items():
        if value is None:
            sidecar.pop(key)
        else:
            sidecar[key] = value
    path.write_text(json.dumps(sidecar))


def edit_tsv(path, column, value, *, key):
    """Set the cell of a column in the line that begins with or names *key*."""
    header, *lines = [line.split('\t') for line in path.read_text().rstrip('\n').split('\n')]
    hits = [line for line in lines if any(key in cell for cell in line)]
    assert hits
    for line in hits:
        line[header.index(column)] = value
    text = '\n'.join('\t'.join(line) for line in [header, *lines]) + '\n'
    path.write_text(text)


def row(release, series, study=VICTIM, table=METADATA):
    header, *lines = rows((release / table).read_bytes())
    found = [dict(zip(header, line, strict=True)) for line in lines]
    (match,) = [r for r in found if r['study_uid'] == study and r.get('series_id', '') == series]
    return match


# Changes that appear.


def test_removed_session_is_gone_from_every_table(bids, back, source):
    for folder in bids.rglob(f'ses-{VICTIM}'):
        shutil.rmtree(folder)
    release, output = back()
    assert not any(VICTIM in where for where in content(release))
    for where, data in tables(release).items():
        assert VICTIM.encode() not in data, where
        kept = [line for line in tables(source)[where].splitlines() if VICTIM.encode() not in line]
        assert [line for line in data.splitlines() if line != b'Normal."'] == [
            line for line in kept if line != b'Normal."'
        ]
    assert 'removed' in output


def test_session_that_is_removed_after_an_import_is_taken_out_of_the_release(bids, back):
    release, _ = back()
    for folder in bids.rglob(f'ses-{VICTIM}'):
        shutil.rmtree(folder)
    back()
    assert not any(VICTIM in where for where in content(release))
    assert any(GOOD in where for where in content(release))


def test_removed_series_is_gone_with_its_row(bids, back):
    for path in [*bids.rglob('*_acq-axi_run-01_FLAIR*'), *bids.rglob('*FLAIR*')]:
        if VICTIM in path.name and path.exists():
            path.unlink()
    release, _ = back()
    assert not any(MOVING in where for where in content(release))
    assert MOVING not in (release / METADATA).read_text()
    assert row(release, CENTRE)


@pytest.mark.parametrize(
    ('column', 'value', 'cell', 'text'),
    [
        ('series_number', '7.0', 'SeriesNumber', '7.0'),
        ('body_part', 'BRAIN', 'body_part', 'BRAIN'),
        ('contrast_enhanced', 'True', 'contrast_enhanced', 'True'),
    ],
)
def test_value_of_a_series_in_scans_tsv(column, value, cell, text, bids, back):
    edit_tsv(bids / SCANS, column, value, key='FLAIR')
    release, _ = back()
    assert row(release, MOVING)[cell] == text
    assert row(release, CENTRE).get(cell, '') != text


@pytest.mark.parametrize(
    ('column', 'value', 'cell', 'text'),
    [
        ('anon_study_date', '20210203', 'anon_study_date', '20210203'),
        ('acq_time', '2021-02-03T00:00:00', 'anon_study_date', '20210203'),
        ('session_age', '43', "Patient'sAge", '043Y'),
    ],
)
def test_value_of_a_study_in_sessions_tsv(column, value, cell, text, bids, back):
    edit_tsv(bids / SESSIONS, column, value, key=VICTIM)
    release, _ = back()
    assert {row(release, series)[cell] for series in (CENTRE, MOVING)} == {text}


@pytest.mark.parametrize(
    ('column', 'value', 'cell', 'text'),
    [('sex', 'M', "Patient'sSex", 'M'), ('age', '50', "Patient'sAge", '050Y')],
)
def test_value_of_a_patient_in_participants_tsv(column, value, cell, text, bids, back):
    edit_tsv(bids / 'participants.tsv', column, value, key='sub-22')
    release, _ = back()
    assert row(release, MOVING)[cell] == text
    assert row(release, CENTRE, study=GOOD)[cell] != text


@pytest.mark.parametrize(
    ('file', 'column', 'key'),
    [('participants.tsv', 'split', 'sub-22'), (SESSIONS, 'study_split', VICTIM)],
)
def test_split_of_a_patient(file, column, key, bids, back):
    edit_tsv(bids / file, column, 'test', key=key)
    release, _ = back()
    assert row(release, '', table='MR-RATE/splits.csv')['split'] == 'test'
    assert row(release, '', study=GOOD, table='MR-RATE/splits.csv')['split'] == 'train'


def test_report_and_label(bids, back):
    phenotype = bids / 'phenotype'
    edit_tsv(phenotype / 'radiology_report_visit-01.tsv', 'report', 'A\\n"new" one', key=VICTIM)
    edit_tsv(phenotype / 'pathology_labels_visit-01.tsv', 'gliosis', '0', key=VICTIM)
    release, _ = back()
    reports, labels = (
        'MR-RATE/reports/batch00_reports.csv',
        'MR-RATE/pathology_labels/mrrate_labels.csv',
    )
    assert row(release, '', table=reports)['report'] == 'A\n"new" one'
    assert row(release, '', table=labels)['Gliosis'] == '0'
    assert row(release, '', study=FAR, table=labels)['Gliosis'] == '1'


def test_report_that_pandas_wrote(bids, back):
    path = bids / 'phenotype/radiology_report_visit-01.tsv'
    frame = pd.read_csv(path, sep='\t', dtype=str, keep_default_na=False)
    frame.loc[frame['study_uid'] == VICTIM, 'report'] = 'a \\"quoted\\" word'
    frame.to_csv(path, sep='\t', index=False)
    release, _ = back()
    reports = 'MR-RATE/reports/batch00_reports.csv'
    assert row(release, '', table=reports)['report'] == 'a "quoted" word'


def test_line_that_was_removed_from_the_reports(bids, back):
    path = bids / 'phenotype/radiology_report_visit-01.tsv'
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(''.join(line for line in lines if VICTIM not in line))
    release, _ = back()
    text = (release / 'MR-RATE/reports/batch00_reports.csv').read_text()
    assert VICTIM not in text
    assert GOOD in text


def test_verbatim_cell(bids, back):
    path = bids / f'{FLAIR}.json'
    cells = json.loads(path.read_text())['MRRATE']
    edit_json(
        path,
        MRRATE=cells | {'TE_ms': '20.50', 'new column': 'x', 'SeriesNumber': '9'},
        EchoTime=0.0205,
    )
    release, _ = back()
    found = row(release, MOVING)
    assert (found['TE_ms'], found['new column'], found['SeriesNumber']) == ('20.50', 'x', '9')
    assert row(release, CENTRE)['new column'] == ''


def test_bids_key_fills_a_cell_that_was_empty(bids, back):
    edit_json(bids / f'{FLAIR}.json', RepetitionTime=2.5, FlipAngle=90)
    release, _ = back()
    assert row(release, MOVING)['TR_ms'] == '2500'
    assert row(release, MOVING)['FlipAngle'] == '90'


def test_image_that_was_replaced(bids, back):
    path = bids / f'{FLAIR}.nii.gz'
    path.write_bytes(hostile.volume(77))
    release, output = back('--defaced-elsewhere')
    found = content(release)
    (image,) = [where for where in found if where.endswith(f'img/{VICTIM}_{MOVING}.nii.gz')]
    ours, new = (
        nib.Nifti1Image.from_bytes(gzip.decompress(data))
        for data in (found[image], hostile.volume(77))
    )
    np.testing.assert_array_equal(ours.dataobj, new.dataobj)
    assert ours.get_data_dtype() == np.uint16  # of the release
    assert 'is not the file that was exported' in output


def test_image_that_was_replaced_is_stored_as_a_release_does_and_its_row_follows(source, tmp_path):
    """The new one has another type and shape; what was not replaced stays as it was."""
    path = source / METADATA
    header, *lines = path.read_text().splitlines()
    lines = [f'{line},"[16, 16, 16]"' for line in lines]
    path.write_text('\n'.join([f'{header},array_shape', *lines]) + '\n')
    bids = tmp_path / 'bids'
    assert hostile.export(source, bids, '--include', 'raw').code == 0
    image = bids / f'{FLAIR}.nii.gz'
    image.unlink()
    values = np.linspace(0, 1, 12 * 13 * 14).reshape(12, 13, 14)
    nib.save(nib.Nifti1Image(values, np.eye(4)), image)
    done = import_(bids, tmp_path / 'back', '--defaced-elsewhere')
    assert 'is not the file that was exported' in ' '.join(done.output.split())
    assert row(tmp_path / 'back', MOVING)['array_shape'] == '[12, 13, 14]'
    assert row(tmp_path / 'back', CENTRE)['array_shape'] == '[16, 16, 16]'
    found = content(tmp_path / 'back')
    (where,) = [where for where in found if where.endswith(f'img/{VICTIM}_{MOVING}.nii.gz')]
    ours = nib.Nifti1Image.from_bytes(gzip.decompress(found[where]))
    assert ours.get_data_dtype() == np.float32
    np.testing.assert_allclose(ours.get_fdata(), values, rtol=1e-6)


# Contradictions that are reported.


def conflict(back, *words):
    release, output = back(code=3)
    text = ' '.join(output.split())
    for word in words:
        assert word in text, text
    assert not any(VICTIM in where for where in content(release))
    assert VICTIM not in (release / METADATA).read_text()
    assert any(GOOD in where for where in content(release))
    return output


def test_bids_key_and_verbatim_cell_disagree(bids, back):
    edit_json(bids / f'{FLAIR}.json', EchoTime=0.5)
    conflict(back, 'EchoTime is 0.5', "TE_ms is '15.97'", 'FLAIR.json', VICTIM)


def test_verbatim_cell_was_changed_and_its_key_was_not(bids, back):
    cells = json.loads((bids / f'{FLAIR}.json').read_text())['MRRATE']
    edit_json(bids / f'{FLAIR}.json', MRRATE=cells | {'TE_ms': '99'})
    conflict(back, 'EchoTime is 0.01597', "TE_ms is '99'")


def test_table_and_sidecar_were_both_changed(bids, back):
    cells = json.loads((bids / f'{FLAIR}.json').read_text())['MRRATE']
    edit_json(bids / f'{FLAIR}.json', MRRATE=cells | {'SeriesNumber': '8'})
    edit_tsv(bids / SCANS, 'series_number', '9', key='FLAIR')
    conflict(back, "series_number is '9'", "SeriesNumber of flair-raw-axi is '8'")


@pytest.mark.parametrize(
    ('column', 'value', 'said'),
    [('acquisition_plane', 'SAGITTAL', 'axi'), ('classified_modality', 'T2w', 'flair')],
)
def test_cell_that_its_series_id_contradicts(column, value, said, bids, back):
    edit_tsv(bids / SCANS, column, value, key='FLAIR')
    conflict(back, f"{column} is '{value}', the series_id {MOVING} says {said}")


def test_split_of_one_session_of_a_patient(tmp_path):
    """No patient comes into two splits, not even when a table says so."""
    studies = [hostile.Study(uid, '22') for uid in (GOOD, VICTIM)]
    hostile.write_release(tmp_path / 'release', studies)
    hostile.export(tmp_path / 'release', tmp_path / 'bids')
    edit_tsv(tmp_path / 'bids' / SESSIONS, 'study_split', 'val', key=VICTIM)
    done = import_(tmp_path / 'bids', tmp_path / 'back')
    assert done.code == 3
    assert "has the split 'val'" in ' '.join(done.output.split())
    header, *lines = rows((tmp_path / 'back/MR-RATE/splits.csv').read_bytes())
    assert [dict(zip(header, line, strict=True))['split'] for line in lines] == ['train']


def test_two_tables_disagree_about_the_split(bids, back):
    edit_tsv(bids / 'participants.tsv', 'split', 'test', key='sub-22')
    edit_tsv(bids / SESSIONS, 'study_split', 'train', key=VICTIM)
    conflict(back, "'train'", "'test'")


@pytest.mark.parametrize('column', ['study_uid', 'batch_id'])
def test_identifier_in_a_table_is_not_that_of_the_folder(column, bids, back):
    edit_tsv(bids / SESSIONS, column, 'OTHER', key=VICTIM)
    conflict(back, column, 'OTHER')


@pytest.mark.parametrize('column', ['study_uid', 'patient_uid', 'series_id'])
def test_identifier_in_a_sidecar_is_not_that_of_the_file(column, bids, back):
    cells = json.loads((bids / f'{FLAIR}.json').read_text())['MRRATE']
    edit_json(bids / f'{FLAIR}.json', MRRATE=cells | {column: 't2w-raw-sag'})
    conflict(back, 't2w-raw-sag')


def test_sidecar_lost_its_verbatim_cells(bids, back):
    edit_json(bids / f'{FLAIR}.json', MRRATE=None)
    conflict(back, 'has lost the verbatim cells')


@pytest.mark.parametrize('text', ['{"EchoTime": ', '[]', ''])
def test_sidecar_is_damaged(text, bids, back):
    (bids / f'{FLAIR}.json').write_text(text)
    conflict(back, 'FLAIR.json')


def test_two_centres(bids, back):
    edit_tsv(bids / SCANS, 'is_center_modality', 'True', key='FLAIR')
    conflict(back, '2 series are marked as the centre')


def test_centre_that_its_derivatives_contradict(bids, back):
    edit_tsv(bids / SESSIONS, 'center_series_id', MOVING, key=VICTIM)
    conflict(back, 'the tables say otherwise')


@pytest.mark.parametrize('damage', ['truncated', 'empty', 'no gzip'])
def test_image_was_damaged_since(damage, bids, back):
    path = bids / f'{FLAIR}.nii.gz'
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(
        {'truncated': data[: len(data) // 2], 'empty': b'', 'no gzip': b'x' * 99}[damage]
    )
    conflict(back, 'FLAIR.nii.gz')


def test_byte_in_the_middle_of_an_image_changed(bids, back):
    """Both ends of the file agree, so only its checksum tells."""
    path = bids / f'{FLAIR}.nii.gz'
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.unlink()
    path.write_bytes(data)
    conflict(back, 'FLAIR.nii.gz')


def test_damaged_derivative_is_left_out_and_the_rest_is_written(bids, back):
    (mask,) = bids.rglob(f'*{VICTIM}*desc-FLAIR_mask.nii.gz')
    mask.unlink()
    mask.write_bytes(b'')
    release, output = back(code=3)
    found = ' '.join(content(release))
    assert f'{VICTIM}_{MOVING}_brain-mask' not in found
    assert f'{VICTIM}_{MOVING}_defacing-mask' in found
    assert 'is empty' in output


def test_derivative_that_is_gone_is_named(bids, back):
    (mask,) = bids.rglob(f'*{VICTIM}*desc-FLAIR_mask.nii.gz')
    mask.unlink()
    _, output = back(code=3)
    assert 'desc-FLAIR_mask.nii.gz is missing' in ' '.join(output.split())


def test_derivatives_that_are_gone_are_named_once(bids, back):
    shutil.rmtree(bids / 'derivatives/mrrate-coreg')
    release, output = back()
    assert (
        ' '.join(output.split()).count('derivatives/mrrate-coreg was exported and is not here')
        == 1
    )
    assert not (release / 'MR-RATE-coreg').exists()
    assert (release / 'MR-RATE-atlas').is_dir()


def test_report_of_nobody_is_named(bids, back):
    path = bids / 'phenotype/radiology_report_visit-01.tsv'
    path.write_text(path.read_text() + 'sub-99\tses-NOBODY\tNOBODY\ttext\n')
    _, output = back()
    assert 'sub-99 ses-NOBODY' in ' '.join(output.split())


def test_rows_of_nobody_stay_when_a_study_cannot_be_read(source, bids, back):
    """A full export keeps them; a damaged line of one study must not cost them."""
    for name in ('reports/batch00_reports.csv', 'splits.csv'):
        path = source / 'MR-RATE' / name
        path.write_text(path.read_text() + 'UNKNOWN000,1,2,3\n')
    hostile.export(source, bids)
    path = bids / 'phenotype/radiology_report_visit-01.tsv'
    lines = path.read_text().splitlines()
    path.write_text('\n'.join(f'{x}\textra' if VICTIM in x else x for x in lines) + '\n')
    release, _ = back(code=3)
    assert 'UNKNOWN000' in (release / 'MR-RATE/reports/batch00_reports.csv').read_text()
    assert 'UNKNOWN000' in (release / 'MR-RATE/splits.csv').read_text()


def test_grid_of_an_image_that_changed_is_seen_in_every_repository(bids, back):
    """The coregistered files lie on the old grid: what was imported of them is not kept."""
    back('--defaced-elsewhere')
    path = bids / f'{T1W}.nii.gz'
    path.unlink()
    path.write_bytes(hostile.volume(5, shift=9.0))
    release, output = back('--defaced-elsewhere', code=3)
    assert 'another grid' in output
    found = [w for w in content(release) if VICTIM in w and w.startswith('MR-RATE/')]
    assert not [
        where
        for where in found
        if f'{VICTIM}_{CENTRE}_brain-mask' in where and 'MR-RATE/' in where
    ]


def test_phenotype_row_of_another_length_is_named(bids, back):
    path = bids / 'phenotype/radiology_report_visit-01.tsv'
    lines = path.read_text().splitlines()
    text = '\n'.join(f'{line}\textra' if VICTIM in line else line for line in lines)
    path.write_text(f'{text}\n')
    conflict(back, 'radiology_report_visit-01.tsv', 'data row 2')
