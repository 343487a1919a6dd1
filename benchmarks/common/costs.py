"""What a command costs: processor time, wall time, and the peak of memory of all its processes."""

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

_TURN = 0.1  # seconds between two looks at the memory


@dataclass(frozen=True, slots=True)
class Cost:
    """What one or several commands took."""

    cpu: float = 0.0
    """Seconds of user and system, of the processes that ended and were waited for."""

    wall: float = 0.0
    mib: float = 0.0
    """Peak of the memory of all processes together."""

    def __add__(self, other: 'Cost') -> 'Cost':
        return Cost(self.cpu + other.cpu, self.wall + other.wall, max(self.mib, other.mib))


def measure(command: Sequence[str]) -> Cost:
    """Run a command to its end; one that fails ends this one."""
    os.sync()  # what the last one wrote is not for this one to wait for
    before, start, peak = _children(), time.perf_counter(), 0
    with tempfile.TemporaryFile('w+') as log:  # a pipe that nobody reads would fill up
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, _memory(process.pid))
            time.sleep(_TURN)
        if process.returncode:
            log.seek(0)
            told = log.read()[-2000:]
            raise SystemExit(f'{" ".join(command)} ended with {process.returncode}: {told}')
    return Cost(_children() - before, time.perf_counter() - start, peak / 2**20)


def _children() -> float:
    times = psutil.Process().cpu_times()
    return times.children_user + times.children_system


def _memory(pid: int) -> int:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.Error:  # one has just ended
        pass
    return total
