import nibabel as nib
import numpy as np
import pytest

from mrrate_bids.errors import ImageError
from mrrate_bids.picture import Panel, draw_study


def write(path, data, affine=None):
    image = nib.Nifti1Image(data, np.diag([4.0, 4, 8, 1]) if affine is None else affine)
    nib.save(image, path)
    return path


def pixels(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


@pytest.fixture
def head(tmp_path):
    data = np.zeros((32, 40, 16), np.float32)
    data[6:26, 6:34, 3:13] = 500
    data[20:26, 16:24, 6:10] = 1000  # a bright spot on the right
    mask = (data > 0).astype(np.uint8)
    labels = np.where(data > 900, 229, 0).astype(np.uint16)
    return (
        write(tmp_path / 'i.nii.gz', data),
        write(tmp_path / 'm.nii.gz', mask),
        write(tmp_path / 's.nii.gz', labels),
    )


def test_the_brain_is_outlined_and_the_labels_are_coloured(head, tmp_path):
    image, mask, labels = head
    draw_study([Panel('plain', image)], tmp_path / 'plain.png', title='t')
    draw_study([Panel('plain', image, mask)], tmp_path / 'mask.png', title='t')
    draw_study([Panel('plain', image, mask, labels)], tmp_path / 'seg.png', title='t')
    plain, outlined, coloured = (pixels(tmp_path / f'{n}.png') for n in ('plain', 'mask', 'seg'))
    orange = np.abs(outlined - [1, 0.62, 0.26]).max(-1) < 0.1
    assert orange.sum() > 200
    assert not (np.abs(plain - [1, 0.62, 0.26]).max(-1) < 0.1).any()
    assert (np.ptp(coloured, axis=-1) > 0.2).sum() > (np.ptp(outlined, axis=-1) > 0.2).sum() + 500


def test_every_orientation_on_disk_gives_the_same_picture(head, tmp_path):
    image, *_ = head
    turned = nib.load(image).as_reoriented([[2, -1], [0, 1], [1, -1]])
    nib.save(turned, tmp_path / 'turned.nii.gz')
    assert nib.aff2axcodes(turned.affine) != nib.aff2axcodes(nib.load(image).affine)
    draw_study([Panel('x', image)], tmp_path / 'a.png', title='t')
    draw_study([Panel('x', tmp_path / 'turned.nii.gz')], tmp_path / 'b.png', title='t')
    assert (tmp_path / 'a.png').read_bytes() == (tmp_path / 'b.png').read_bytes()


def test_left_is_left_and_millimetres_are_true(head, tmp_path):
    image, *_ = head
    draw_study([Panel('', image)], tmp_path / 'a.png', title='')
    shown = pixels(tmp_path / 'a.png').mean(-1)
    axial = shown[:, int(0.7 * shown.shape[1]) :]  # the last column
    body = axial > 0.4
    # A row or column of the body is longer than a letter.
    rows, columns = (np.nonzero(body.sum(axis) > 20)[0] for axis in (1, 0))
    spot = np.nonzero((axial > 0.9).sum(0) > 20)[0]
    assert spot.mean() > columns.mean() + 0.2 * np.ptp(columns)
    # 28 voxels of 4 mm by 20 voxels of 4 mm
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(28 / 20, rel=0.08)


def test_a_mask_on_another_grid_is_refused(head, tmp_path):
    image, *_ = head
    other = write(tmp_path / 'other.nii.gz', np.ones((3, 3, 3), np.uint8))
    with pytest.raises(ImageError, match=r'other\.nii\.gz'):
        draw_study([Panel('x', image, other)], tmp_path / 'a.png', title='t')
    assert not (tmp_path / 'a.png').exists()


def test_a_truncated_image_and_nothing_at_all_are_refused(head, tmp_path):
    image, *_ = head
    image.write_bytes(image.read_bytes()[:-30])
    with pytest.raises(ImageError, match=r'i\.nii\.gz'):
        draw_study([Panel('x', image)], tmp_path / 'a.png', title='t')
    with pytest.raises(ImageError, match='no image'):
        draw_study([], tmp_path / 'a.png', title='t')
