"""The report of a study: what it knows, what it shows, and that it opens from disk."""

import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image

pytest.importorskip('bids')

import reported_study

from mrrate_bids.app.options import Options
from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Series, Study
from mrrate_bids.errors import DestinationError
from mrrate_bids.problems import Problem
from mrrate_bids.reports.facts import read_facts
from mrrate_bids.reports.measures import Measure, compare_series, read_measures
from mrrate_bids.reports.methods import describe_methods
from mrrate_bids.reports.pages import link
from mrrate_bids.reports.places import find_thumbnail
from mrrate_bids.reports.study import report_path, write_study_report

LOADS = {'src', 'href', 'poster', 'data', 'srcset'}


class Page(HTMLParser):
    """What a page loads, links and says."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.text = path.read_text(encoding='utf-8')
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def said(self):
        return ' '.join(' '.join(self.words).split())


def check(path: Path) -> Page:
    """Parse a page; everything it names lies next to it, and every picture says what it shows."""
    page = Page(path)
    for tag, attributes in page.tags:
        for name in LOADS & attributes.keys():
            address = attributes[name]
            assert not re.match(r'[a-z]+:|/', address) or address == 'data:,', (tag, address)
            if address.startswith('#'):
                assert address[1:] in {a.get('id') for _, a in page.tags}, address
            elif address != 'data:,':
                assert (path.parent / unquote(address)).is_file(), address
    assert all(len(image.get('alt', '')) > 10 for image in page.all('img'))
    assert all(int(i['width']) > 0 and int(i['height']) > 0 for i in page.all('img'))
    assert 'url(' not in page.text
    assert '@import' not in page.text
    ids = [attributes['id'] for _, attributes in page.tags if 'id' in attributes]
    assert len(ids) == len(set(ids))
    return page


@pytest.fixture(scope='module')
def shared(tmp_path_factory):
    """Return a study that no test may change."""
    return reported_study.make_study(tmp_path_factory.mktemp('shared'))


@pytest.fixture
def made(shared, tmp_path):
    """Return a copy of the study that a test may change."""
    root = shared.places.root.parent
    shutil.copytree(root, tmp_path / 'copy')

    def moved(path: Path) -> Path:
        return tmp_path / 'copy' / path.relative_to(root)

    series = tuple(Series(moved(one.image), one.inside) for one in shared.study.series)
    study = Study(shared.study.subject, shared.study.session, series, series[0])
    places = Places(moved(shared.places.root), shared.places.options)
    atlas = shared.atlas._replace(image=moved(shared.atlas.image))
    return reported_study.Made(study, places, atlas)


# The page


def test_page_of_a_whole_study(made):
    path = write_study_report(made.study, made.places, atlas=made.atlas)
    assert (
        path
        == made.places.root / 'reports/sub-01_ses-1.html'
        == report_path(made.places, 'sub-01/ses-1')
    )
    thumbnail = find_thumbnail(path.parent, 'sub-01/ses-1')
    with Image.open(path.parent / thumbnail) as small:
        assert max(small.size) == 240
    page = check(path)
    titles = [section['id'] for section in page.all('section')]
    assert titles == [
        'results',
        'quality',
        'masks',
        'defacing',
        'faces',
        'coreg',
        'atlas',
        'segmentation',
        'methods',
        'versions',
    ]
    assert 'complete' in page.said
    assert 'This page shows faces' in page.said
    assert len(page.all('img')) == 2 + 4 + 4 + 2 + 2 + 1
    assert [tag for tag, _ in page.tags].count('h1') == 1


def test_report_is_small_and_the_same_each_time(made):
    path = write_study_report(made.study, made.places, atlas=made.atlas)
    folder = path.parent
    before = {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()}
    assert sum(len(data) for p, data in before.items() if 'assets' not in p.parts) < 5_000_000
    write_study_report(made.study, made.places, atlas=made.atlas)
    assert {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()} == before


def test_outlier_is_marked(made):
    page = check(write_study_report(made.study, made.places, atlas=made.atlas))
    rows = [r for r in re.findall(r'<tr>.*?</tr>', page.text, re.DOTALL) if 'outlier' in r]
    assert len(rows) == 2
    assert 'Sharpness' in rows[0]
    assert '1.10' in rows[0]
    assert 'at least 1.30' in rows[0]
    assert 'went astray' in rows[1]


def test_legend_names_the_labels(made):
    page = check(write_study_report(made.study, made.places, atlas=made.atlas))
    legend = re.search(r'<ul class="legend">.*?</ul>', page.text, flags=re.DOTALL)
    assert legend
    assert legend[0].count('class="swatch"') == 2
    assert 'mL' in legend[0]


def test_study_without_sessions(tmp_path):
    made = reported_study.make_study(tmp_path, session='', template='NoSuchTemplate')
    path = write_study_report(made.study, made.places)
    assert path.name == 'sub-01.html'
    page = check(path)
    assert 'sub-01' in page.said
    assert 'template is not on this machine' in page.said


def test_faces_are_left_out_when_asked(made):
    path = write_study_report(made.study, made.places, atlas=made.atlas)
    assert list(path.parent.glob('figures/*/*before*'))
    write_study_report(made.study, made.places, atlas=made.atlas, faces=False)
    page = check(path)
    assert 'shows faces' not in page.said
    assert not list(path.parent.glob('figures/*/*before*'))
    assert list(path.parent.glob('figures/*/*after*'))


def test_images_whose_face_was_never_taken_away_are_announced(made):
    for one in made.study.series:
        for kind in ('defaced-image', 'defacing-mask'):
            made.places.target(made.study, one, kind).unlink()
    page = check(write_study_report(made.study, made.places, atlas=made.atlas))
    assert 'This page shows faces: T1w, T2w.' in page.said


# What goes wrong


def test_failed_study(tmp_path):
    image = tmp_path / 'bids/sub-01/anat/sub-01_T1w.nii.gz'
    one = Series(image, 'sub-01/anat/sub-01_T1w.nii.gz')
    study = Study('sub-01', '', (one,), one)
    places = Places(tmp_path / 'out', Options())
    problem = Problem('error', 'sub-01_T1w.nii.gz: is constant', 'Leave it out.', study='sub-01')
    page = check(write_study_report(study, places, problems=[problem]))
    assert 'failed' in page.said
    assert 'is constant' in page.said
    assert 'Leave it out.' in page.said
    assert 'missing' in page.said
    assert not page.all('img')


def test_study_that_was_set_aside_before_anything_ran(tmp_path):
    problem = Problem('error', 'has no T1w that can be the centre', study='sub-02/ses-1')
    places = Places(tmp_path / 'out', Options())
    path = write_study_report('sub-02/ses-1', places, problems=[problem])
    assert path.name == 'sub-02_ses-1.html'
    assert 'has no T1w' in check(path).said


def test_receipt_says_what_failed(made):
    problem = Problem('warning', '3 results of other options stay', 'Run again.')
    reported_study.save_receipt(made.study, made.places, state='partial', problems=[problem])
    page = check(write_study_report(made.study, made.places, atlas=made.atlas))
    assert 'partial' in page.said
    assert '3 results of other options stay' in page.said


@pytest.mark.parametrize('kind', ['atlas-image', 'brain-mask', 'coreg-image', 'nvseg-brain'])
def test_broken_result_is_noted_and_the_rest_is_shown(kind, made):
    one = made.study.series[kind == 'coreg-image']
    path = made.places.target(made.study, one, kind)
    path.write_bytes(path.read_bytes()[:-20])
    page = check(write_study_report(made.study, made.places, atlas=made.atlas))
    assert 'not drawn' in page.said
    assert path.name in page.said
    assert len(page.all('img')) > 6


def test_result_on_another_grid_is_noted(made):
    path = made.places.target(made.study, made.study.centre, 'brain-mask')
    shutil.copy(made.places.target(made.study, made.study.centre, 'defacing-mask'), path)
    reported_study.write(
        made.study, made.study.centre, made.places, 'brain-mask', *_shifted(path, by=5.0)
    )
    page = check(write_study_report(made.study, made.places, atlas=made.atlas))
    assert 'does not lie on the grid' in page.said


def _shifted(path, *, by):
    import nibabel as nib
    import numpy as np

    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += by
    return np.asarray(image.dataobj), affine


def test_names_are_escaped(made):
    evil = '<script>alert("&")</script>'
    problem = Problem('error', f'{evil} is bad', f"' onload='{evil}")
    page = check(write_study_report(made.study, made.places, atlas=made.atlas, problems=[problem]))
    assert len(page.all('script')) == 1
    assert evil in page.said
    assert evil not in page.text


def test_odd_names_of_files(tmp_path):
    made = reported_study.make_study(tmp_path, subject='sub-a+2Db', session='ses-50%#?"&<b>')
    path = write_study_report(made.study, made.places, atlas=made.atlas)
    page = check(path)
    assert page.all('img')
    assert not page.all('b')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_folder_that_cannot_be_written(made):
    made.places.root.chmod(0o500)
    with pytest.raises(DestinationError):
        write_study_report(made.study, made.places)


def test_folder_that_is_a_file(made):
    (made.places.root / 'reports').write_text('')
    with pytest.raises(DestinationError):
        write_study_report(made.study, made.places)


# Facts


def test_facts_tell_where_results_came_from(made, tmp_path):
    centre = made.study.centre
    target = made.places.target(made.study, centre, 'brain-mask')
    elsewhere = tmp_path / 'elsewhere/mask.nii.gz'
    elsewhere.parent.mkdir()
    defacing = made.places.target(made.study, centre, 'defacing-mask').rename(elsewhere)
    given = {'brain-mask': target, 'defacing-mask': defacing}
    known = Series(centre.image, centre.inside, given)
    study = Study('sub-01', 'ses-1', (known, made.study.series[1]), known)
    facts = read_facts(study, made.places)
    results = facts.centre.results
    assert results['brain-mask'].origin == 'earlier'
    assert results['defacing-mask'].origin == 'given'
    assert results['defaced-image'].origin == 'computed'
    page = check(write_study_report(study, made.places, atlas=made.atlas))
    assert 'earlier run' in page.said
    assert 'other dataset' in page.said


def test_facts_of_the_shared_study(shared):
    facts = read_facts(shared.study, shared.places)
    assert facts.state == 'complete'
    assert facts.title == 'sub-01 ses-1'
    assert [one.short for one in facts.series] == ['T1w', 'T2w']
    assert facts.centre.path('defaced-image').name == 'sub-01_ses-1_desc-defaced_T1w.nii.gz'
    assert 'coreg-transform' not in facts.centre.results
    assert 'coreg-transform' in facts.series[1].results
    assert [str(tool) for tool in facts.tools['mrrate-defaced']] == ['deepbet 1.0']
    assert facts.outliers == 2


def test_methods_say_what_was_done(shared):
    facts = read_facts(shared.study, shared.places)
    methods = describe_methods(facts, shared.places.options)
    text = ' '.join(methods.paragraphs)
    assert 'deepbet 1.0' in text
    assert '8 mm' in text
    assert 'preset fast, random seed 42' in text
    assert 'MNI152NLin2009cSym' in text
    assert any('Fisch' in reference for reference in methods.references)
    assert not any('Isensee' in reference for reference in methods.references)


def test_methods_of_nothing(tmp_path):
    facts = read_facts('sub-01', Places(tmp_path, Options()))
    assert describe_methods(facts, Options()) == ([], [])


# Measures


def volumes(*values):
    return [Measure(f's{n}', 'brain-mask', 'BrainVolumeMl', v) for n, v in enumerate(values)]


@pytest.mark.parametrize(
    ('kind', 'key', 'bad', 'good'),
    [
        ('atlas-transform', 'AtlasBrainDice', 0.59, 0.6),
        ('atlas-transform', 'Sharpness', 1.29, 1.3),
        ('brain-mask', 'BrainVolumeMl', 199.0, 200.0),
        ('brain-mask', 'BrainVolumeMl', 2501.0, 2500.0),
        ('coreg-transform', 'BrainCovered', 0.89, 0.9),
        ('coreg-transform', 'BrainDice', 0.79, 0.8),
        ('coreg-transform', 'RotationDegrees', 46.0, 45.0),
        ('coreg-transform', 'Sharpness', 3.19, 3.2),
        ('defacing-mask', 'HeadRemoved', 0.61, 0.6),
    ],
)
def test_limits(kind, key, bad, good):
    marks = [read_measures('s', kind, {key: value})[0].is_outlier for value in (bad, good)]
    assert marks == [True, False]


def test_numbers_have_units():
    (one,) = read_measures('s', 'defacing-mask', {'HeadRemoved': 0.4188})
    assert (one.label, one.text, one.limit) == ('Head removed', '41.9 %', '0.5 to 60.0 %')
    (one,) = read_measures('s', 'coreg-transform', {'RotationDegrees': 22.347})
    assert (one.text, one.limit) == ('22.3°', 'at most 45.0°')


def test_unknown_numbers_are_shown_as_they_are():
    (one,) = read_measures('s', 'brain-mask', {'NewNumber': 1.25})
    assert (one.label, one.text, one.limit, one.is_outlier) == ('NewNumber', '1.25', '', False)


def test_usual_start_is_not_worth_a_word():
    assert read_measures('s', 'coreg-transform', {'Start': 'centres of mass'}) == []


def test_series_that_stands_out():
    marks = [m.is_outlier for m in compare_series(volumes(1400, 1390, 1000), apart=set())]
    assert marks == [False, False, True]


def test_two_series_say_nothing_of_each_other():
    assert not any(m.is_outlier for m in compare_series(volumes(1400, 600), apart=set()))


def test_carried_masks_are_not_compared():
    found = compare_series(volumes(1400, 1390, 1380, 700), apart={'s3'})
    assert not any(m.is_outlier for m in found)


@pytest.mark.parametrize('name', sorted(['a b', 'a#b', 'a%b', 'a?b', 'sub-a+2Db', 'ä"<']))
def test_links_lead_back_to_the_file(name):
    folder = Path('/out/reports')
    assert Path(unquote(link(folder / 'x' / name, folder))) == Path('x') / name
