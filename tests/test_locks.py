"""A lock keeps other processes out, says who holds it, and ends with its holder."""

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from mrrate_bids.errors import DestinationError, UsageError
from mrrate_bids.locks import held

HOLD = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells take it from what they put aside
from pathlib import Path
from mrrate_bids.locks import held
with held(Path(sys.argv[1])):
    print('held', flush=True)
    sys.stdin.read()
"""


def start(path):
    """Start a process that wants a lock, and holds it until its input ends."""
    pipes = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.PIPE)
    return subprocess.Popen([sys.executable, '-c', HOLD, str(path)], **pipes, text=True)


@contextmanager
def another_process(path):
    """Let a second process hold a lock."""
    with start(path) as process:
        assert process.stdout.readline() == 'held\n'
        yield process
        process.stdin.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'folder/.lock'


def refusal(path, **said):
    with pytest.raises(UsageError) as caught, held(path, wait=False, **said):
        pass
    return caught.value


def test_who_holds_it_is_named(path):
    with another_process(path) as process:
        error = refusal(path, busy='is in use')
    holder = f'process {process.pid} on {os.uname().nodename}'
    assert str(error) == f'{path.parent}: is in use ({holder})'
    assert 'Wait until it has ended' in error.hint
    with held(path, wait=False):
        pass
    assert path.read_bytes() == b'', 'an equal run leaves equal files'


def test_lock_that_tells_nothing(path):
    with another_process(path):
        path.write_bytes(b'\xff\x00')
        assert str(refusal(path)) == f'{path.parent}: another process is at work'


def test_others_wait(path):
    with another_process(path) as process:
        waiting = start(path)
        time.sleep(1)
        assert waiting.poll() is None
        process.stdin.close()
        assert waiting.stdout.readline() == 'held\n'
    waiting.communicate()
    assert waiting.returncode == 0


def test_lock_ends_with_who_holds_it(path):
    with another_process(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with held(path, wait=False):
            assert path.read_text().startswith(f'process {os.getpid()} on ')


def test_interrupted_wait_ends(path):
    with another_process(path):
        waiting = start(path)
        time.sleep(1)
        waiting.send_signal(signal.SIGINT)
        _, errors = waiting.communicate(timeout=10)
    assert errors.endswith('KeyboardInterrupt\n')


def test_folder_that_cannot_be_written(tmp_path, unprivileged):
    with held(tmp_path / 'imports'):
        pass
    closed = tmp_path / 'closed'
    closed.mkdir()
    with unprivileged(closed):
        closed.chmod(0o555)
        with pytest.raises(DestinationError) as caught, held(closed / '.lock', remedy='Ask.'):
            pass
        assert str(caught.value) == f'{closed}: cannot be written (Permission denied)'
        assert caught.value.hint == 'Ask.'
        entered = []
        with held(closed / '.lock', needed=False):
            entered.append(True)
        closed.chmod(0o755)
    assert entered == [True]


def test_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(DestinationError, match='cannot be written'), held(tmp_path / 'file/.lock'):
        pass


def test_what_goes_wrong_inside_is_told(path):
    with pytest.raises(ZeroDivisionError), held(path):
        raise ZeroDivisionError
    with held(path, wait=False):
        pass


def test_where_there_are_no_locks_nobody_waits_for_a_file(path, monkeypatch):
    """A file that a killed process has left would be waited for until the end of time."""
    import fcntl

    def refuse(*args):
        raise OSError(errno.ENOSYS, 'Function not implemented')

    path.parent.mkdir()
    path.write_text('')
    monkeypatch.setattr(fcntl, 'flock', refuse)
    done = []
    with held(path, needed=False):
        done.append(True)
    assert done
