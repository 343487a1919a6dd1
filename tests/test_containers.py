"""Dockerfile and Apptainer.def take the same steps, and hold what the package needs."""

import re
import shlex
from pathlib import Path

import pytest

from mrrate_bids import __version__
from mrrate_bids.cli.app import main

ROOT = Path(__file__).parents[1]
DOCKER = (ROOT / 'Dockerfile').read_text(encoding='utf-8')
APPTAINER = (ROOT / 'Apptainer.def').read_text(encoding='utf-8')
PAGE = (ROOT / 'docs/how-to/containers.md').read_text(encoding='utf-8')
RUNS = re.findall(r'^\$ ((?:docker|apptainer) run .+)$', PAGE, re.M)


def steps(text):
    """Return the commands of pip, in order."""
    joined = text.replace('\\\n', ' ')
    return [
        ' '.join(found.split()) for found in re.findall(r'^(?:RUN)?\s*(pip .+)$', joined, re.M)
    ]


def labels(text):
    return dict(re.findall(r'(org\.opencontainers\.image\.\w+(?:\.\w+)?)[= ]"?([^"\n]+)"?', text))


def test_both_install_the_same():
    assert steps(DOCKER) == steps(APPTAINER)
    assert len(steps(DOCKER)) == 3


def test_both_say_the_same_of_themselves():
    assert labels(DOCKER) == {n: v.rstrip(' \\') for n, v in labels(APPTAINER).items()}
    assert labels(DOCKER)['org.opencontainers.image.version'] == __version__


def test_both_start_from_one_python_that_we_support():
    bases = re.findall(r'^(?:FROM|From:) +(\S+)', DOCKER + APPTAINER, re.M)
    assert len(bases) == 4
    assert len(set(bases)) == 1
    (version,) = re.findall(r'python:(\d+\.\d+)', bases[0])
    setup = (ROOT / 'setup.cfg').read_text()
    assert f'Python :: {version}' in setup


def test_both_run_the_app():
    assert 'ENTRYPOINT ["mrrate-bids-app"]' in DOCKER
    assert 'exec mrrate-bids-app "$@"' in APPTAINER
    assert 'mrrate-bids-app = mrrate_bids.cli.app:main' in (ROOT / 'setup.cfg').read_text()


@pytest.mark.parametrize('text', [DOCKER, APPTAINER], ids=['Dockerfile', 'Apptainer.def'])
def test_what_is_copied_is_there_and_not_ignored(text):
    allowed = {
        line.removeprefix('!')
        for line in (ROOT / '.dockerignore').read_text().splitlines()
        if line.startswith('!')
    }
    copied = re.findall(r'^COPY (?!--from)(.+) \S+$', text, re.M)
    names = {name for line in copied for name in line.split()}
    names |= set(re.findall(r'^    ([\w.]+) /(?:src|install)/\S+$', text, re.M))
    assert names >= {'setup.cfg', 'constraints.txt', 'mrrate_bids', 'workflows', 'templates'}
    assert all((ROOT / name).exists() for name in names)
    assert names <= allowed


def test_both_set_the_same_variables():
    """But HOME, which Apptainer takes from the user."""
    docker = re.search(r'^ENV (.+)$', DOCKER.replace('\\\n', ' '), re.M)[1]
    ours = dict(re.findall(r'(\w+)=(\S+)', docker))
    assert ours.pop('HOME') == '/home/mrrate'
    theirs = dict(re.findall(r'export (\w+)=(\S+)', APPTAINER))
    assert ours.pop('MRRATE_BIDS_CONTAINER') == 'docker:${TAG}'
    assert f'ARG TAG=mrrate-bids:{__version__}\n' in DOCKER
    assert theirs.pop('MRRATE_BIDS_CONTAINER') == f'apptainer:mrrate-bids:{__version__}'
    assert ours == theirs


def test_page_builds_this_version():
    assert f'docker build --tag mrrate-bids:{__version__} .' in PAGE


@pytest.mark.parametrize('line', RUNS, ids=lambda line: line.split()[0])
def test_what_the_page_runs_is_understood(line):
    """The words after the image are ours, and each folder among them is bound."""
    words = shlex.split(line)
    (image,) = (w for w in words if w in (f'mrrate-bids:{__version__}', 'mrrate-bids.sif'))
    before, ours = words[: words.index(image)], words[words.index(image) + 1 :]
    given = main.make_context(main.name, ours).params
    bound = re.findall(r'/data/[\w-]+:(/[\w-]+)', ' '.join(before))
    for name in ('bids_dir', 'output_dir', 'work_dir'):
        assert str(given[name]) in bound
    assert set(re.findall(r'[A-Z_]+=(/\S+?)(?:,|$)', ' '.join(before), re.M)) <= set(bound)


def test_page_runs_both():
    assert [line.split()[0] for line in RUNS] == ['docker', 'apptainer']
