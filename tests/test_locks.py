"""One process at a time; a lock ends with the process that has it."""

import errno
import subprocess
import sys

import filelock
import pytest

from mrrate_bids.errors import DestinationError
from mrrate_bids.locks import held

COUNT = """
import sys, time
from pathlib import Path
from mrrate_bids.locks import held

path = Path(sys.argv[1])
for _ in range(20):
    with held(path.with_name('folder') / '.lock'):
        number = int(path.read_text())
        time.sleep(0.002)
        path.write_text(str(number + 1))
"""


def test_processes_wait_for_each_other(tmp_path):
    path = tmp_path / 'number'
    path.write_text('0')
    running = [subprocess.Popen([sys.executable, '-c', COUNT, path]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert path.read_text() == '60'


def test_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), held(tmp_path / '.lock'):
        _ = 1 / 0
    with held(tmp_path / '.lock'):
        pass


@pytest.mark.parametrize('error', [NotImplementedError('no flock'), OSError(errno.ENOLCK, 'none')])
def test_filesystem_without_locks(error, tmp_path, monkeypatch):
    def refuse(self, *args, **options):
        raise error

    monkeypatch.setattr(filelock.FileLock, 'acquire', refuse)
    with held(tmp_path / '.lock', needed=False):
        pass
    with pytest.raises(DestinationError, match='cannot be locked'), held(tmp_path / '.lock'):
        pass


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(DestinationError, match='cannot be locked'), held(tmp_path / 'file/.lock'):
        pass
