"""The template comes from TEMPLATEFLOW_HOME or the network, whole and on its grid, or not at all.

TemplateFlow reads its variables when it is imported: what depends on them runs in a process of
its own, on a folder that holds the empty files of one template.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrrate_bids.computing.template import parse_template
from mrrate_bids.errors import UsageError

NAME = 'MNI152NLin2009cSym'
SHAPE, AFFINE = (193, 229, 193), nib.affines.from_matvec(np.eye(3), (-96, -132, -78))
NO_NETWORK = {f'{scheme}_PROXY': 'http://127.0.0.1:9' for scheme in ('HTTP', 'HTTPS')}

ASK = """
import json, sys
from mrrate_bids.computing.template import fetch_template
from mrrate_bids.errors import MrRateError
answers = []
for call in json.load(sys.stdin):
    try:
        exec(call.pop('before', ''))
        found = fetch_template(**call)
        answers.append(dict(found._asdict(), image=str(found.image),
                            brain=found.brain and str(found.brain)))
    except MrRateError as error:
        answers.append({'error': type(error).__name__, 'message': str(error),
                        'hint': error.hint, 'code': error.exit_code})
print(json.dumps(answers))
"""

FORBID = """
import socket
def forbidden(*args, **kwargs):
    raise AssertionError('the network was asked')
socket.socket.connect = socket.getaddrinfo = forbidden
"""

SERVE = """
import requests
class Response:
    status_code, headers = {status}, {{'content-length': '{length}'}}
    def iter_content(self, size):
        yield {data!r}
        {then}
requests.get = lambda url, **kwargs: Response()
"""


def ask(home, *calls, **environment):
    """Return what each call of fetch_template gives; nothing else may be printed."""
    clean = {k: v for k, v in os.environ.items() if not k.upper().endswith('_PROXY')}
    clean |= NO_NETWORK | {'TEMPLATEFLOW_HOME': str(home)} | environment
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', ASK],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        check=False,
        env=clean,
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.count('\n') == 1
    return json.loads(done.stdout)


@pytest.fixture
def home(tmp_path):
    """Return a TEMPLATEFLOW_HOME with the empty files of one template."""
    (package,) = find_spec('templateflow').submodule_search_locations  # an import would unpack
    with zipfile.ZipFile(Path(package) / 'conf' / 'templateflow-skel.zip') as skeleton:
        ours = [name for name in skeleton.namelist() if name.startswith(f'tpl-{NAME}/')]
        skeleton.extractall(tmp_path / 'home', ours)
    return tmp_path / 'home'


def place(home, kind, name=NAME):
    endings = {'image': 'T1w', 'brain': 'desc-brain_mask'}
    return home / f'tpl-{name}' / f'tpl-{name}_res-1_{endings[kind]}.nii.gz'


def stage(path, shape=SHAPE, affine=AFFINE):
    nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), affine), path)
    return path


def test_staged_files_are_taken_without_network(home):
    image, brain = stage(place(home, 'image')), stage(place(home, 'brain'))
    answers = ask(home, {'before': FORBID}, {'name': NAME, 'resolution': 1, 'offline': True})
    expected = {'name': NAME, 'resolution': 1, 'image': str(image), 'brain': str(brain)}
    assert answers == [expected, expected]


NO_INDEX = """
from templateflow.conf.cache import TemplateFlowCache
def indexed(self):
    raise AssertionError('every template was indexed')
TemplateFlowCache.layout = property(indexed)
"""


def test_what_is_there_is_found_without_an_index_of_everything(home):
    for kind in ('image', 'brain'):
        stage(place(home, kind))
    (answer,) = ask(home, {'before': NO_INDEX, 'offline': True})
    assert answer['brain'] == str(place(home, 'brain'))
    place(home, 'brain').write_bytes(b'')  # stands for a file that is not there yet
    (answer,) = ask(home, {'offline': True})
    assert answer['message'] == f'{place(home, "brain")}: is not on this machine'


def test_template_without_mask(home):
    image = stage(place(home, 'image'))
    place(home, 'brain').unlink()
    (answer,) = ask(home, {'before': FORBID})
    assert (answer['image'], answer['brain']) == (str(image), None)


def test_folder_that_templateflow_has_just_made(tmp_path):
    home = tmp_path / 'new'
    stub, name, resolution, cohorts = ask(
        home,
        {},
        {'name': 'MNI152NLin2009cSymm'},
        {'name': 'MNI152NLin6Asym', 'resolution': 9},
        {'name': 'MNIInfant'},
    )
    assert (stub['error'], stub['code']) == ('ResourceError', 2)
    assert stub['message'] == (
        f'{place(home, "image")}: is not on this machine, and cannot be fetched (ProxyError)'
    )
    assert 'mrrate-bids resources fetch MNI152NLin2009cSym.' in stub['hint']
    assert 'TEMPLATEFLOW_HOME=DIR' in stub['hint']
    assert place(home, 'image').read_bytes() == b''
    assert {a['error'] for a in (name, resolution, cohorts)} == {'UsageError'}
    assert name['message'] == 'MNI152NLin2009cSymm: TemplateFlow has no such template'
    assert name['hint'].startswith('Did you mean MNI152NLin2009cSym,')
    assert resolution['hint'] == 'It has res-1, res-2, res-3, res-4, res-5.'
    assert cohorts['message'].startswith('MNIInfant: has 11 T1w images at res-1')


@pytest.mark.parametrize('missing', ['image', 'brain'])
def test_offline_never_asks_the_network(missing, home):
    for kind in {'image', 'brain'} - {missing}:
        stage(place(home, kind))
    (answer,) = ask(home, {'before': FORBID, 'offline': True})
    assert answer['error'] == 'ResourceError'
    assert answer['message'] == f'{place(home, missing)}: is not on this machine'
    assert 'TEMPLATEFLOW_HOME' in answer['hint']


def test_download_that_fails_leaves_nothing_and_may_succeed_later(home):
    stage(place(home, 'brain'))
    whole = place(home, 'brain').read_bytes()
    broken = 'raise requests.exceptions.ChunkedEncodingError("lost")'
    calls = [
        SERVE.format(status=200, length=len(whole), data=whole[:900], then=broken),
        SERVE.format(status=200, length=len(whole), data=whole[:900], then=''),
        SERVE.format(status=404, length=9, data=b'Not found', then=''),
        SERVE.format(status=200, length=len(whole), data=whole, then=''),
    ]
    emptied = f'import os; assert os.stat({str(place(home, "image"))!r}).st_size == 0\n'
    *failed, last = ask(home, *({'before': emptied + before} for before in calls))
    assert {a['error'] for a in failed} == {'ResourceError'}
    assert [a['message'].split('(')[1] for a in failed] == [
        'ChunkedEncodingError)',
        'RuntimeError)',
        'RuntimeError)',
    ]
    assert last['image'] == str(place(home, 'image'))
    assert place(home, 'image').read_bytes() == whole


@pytest.mark.parametrize(
    ('kind', 'spoil', 'why'),
    [
        ('image', lambda path: stage(path, (193, 229, 192)), 'does not have the grid'),
        ('image', lambda path: stage(path, affine=np.diag([-1.0, 1, 1, 1])), 'does not have the'),
        ('brain', lambda path: stage(path, affine=np.eye(4)), 'lies on another grid than tpl-'),
        ('image', lambda path: path.write_bytes(path.read_bytes()[:-9]), 'is broken'),
        ('brain', lambda path: path.write_bytes(path.read_bytes()[:-9]), 'is broken'),
        ('image', lambda path: path.write_bytes(b'<html>Not found</html>'), 'is broken'),
        ('image', lambda path: path.write_bytes(gzip.compress(bytes(400))), 'is broken'),
    ],
    ids=['shape', 'axes', 'mask', 'truncated', 'truncated mask', 'page', 'no header'],
)
def test_file_that_is_not_the_template(kind, spoil, why, home):
    for each in ('image', 'brain'):
        stage(place(home, each))
    spoil(place(home, kind))
    (answer,) = ask(home, {})
    assert answer['error'] == 'ResourceError'
    assert answer['message'].startswith(f'{place(home, kind)}: {why}')
    assert answer['hint'].startswith('Delete the file, or empty it, and fetch it again.')


def test_files_that_the_folder_does_not_list_yet(home):
    other = 'MNI152NLin2009cAsym'
    shutil.move(home / f'tpl-{NAME}', home / 'tpl-MNIOwn')
    (answer,) = ask(home, {'before': FORBID, 'offline': True, 'name': other})
    assert answer['error'] == 'ResourceError'
    assert Path(answer['message'].split(':')[0]).read_bytes() == b''
    assert (
        f"from templateflow.api import get; get('{other}', resolution=1, "
        f"suffix='T1w', desc=None); get('{other}', resolution=1, suffix='mask', "
        "desc='brain')" in answer['hint']
    ), 'resources fetch knows one template'


def test_other_templates_have_their_own_grid(home):
    folder = home / 'tpl-Own'
    folder.mkdir()
    stage(place(home, 'image', 'Own'), (9, 9, 9), np.eye(4))
    (answer,) = ask(home, {'before': FORBID, 'name': 'Own'})
    assert answer['image'] == str(place(home, 'image', 'Own'))


def test_folder_that_cannot_be(tmp_path):
    (tmp_path / 'file').touch()
    (answer,) = ask(tmp_path / 'file' / 'home', {})
    assert answer['error'] == 'ResourceError'
    assert 'TEMPLATEFLOW_HOME' in answer['hint']


@pytest.mark.parametrize(
    ('text', 'parsed'),
    [
        (NAME, (NAME, 1)),
        (f'{NAME}:res-1', (NAME, 1)),
        ('MNI152NLin6Asym:res-02', ('MNI152NLin6Asym', 2)),
    ],
)
def test_text_of_a_template(text, parsed):
    assert parse_template(text) == parsed


@pytest.mark.parametrize(
    'text', ['', 'A:2', 'A:res-', 'A:res-x', 'tpl-A', '../A', 'A\n', 'A:res-1 ']
)
def test_text_that_is_no_template(text):
    with pytest.raises(UsageError, match='is no template') as caught:
        parse_template(text)
    assert f'{NAME}:res-1' in caught.value.hint
