import nibabel as nib
import numpy as np
import pytest

from mrrate_bids.phantom import build_head
from mrrate_bids.phantom_parcels import label_body, label_brain
from mrrate_bids.phantom_scan import acquire, rigid, scan_grid
from mrrate_bids.phantom_shapes import Grid, ellipsoid, smooth_union, tube
from mrrate_bids.phantom_tissues import CONTRASTS, Tissue

LESION = ((22.0, -24.0, 27.0), (5.0, 9.0, 5.0))


@pytest.fixture(scope='module')
def head():
    return build_head(voxel=3.0, seed=1, lesions=[LESION])


def pure(head, tissue):
    """Voxels that hold nothing but one of the brain's tissues."""
    extra = sum(head.fractions[t].astype(int) for t in (10, 11, 12, 13))
    return (head.fractions[tissue] > 250) & (extra == 0)


def at(head, point):
    return tuple(np.rint((np.array(point) - head.grid.low) / head.grid.voxel).astype(int))


@pytest.mark.parametrize(
    ('contrast', 'order'),
    [
        ('t1w', [Tissue.CSF, Tissue.GREY, Tissue.WHITE]),
        ('t2w', [Tissue.WHITE, Tissue.GREY, Tissue.CSF]),
        ('flair', [Tissue.CSF, Tissue.WHITE, Tissue.GREY]),
    ],
)
def test_brain_contrast(head, contrast, order):
    signal = head.signal(contrast)
    means = [signal[pure(head, tissue)].mean() for tissue in order]
    assert means[0] * 1.15 < means[1] < means[2] / 1.15


def test_vessels_lesions_and_fat(head):
    artery, vein = head.fractions[Tissue.ARTERY] > 200, head.fractions[Tissue.VEIN] > 200
    assert artery.sum() > 20 < vein.sum()
    mra, swi = head.signal('mra'), head.signal('swi')
    assert mra[artery].mean() > 2 * mra[pure(head, Tissue.GREY)].mean()
    assert swi[vein].mean() < 0.5 * swi[pure(head, Tissue.GREY)].mean()
    lesion = at(head, LESION[0])
    flair, before, after = (head.signal(c)[lesion] for c in ('flair', 't1w', 't1w-gd'))
    assert flair > 1.5 * CONTRASTS['flair'][Tissue.WHITE]
    assert after > 1.5 * before
    t1w = head.signal('t1w')
    assert np.median(t1w[head.labels == Tissue.FAT]) > 1.8 * t1w[pure(head, Tissue.GREY)].mean()


def test_the_brain_is_whole_and_inside_the_skull(head):
    from scipy import ndimage

    brain = head.brain >= 128
    litres = brain.sum() * head.grid.voxel**3 / 1e6
    assert 1.5 < litres < 2.1
    assert ndimage.label(brain)[1] == 1
    bone = np.isin(head.labels, (Tissue.BONE, Tissue.MARROW, Tissue.CSF))
    outside_skull = ndimage.label(~bone & ~brain)[0]
    corner = outside_skull[0, 0, -1]
    assert not (ndimage.binary_dilation(outside_skull == corner) & brain).any()


def test_the_face_is_there(head):
    assert head.labels[at(head, (32, 66, -36))] == Tissue.VITREOUS
    assert head.labels[at(head, (-32, 66, -36))] == Tissue.VITREOUS
    nose = np.argwhere(head.labels != Tissue.AIR)[:, 1].max() * head.grid.voxel + head.grid.low[1]
    assert 105 < nose < 122
    assert head.labels[at(head, (0, 116, 40))] == Tissue.AIR


def test_the_seed_makes_the_person(head):
    again = build_head(voxel=3.0, seed=1, lesions=[LESION])
    other = build_head(voxel=3.0, seed=2, lesions=[LESION])
    assert np.array_equal(head.signal('t1w'), again.signal('t1w'))
    assert not np.array_equal(head.signal('t1w'), other.signal('t1w'))
    old = build_head(voxel=3.0, seed=1, atrophy=0.6)
    assert old.fractions[Tissue.CSF].sum() > 1.1 * head.fractions[Tissue.CSF].sum()


def test_segmentations_tell_left_from_right(head):
    labels = label_brain(head)
    names = {229: (27, -22, -14), 237: (27, 2, 1), 239: (11, -18, 7)}
    for right, (x, y, z) in names.items():
        assert labels[at(head, (x, y, z))] == right
        assert labels[at(head, (-x, y, z))] == right + 1
    assert labels[at(head, (0, -30, -34))] == 220
    assert set(np.unique(labels)) - {0} <= set(range(214, 346))
    assert len(np.unique(labels)) > 50
    body = label_body(head)
    assert np.array_equal(body == 22, head.brain >= 128)
    assert set(np.unique(body)) == {0, 22, 121}


def test_a_thick_slice_is_the_mean_of_thin_ones(head):
    def scan(spacing, field):
        volume = scan_grid('RAS', field=field, spacing=spacing, pose=np.eye(4))
        rng = np.random.default_rng(0)
        image = acquire(head, 't1w', volume, world_from_head=np.eye(4), noise=0, rng=rng)
        shade = acquire(
            flat, 't1w', volume, world_from_head=np.eye(4), noise=0, rng=np.random.default_rng(0)
        )
        return image / shade

    flat = build_head(voxel=3.0, seed=1)
    flat.labels[:] = Tissue.FAT
    for part in flat.fractions.values():
        part[:] = 0
    thick = scan((6.0, 6.0, 12.0), (144.0, 168.0, 144.0))
    thin = scan((6.0, 6.0, 3.0), (144.0, 168.0, 144.0))
    mean = thin.reshape(*thin.shape[:2], -1, 4).mean(-1)
    middle = thin[:, :, 1::4]
    assert np.abs(thick - mean).mean() < 0.3 * np.abs(thick - middle).mean()


@pytest.mark.parametrize('codes', ['RAS', 'LAS', 'PSR', 'LIA', 'SLA'])
def test_the_grid_runs_as_its_codes_say_and_keeps_the_field_of_view(codes):
    volume = scan_grid(codes, field=(200, 210, 150), spacing=(0.9, 0.8, 5), pose=np.eye(4))
    assert ''.join(nib.aff2axcodes(volume.affine)) == codes
    assert (volume.spacing * volume.shape >= [200, 210, 150]).all()
    assert np.allclose(volume.affine @ [*((n - 1) / 2 for n in volume.shape), 1], [0, 0, 0, 1])


def test_head_and_grid_that_move_together_give_the_same_image(head):
    volume = {'field': (180.0, 200.0, 160.0), 'spacing': (5.0, 5.0, 5.0)}
    pose = rigid((10, -5, 20), (3, -14, 8))
    images = [
        acquire(
            head,
            't2w',
            scan_grid('LAS', pose=p, **volume),
            world_from_head=p,
            noise=10,
            rng=np.random.default_rng(3),
        )
        for p in (np.eye(4), pose)
    ]
    assert np.allclose(*images, atol=0.1)
    assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3))
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)


def test_noise_is_rician(head):
    volume = scan_grid('RAS', field=(40.0, 40.0, 40.0), spacing=(1.0, 1.0, 1.0), pose=np.eye(4))
    far = rigid((0, 0, 0), (1000, 0, 0))
    noise = acquire(
        head, 't1w', volume, world_from_head=far, noise=20, rng=np.random.default_rng(0)
    )
    assert noise.mean() == pytest.approx(20 * np.sqrt(np.pi / 2), rel=0.02)
    assert noise.std() == pytest.approx(20 * np.sqrt(2 - np.pi / 2), rel=0.02)


def test_shapes_have_the_size_they_are_given():
    grid = Grid((-20, -20, -20), (20, 20, 20), 0.5)
    ball = ellipsoid(grid, (0, 0, 0), (8, 8, 8))
    assert (ball.distance < 0).sum() / 8 == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.02)
    pipe = tube(grid, ((-10, 0, 0), (0, 0, 0), (10, 0, 0)), 3)
    volume = 20 * np.pi * 9 + 4 / 3 * np.pi * 27
    assert (pipe.distance < 0).sum() / 8 == pytest.approx(volume, rel=0.04)
    joined = smooth_union(np.array([1.0, 9.0]), np.array([1.0, 1.0]), blend=4)
    assert joined.tolist() == [0.0, 1.0]
