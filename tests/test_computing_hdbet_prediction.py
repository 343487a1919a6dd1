"""Mirrored copies of tiles go into batches as large as the memory allows."""

import numpy as np
import pytest
from hdbet_heads import HEADS, make_head, replace_network
from hdbet_weights import make_weights

from mrrate_bids.computing.hdbet import Extractor
from mrrate_bids.computing.scans import read_scan
from mrrate_bids.errors import ResourceError

torch = pytest.importorskip('torch')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp('hdbet') / 'weights')


@pytest.fixture(scope='module')
def heads(tmp_path_factory):
    folder = tmp_path_factory.mktemp('heads')
    return {name: make_head(folder / f'{name}.nii.gz', *HEADS[name]) for name in HEADS}


@pytest.mark.parametrize(
    ('patch', 'tta', 'copies'),
    [
        ((32, 32, 32), True, 8),
        ((64, 64, 64), True, 4),
        ((128, 128, 96), True, 1),
        ((32, 32, 32), False, 1),
    ],
)
def test_copies_in_one_batch(patch, tta, copies, tmp_path):
    weights = make_weights(tmp_path / 'weights', patch=patch)
    assert Extractor.load(weights, device='cpu', tta=tta).predictor.flips_at_once == copies


@pytest.mark.parametrize('copies', [3, 8])
def test_batches_give_the_same_mask(copies, weights, heads):
    """Up to voxels where brain and background tie, for the last bits of the sums may differ."""
    scan = read_scan(heads['LPI'])
    extractor = Extractor.load(weights, device='cpu')
    extractor.predictor.flips_at_once = 1
    alone = extractor.mask(scan, largest=False)
    extractor.predictor.flips_at_once = copies
    assert (extractor.mask(scan, largest=False) != alone).sum() <= 3


def test_memory_of_the_gpu(weights, heads):
    """Eight copies that do not fit follow one another; one that does not fit is told."""
    scan, sizes, limit = read_scan(heads['LPI']), [], 1
    extractor = Extractor.load(weights, device='cpu')
    extractor.predictor.flips_at_once = 1
    expected, network = extractor.mask(scan), extractor.predictor._model.network

    def small(tiles):
        sizes.append(len(tiles))
        if len(tiles) > limit:
            raise torch.cuda.OutOfMemoryError
        return network(tiles)

    replace_network(extractor, small)
    extractor.predictor.flips_at_once = 8
    np.testing.assert_array_equal(extractor.mask(scan), expected)
    assert sizes[0] == 8
    assert set(sizes[1:]) == {1}
    limit = 0
    with pytest.raises(ResourceError, match='memory of the GPU is too small') as caught:
        extractor.mask(scan)
    assert '--device cpu' in caught.value.hint
