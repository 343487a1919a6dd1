"""Voxels read in blocks are those that nibabel reads, and what is odd about them is counted."""

import gzip
import io

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import nifti_bytes

from mrrate_bids import voxels
from mrrate_bids.errors import ImageError
from mrrate_bids.images import peek_open
from mrrate_bids.voxels import (
    find_faults,
    objection_to_mask_type,
    objection_to_mask_values,
    read_blocks,
)

TYPES = ('uint8', 'uint16', 'int16', 'float32', 'float64')


def load(raw: bytes, name: str = 'a.nii.gz'):
    file = io.BytesIO(raw)
    return peek_open(file, name=name), io.BytesIO(raw)


def image_of(data: np.ndarray, *, slope: float | None = None, inter: float = 0.0) -> bytes:
    raw = bytearray(nib.Nifti1Image(data, np.eye(4)).to_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]))
    header.set_slope_inter(slope, inter if slope else None)
    raw[:348] = header.binaryblock
    return gzip.compress(bytes(raw))


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.sampled_from(TYPES),
    st.sampled_from('<>'),
    st.sampled_from([1, 2]),
    st.booleans(),
    st.integers(1, 50),
)
def test_blocks_are_the_voxels(shape, dtype, order, version, packed, count):
    raw = nifti_bytes(shape, None, dtype, order=order, version=version, packed=packed)
    plain = gzip.decompress(raw) if packed else raw
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    expected = np.asanyarray(kind.from_bytes(plain).dataobj).ravel(order='F')
    name = 'a.nii.gz' if packed else 'a.nii'
    header, file = load(raw, name)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(voxels, '_BLOCK', count)
        blocks = list(read_blocks(file, header, name=name))
    assert {block.size for block in blocks[:-1]} <= {count}
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


@pytest.mark.parametrize('cut', [-40, -400])
def test_truncated_stream(cut):
    raw = nifti_bytes((20, 20, 20))
    header, _ = load(raw)
    with pytest.raises(ImageError, match='gzip stream is damaged'):
        list(read_blocks(io.BytesIO(raw[:cut]), header, name='a.nii.gz'))


def test_truncated_file():
    raw = nifti_bytes(packed=False)
    header, _ = load(raw, 'a.nii')
    with pytest.raises(ImageError, match='5 voxels are missing'):
        list(read_blocks(io.BytesIO(raw[:-5]), header, name='a.nii'))


@pytest.mark.parametrize(
    ('raw', 'says'),
    [
        (image_of(np.zeros((2, 2, 2), np.uint8)), ''),
        (image_of(np.zeros((2, 2, 2), np.uint8), slope=1.0), ''),
        (image_of(np.zeros((2, 2, 2), np.int16)), 'stored as int16'),
        (image_of(np.zeros((2, 2, 2), np.uint8), slope=2.0), 'slope 2.0'),
        (image_of(np.zeros((2, 2, 2), np.uint8), slope=1.0, inter=1.0), 'intercept 1.0'),
    ],
    ids=['plain', 'slope of 1', 'type', 'slope', 'intercept'],  # bytes with a time make no names
)
def test_type_of_a_mask(raw, says):
    message = objection_to_mask_type(load(raw)[0])
    assert (says in message) if says else message == ''


@pytest.mark.parametrize(
    ('values', 'says'),
    [
        ([0, 1], ''),
        ([], ''),
        ([0, 255, 1], 'holds 255'),
        ([7, 2, 3, 4, 5, 6], 'holds 2, 3, 4, 5, 6 …'),
    ],
)
def test_values_of_a_mask(values, says):
    assert objection_to_mask_values([np.array(values, np.uint8), np.zeros(3, np.uint8)]) == says


@pytest.mark.parametrize(
    ('slope', 'inter', 'expected'), [(None, 0, (2, 2)), (2.0, 0.0, (2, 2)), (1.0, -1.0, (2, 3))]
)
def test_faults_are_those_of_the_scaled_values(slope, inter, expected):
    data = np.array([1, 0, np.nan, np.inf, 1, 1], np.float32).reshape(1, 2, 3, order='F')
    raw = image_of(data, slope=slope, inter=inter)
    header, file = load(raw)
    kept = [np.array([0, 0, 0, 1, 1, 1] if slope != 1.0 else [0, 0, 0, 0, 1, 0], np.uint8)]
    blocks = read_blocks(file, header, name='a.nii.gz')
    assert find_faults(header, blocks, kept) == expected


def test_without_a_mask_nothing_is_outside():
    header, file = load(image_of(np.ones((2, 2, 2), np.uint16)))
    assert find_faults(header, read_blocks(file, header, name='a.nii.gz')) == (0, 0)
