"""Which studies a run computes, and where it may lie."""

import pytest

pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.app.options import Options
from mrrate_bids.app.run import ComputeRun
from mrrate_bids.app.scope import Scope
from mrrate_bids.errors import UsageError


def compute(bids, out):
    return ComputeRun(bids, out, scope=Scope(), options=Options())


def test_output_is_not_the_dataset(shared):
    with pytest.raises(UsageError, match='is the dataset itself'):
        compute(shared, shared / '.')


@pytest.mark.parametrize('inside', ['results', 'sub-01', 'sourcedata'])
def test_output_does_not_lie_among_raw_files(inside, shared):
    with pytest.raises(UsageError, match='among the raw files'):
        compute(shared, shared / inside)
    compute(shared, shared / 'derivatives' / inside)


def test_folder_that_is_no_dataset(tmp_path):
    with pytest.raises(UsageError, match='has no dataset_description'):
        compute(tmp_path, tmp_path / 'out')
