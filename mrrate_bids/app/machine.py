"""Whether a run asks for more than the machine has."""

import os
from collections.abc import Iterator

from mrrate_bids.problems import Problem

__all__ = ['name_excess']

_GB = 1e9


def name_excess(*, processes: int, threads: int, memory_gb: float | None) -> Iterator[Problem]:
    """Name what there is less of than a run asks for; it works, and is slow or runs out.

    Parameters
    ----------
    processes, threads
        Nodes at the same time, and the threads of each.
    memory_gb
        For all of them; ``None`` asks for none.
    """
    import psutil  # noqa: PLC0415  (nothing else of the command needs it)

    processors, total = _processors(), psutil.virtual_memory().total / _GB
    if processes * threads > processors:
        each = f' of {threads} threads each' if threads > 1 else ''
        text = f'--nprocs {processes}{each} on a machine with {processors} processors is slower'
        yield Problem('warning', text, f'Use --nprocs {max(1, processors // threads)}.')
    if memory_gb and memory_gb > total:
        text = f'--mem {memory_gb:g} is more than the {total:.0f} GB of this machine'
        yield Problem('warning', text, 'Give what it has, or leave the option out.')


def _processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, 'sched_getaffinity'):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
