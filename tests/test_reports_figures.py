"""Figures: what is drawn where, on heads whose place is known."""

import heads
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from mrrate_bids.computing.quickshear import deface, shear
from mrrate_bids.errors import ImageError
from mrrate_bids.reports.figures.canvas import Frame, outline, paint, save
from mrrate_bids.reports.figures.contours import CONTOUR, draw_contours
from mrrate_bids.reports.figures.defacing import EDGE, draw_defacing
from mrrate_bids.reports.figures.face import draw_face
from mrrate_bids.reports.figures.flicker import EDGES, Fixed, find_edges
from mrrate_bids.reports.figures.segmentation import (
    colour_of,
    draw_segmentation,
    list_labels,
)
from mrrate_bids.reports.views import (
    View,
    Window,
    read_labels,
    read_overlay,
    read_view,
    signal_level,
)


@pytest.fixture(scope='module')
def taken(tmp_path_factory):
    """Return a T1w scan of a head, LAS, with thick slices."""
    return heads.scan(tmp_path_factory.mktemp('taken'), 't1w')


@pytest.fixture(scope='module')
def view(taken):
    return read_view(taken.image)


@pytest.fixture(scope='module')
def brain(taken, view):
    return read_overlay(taken.mask, like=view).values


@pytest.fixture(scope='module')
def defaced(taken, view):
    """Return the head without its face, and its defacing mask."""
    keep = shear(taken.brain, taken.scan.affine)[::-1]  # LAS to RAS
    return View(deface(view.values, keep), view.affine), keep


def grey_of(picture):
    return np.asarray(picture.convert('L'), dtype=float)


def count(picture, colour):
    return int((np.asarray(picture.convert('RGB')) == colour).all(axis=-1).sum())


# Views


def test_view_is_turned_to_ras(taken, view):
    assert np.allclose(view.affine[:3, :3], np.diag([3, 3, 6]))
    index = np.argwhere(taken.brain)[0]
    world = taken.scan.affine @ [*index, 1]
    found = np.rint(np.linalg.inv(view.affine) @ world).astype(int)[:3]
    assert view.values[tuple(found)] == taken.scan.values[tuple(index)]


def test_window_is_that_of_the_brain(view, brain):
    bright = np.percentile(view.values[brain > 0], 99.5)
    assert bright < view.window(brain).white < 1.5 * bright


def test_window_of_what_is_no_number():
    values = np.full((20, 20, 20), np.nan)
    values[5:15] = 7
    grey = View(values, np.eye(4)).window().apply(values)
    assert grey[0].max() == 0
    assert grey[7].min() > 0


def test_window_of_nothing():
    view = View(np.zeros((12, 12, 12)), np.eye(4))
    assert view.window().apply(view.values).max() == 0


@pytest.mark.parametrize('damage', ['gone', 'truncated'])
def test_image_that_cannot_be_read(damage, taken, tmp_path):
    path = tmp_path / 'bad.nii.gz'
    if damage == 'truncated':
        path.write_bytes(taken.image.read_bytes()[:500])
    with pytest.raises(ImageError, match=r'bad\.nii\.gz'):
        read_view(path)


# Canvas


def test_planes_have_one_scale_in_mm(view, brain):
    frame = Frame.of(view, brain=brain)
    grey = frame.grey(view, view.window())
    (left, right), (back, front), (low, high) = frame.box
    wide, deep, tall = (right - left) * 3, (front - back) * 3, (high - low) * 6
    assert grey.shape == (3 * max(deep, tall) + 8, deep + wide + wide + 8)


def test_left_is_left_and_up_is_up():
    values = np.zeros((40, 40, 40), dtype=np.uint8)
    values[5:35, 5:35, 5:35] = 100
    values[5:9, :, 30:35] = 255  # on the left, at the top
    view = View(values, np.eye(4))
    frame = Frame.of(view, count=1)
    coronal = frame.grey(view, Window(0, 255))[:, sum(_widths(frame)[:1]) + 4 :]
    rows, columns = np.nonzero(coronal[:, : _widths(frame)[1]] > 200)
    assert rows.max() < coronal.shape[0] / 2
    assert columns.max() < _widths(frame)[1] / 2


def _widths(frame):
    sizes = [high - low for low, high in frame.box]
    return sizes[1], sizes[0], sizes[0]


def test_frame_goes_around_the_head_and_not_around_noise():
    values = np.zeros((100, 100, 100), dtype=np.float32)
    values[30:70, 30:70, 30:70] = 100
    values[2, 2, 2] = 100
    box = Frame.of(View(values, np.eye(4))).box
    assert all(20 <= low <= 30 and 70 <= high <= 80 for low, high in box)


def test_frame_of_nothing_is_the_whole_image():
    assert Frame.of(View(np.zeros((12, 14, 16)), np.eye(4))).box == ((0, 12), (0, 14), (0, 16))


def test_outline_is_one_pixel_wide():
    mask = np.zeros((9, 9), dtype=bool)
    mask[2:7, 2:7] = True
    assert outline(mask).sum() == 16


def test_picture_has_the_same_bytes_and_is_small(view, brain, tmp_path):
    picture = draw_contours(view, brain)
    paths = [tmp_path / 'a.png', tmp_path / 'b.png']
    for path in paths:
        save(picture, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].stat().st_size < 200_000
    with Image.open(paths[0]) as again:
        assert again.mode == 'P'


def test_last_layer_is_on_top():
    both = np.ones((2, 2), dtype=bool)
    picture = paint(np.zeros((2, 2), dtype=np.uint8), [(both, (1, 2, 3)), (both, (4, 5, 6))])
    assert count(picture, (4, 5, 6)) == 4


# Contours


def test_contour_lies_on_the_edge_of_the_mask(view, brain):
    picture = np.asarray(draw_contours(view, brain).convert('RGB'))
    frame = Frame.of(view, brain=brain)
    line = (picture == CONTOUR).all(axis=-1)
    assert line.sum() == frame.outline(brain).sum() > 500
    moved = np.asarray(draw_contours(view, np.roll(brain, 4, axis=1)).convert('RGB'))
    assert not np.array_equal(picture, moved)


# Defacing


def test_cut_is_drawn_before_and_the_face_is_black_after(view, defaced):
    pair = draw_defacing(view, *defaced)
    assert pair.before.size == pair.after.size
    assert count(pair.before, EDGE) > 50
    assert count(pair.after, EDGE) == 0
    assert count(pair.after, (0, 0, 0)) > count(pair.before, (0, 0, 0)) + 500


def test_mask_without_a_defaced_image(view, defaced):
    assert draw_defacing(view, None, defaced[1]).after is None


def test_defaced_image_on_another_grid(view, defaced):
    shifted = view.affine.copy()
    shifted[1, 3] += 3
    with pytest.raises(ImageError, match='grid'):
        draw_defacing(view, defaced[0]._replace(affine=shifted), None)


# Face


def test_face_is_there_before_and_gone_after(view, defaced):
    level = signal_level(view)
    before, after = (grey_of(draw_face(v, level)) for v in (view, defaced[0]))
    assert min(before.shape) > 100
    assert before.std() > 20
    assert before.shape != after.shape or abs(before - after).mean() > 5


def test_face_is_the_same_each_time_and_on_every_grid(view, taken, tmp_path):
    level = signal_level(view)
    assert draw_face(view, level).tobytes() == draw_face(view, level).tobytes()
    other = read_view(heads.scan(tmp_path, 't1w', codes='PIR', spacing=(3, 3, 3)).image)
    sizes = [draw_face(v, signal_level(v)).size for v in (view, other)]
    assert np.allclose(*sizes, atol=20)


def test_nose_looks_at_you():
    """A ball with a nose: from the front it is in the middle, from half its left on the left."""
    x, y, z = np.mgrid[:60, :70, :60] - 30
    ball = (x**2 + y**2 + z**2 < 24**2) | ((abs(x) < 3) & (abs(z) < 3) & (y > 0) & (y < 35))
    picture = grey_of(draw_face(View(ball * 100.0, np.diag([2.0, 2, 2, 1])), 10.0))
    front, side = np.array_split(picture, 2, axis=1)
    slope = [
        abs(np.diff(half, axis=1))[front.shape[0] // 2 - 8 : front.shape[0] // 2 + 8]
        for half in (front, side)
    ]
    places = [
        float((s.sum(axis=0) * np.arange(s.shape[1])).sum() / s.sum()) / s.shape[1] for s in slope
    ]
    assert abs(places[0] - 0.5) < 0.12
    assert places[1] < places[0]


def test_face_of_nothing():
    assert draw_face(View(np.zeros((20, 20, 20)), np.eye(4)), 1.0).size[0] > 0


def test_noise_in_the_air_is_no_surface(view):
    noisy = view.values.copy()
    noisy[::9, -1, ::5] = noisy.max()
    level = signal_level(view)
    clean, dirty = (
        np.asarray(draw_face(view._replace(values=v), level)) for v in (view.values, noisy)
    )
    if clean.shape == dirty.shape:
        assert abs(clean.astype(int) - dirty).mean() < 3


# Flicker


def test_equal_images_do_not_jump(view, brain):
    fixed = Fixed(view, brain)
    assert fixed.picture.tobytes() == fixed.over(view).tobytes()


def test_moved_image_jumps_under_the_same_outline(view, brain):
    fixed = Fixed(view, brain)
    moved = fixed.over(view._replace(values=np.roll(view.values, 3, axis=0)))
    assert moved.size == fixed.picture.size
    assert moved.tobytes() != fixed.picture.tobytes()
    assert count(moved, CONTOUR) == count(fixed.picture, CONTOUR)


def test_edges_of_a_template_are_drawn_on_the_other(view, brain):
    fixed = Fixed(view, brain, edges=True)
    assert count(fixed.picture, EDGES) == 0
    assert count(fixed.over(view), EDGES) > 500


def test_image_on_another_grid_does_not_flicker(view, brain):
    with pytest.raises(ImageError, match='grid'):
        Fixed(view, brain).over(View(view.values[1:], view.affine))


def test_edges_are_where_the_grey_changes():
    grey = np.zeros((40, 40), dtype=np.uint8)
    grey[:, 20:] = 200
    columns = np.nonzero(find_edges(grey))[1]
    assert set(columns) <= {18, 19, 20, 21}
    assert not find_edges(np.zeros((9, 9), dtype=np.uint8)).any()


# Segmentation


def test_labels_are_coloured_and_listed(view, brain):
    labels = np.where(np.arange(brain.shape[0])[:, None, None] < brain.shape[0] // 3, 3, 5) * brain
    picture = np.asarray(draw_segmentation(view, labels).convert('RGB')).astype(int)
    assert (np.ptp(picture, axis=-1) > 20).sum() > 2000
    listed = list_labels(View(labels, view.affine), {3: 'spleen'})
    assert [label.name for label in listed] == ['label 5', 'spleen']
    whole = sum(label.volume_ml for label in listed)
    assert whole == pytest.approx(np.count_nonzero(brain) * 0.054)
    assert listed[0].hex == '#{:02x}{:02x}{:02x}'.format(*colour_of(5))


@pytest.mark.parametrize('odd', [-1, 0.5, 70_000, np.nan, np.inf])
def test_what_is_no_label(odd, view, brain, tmp_path):
    values = brain.astype(np.float32)
    values[0, 0, 0] = odd
    nib.save(nib.Nifti1Image(values, view.affine), tmp_path / 'dseg.nii.gz')
    with pytest.raises(ImageError, match=r'dseg.nii.gz: holds .* whole numbers from 0 to 65535'):
        read_labels(tmp_path / 'dseg.nii.gz', like=view)


def test_labels_of_a_large_number(view, brain):
    labels = np.where(brain, 65_535, 0)
    (listed,) = list_labels(View(labels, view.affine), {})
    assert listed.number == 65_535
    assert np.asarray(draw_segmentation(view, labels)).any()


def test_segmentation_without_a_label(view, brain):
    picture = np.asarray(draw_segmentation(view, brain * 0).convert('RGB')).astype(int)
    assert np.ptp(picture, axis=-1).max() == 0
    assert list_labels(View(brain * 0, view.affine), {}) == []


def test_neighbours_have_other_colours():
    pairs = [(colour_of(n), colour_of(n + 1)) for n in range(1, 346)]
    assert all(np.abs(np.subtract(*pair)).sum() > 100 for pair in pairs)
