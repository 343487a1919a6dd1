"""Which results a run would compute anew, by receipts and by size and time of the raw images."""

import os

import pytest
from app_studies import execute, leave, run_of
from foreign_bids import make_dataset

pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.app.ledger import HOME
from mrrate_bids.app.options import Options
from mrrate_bids.app.run import ComputeRun
from mrrate_bids.app.scope import Scope
from mrrate_bids.group.outdated import find_outdated
from mrrate_bids.group.report import write_group
from mrrate_bids.receipts import Receipts
from mrrate_bids.tables import read_tsv


@pytest.fixture
def bids(tmp_path):
    """Return a dataset of two subjects without sessions."""
    return make_dataset(tmp_path / 'bids', subjects=2, sessions=False)


@pytest.fixture
def out(bids, tmp_path):
    """Return results of the second subject."""
    leave(run_of(bids, tmp_path / 'out', 'mask', 'coreg'))
    return tmp_path / 'out'


def outdated(out, bids):
    (receipt,) = Receipts(out, out / HOME)
    found = find_outdated(receipt, bids)
    return sorted(output.kind for output in receipt.outputs if output.path in found)


def run_with(bids, out, *steps, **options):
    return ComputeRun(bids, out, scope=Scope(('02',)), options=Options(steps, **options))


def test_nothing_is_outdated_at_first(bids, out):
    assert outdated(out, bids) == outdated(out, None) == []


def test_results_of_other_options(bids, out, tmp_path):
    """As the page of the study marks them, from the last run on."""
    leave(run_with(bids, out, 'mask', extractor='deepbet', seed=7))
    assert outdated(out, None) == ['coreg-brain-mask', 'coreg-image']
    leave(run_with(bids, out, 'mask', 'coreg', extractor='deepbet', seed=7))
    assert outdated(out, None) == []


def test_results_of_other_masks_where_nothing_is_left_to_compute(bids, out, tmp_path):
    leave(run_of(bids, tmp_path / 'masks', 'mask'))
    run = run_of(bids, out, 'mask', mrrate_defaced=tmp_path / 'masks/mrrate-defaced')
    assert list(run.pending()) == []
    execute(run, tmp_path)
    assert 'coreg-image' in outdated(out, None)


def test_images_that_changed_since(bids, out):
    (image,) = (bids / 'sub-02/anat').glob('*_T1w.nii.gz')
    os.utime(image, (1, 1))
    assert outdated(out, None) == []
    assert 'coreg-image' in outdated(out, bids)
    image.unlink()  # tables of the run speak of it
    assert outdated(out, bids) == []


def test_page_and_table_tell(bids, out):
    (image,) = (bids / 'sub-02/anat').glob('*_T1w.nii.gz')
    page = write_group(out, bids)
    (row,) = read_tsv(page.with_name('group.tsv'))
    assert row['outdated'] == ''
    assert '<span class="state partial">outdated</span>' not in page.read_text()
    os.utime(image, (1, 1))
    page = write_group(out, bids)
    (row,) = read_tsv(page.with_name('group.tsv'))
    assert row['outdated'] == 'brain-mask; coreg-brain-mask; coreg-image'
    assert '<span class="state partial">outdated</span>' in page.read_text()
