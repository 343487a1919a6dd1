"""Nipype's plugin for many processes, which here begins with what takes longest."""

from collections.abc import Iterable

from nipype.pipeline.plugins.multiproc import MultiProcPlugin

__all__ = ['LongestFirst']


class LongestFirst(MultiProcPlugin):  # type: ignore[misc]
    """``MultiProc``, which of all nodes that could run takes the largest first.

    What needs most memory takes longest, too. Left to the end it would keep one processor busy
    and the others waiting.
    """

    def _sort_jobs(self, jobids: Iterable[int], scheduler: str = '') -> list[int]:  # noqa: ARG002
        return sorted(jobids, key=lambda number: -self.procs[number].mem_gb)
