"""Nodes that look at results of the user before anything follows from them."""

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import small_bids

pytest.importorskip('nipype')

from mrrate_bids.computing.quickshear import shear
from mrrate_bids.interfaces.base import PROBLEM
from mrrate_bids.interfaces.given import CheckDefaced, CheckDefacing

pe = pytest.importorskip('nipype.pipeline.engine')


@pytest.fixture(scope='module')
def head(tmp_path_factory):
    """Return a T1w with its brain mask and a good defacing mask."""
    root = tmp_path_factory.mktemp('head')
    values, brain, affine = small_bids.scan('T1w')
    files = {'image': values, 'mask': brain, 'keep': shear(brain, affine)}
    paths = {n: str(small_bids.write(root / f'{n}.nii.gz', v, affine)) for n, v in files.items()}
    return SimpleNamespace(**paths, affine=affine, kept=files['keep'], values=values)


def run(interface, folder, **inputs):
    node = pe.Node(interface, name='node', base_dir=str(folder))
    for name, value in inputs.items():
        setattr(node.inputs, name, str(value))
    return node.run().outputs


def fail(interface, folder, **inputs):
    with pytest.raises(Exception, match=r'\w'):
        run(interface, folder, **inputs)
    return json.loads((folder / 'node' / PROBLEM).read_text())


def test_good_defacing_mask_is_passed_on_as_it_is(head, tmp_path):
    found = run(CheckDefacing(), tmp_path, given=head.keep, image=head.image, mask=head.mask)
    assert found.out_file == head.keep


def test_inverted_defacing_mask(head, tmp_path):
    bad = small_bids.write(tmp_path / 'bad.nii.gz', 1 - head.kept, head.affine)
    said = fail(CheckDefacing(), tmp_path, given=bad, image=head.image, mask=head.mask)
    assert said['message'].startswith('bad.nii.gz: takes away 100.0% of the brain')


def test_mask_of_a_release_was_applied_before(head, tmp_path):
    values = np.where(head.kept, head.values, 0)
    image = small_bids.write(tmp_path / 'image.nii.gz', values, head.affine)
    inputs = {'given': head.keep, 'image': image, 'mask': head.mask}
    assert 'of the head' in fail(CheckDefacing(), tmp_path / 'a', **inputs)['message']
    assert run(CheckDefacing(faceless=True), tmp_path / 'b', **inputs).out_file == head.keep


def test_defaced_image_is_passed_on_with_the_mask_that_it_tells(head, tmp_path):
    values = np.where(head.kept, head.values, 0)
    image = small_bids.write(tmp_path / 'defaced.nii.gz', values, head.affine)
    found = run(CheckDefaced(), tmp_path, given=image, image=head.image, mask=head.mask)
    assert found.out_file == str(image)
    assert json.loads(Path(found.quality).read_text())['HeadRemoved'] > 0.05
    removed = np.asarray(nib.load(found.keep_mask).dataobj) == 0
    assert (values[removed] == 0).all()


def test_image_that_is_not_defaced(head, tmp_path):
    said = fail(CheckDefaced(), tmp_path, given=head.image, image=head.image, mask=head.mask)
    assert said['message'].startswith('image.nii.gz: takes away 0.00% of the head')
