"""What the script gets says the same as the rows."""

import json

from mrrate_bids.group.measures import find_measure
from mrrate_bids.group.payload import make_payload
from mrrate_bids.group.rows import Row
from mrrate_bids.group.scanners import Scanner

SHARP = find_measure('coreg-transform', 'Sharpness')
COVERED = find_measure('coreg-transform', 'BrainCovered')
ROWS = [
    Row('sub-10', 'complete', (), 'sub-10/anat/sub-10_T2w.nii.gz', Scanner('B'), {SHARP: 1.0}),
    Row('sub-9', 'partial', ('a', 'b'), 'sub-9/anat/sub-9_T1w.nii.gz', Scanner('A')),
    Row('sub-+C3', 'failed', ('c',)),
]
SCORES = [{SHARP: 9.5, COVERED: -1.0}, {}, {}]


def columns():
    made = make_payload(ROWS, SCORES, [SHARP, COVERED], {'sub-+C3.html', 'sub-9.html', 'x.html'})
    assert made == json.loads(json.dumps(made)) | {'columns': made['columns']}
    assert made['rows'] == 3
    assert all(len(column['values']) == 3 for column in made['columns'])
    return {column['name']: column for column in made['columns']}


def texts(column):
    return [None if code is None else column['levels'][code] for code in column['values']]


def test_texts_are_numbers_in_natural_order():
    found = columns()
    assert found['study']['levels'] == ['sub-9', 'sub-10', 'sub-+C3']
    assert texts(found['study']) == ['sub-10', 'sub-9', 'sub-+C3']
    assert texts(found['series']) == ['T2w', 'T1w', None]
    assert texts(found['scanner']) == ['B', 'A', None]
    assert texts(found['state']) == ['complete', 'partial', 'failed']
    assert texts(found['problems']) == [None, 'a\nb', 'c']


def test_only_pages_that_are_there_are_linked():
    assert columns()['study']['links'] == ['sub-9.html', '', 'sub-%2BC3.html']


def test_measures():
    found = columns()
    assert list(found)[:3] == ['study', 'score', 'outlier']
    assert list(found)[-3:] == ['problems', 'coreg_sharpness', 'coreg_brain_covered']
    assert found['coreg_sharpness']['values'] == [1.0, None, None]
    assert found['coreg_sharpness']['far'] == {0: 9.5}
    assert found['coreg_brain_covered']['far'] == {}
    assert found['score']['values'] == [9.5, None, None]
    assert texts(found['outlier']) == ['Co-registration: sharpness', None, None]
