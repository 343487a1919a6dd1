"""A ``.mat`` read as a matrix says what ANTs does with it."""

import heads
import numpy as np
import pytest
from scipy import io

from mrrate_bids.computing.ants_session import REPEATABLE, load_ants
from mrrate_bids.computing.transforms import (
    about,
    angle_of,
    read_rigid,
    read_transform,
    rigid_about,
    shift_of,
    write_transform,
)
from mrrate_bids.errors import DataError

POINTS = np.random.default_rng(0).uniform(-80, 80, (20, 3))
LPS = np.diag([-1.0, -1, 1])


@pytest.fixture(scope='module')
def ants():
    return load_ants(REPEATABLE)


def moved(matrix, points):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def by_ants(ants, path, points):
    """Return where ANTs brings points in RAS mm."""
    transform = ants.read_transform(str(path))
    return np.array([LPS @ transform.apply_to_point(tuple(LPS @ point)) for point in points])


@pytest.mark.parametrize('precision', ['float', 'double'])
def test_written_by_ants(precision, ants, tmp_path):
    matrix = heads.turned((12, -33, 71), (11, -40, 7))
    transform = ants.create_ants_transform(
        transform_type='AffineTransform',
        precision=precision,
        matrix=LPS @ matrix[:3, :3] @ LPS,
        translation=LPS @ matrix[:3, 3],
        center=(20, -30, 40),
    )
    ants.write_transform(transform, str(tmp_path / 'a.mat'))
    found = read_transform(tmp_path / 'a.mat')
    assert found.shape == (4, 4)
    np.testing.assert_allclose(found[:3, :3], matrix[:3, :3], atol=1e-6)
    np.testing.assert_allclose(found[3], (0, 0, 0, 1))
    np.testing.assert_allclose(
        moved(found, POINTS), by_ants(ants, tmp_path / 'a.mat', POINTS), atol=1e-3
    )
    # The centre of ITK is in the matrix: without it the shift would be that of the file.
    assert abs(found[:3, 3] - matrix[:3, 3]).max() > 1


def test_ants_reads_what_is_written(ants, tmp_path):
    matrix = heads.turned((-20, 8, 150), (-3, 14, 60))
    write_transform(tmp_path / 'a.mat', matrix)
    expected = moved(matrix, POINTS)
    np.testing.assert_allclose(by_ants(ants, tmp_path / 'a.mat', POINTS), expected, atol=1e-4)


def test_same_after_writing_and_reading(tmp_path):
    matrix = heads.turned((-20, 8, 150), (-3, 14, 60))
    write_transform(tmp_path / 'a.mat', matrix)
    np.testing.assert_allclose(read_transform(tmp_path / 'a.mat'), matrix, atol=1e-12)


def test_signs_of_single_shifts(tmp_path):
    """To the right in RAS is minus in the file, which counts to the left."""
    for axis, sign in enumerate((-1, -1, 1)):
        shift = np.eye(4)
        shift[axis, 3] = 5
        write_transform(tmp_path / 'a.mat', shift)
        stored = io.loadmat(tmp_path / 'a.mat')['AffineTransform_double_3_3'].ravel()
        assert stored[9 + axis] == sign * 5
        np.testing.assert_array_equal(read_transform(tmp_path / 'a.mat'), shift)


def other_name(path):
    io.savemat(path, {'DisplacementField': np.zeros((12, 1))}, format='4')


def too_few(path):
    content = {'AffineTransform_double_3_3': np.zeros((6, 1)), 'fixed': np.zeros((3, 1))}
    io.savemat(path, content, format='4')


def no_shift(path):
    content = {'AffineTransform_double_3_3': np.zeros((9, 1)), 'fixed': np.zeros((3, 1))}
    io.savemat(path, content, format='4')


def no_centre(path):
    io.savemat(path, {'AffineTransform_double_3_3': np.zeros((12, 1))}, format='4')


def truncated(path):
    write_transform(path, np.eye(4))
    path.write_bytes(path.read_bytes()[:60])


def spoilt(path):
    write_transform(path, np.eye(4) * np.nan)


def matlab_5(path):
    """Write what scipy reads and ITK does not."""
    content = {'AffineTransform_double_3_3': np.zeros((12, 1)), 'fixed': np.zeros((3, 1))}
    io.savemat(path, content)


def packed(path):
    """Write a compressed variable that is damaged."""
    io.savemat(path, {'fixed': np.zeros((3, 1))}, do_compression=True)
    path.write_bytes(path.read_bytes()[:-9] + bytes(9))


@pytest.mark.parametrize(
    'make',
    [
        lambda path: path.write_bytes(b''),
        lambda path: path.write_bytes(b'#Insight Transform File V1.0\n' * 9),
        lambda path: path.write_bytes(b'MATLAB 5.0 MAT-file' + bytes(300)),
        lambda path: path.write_bytes(bytes(124) + b'\0\2IM' + bytes(200)),
        lambda path: None,
        matlab_5,
        packed,
        other_name,
        too_few,
        no_shift,
        no_centre,
        truncated,
        spoilt,
    ],
    ids=[
        'empty',
        'text',
        'zeros',
        'hdf',
        'gone',
        'version',
        'packed',
        'name',
        'few',
        'shift',
        'centre',
        'truncated',
        'nan',
    ],
)
def test_file_that_is_no_transform(make, tmp_path):
    make(tmp_path / 'a.mat')
    with pytest.raises(DataError, match=r'^a\.mat: is no linear transform of ITK') as caught:
        read_transform(tmp_path / 'a.mat')
    assert caught.value.hint


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        (np.diag([2.0, 2, 2, 1]), r'it changes lengths by 100\.0%'),
        (np.diag([1.0, 1, 0.99, 1]), r'it changes lengths by 1\.0%'),
        (np.eye(4) + np.eye(4, k=1) * np.array([0.1, 0, 0, 0])[:, None], 'it changes lengths'),
        (np.diag([-1.0, 1, 1, 1]), 'it mirrors'),
        (np.zeros((4, 4)), 'it changes lengths by 100'),
    ],
    ids=['scale', 'little', 'shear', 'mirror', 'nothing'],
)
def test_only_turns_and_shifts_are_rigid(change, says, tmp_path):
    matrix = heads.turned((-20, 8, 150), (-3, 14, 60))
    path = tmp_path / 'a.mat'
    write_transform(path, matrix.astype(np.float32).astype(float))
    np.testing.assert_allclose(read_rigid(path), matrix, atol=1e-5)
    write_transform(path, matrix @ change)
    with pytest.raises(DataError, match=rf'^a\.mat: is no rigid transform, {says}') as caught:
        read_rigid(path)
    assert caught.value.hint


def test_turns_about_a_point():
    centre = np.array([10.0, -20, 30])
    matrix = rigid_about(centre, (0, 0, 90), np.array([1.0, 2, 3]))
    np.testing.assert_allclose(moved(matrix, centre), centre + np.array([1, 2, 3]))
    np.testing.assert_allclose(moved(matrix, centre + np.array([5, 0, 0])), (11, -13, 33))
    order = rigid_about(np.zeros(3), (20, 30, 40), np.zeros(3))
    np.testing.assert_allclose(order, heads.turned((20, 30, 40)), atol=1e-12)
    np.testing.assert_allclose(about(centre, np.eye(4)), np.eye(4))


@pytest.mark.parametrize('degrees', [0.0, 0.01, 25, 90, 179])
def test_angle_and_shift(degrees):
    centre = np.array([10.0, -20, 30])
    matrix = rigid_about(centre, (degrees, 0, 0), np.array([3.0, 0, 4]))
    assert angle_of(matrix) == pytest.approx(degrees, abs=1e-6)
    assert shift_of(matrix, centre) == pytest.approx(5)
