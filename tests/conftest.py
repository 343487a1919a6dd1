"""A demo release and its export, built once per session; tests copy what they change."""

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import hostile
import pytest
from foreign_bids import make_dataset
from hypothesis import settings

from mrrate_bids.catalog import open_release
from mrrate_bids.demo import build_release
from mrrate_bids.export import ExportSettings
from mrrate_bids.export_run import ExportRun
from mrrate_bids.selection import Selection

# How long an example takes says more about the machine than about the code. A check of a change
# tries the same examples each time; who works on the code finds new ones.
settings.register_profile('mrrate-bids', deadline=None, derandomize='CI' in os.environ)
settings.load_profile('mrrate-bids')


@pytest.fixture(scope='session')
def release(tmp_path_factory):
    """Return the folder of a coarse demo release; read it, do not change it."""
    root = tmp_path_factory.mktemp('demo') / 'release'
    build_release(root, voxel=3.0)
    return root


@pytest.fixture(scope='session')
def exported(release, tmp_path_factory):
    """Return the BIDS dataset of everything in the demo release; do not change it."""
    root = tmp_path_factory.mktemp('exported') / 'bids'
    run = ExportRun(open_release(release), root, selection=Selection(), settings=ExportSettings())
    summary = run.execute(jobs=2)
    assert summary.exit_code == 0, summary.problems
    return root


@pytest.fixture
def copied(exported, tmp_path):
    """Return a copy of the export that a test may break."""
    return shutil.copytree(exported, tmp_path / 'bids')


@pytest.fixture
def studies():
    """Return three small studies that a test may change before or after they are written."""
    return hostile.three_studies()


@pytest.fixture
def source(studies, tmp_path):
    """Return the folder of a release of these studies, which a test may break."""
    return hostile.write_release(tmp_path / 'release', studies)


@pytest.fixture
def unprivileged():
    """Return a context in which root has no more rights than anybody; a folder stays its own."""

    @contextmanager
    def drop(folder):
        if os.geteuid():
            yield
            return
        nobody = 65534
        for parent in folder.parents:
            if not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o055)
        for path in [folder, *folder.rglob('*')]:
            os.chown(path, nobody, nobody, follow_symlinks=False)
        os.seteuid(nobody)
        try:
            yield
        finally:
            os.seteuid(0)

    return drop


@pytest.fixture(scope='module')
def shared(tmp_path_factory):
    """Return a dataset with sessions that no test may change."""
    return make_dataset(tmp_path_factory.mktemp('shared') / 'bids')


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    """Return a dataset without sessions that no test may change."""
    return make_dataset(tmp_path_factory.mktemp('plain') / 'bids', sessions=False)


@pytest.fixture
def disk(tmp_path):
    """Return a function that mounts a filesystem of a given size."""
    folder = tmp_path / 'disk'
    folder.mkdir()

    def mount(options: str) -> Path:
        if os.geteuid() or not shutil.which('mount'):
            pytest.skip('mounting a small filesystem takes root')
        arguments = ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(folder)]
        if subprocess.run(arguments, capture_output=True, check=False).returncode:
            pytest.skip('no filesystem can be mounted here')
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(['umount', str(folder)], check=True)


def pytest_sessionstart():
    """Take Ctrl-C as in a terminal: a shell in the background has it ignored, by children too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
