"""Which T1w is the centre."""

import numpy as np
import pytest

from mrrate_bids.app.centre import _marked, find_centre
from mrrate_bids.foreign import Image


def make(root, **spacings):
    """Return T1w images of one session by run, the first is the earliest."""
    import nibabel as nib

    images = []
    for number, (name, spacing) in enumerate(spacings.items(), 1):
        path = root / f'sub-01/anat/sub-01_run-{name}_T1w.nii.gz'
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = tuple(int(200 / edge) for edge in spacing)
        values = np.random.default_rng(number).integers(1, 900, shape).astype(np.int16)
        affine = np.diag([*spacing, 1.0])
        image = nib.Nifti1Image(values, affine)
        image.header.set_xyzt_units('mm')
        image.set_qform(affine, code=1)
        nib.save(image, path)
        inside = path.relative_to(root).as_posix()
        images.append(Image(path, path.name, inside, {'SeriesNumber': number}))
    return images


THICK, EVEN = (0.9, 0.9, 5.0), (1.2, 1.2, 1.2)


def test_the_earliest_or_the_best(tmp_path):
    images, scans = make(tmp_path, a=THICK, b=EVEN), tmp_path / 'none.tsv'
    assert find_centre(images, scans=scans).endswith('run-a_T1w.nii.gz')
    assert find_centre(images, scans=scans, rule='best').endswith('run-b_T1w.nii.gz')


@pytest.mark.parametrize('rule', ['earliest', 'best'])
def test_the_marked_one_goes_first(tmp_path, rule):
    images, scans = make(tmp_path, a=EVEN, b=THICK, c=THICK), tmp_path / 'scans.tsv'
    names = [image.inside.removeprefix('sub-01/') for image in images]
    marks = ('False', 'False', 'True')
    rows = (f'{name}\t{mark}' for name, mark in zip(names, marks, strict=True))
    scans.write_text('\n'.join(['filename\tis_center_modality', *rows]) + '\n')
    assert find_centre(images, scans=scans, rule=rule) == images[2].inside


def spoil_values(image, value):
    import nibabel as nib

    found = nib.load(image.path)
    values = np.asarray(found.dataobj).astype(np.float32)
    values[:] = value
    nib.save(nib.Nifti1Image(values, found.affine), image.path)


def spoil_bytes(image, place):
    data = bytearray(image.path.read_bytes())
    data[int(place * len(data))] ^= 0xFF
    image.path.write_bytes(data)


def cut(image, part):
    data = image.path.read_bytes()
    image.path.write_bytes(data[: int(part * len(data))])


DAMAGE = {
    'NaN': (spoil_values, np.nan),
    'infinity': (spoil_values, np.inf),
    'constant': (spoil_values, 0),
    'a byte in the middle': (spoil_bytes, 0.5),
    'half of it': (cut, 0.5),
    'nothing': (cut, 0),
}


@pytest.mark.parametrize('damage', sorted(DAMAGE))
@pytest.mark.parametrize('rule', ['earliest', 'best'])
def test_a_damaged_image_is_passed_over(tmp_path, rule, damage):
    images, scans = make(tmp_path, a=EVEN, b=EVEN), tmp_path / 'scans.tsv'
    spoil, how = DAMAGE[damage]
    assert find_centre(images, scans=scans, rule=rule) == images[0].inside
    spoil(images[0], how)
    assert find_centre(images, scans=scans, rule=rule) == images[1].inside
    name = images[0].inside.removeprefix('sub-01/')
    scans.write_text(f'filename\tis_center_modality\n{name}\tTrue\n')
    assert find_centre(images, scans=scans, rule=rule) == images[1].inside


def test_where_every_image_is_damaged_the_first_stays(tmp_path):
    """It fails with its own words, which name what is wrong with it."""
    images = make(tmp_path, a=EVEN, b=EVEN)
    for image in images:
        spoil_values(image, np.nan)
    assert find_centre(images, scans=tmp_path / 'none.tsv') == images[0].inside


def test_voxels_are_read_only_where_there_is_a_choice(tmp_path, monkeypatch):
    from mrrate_bids.computing import scans as module

    read = []
    monkeypatch.setattr(module, 'read_scan', read.append)
    images = make(tmp_path, a=EVEN, b=EVEN, c=EVEN)
    find_centre(images[:1], scans=tmp_path / 'none.tsv')
    assert read == []
    find_centre(images, scans=tmp_path / 'none.tsv')
    assert read == [images[0].path]


@pytest.mark.parametrize('text', ['', 'filename\n', 'filename\tis_center_modality\nx\n', '\xff'])
def test_a_table_without_marks_changes_nothing(tmp_path, text):
    images, scans = make(tmp_path, a=EVEN), tmp_path / 'scans.tsv'
    scans.write_bytes(text.encode('latin-1'))
    assert find_centre(images, scans=scans) == images[0].inside


def test_without_t1w_there_is_none(tmp_path):
    assert find_centre([], scans=tmp_path / 'none.tsv') is None


def test_table_without_names_marks_nothing(tmp_path):
    (tmp_path / 'scans.tsv').write_text('is_center_modality\nTrue\n')
    assert _marked(tmp_path / 'scans.tsv') == ()
