"""The group level on what a real run left, and its page in a real browser."""

import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape

import pytest
import small_bids
from small_results import write_receipt, write_study

from mrrate_bids.group.report import write_group
from mrrate_bids.tables import read_tsv

BROWSERS = ('chromium', 'chromium-browser', 'chromium-headless-shell', 'google-chrome')
HEAVY = {'ants', 'bids', 'jinja2', 'matplotlib', 'nibabel', 'nipype', 'pandas', 'torch'}

ACTIONS = """<script>
addEventListener('load', () => {
  const rows = () => [...document.querySelectorAll('tbody tr')].map(
    (row) => row.querySelector('th').textContent);
  const click = (selector) => document.querySelector(selector).click();
  const ask = (name, value) => {
    const field = document.querySelector(`[name=${name}]`);
    if (field.type === 'checkbox') field.checked = value; else field.value = value;
    field.dispatchEvent(new Event('input', {bubbles: true}));
  };
  const heading = (title) => [...document.querySelectorAll('thead button')].find(
    (button) => button.textContent.includes(title));
  const where = () => document.getElementById('where').textContent;
  const said = {start: rows(), where: where()};
  click('[data-step="1"]'); said.next = [rows()[0], where()];
  click('[data-step="-1"]');
  heading('Study').click(); said.sorted = rows().slice(0, 3);
  heading('Study').click(); said.turned = rows().slice(0, 3);
  heading('sharpness').click(); said.high = rows()[0];
  heading('sharpness').click(); said.low = rows()[0];
  said.sort = document.querySelectorAll('th[aria-sort=ascending]').length;
  ask('text', 'SUB-7 t2w'); said.search = [rows().length, where()];
  ask('text', 'no such'); said.nothing = [rows().length, where()];
  ask('text', ''); ask('outlier', true); said.outliers = rows();
  ask('outlier', false); ask('suffix', '0'); said.suffix = where();
  click('[data-choose=failed]'); said.failed = rows();
  said.wide = document.documentElement.scrollWidth > innerWidth;
  document.documentElement.dataset.said = JSON.stringify(said);
});
</script>"""


@pytest.fixture(scope='module')
def computed(tmp_path_factory):
    """Return the results of a run that takes masks and defaces; one of its studies fails."""
    for name in ('bids', 'nipype'):
        pytest.importorskip(name)
    root = tmp_path_factory.mktemp('computed')
    bids = small_bids.make_bids(root / 'bids')
    masks = small_bids.make_masks(root / 'masks')
    (bids / 'sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz').write_bytes(b'no image')
    steps = ('--steps', 'mask,deface', '--brain-extractor', 'derivatives', '-d', masks)
    arguments = ('run', bids, root / 'out', 'participant', *steps, '-w', root / 'work')
    done = small_bids.call(*arguments, env=small_bids.clean_environment(), cwd=root)
    assert done.returncode == 3, done.stdout + done.stderr
    return root / 'out'


def test_a_real_run(computed):
    page = write_group(computed)
    rows = read_tsv(page.with_name('group.tsv'))
    told = [(row['participant_id'], row['suffix'], row['state']) for row in rows]
    complete = [('sub-01', suffix, 'complete') for suffix in ('FLAIR', 'T1w', 'T2w')]
    assert told == [*complete, ('sub-02', '', 'failed')]
    assert {row['manufacturer'] for row in rows[:3]} == {'ACME'}
    assert 'sub-02' in rows[3]['problems']
    for row in rows[:3]:
        sidecar = computed / 'mrrate-defaced/sub-01/ses-1/anat'
        name = f'sub-01_ses-1_mod-{row["suffix"]}_space-orig_defacemask.json'
        quality = json.loads((sidecar / name).read_text())['QualityControl']
        assert float(row['deface_head_removed']) == quality['HeadRemoved'] > 0
    assert 'sub-02' in page.read_text(encoding='utf-8')


def test_modules_load_nothing_heavy():
    code = f'import sys, mrrate_bids.group.report;print(sorted({HEAVY!r} & set(sys.modules)))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


@pytest.fixture(scope='module')
def browser():
    named = os.environ.get('MRRATE_BIDS_CHROMIUM')
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip('no Chromium (MRRATE_BIDS_CHROMIUM names one)')
    return found


def browse(browser, page, tmp_path, width):
    """Open a page and do what a user does; return what was seen, and the console."""
    source = page.read_text(encoding='utf-8').replace('</body>', f'{ACTIONS}</body>')
    opened = page.with_name('opened.html')
    opened.write_text(source, encoding='utf-8')
    flags = ('--headless', '--no-sandbox', '--disable-gpu', f'--user-data-dir={tmp_path / "p"}')
    more = (f'--window-size={width},900', '--enable-logging=stderr', '--dump-dom')
    command = [browser, *flags, *more, opened.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    said = re.search(r'data-said="([^"]*)"', done.stdout)
    assert said, done.stderr
    console = [line for line in done.stderr.splitlines() if 'CONSOLE' in line]
    return json.loads(unescape(said[1])), console


@pytest.mark.parametrize('width', [1280, 500])  # no window of Chromium is smaller than 500
def test_page_in_a_browser(width, browser, tmp_path):
    out = tmp_path / 'out'
    for number in range(1, 71):
        sharpness = {3: 1.0, 4: 9.0}.get(number, 4.5 + number / 1000)
        write_study(out, f'sub-{number}', sharpness)
    write_study(out, 'sub-71', suffix='FLAIR')
    write_receipt(out, 'sub-80', [], 'failed', ['it failed'])
    said, console = browse(browser, write_group(out), tmp_path, width)
    assert console == []
    assert said['start'][:2] == ['sub-3', 'sub-1']
    assert (len(said['start']), said['where']) == (50, '1 to 50 of 72')
    assert said['next'][1] == '51 to 72 of 72'
    assert said['next'][0] not in said['start']
    assert said['sorted'] == ['sub-1', 'sub-2', 'sub-3']
    assert said['turned'] == ['sub-80', 'sub-71', 'sub-70']
    assert (said['high'], said['low'], said['sort']) == ('sub-4', 'sub-3', 1)
    assert said['search'] == [2, '1 to 2 of 2']
    assert said['nothing'] == [0, 'nothing found']
    assert said['outliers'] == ['sub-3']
    assert said['suffix'] == '1 to 1 of 1'
    assert said['failed'] == ['sub-80']
    assert said['wide'] is False
