"""The table has a row for each image, and its dictionary a word for each column."""

import json

import pytest
from small_results import REGISTERED, image_of, write_receipt, write_result, write_study

from mrrate_bids.group.report import write_group
from mrrate_bids.tables import read_tsv

ODD = 'bad\tname\n"<b>" é\u2028 n/a'


@pytest.fixture
def out(tmp_path):
    for number in range(11):
        write_study(tmp_path, f'sub-{number:02d}/ses-1', 1.0 if number == 5 else 4.5)
    image = image_of('sub-20')
    write_receipt(tmp_path, 'sub-20', [write_result(tmp_path, image, 'defacing-mask', {'New': 2})])
    write_receipt(tmp_path, 'sub-30', [], 'failed', [ODD, 'second'])
    return tmp_path


def table(out):
    write_group(out)
    return read_tsv(out / 'reports' / 'group.tsv')


def test_rows(out):
    rows = {row['participant_id']: row for row in table(out)}
    assert len(rows) == 13
    assert rows['sub-05'] == {
        'participant_id': 'sub-05',
        'session_id': 'ses-1',
        'filename': 'sub-05/ses-1/anat/sub-05_ses-1_T2w.nii.gz',
        'suffix': 'T2w',
        'manufacturer': '',
        'manufacturers_model_name': '',
        'magnetic_field_strength': '',
        'state': 'complete',
        'outdated': '',
        'problems': '',
        'outlier_score': '35',
        'outlier_measure': 'coreg_sharpness',
        'deface_new': '',
        'coreg_sharpness': '1',
        'coreg_brain_covered': '0.99',
    }
    assert rows['sub-20']['deface_new'] == '2'
    assert rows['sub-20']['session_id'] == rows['sub-20']['outlier_score'] == ''
    assert rows['sub-30']['state'] == 'failed'
    assert rows['sub-30']['filename'] == ''


def test_odd_text_stays_in_its_cell(out):
    (failed,) = [row for row in table(out) if row['state'] == 'failed']
    first, _, second = failed['problems'].partition('; ')
    assert second == 'second'
    assert '<b>' in first
    lines = (out / 'reports' / 'group.tsv').read_text(encoding='utf-8').split('\n')
    assert len({line.count('\t') for line in lines if line}) == 1


def test_dictionary_describes_every_column_in_order(out):
    (first, *_) = table(out)
    described = json.loads((out / 'reports' / 'group.json').read_text(encoding='utf-8'))
    assert list(described) == list(first)
    assert all(entry['LongName'] and entry['Description'] for entry in described.values())
    assert described['coreg_sharpness']['LongName'] == 'Co-registration: sharpness'
    assert set(described['state']['Levels']) == {'complete', 'partial', 'failed'}


def test_numbers_are_as_the_sidecar_has_them(tmp_path):
    result = write_result(tmp_path, image_of('sub-1'), 'coreg-transform', REGISTERED | {'A': 1e-7})
    write_receipt(tmp_path, 'sub-1', [result])
    (row,) = table(tmp_path)
    assert float(row['coreg_a']) == 1e-7
    assert row['coreg_brain_covered'] == '0.99'
