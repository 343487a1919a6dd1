"""The page with NiiVue: its images, and its script out of the package."""

import base64
import gzip
import json
import re
from importlib.util import find_spec

import heads
import nibabel as nib
import numpy as np
import pytest

from mrrate_bids.errors import ResourceError
from mrrate_bids.reports import niivue
from mrrate_bids.reports.facts import StudyFacts
from mrrate_bids.reports.figures.segmentation import list_labels
from mrrate_bids.reports.niivue import CLASS, write_script
from mrrate_bids.reports.viewer import embed, write_viewer
from mrrate_bids.reports.views import View, read_overlay, read_view

MODULE = (
    'var a;class t2{};function i(){console.log("Creating new Niivue instance");'
    'let C={};a=new t2(C)}var Ih={};export{Ih as default};\n'
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a package of the same make as ipyniivue, on the path of modules."""
    folder = tmp_path / 'site/likeniivue'
    (folder / 'static').mkdir(parents=True)
    (folder / '__init__.py').write_text('raise RuntimeError("must not be imported")')
    (folder / 'static/widget.js').write_text(MODULE)
    about = tmp_path / 'site/likeniivue-1.2.dist-info'
    (about / 'licenses').mkdir(parents=True)
    (about / 'METADATA').write_text('Metadata-Version: 2.1\nName: likeniivue\nVersion: 1.2\n')
    (about / 'licenses/LICENSE').write_text('Copyright, */ all rights')
    (about / 'RECORD').write_text('likeniivue-1.2.dist-info/licenses/LICENSE,,\n')
    monkeypatch.syspath_prepend(str(tmp_path / 'site'))
    monkeypatch.setattr(niivue, 'PACKAGE', 'likeniivue')
    return folder


@pytest.fixture(scope='module')
def taken(tmp_path_factory):
    return heads.scan(tmp_path_factory.mktemp('taken'), 't1w')


def unpack(text):
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


# The script


def test_script_hands_the_class_over(package, tmp_path):
    path = write_script(tmp_path / 'assets')
    assert path.name == 'niivue-1.2.js'
    text = path.read_text()
    assert text.startswith('/* Copyright, * / all rights')
    assert text.rstrip().endswith(f'window.{CLASS}=t2;}})();')
    assert 'export' not in text


def test_script_is_written_once(package, tmp_path):
    path = write_script(tmp_path)
    before = path.stat().st_mtime_ns
    (package / 'static/widget.js').unlink()
    with pytest.raises(ResourceError, match='not installed'):
        write_script(tmp_path)
    (package / 'static/widget.js').write_text(MODULE)
    assert write_script(tmp_path).stat().st_mtime_ns == before


def test_package_of_another_make(package, tmp_path):
    (package / 'static/widget.js').write_text('export{x as default};')
    with pytest.raises(ResourceError, match='not known'):
        write_script(tmp_path)


def test_package_that_is_not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(niivue, 'PACKAGE', 'no_such_package_here')
    with pytest.raises(ResourceError, match='no_such_package_here') as caught:
        write_script(tmp_path)
    assert 'pip install' in caught.value.hint


def test_installed_package_is_of_the_known_make(tmp_path):
    if not find_spec('ipyniivue'):
        pytest.skip('ipyniivue is not installed')
    path = write_script(tmp_path)
    assert path.stat().st_size > 1_000_000
    assert re.search(rf'window\.{CLASS}=[\w$]+;', path.read_text(encoding='utf-8'))
    assert 'Redistribution and use' in path.read_text(encoding='utf-8')[:3000]


# The images


def test_image_is_where_it_was(taken):
    view = read_view(taken.image)
    brain = read_overlay(taken.mask, like=view).values
    stack = embed('T1w', view, mask=brain)
    image, mask = unpack(stack.image), unpack(stack.mask)
    assert image.get_data_dtype() == np.uint8
    assert np.allclose(image.affine, mask.affine)
    centres = [
        nib.affines.apply_affine(a, np.argwhere(m).mean(axis=0))
        for a, m in ((mask.affine, np.asarray(mask.dataobj)), (view.affine, brain))
    ]
    assert np.allclose(*centres, atol=0.01)
    assert np.asarray(mask.dataobj).sum() == brain.sum()


@pytest.mark.parametrize('most', [2_000, 20_000])
def test_large_image_becomes_coarser(most, taken):
    view = read_view(taken.image)
    brain = read_overlay(taken.mask, like=view).values
    stack = embed('T1w', view, mask=brain, most=most)
    image, mask = unpack(stack.image), unpack(stack.mask)
    assert image.shape == mask.shape
    assert most / 8 < np.prod(image.shape) <= most
    centres = [
        nib.affines.apply_affine(a, np.argwhere(m).mean(axis=0))
        for a, m in ((mask.affine, np.asarray(mask.dataobj)), (view.affine, brain))
    ]
    assert np.allclose(*centres, atol=max(image.header.get_zooms()) / 2)


def test_labels_keep_their_numbers(taken):
    view = read_view(taken.image)
    labels = np.zeros(view.values.shape, dtype=np.uint16)
    labels[20:40, 20:40, 10:30] = 345
    legend = list_labels(View(labels, view.affine), {345: 'a </script> name'})
    stack = embed('T1w', view, labels=labels, legend=legend)
    assert set(np.unique(np.asarray(unpack(stack.labels).dataobj))) == {0, 345}
    colours = stack.to_dict()['legend']
    assert colours['I'] == [0, 345]
    assert colours['labels'] == ['', 'a </script> name']
    assert len({len(values) for values in colours.values()}) == 1


def test_page_holds_the_images_and_no_address(taken, tmp_path):
    view = read_view(taken.image)
    labels = (view.values > 100).astype(np.uint16)
    legend = list_labels(View(labels, view.affine), {1: 'a </script><b> name'})
    stack = embed('<T1w>', view, labels=labels, legend=legend)
    page = tmp_path / 'v.html'
    facts = StudyFacts('sub-01', 'complete')
    script = tmp_path / 'assets/niivue.js'
    write_viewer(facts, [stack], page, script=script, page=tmp_path / 'r.html')
    text = page.read_text()
    assert '&lt;T1w&gt;' in text
    assert '</script><b>' not in text
    assert 'src="assets/niivue.js"' in text
    assert 'href="r.html"' in text
    assert not re.search(r'(src|href)="(https?:)?//', text)
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert json.loads(data[1])[0]['legend']['labels'][1] == 'a </script><b> name'


def test_report_leads_to_the_viewer_and_back(package, tmp_path):
    pytest.importorskip('bids')
    from reported_study import make_study
    from test_reports import check

    from mrrate_bids.reports.study import write_study_report

    made = make_study(tmp_path / 'study')
    path = write_study_report(made.study, made.places, atlas=made.atlas)
    viewer = path.with_name('sub-01_ses-1_viewer.html')
    assert viewer.name in {link.get('href') for link in check(path).all('a')}
    assert path.name in {link.get('href') for link in check(viewer).all('a')}
    assert {script.get('src') for script in check(viewer).all('script')} >= {
        'assets/niivue-1.2.js'
    }
    (package / 'static/widget.js').unlink()
    write_study_report(made.study, made.places, atlas=made.atlas)
    assert viewer.name not in path.read_text()
    assert not viewer.exists()
