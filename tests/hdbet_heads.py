"""Small heads for the network of HD-BET, and networks in the place of the true one."""

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

from mrrate_bids.computing.hdbet import Extractor

LPI = nib.affines.from_matvec(np.diag([-1.0, 1, 1]), (20, -20, -20))
TURN = Rotation.from_euler('xyz', (17, 73, 44), degrees=True).as_matrix()
OBLIQUE = nib.affines.from_matvec(TURN @ np.diag([0.9, 1.1, 3.2]), (-20, 15, 8))
HEADS = {'LPI': ((50, 34, 30), LPI), 'oblique': ((34, 30, 12), OBLIQUE)}


def make_head(path, shape, affine, seed=0):
    """Write a bright ellipsoid with noise in a darker shell, and air of zeros."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing='ij'))
    radius = np.linalg.norm(grid, axis=0)
    noise = np.random.default_rng(seed).normal(0, 30, shape)
    values = np.where(radius < 0.6, 600, 200) + noise + 100 * grid[0]
    values[radius > 0.93] = 0
    image = nib.Nifti1Image(values.clip(0).astype(np.uint16), affine)
    image.set_qform(affine, code=1)
    nib.save(image, path)
    return path


class Network:
    """In the place of the true one: logits by a function of the tile."""

    def __init__(self, logits):
        self.logits = logits

    def __call__(self, tiles):
        return self.logits(tiles)


def with_network(weights, logits, **more):
    """Return an extractor that asks *logits* of every tile."""
    extractor = Extractor.load(weights, device='cpu', **more)
    replace_network(extractor, logits)
    return extractor


def replace_network(extractor, logits):
    """Let an extractor ask *logits* of every tile."""
    predictor = extractor.predictor
    predictor._model = predictor._model._replace(network=Network(logits))
