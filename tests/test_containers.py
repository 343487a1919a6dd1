"""Dockerfile and Apptainer.def take the same steps, and hold what the package needs."""

import re
from pathlib import Path

import pytest

from mrrate_bids import __version__

ROOT = Path(__file__).parents[1]
DOCKER = (ROOT / 'Dockerfile').read_text(encoding='utf-8')
APPTAINER = (ROOT / 'Apptainer.def').read_text(encoding='utf-8')


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
