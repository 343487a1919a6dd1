"""Images and numbers are read study by study, and no broken file stops it."""

import pytest
from small_results import (
    REGISTERED,
    image_of,
    write_problems,
    write_raw,
    write_receipt,
    write_result,
    write_study,
)

from mrrate_bids.app.ledger import HOME
from mrrate_bids.errors import TableError
from mrrate_bids.files import write_text
from mrrate_bids.group.measures import find_measure
from mrrate_bids.group.rows import Row, read_rows
from mrrate_bids.group.scanners import UNKNOWN
from mrrate_bids.sidecars import sidecar_path

STUDY = 'sub-01/ses-1'


def numbers(row):
    return {measure.column: value for measure, value in row.numbers.items()}


def test_numbers_of_all_results_of_an_image(tmp_path):
    first, second = image_of(STUDY), image_of(STUDY, 'acq-axi_run-01_T2w')
    results = [
        write_result(tmp_path, second, 'coreg-transform', REGISTERED),
        write_result(tmp_path, second, 'brain-mask', {'BrainVolumeMl': 1200}),
        write_result(tmp_path, first, 'atlas-transform', REGISTERED | {'AtlasBrainDice': 0.9}),
        write_result(tmp_path, first, 'coreg-image', SpatialReference='bids:raw:x'),
    ]
    write_receipt(tmp_path, STUDY, results)
    one, other = read_rows(tmp_path)
    assert (one.subject, one.session, one.series, one.suffix) == ('sub-01', 'ses-1', 'T1w', 'T1w')
    assert (other.series, other.suffix) == ('acq-axi_run-01_T2w', 'T2w')
    assert numbers(one) == {
        'atlas_sharpness': 4.5,
        'atlas_brain_covered': 0.99,
        'atlas_brain_dice': 0.9,
    }
    assert numbers(other) == {
        'coreg_sharpness': 4.5,
        'coreg_brain_covered': 0.99,
        'mask_brain_volume_ml': 1200.0,
    }
    assert {row.state for row in (one, other)} == {'complete'}


def test_scanner_comes_from_the_raw_dataset(tmp_path):
    image = write_study(tmp_path / 'out', STUDY)
    bids = write_raw(tmp_path / 'bids', scanner={'Manufacturer': 'ACME'})
    (row,) = read_rows(tmp_path / 'out', bids)
    assert (row.image, str(row.scanner)) == (image, 'ACME')
    (row,) = read_rows(tmp_path / 'out')
    assert row.scanner == UNKNOWN


def test_study_without_sessions(tmp_path):
    write_study(tmp_path, 'sub-01')
    (row,) = read_rows(tmp_path)
    assert (row.subject, row.session, row.series) == ('sub-01', '', 'T2w')


def test_study_that_failed_is_a_row(tmp_path):
    write_receipt(tmp_path, STUDY, [], 'failed', ['cannot be read', 'cannot be read'])
    (row,) = read_rows(tmp_path)
    assert row == Row(STUDY, 'failed', ('cannot be read',))
    assert (row.series, row.suffix) == ('', '')


def test_study_that_was_set_aside_before_it_got_a_receipt_is_a_row(tmp_path):
    write_study(tmp_path, 'sub-02')
    write_problems(tmp_path, ('sub-03', 'has no T1w'), ('sub-02', 'a spine'), ('', 'of no study'))
    rows = list(read_rows(tmp_path))
    assert [(row.study, row.state, row.problems) for row in rows] == [
        ('sub-02', 'complete', ('a spine',)),
        ('sub-03', 'failed', ('has no T1w',)),
    ]


@pytest.mark.parametrize('text', ['', '{', '[]', '{"QualityControl": 3}', None], ids=repr)
def test_broken_sidecar_costs_its_numbers_only(text, tmp_path):
    image = image_of(STUDY, 'T2w')
    results = [
        write_result(tmp_path, image, 'coreg-transform', REGISTERED),
        write_result(tmp_path, image, 'brain-mask', {'BrainVolumeMl': 1200.0}),
    ]
    write_receipt(tmp_path, STUDY, results)
    path = tmp_path / sidecar_path(results[0].path)
    path.unlink() if text is None else write_text(path, text)
    (row,) = read_rows(tmp_path)
    assert numbers(row) == {'mask_brain_volume_ml': 1200.0}
    assert [path.name in problem for problem in row.problems] == [True] * (
        text != '{"QualityControl": 3}'
    )


def test_only_finite_numbers_count_and_those_in_objects_do(tmp_path):
    odd = {'A': 'text', 'B': True, 'C': None, 'D': [1], 'E': float('nan'), 'F': -float('inf')}
    quality = odd | {'G': 10**400, 'H': -1e308, 'Deep': {'Er': 2.5}, 'LabelsFound': 3}
    result = write_result(tmp_path, image_of(STUDY), 'nvseg-body', quality)
    write_receipt(tmp_path, STUDY, [result])
    (row,) = read_rows(tmp_path)
    assert row.numbers == {
        find_measure('nvseg-body', 'DeepEr'): 2.5,
        find_measure('nvseg-body', 'LabelsFound'): 3,
    }


@pytest.mark.parametrize('text', ['', 'a\tb\n1\n', 'study\nsub-01\n', 'study\tmessage\n\\x\ty\n'])
def test_broken_table_of_problems(text, tmp_path):
    write_study(tmp_path, 'sub-01')
    write_text(tmp_path / HOME / 'problems.tsv', text)
    if text:
        with pytest.raises(TableError, match=r'problems\.tsv') as caught:
            list(read_rows(tmp_path))
        assert 'Remove it' in caught.value.hint
    else:
        assert len(list(read_rows(tmp_path))) == 1


def test_folder_without_studies(tmp_path):
    assert list(read_rows(tmp_path)) == []
    assert list(read_rows(tmp_path / 'gone')) == []
