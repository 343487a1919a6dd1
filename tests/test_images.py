"""Whether an image is whole, and which grid it has, from its two ends."""

import gzip
import itertools
import struct
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest
from makers import make_nifti, nifti_bytes, nifti_header

from mrrate_bids.errors import ImageError
from mrrate_bids.images import EDGE, Header, peek, peek_file, same_grid

VARIANTS = [(version, order) for version in (1, 2) for order in '<>']


@pytest.mark.parametrize(('version', 'order'), VARIANTS)
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize('name', ['a.nii', 'a.nii.gz'])
@pytest.mark.parametrize('shape', [(4, 5, 6), (3, 4, 5, 2), (7, 1, 1)])
def test_whole_file(tmp_path, version, order, dtype, name, shape):
    path = make_nifti(tmp_path / name, shape, dtype=dtype, version=version, order=order)
    raw = nib.load(path).to_bytes()
    header = peek_file(path)
    assert header.size == len(raw)
    assert header.raw == raw[: 348 if version == 1 else 540]
    data = path.read_bytes()
    assert peek(data[:EDGE], data[-8:], name=name) == (header, True)


def test_extensions_of_the_header_are_counted(tmp_path):
    image = nib.load(make_nifti(tmp_path / 'a.nii.gz'))
    image.header.extensions.append(nib.nifti1.Nifti1Extension('comment', b'x' * 100))
    nib.save(image, tmp_path / 'b.nii.gz')
    assert peek_file(tmp_path / 'b.nii.gz').size > 352 + 100 + 64


PLACES = [1, 2, 9, 10, 11, 18, 30, 0.25, 0.5, 0.75, 0.99, -9, -8, -7, -5, -4, -3, -1]


@pytest.mark.parametrize('shape', [(4, 4, 4), (32, 32, 32)])
@pytest.mark.parametrize('keep', PLACES)
@pytest.mark.parametrize('version', [1, 2])
def test_truncated_gzip(tmp_path, shape, keep, version):
    path = make_nifti(tmp_path / 'a.nii.gz', shape, version=version)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(ImageError, match=r'a\.nii\.gz: is (truncated|not NIfTI|not gzip)'):
        peek_file(path)


@pytest.mark.parametrize('keep', [1, 100, 347, 348, 352, -10, -1])
def test_truncated_image_that_is_not_packed(tmp_path, keep):
    path = make_nifti(tmp_path / 'a.nii')
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ImageError, match=r'is (truncated|not NIfTI)'):
        peek_file(path)


@pytest.mark.parametrize('name', ['a.nii', 'a.nii.gz'])
def test_zero_bytes(tmp_path, name):
    (tmp_path / name).write_bytes(b'')
    with pytest.raises(ImageError, match=f'{name}: is empty'):
        peek_file(tmp_path / name)


def test_voxels_that_are_missing_inside_a_whole_gzip(tmp_path):
    path = tmp_path / 'a.nii.gz'
    path.write_bytes(gzip.compress(nifti_bytes(packed=False)[:-1]))
    with pytest.raises(ImageError, match=r'is truncated \(415 of 416 bytes\)'):
        peek_file(path)


def test_bytes_behind_the_voxels_are_no_damage(tmp_path):
    path = tmp_path / 'a.nii.gz'
    path.write_bytes(gzip.compress(nifti_bytes(packed=False) + b'more'))
    assert peek_file(path).size == 416


@pytest.mark.parametrize('cuts', [(600,), (600, 601), (1000, 2000, 3000)])
def test_gzip_in_several_members(tmp_path, cuts):
    raw = nifti_bytes((16, 16, 16), packed=False)
    edges = [0, *cuts, len(raw)]
    members = [gzip.compress(raw[a:b]) for a, b in itertools.pairwise(edges)]
    path = tmp_path / 'a.nii.gz'
    path.write_bytes(b''.join(members))
    data = path.read_bytes()
    assert not peek(data[:EDGE], data[-8:], name='a.nii.gz')[1]
    assert peek_file(path).size == len(raw)
    path.write_bytes(b''.join(members[:-1]))
    with pytest.raises(ImageError, match='is truncated'):
        peek_file(path)
    path.write_bytes(data[:-4])
    with pytest.raises(ImageError, match='is truncated'):
        peek_file(path)


def _stored(raw: bytes, size: int) -> bytes:
    """Return *raw* as a gzip member of exactly *size* bytes; its file name fills it up."""
    packer = zlib.compressobj(0, zlib.DEFLATED, -15)
    body = packer.compress(raw) + packer.flush()
    name = b'n' * (size - 10 - 1 - 8 - len(body)) + b'\0'
    head = b'\x1f\x8b\x08\x08' + bytes(4) + b'\0\xff' + name
    return head + body + struct.pack('<II', zlib.crc32(raw), len(raw))


def test_member_that_ends_where_a_block_ends(tmp_path):
    raw = nifti_bytes((128, 128, 128), packed=False)
    first = _stored(raw[:1_048_000], 1 << 20)
    assert len(first) == 1 << 20
    path = tmp_path / 'a.nii.gz'
    path.write_bytes(first + gzip.compress(raw[1_048_000:]))
    assert peek_file(path).size == len(raw)


def test_stream_that_unpacks_to_far_more_than_its_header_says(tmp_path):
    raw = nifti_bytes(packed=False)
    path = tmp_path / 'a.nii.gz'
    path.write_bytes(gzip.compress(raw + bytes(80 << 20)))
    assert path.stat().st_size < 1 << 17
    tracemalloc.start()
    with pytest.raises(ImageError, match=r'unpacks to more than its header says \(416 bytes\)'):
        peek_file(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize('more', [0, 1, 4096, 1 << 20])
def test_limits_of_a_block_are_no_end(tmp_path, more):
    """A stream whose last output fills a block is not taken for a truncated one."""
    raw = nifti_bytes(packed=False)
    path = tmp_path / 'a.nii.gz'
    path.write_bytes(gzip.compress(raw + bytes(2 * (1 << 20) - len(raw) + more)))
    assert peek_file(path).size == len(raw)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ImageError, match='is truncated'):
        peek_file(path)


def test_damage_inside_the_stream(tmp_path):
    path = make_nifti(tmp_path / 'a.nii.gz', (32, 32, 32))
    data = bytearray(path.read_bytes())
    data[10:40] = b'\xff' * 30
    path.write_bytes(data)
    with pytest.raises(ImageError, match='the gzip stream is damaged'):
        peek_file(path)


def test_size_of_more_than_four_gigabytes_is_compared_as_gzip_stores_it():
    dims = (3, 1 << 11, 1 << 11, 1 << 10, 1, 1, 1, 1)
    head = gzip.compress(nifti_header(dims=dims, offset=352))
    header, agrees = peek(head, struct.pack('<II', 0, 352), name='a.nii.gz')
    assert header.size == (1 << 32) + 352
    assert agrees
    assert not peek(head, struct.pack('<II', 0, 353), name='a.nii.gz')[1]


@pytest.mark.parametrize(
    'data', [b'not an image', b'\0' * 600, b'\x1f\x8b\x08', b'PK\x03\x04' * 99]
)
@pytest.mark.parametrize('name', ['a.nii', 'a.nii.gz'])
def test_other_files(data, name):
    with pytest.raises(ImageError, match=f'{name}: is not'):
        peek(data, data[-8:], name=name)


BAD = [
    {'dims': (0, 4, 4, 4, 1, 1, 1, 1)},
    {'dims': (8, 4, 4, 4, 1, 1, 1, 1)},
    {'dims': (-1, 4, 4, 4, 1, 1, 1, 1)},
    {'dims': (32767, 4, 4, 4, 1, 1, 1, 1)},
    {'dims': (3, 4, 0, 4, 1, 1, 1, 1)},
    {'dims': (3, 4, -4, 4, 1, 1, 1, 1)},
    {'bits': 0},
    {'bits': -8},
    {'offset': -1},
]


@pytest.mark.parametrize('fields', BAD)
@pytest.mark.parametrize(('version', 'order'), VARIANTS)
def test_header_that_makes_no_sense(fields, version, order):
    head = nifti_header(version=version, order=order, **fields)
    with pytest.raises(ImageError, match='makes no sense'):
        peek(head, b'', name='a.nii')


@pytest.mark.parametrize('offset', [float('nan'), float('inf'), float('-inf')])
def test_offset_that_is_no_number(offset):
    with pytest.raises(ImageError, match='makes no sense'):
        peek(nifti_header(offset=offset), b'', name='a.nii')


def _header(affine=None, shape=(4, 4, 4), *, sform=1, qform=1, qaffine=None, **more) -> Header:
    affine = np.eye(4) if affine is None else affine
    data = nifti_bytes(shape, affine, packed=False, **more)
    image = (
        nib.Nifti1Image.from_bytes if more.get('version', 1) == 1 else nib.Nifti2Image.from_bytes
    )
    image = image(data)
    image.set_qform(affine if qaffine is None else qaffine, code=qform)
    image.set_sform(affine, code=sform)
    return peek(image.to_bytes(), b'', name='a.nii')[0]


def _shifted(by, row=0, column=3):
    affine = np.eye(4)
    affine[row, column] += by
    return affine


@pytest.mark.parametrize(
    ('one', 'other', 'same'),
    [
        ({}, {}, True),
        ({}, {'dtype': np.float32}, True),
        ({}, {'order': '>'}, True),
        ({}, {'version': 2}, True),
        ({}, {'shape': (4, 4, 4, 1)}, True),
        ({}, {'shape': (4, 4, 5)}, False),
        ({}, {'shape': (4, 5, 4)}, False),
        ({}, {'affine': _shifted(0.0009)}, True),
        ({}, {'affine': _shifted(0.0011)}, False),
        ({}, {'affine': _shifted(-0.0011, 2)}, False),
        ({}, {'affine': _shifted(0.01, 1, 1)}, False),
        # The sform counts where it is set, then the qform.
        ({}, {'qaffine': _shifted(5)}, True),
        ({}, {'affine': _shifted(5), 'qaffine': np.eye(4)}, False),
        ({}, {'affine': _shifted(5), 'qaffine': np.eye(4), 'sform': 0}, True),
        ({}, {'sform': 0}, True),
        ({}, {'sform': 0, 'qaffine': _shifted(5)}, False),
        ({'sform': 2}, {'sform': 1}, True),
    ],
)
def test_same_grid(one, other, same):
    first, second = _header(**one), _header(**other)
    assert same_grid(first, second) is same
    assert same_grid(second, first) is same


def test_tolerance_of_same_grid():
    first, second = _header(), _header(_shifted(0.5))
    assert same_grid(first, second, tolerance=0.6)
    assert not same_grid(first, second, tolerance=0.4)


def test_quaternion_that_is_no_rotation_is_another_grid():
    one = _header(sform=0)
    raw = bytearray(one.raw)
    struct.pack_into('<3f', raw, 256, 5, 5, 5)
    other = peek(bytes(raw), b'', name='a.nii')[0]
    assert not same_grid(one, other)
