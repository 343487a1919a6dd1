"""What a report shows of heads whose faces must not be seen, and what it says of others."""

import json
import re
import resource
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip('bids')

import reported_study
from test_reports import check

from mrrate_bids.app.ledger import Ledger
from mrrate_bids.app.places import Places
from mrrate_bids.errors import DestinationError
from mrrate_bids.reports.facts import read_facts
from mrrate_bids.reports.places import find_pages
from mrrate_bids.reports.study import write_study_report
from mrrate_bids.sidecars import sidecar_path

HAS_VIEWER = bool(find_spec('ipyniivue'))


@pytest.fixture
def made(tmp_path):
    """Return a study of which everything is defaced."""
    return reported_study.make_study(tmp_path)


def report(made, *, faces):
    """Write the report; return its page, and that of the viewer where there is one."""
    path = write_study_report(made.study, made.places, atlas=made.atlas, faces=faces)
    viewer = path.with_name(f'{path.stem}_viewer.html')
    return check(path), check(viewer) if viewer.exists() else None


def target(made, kind, series=0):
    return made.places.target(made.study, made.study.series[series], kind)


def undo(made, *kinds, series=(0, 1)):
    """Remove results of a study."""
    for number in series:
        for kind in kinds:
            target(made, kind, number).unlink(missing_ok=True)


def show_face(made, kind, series):
    """Make a result one of the image with its face."""
    one = made.study.series[series]
    sidecar = Path(sidecar_path(str(target(made, kind, series))))
    content = json.loads(sidecar.read_text()) | {'Sources': [f'bids:raw:{one.inside}']}
    sidecar.write_text(json.dumps(content))


def stacks(viewer):
    """Return what can be chosen in the viewer."""
    return re.findall(r'<option value="\d+">(.*?)</option>', viewer.text)


def figures(made):
    folder = made.places.root / 'reports/figures/sub-01_ses-1'
    return {path.name.removeprefix('sub-01_ses-1_') for path in folder.glob('*.png')}


# What is hidden


def test_all_that_is_defaced_is_shown(made):
    page, viewer = report(made, faces=False)
    assert figures(made) == {
        'thumbnail.png',
        'T1w_mask.png',
        'T2w_mask.png',
        'T1w_after.png',
        'T2w_after.png',
        'T1w_face-after.png',
        'T2w_face-after.png',
        'T1w_labels.png',
        'T2w_coreg-fixed.png',
        'T2w_coreg.png',
        'T1w_atlas-fixed.png',
        'T1w_atlas.png',
    }
    assert 'shows faces' not in page.said
    assert 'is hidden' not in page.said
    assert not HAS_VIEWER or 'shows faces' not in viewer.said


@pytest.mark.parametrize(
    ('kind', 'series', 'gone', 'name'),
    [
        (
            'atlas-image',
            0,
            {'T1w_atlas-fixed.png', 'T1w_atlas.png'},
            'T1w in the space of the atlas',
        ),
        ('coreg-image', 1, {'T2w_coreg-fixed.png', 'T2w_coreg.png'}, 'co-registered T2w'),
        ('nvseg-brain', 0, {'T1w_labels.png'}, 'segmentation of T1w'),
    ],
)
def test_what_was_made_with_the_face_is_hidden(kind, series, gone, name, made):
    report(made, faces=False)
    before = figures(made)
    show_face(made, kind, series)
    page, viewer = report(made, faces=False)
    assert before - figures(made) == gone
    assert f'is hidden, for nothing says that it was made without a face: {name}.' in page.said
    if HAS_VIEWER:
        stack = json.loads(re.search(r'id="data">(.*?)</script>', viewer.text)[1])[0]
        assert bool(stack['labels']) == (kind != 'nvseg-brain')


def test_nothing_of_a_head_that_was_never_defaced_is_shown(made):
    undo(made, 'defaced-image', 'defacing-mask')
    for kind, series in (('atlas-image', 0), ('coreg-image', 1), ('nvseg-brain', 0)):
        show_face(made, kind, series)
    report(made, faces=True)
    assert figures(made)
    page, viewer = report(made, faces=False)
    assert figures(made) == set()
    assert viewer is None
    assert not page.all('img')
    names = 'T1w, T2w, co-registered T2w, T1w in the space of the atlas'
    assert f'made without a face: {names}.' in page.said
    assert 'shows faces' not in page.said


def test_one_series_that_was_not_defaced(made):
    undo(made, 'defaced-image', series=(1,))
    page, viewer = report(made, faces=False)
    shown = {name for name in figures(made) if name.startswith('T2w')}
    assert shown == {'T2w_coreg-fixed.png', 'T2w_coreg.png'}
    assert 'is hidden, for nothing says that it was made without a face: T2w.' in page.said
    assert not HAS_VIEWER or stacks(viewer) == ['T1w']


def test_defaced_image_that_cannot_be_read_shows_nothing_else(made):
    path = target(made, 'defaced-image')
    path.write_bytes(path.read_bytes()[:-20])
    page, viewer = report(made, faces=False)
    assert 'not drawn' in page.said
    assert not {name for name in figures(made) if name.startswith('T1w') and 'atlas' not in name}
    assert not HAS_VIEWER or stacks(viewer) == ['T2w']


@contextmanager
def no_room():
    """Let no file become larger than a kilobyte."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_face_stays_where_the_report_cannot_be_written(made):
    report(made, faces=True)
    folder = made.places.root / 'reports'
    with no_room(), pytest.raises(DestinationError):
        write_study_report(made.study, made.places, atlas=made.atlas, faces=False)
    left = [path for path in folder.rglob('*') if path.is_file() and 'assets' not in path.parts]
    assert left == []


@pytest.mark.parametrize('faces', [False, True])
def test_no_picture_is_left_without_its_page(faces, made):
    page = made.places.root / 'reports/sub-01_ses-1.html'
    page.mkdir(parents=True)
    with pytest.raises(DestinationError, match='folder where a file should be'):
        write_study_report(made.study, made.places, atlas=made.atlas, faces=faces)
    assert figures(made) == set()
    assert not page.with_name('sub-01_ses-1_viewer.html').exists()


def test_nothing_is_half_written_where_there_is_no_room(made):
    report(made, faces=True)
    folder = made.places.root / 'reports'
    before = {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()}
    with no_room(), pytest.raises(DestinationError, match='file of this size'):
        write_study_report(made.study, made.places, atlas=made.atlas, faces=True)
    assert {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()} == before


def test_image_of_a_release_has_no_picture_from_before(made):
    """Its face was taken away before it was published: it is its own defaced image."""
    undo(made, 'defaced-image')
    given = [replace(one, given={'defaced-image': one.image}) for one in made.study.series]
    study = replace(made.study, series=tuple(given), centre=given[0])
    page, _ = report(made._replace(study=study), faces=True)
    assert 'shows faces' not in page.said
    assert not [name for name in figures(made) if 'before' in name]


# What is said


def test_pages_with_pictures_from_before_say_so(made):
    page, viewer = report(made, faces=True)
    assert 'This page shows faces: T1w before defacing, T2w before defacing.' in page.said
    assert not HAS_VIEWER or 'shows faces' not in viewer.said


def test_pages_of_heads_that_were_never_defaced_say_so(made):
    undo(made, 'defaced-image', 'defacing-mask')
    show_face(made, 'coreg-image', 1)
    page, viewer = report(made, faces=True)
    assert 'This page shows faces: T1w, T2w, co-registered T2w.' in page.said
    assert not HAS_VIEWER or 'This page shows faces: T1w, T2w.' in viewer.said


def test_registered_image_with_a_face_is_announced(made):
    show_face(made, 'atlas-image', 0)
    page, _ = report(made, faces=True)
    assert 'T1w in the space of the atlas.' in page.said


@pytest.mark.parametrize('faces', [True, False])
@pytest.mark.parametrize('has_mask', [True, False])
def test_the_cut_is_spoken_of_where_it_is_drawn(faces, has_mask, made):
    if not has_mask:
        undo(made, 'defacing-mask')
    page, _ = report(made, faces=faces)
    assert ('The line is the cut' in page.said) == (faces and has_mask)
    assert ('with the cut' in page.text) == (faces and has_mask)
    assert 'Beyond the cut nothing may be left afterwards.' in page.said


def test_page_says_in_its_head_whether_it_shows_faces(made):
    report(made, faces=True)
    reports = made.places.root / 'reports'
    assert find_pages(reports, faces=True) == {'sub-01_ses-1.html'}
    assert find_pages(reports, faces=False) == set()
    report(made, faces=False)
    assert find_pages(reports, faces=False) == {'sub-01_ses-1.html'}


# What is outdated


def run_with(made, *steps):
    return Places(made.places.root, replace(made.places.options, steps=steps))


def record(made, places, *kinds):
    """Note what a run with these options wrote."""
    found = {}
    for one in made.study.series:
        for kind in kinds:
            path = places.target(made.study, one, kind)
            if path.exists():
                found[path] = (kind, one.suffix)
    Ledger(places).record(made.study, found, [])


def test_results_that_a_run_would_compute_anew_are_marked(made):
    record(made, run_with(made, 'mask', 'coreg'), 'brain-mask', 'coreg-image', 'coreg-transform')
    later = run_with(made, 'mask', 'deface')
    record(made, later, 'brain-mask', 'defacing-mask', 'defaced-image')
    origins = {
        kind: r.origin for kind, r in read_facts(made.study, later).series[1].results.items()
    }
    assert origins['coreg-image'] == 'outdated'
    assert origins['coreg-transform'] == origins['defaced-image'] == 'computed'
    page = check(write_study_report(made.study, later, atlas=made.atlas))
    row = re.search(r'<tr><th scope="row">T2w.*?</tr>', page.text, re.DOTALL)[0]
    assert '<td class="missing">outdated</td>' in row
    (card,) = re.findall(r'<h3>T2w</h3><p>[^<]*</p></figcaption>\s*<div class="stack"', page.text)
    assert 'Outdated: a run with these options would compute it anew.' in card


def test_numbers_of_outdated_results_are_marked(made):
    before = run_with(made, 'mask', 'coreg')
    record(made, before, 'brain-mask', 'coreg-image', 'coreg-transform')
    other = Places(made.places.root, replace(before.options, seed=7))
    page = check(write_study_report(made.study, other, atlas=made.atlas))
    assert re.search(r'4\.20\s*<span class="note">outdated</span>', page.text)
    assert '<td class="missing">outdated</td>' in page.text


def test_pages_of_further_templates_go_when_the_first_is_written_anew(made):
    """They are written after it, where they are asked for; else they may show what is hidden."""
    extra = replace(made.places, is_extra=True)
    page = write_study_report(made.study, extra, atlas=made.atlas)
    assert page.name == f'sub-01_ses-1_space-{extra.options.template}.html'
    figures = page.parent / 'figures' / page.stem
    assert list(figures.glob('*.png'))
    first = write_study_report(made.study, made.places, atlas=made.atlas, faces=False)
    assert not page.exists()
    assert list(figures.glob('*.png')) == []
    assert first.is_file()
