"""Which T1w is the centre."""

import numpy as np
import pytest

from mrrate_bids.app.centre import find_centre
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


@pytest.mark.parametrize('text', ['', 'filename\n', 'filename\tis_center_modality\nx\n', '\xff'])
def test_a_table_without_marks_changes_nothing(tmp_path, text):
    images, scans = make(tmp_path, a=EVEN), tmp_path / 'scans.tsv'
    scans.write_bytes(text.encode('latin-1'))
    assert find_centre(images, scans=scans) == images[0].inside


def test_without_t1w_there_is_none(tmp_path):
    assert find_centre([], scans=tmp_path / 'none.tsv') is None
