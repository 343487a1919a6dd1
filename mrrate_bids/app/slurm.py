"""Nipype's plugin for Slurm, which asks once for all jobs and leaves none behind."""

import os
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

from nipype import logging
from nipype.pipeline.plugins import SLURMPlugin

from mrrate_bids.errors import ResourceError
from mrrate_bids.job_script import call_sbatch

__all__ = ['Slurm']

_LOOK = 1.0
"""Seconds between two questions to Slurm."""

_PATIENCE = 600
"""Seconds without an answer after which nothing more is expected of it."""


class Slurm(SLURMPlugin):  # type: ignore[misc]
    """``SLURM``: each node is a job of its own.

    Nipype's own asks for each job with a command of its own, fails when a job was killed,
    ``LOGNAME`` is not set or a path has a blank, keeps to itself why Slurm refuses a job, and
    leaves the jobs of a run that is interrupted to themselves.
    """

    def __init__(self, plugin_args: dict[str, Any] | None = None) -> None:
        super().__init__(plugin_args=plugin_args)
        self._alive = set[int]()
        self._asked = self._answered = time.monotonic()

    def run(self, *args: Any, **options: Any) -> None:
        """Run a graph; what still runs of one that ends early is cancelled."""
        try:
            super().run(*args, **options)
        except BaseException:
            self._cancel()
            raise

    def _cancel(self) -> None:
        jobs = [str(job) for job in self._pending]
        if jobs:
            command = ['scancel', *jobs]
            subprocess.run(command, check=False, capture_output=True)  # noqa: S603

    def _submit_batchtask(self, scriptfile: str, node: Any) -> int:
        log = str(Path(scriptfile).parent).replace('%', '%%') + '/slurm-%j.out'
        name = '.'.join(reversed([*(node._hierarchy or '').split('.'), node._id]))
        own = shlex.split(os.path.expandvars(self._sbatch_args or ''))  # as a shell would
        words = ('-o', log, '-e', log, '-J', name, *own, scriptfile)
        job = self._read_number(self._insist(words))
        self._pending[job] = node.output_dir()
        self._alive.add(job)  # the last answer does not know it
        return job

    def _insist(self, words: tuple[str, ...]) -> str:
        """Submit a job; a Slurm that is busy is asked again."""
        for _ in range(self._max_tries):
            try:
                return call_sbatch(*words)
            except ResourceError:
                time.sleep(self._retry_timeout)
        return call_sbatch(*words)

    def _read_number(self, said: str) -> int:
        found = re.search(self._jobid_re, said)
        if not found:
            raise ResourceError(f'sbatch tells no number of a job ({" ".join(said.split())})')
        return int(found[1])

    def _is_pending(self, taskid: int) -> bool:
        if time.monotonic() - self._asked >= _LOOK:
            self._ask()
        return taskid in self._alive

    def _ask(self) -> None:
        """Note which jobs of this user wait or run; without an answer what is known stays."""
        command = ['squeue', '--noheader', '--format=%A', f'--user={os.getuid()}']
        try:
            said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as error:
            logging.getLogger('nipype.workflow').warning('squeue does not answer: %s', error)
            if time.monotonic() - self._answered > _PATIENCE:
                raise ResourceError(
                    'Slurm (squeue) has not answered for ten minutes',
                    hint='Run the same command again when it does.',
                ) from error
        else:
            self._alive = {int(word) for word in said.stdout.split()}
            self._answered = time.monotonic()
        self._asked = time.monotonic()

    def _get_result(self, taskid: int) -> Any:
        """Return what a node said; of a job that was killed how Nipype noticed.

        Nipype tells that in one text where it expects lines, and fails.
        """
        result = super()._get_result(taskid)
        if result and isinstance(result['traceback'], str):
            result['traceback'] = result['traceback'].splitlines(keepends=True)
        return result
