"""The page holds everything, asks nobody, and no text of the data is taken for markup."""

import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from small_results import image_of, write_problems, write_raw, write_receipt, write_study

from mrrate_bids.group.report import write_group

EVIL = '</script><script>alert(1)</script><img src=//x onerror=alert(2)>"\'&'
ADDRESSES = {'src', 'href', 'srcset', 'data', 'action', 'poster', 'style'}


class Page(HTMLParser):
    """Elements, addresses and text of a page."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.texts, self.stack, self.text = [], {}, [], ''
        self.source = path.read_text(encoding='utf-8')
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag in self.stack:
            while self.stack.pop() != tag:
                pass

    def handle_data(self, data):
        inside = self.stack[-1] if self.stack else ''
        self.texts[inside] = self.texts.get(inside, '') + data
        if inside not in {'script', 'style'}:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def data(self):
        text = re.search(r'<script type="application/json" id="data">(.*?)</script>', self.source)
        return json.loads(text[1])


def page_of(out, bids=None):
    return Page(write_group(out, bids))


@pytest.fixture
def out(tmp_path):
    for number in range(80):
        write_study(tmp_path, f'sub-{number:02d}/ses-1', 1.0 if number == 33 else 4.5)
    write_receipt(tmp_path, 'sub-99', [], 'failed', ['it cannot be read'])
    return tmp_path


def figure(out, study, name='thumbnail.png'):
    path = out / 'reports' / 'figures' / study / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b'x')


def test_nothing_is_fetched(out):
    page = page_of(out)
    for tag, attributes in page.elements:
        for name in ADDRESSES & attributes.keys():
            assert urlsplit(attributes[name] or '').scheme in {'', 'data'}, (tag, attributes)
    assert not re.search(r'https?:|//[a-z]', page.source.partition('<main>')[0])
    code = page.texts['style'] + page.source.rpartition('<script>')[2]
    assert not re.search(r'@import|url\(|fetch\(|XMLHttpRequest|import\(|https?:', code)
    assert not [1 for tag, _ in page.elements if tag in {'link', 'iframe', 'object', 'embed'}]
    (policy,) = [a['content'] for a in page.all('meta') if 'content' in a and 'http-equiv' in a]
    assert policy.startswith("default-src 'none';")


def test_the_worst_come_first(out):
    page = page_of(out)
    cards = re.findall(r'<h3>\s*(\S+)\s*</h3>', page.source)
    assert len(cards) == 60
    assert cards[0] == 'sub-33/ses-1'
    assert 'T2w: Co-registration: sharpness 1' in page.text
    assert page.text.count('nothing unusual') == 59
    studies = page.data['columns'][0]
    shown = [studies['levels'][code] for code in studies['values'][:2]]
    assert shown == ['sub-33/ses-1', 'sub-00/ses-1']
    assert studies['levels'][studies['values'][-1]] == 'sub-99'


def test_pages_and_thumbnails_are_linked_where_they_are(out):
    figure(out, 'sub-33_ses-1')
    figure(out, 'sub-34_ses-1')
    (out / 'reports' / 'sub-33_ses-1.html').write_text('x')
    page = page_of(out)
    pictures = [image for image in page.all('img') if 'data:' not in image['src']]
    assert [image['src'] for image in pictures] == [
        'figures/sub-33_ses-1/thumbnail.png',
        'figures/sub-34_ses-1/thumbnail.png',
    ]
    assert all(image['loading'] == 'lazy' and image['alt'] for image in page.all('img'))
    assert [a['href'] for a in page.all('a') if 'sub-' in a['href']] == ['sub-33_ses-1.html']
    assert page.text.count('no thumbnail') == 58


def test_page_with_thumbnails_that_show_faces_says_so(out):
    figure(out, 'sub-33_ses-1')
    assert 'shows faces' not in page_of(out).text
    figure(out, 'sub-34_ses-1', 'thumbnail_face.png')
    page = page_of(out)
    assert 'This page shows faces: thumbnails of 1 study' in ' '.join(page.text.split())
    assert [1 for image in page.all('img') if image['src'].endswith('thumbnail_face.png')]


def test_no_face_is_shown_where_faces_are_hidden(out):
    """Pages and thumbnails of runs that showed faces lie there still."""
    figure(out, 'sub-33_ses-1')
    figure(out, 'sub-34_ses-1', 'thumbnail_face.png')
    for study, said in (('sub-33_ses-1', 'none'), ('sub-34_ses-1', 'shown'), ('sub-35_ses-1', '')):
        head = f'<head><meta name="faces" content="{said}">' if said else '<head>'
        (out / 'reports' / f'{study}.html').write_text(head)
    write_group(out)
    page = Page(write_group(out, faces=False))
    assert 'thumbnail_face' not in page.source
    assert 'sub-34_ses-1.html' not in page.source
    assert 'sub-35_ses-1.html' not in page.source
    assert 'shows faces' not in page.text
    assert 'With --hide-faces, 1 thumbnail and 2 pages are left out' in ' '.join(page.text.split())
    assert [a['href'] for a in page.all('a') if 'sub-' in a['href']] == ['sub-33_ses-1.html']
    assert [i['src'] for i in page.all('img') if 'thumbnail' in i['src']] == [
        'figures/sub-33_ses-1/thumbnail.png'
    ]


def test_links_lead_somewhere_whatever_the_name(tmp_path):
    study = 'sub-a+2Db/ses-50%25#1?'
    write_study(tmp_path, study)
    figure(tmp_path, study.replace('/', '_'))
    (tmp_path / 'reports' / f'{study.replace("/", "_")}.html').write_text('x')
    page = page_of(tmp_path)
    links = [a['href'] for a in page.all('a')] + [i['src'] for i in page.all('img')]
    links += page.data['columns'][0]['links']
    local = [link for link in links if not link.startswith(('#', 'data:'))]
    assert len(local) == 6
    for link in local:
        parts = urlsplit(link)
        assert not parts.query and not parts.fragment
        assert (tmp_path / 'reports' / unquote(parts.path)).is_file()


def test_study_that_failed_is_listed(out):
    write_problems(out, ('sub-98/ses-2', 'has no T1w'))
    (out / 'reports').mkdir()
    (out / 'reports' / 'sub-99.html').write_text('x')
    page = page_of(out)
    assert [a['href'] for a in page.all('a') if 'sub-' in a['href']] == ['sub-99.html']
    told = ' '.join(page.text.split())
    assert 'failed sub-98/ses-2 has no T1w' in told
    assert 'failed sub-99 it cannot be read' in told
    assert '2 failed' in told
    assert '82 studies' in page.texts['title']


def test_many_unfinished_studies_are_told_in_the_table_only(tmp_path):
    for number in range(130):
        write_receipt(tmp_path, f'sub-{number}', [], 'failed', [f'reason {n}' for n in range(9)])
    page = page_of(tmp_path)
    assert page.source.count('class="state failed"') == 100
    assert 'and 30 more' in page.text
    assert 'and 6 more problems' in page.text
    assert 'No study has a result' in page.text
    assert page.data['rows'] == 130


def test_no_text_is_taken_for_markup(tmp_path):
    scanner = {'Manufacturer': EVIL, 'ManufacturersModelName': EVIL}
    bids = write_raw(tmp_path / 'bids', scanner=scanner)
    clean = page_of_study(tmp_path / 'clean', 'sub-1', 'problem', bids)
    dirty = page_of_study(tmp_path / 'dirty', f'sub-{EVIL.replace("/", "")}', EVIL, bids)
    assert [tag for tag, _ in clean.elements] == [tag for tag, _ in dirty.elements]
    assert dirty.text.count(EVIL) == 3  # the problem, and both parts of the scanner
    levels = [level for column in dirty.data['columns'] for level in column.get('levels', ())]
    assert EVIL in levels


def page_of_study(out, study, problem, bids):
    write_study(out, study, state='partial', problems=[problem])
    return page_of(out, bids)


def test_same_results_give_the_same_bytes(out):
    first = page_of(out).source
    stamp = (out / 'reports' / 'group.html').stat().st_mtime_ns
    assert page_of(out).source == first
    assert (out / 'reports' / 'group.html').stat().st_mtime_ns == stamp


def test_every_text_of_the_table_is_in_the_page_once(out):
    problem = 'a problem of a study ' * 20
    results = []
    write_receipt(out, 'sub-97', results, 'failed', [problem])
    assert page_of(out).source.count(problem.strip()) == 2  # in the list, and in the table


def test_result_without_numbers(tmp_path):
    from small_results import write_result

    write_receipt(tmp_path, 'sub-1', [write_result(tmp_path, image_of('sub-1'), 'coreg-image')])
    page = page_of(tmp_path)
    assert 'No result has a number' in page.text
    assert 'nothing unusual' in page.text
