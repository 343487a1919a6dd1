"""The tables of an output folder follow from receipts, whoever else is writing them."""

import threading

import pytest

from mrrate_bids.app.ledger import HOME
from mrrate_bids.app.summary import write_tables
from mrrate_bids.locks import held
from mrrate_bids.receipts import Output, Receipt, Receipts
from mrrate_bids.tables import read_tsv


@pytest.fixture
def made(tmp_path):
    """Return a dataset of one image, an output folder of two results, and receipts of both."""
    bids, out = tmp_path / 'bids', tmp_path / 'out'
    receipts = Receipts(out, out / HOME)
    for subject in ('sub-01', 'sub-02'):
        series, path = f'{subject}/anat/{subject}_T1w.nii.gz', f'mask/{subject}_mask.nii.gz'
        for file in (bids / series, out / path):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        output = Output(path, 0, 0, 'brain-mask', series)
        receipts.save(Receipt(subject, subject, 'all', 'complete', outputs=[output]))
    return bids, out, receipts


def rows(out, name):
    return read_tsv(out / HOME / name)


def test_every_study_is_told(made):
    bids, out, receipts = made
    assert write_tables(bids, out, receipts) == []
    assert [row['study'] for row in rows(out, 'studies.tsv')] == ['sub-01', 'sub-02']
    assert rows(out, 'problems.tsv') == []
    before = {path: path.stat().st_mtime_ns for path in (out / HOME).glob('*.tsv')}
    write_tables(bids, out, receipts)
    assert before == {path: path.stat().st_mtime_ns for path in (out / HOME).glob('*.tsv')}


def test_results_of_an_image_that_is_gone_are_named(made):
    bids, out, receipts = made
    (bids / 'sub-02/anat/sub-02_T1w.nii.gz').unlink()
    (problem,) = write_tables(bids, out, receipts)
    assert (problem.study, problem.severity) == ('sub-02', 'warning')
    assert 'mask/sub-02_mask.nii.gz' in problem.message
    assert [row['study'] for row in rows(out, 'problems.tsv')] == ['sub-02']
    (out / 'mask/sub-02_mask.nii.gz').unlink()
    assert write_tables(bids, out, receipts) == []


def test_another_run_is_waited_for(made):
    _, out, _ = made
    writing = threading.Thread(target=write_tables, args=made)
    with held(out / HOME / '.lock'):
        writing.start()
        writing.join(0.5)
        assert writing.is_alive()
        assert not (out / HOME / 'studies.tsv').exists()
    writing.join(10)
    assert len(rows(out, 'studies.tsv')) == 2
