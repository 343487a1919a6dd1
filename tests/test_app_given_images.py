"""Images of the user that stand for a result: those that can, and those that cannot."""

from dataclasses import replace

import numpy as np
import pytest
from makers import make_nifti

pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.app.given_images import name_unusable
from mrrate_bids.app.options import Options
from mrrate_bids.app.study import Series, Study

AFFINE = np.diag([2.0, 2, 2, 1])
KINDS = ('atlas-image', 'coreg-image', 'nvseg-body')


@pytest.fixture
def series(tmp_path):
    """Return the centre and another series, on grids of their own."""
    names = {'T1w': (8, 9, 10), 'T2w': (6, 6, 3)}
    for name, shape in names.items():
        make_nifti(tmp_path / f'sub-01_{name}.nii.gz', shape, AFFINE)
    paths = [tmp_path / f'sub-01_{name}.nii.gz' for name in names]
    return [Series(path, f'sub-01/anat/{path.name}') for path in paths]


def problems(series, kind, given, steps=('coreg', 'atlas', 'seg')):
    moving = replace(series[1], given={kind: given}, handed=frozenset({kind}))
    study = Study('sub-01', '', (series[0], moving), series[0])
    return list(name_unusable(study, Options(steps).wants))


@pytest.mark.parametrize(
    ('kind', 'shape'), [('coreg-image', (8, 9, 10)), ('nvseg-body', (6, 6, 3))]
)
def test_image_on_its_grid(kind, shape, series, tmp_path):
    given = tmp_path / 'given.nii.gz'
    make_nifti(given, shape, AFFINE)
    assert problems(series, kind, given) == []
    make_nifti(given, shape, AFFINE @ np.diag([1, 1, 1.5, 1]))
    (problem,) = problems(series, kind, given)
    assert problem.message.startswith(f'{given}: is given and does not lie on the grid of sub-01_')
    assert (problem.severity, problem.study) == ('error', 'sub-01')
    assert '--derivatives' in problem.remedy


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(
    ('content', 'says'), [(b'', 'is empty'), (b'junk', 'is not gzip')], ids=['empty', 'junk']
)
def test_image_that_is_none(kind, content, says, series, tmp_path):
    given = tmp_path / 'given.nii.gz'
    given.write_bytes(content)
    (problem,) = problems(series, kind, given)
    assert problem.message == f'{given}: is given and cannot be used ({says})'


def test_image_that_is_cut_off(series, tmp_path):
    given = tmp_path / 'given.nii.gz'
    make_nifti(given, (8, 9, 10), AFFINE)
    given.write_bytes(given.read_bytes()[:-20])
    (problem,) = problems(series, 'coreg-image', given)
    assert 'is given and cannot be used' in problem.message


def test_what_no_step_asks_for_is_not_looked_at(series, tmp_path):
    assert problems(series, 'coreg-image', tmp_path / 'none.nii.gz', steps=('atlas',)) == []
    assert problems(series, 'coreg-transform', tmp_path / 'none.mat') == []
