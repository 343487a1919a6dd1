"""Nipype's plugin for many processes, which here begins with what takes longest."""

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from traceback import format_exception
from typing import Any

from nipype.pipeline import plugins
from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer

from mrrate_bids.errors import ResourceError, UsageError

__all__ = ['LongestFirst', 'read_plugin']


_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux, prctl(2)."""

_KEPT_MEMORY = {-3: 1 << 28, -1: 1 << 29}
"""M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of glibc, mallopt(3), in bytes."""

_SLURM: dict[str, type | tuple[type, ...]] = {
    'sbatch_args': str,
    'max_jobs': int,
    'template': str,
    'max_tries': int,
    'retry_timeout': (int, float),
    'jobid_re': str,
}
"""What Nipype's plugin for Slurm takes, and what that is."""

_LOOK = 1.0
"""Seconds between two looks: of a worker for its parent, of the run for workers that ended."""


class LongestFirst(MultiProcPlugin):  # type: ignore[misc]
    """``MultiProc``, which of all nodes that could run takes the largest first.

    What needs most memory takes longest, too. Left to the end it would keep one processor busy
    and the others waiting. Its workers end when the run does, however that ends.
    """

    pool: ProcessPoolExecutor

    def __init__(self, plugin_args: dict[str, Any] | None = None) -> None:
        super().__init__(plugin_args=plugin_args)
        self.pool.shutdown()  # it has no workers yet
        self.pool = self._make_pool()
        self._given: dict[int, tuple[Any, bool]] = {}
        """What a worker was asked for, by task."""

        self._again: dict[int, int] = {}
        """The task in the place of one that was lost."""

    def _make_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.processors,
            mp_context=get_context(self.plugin_args.get('mp_context')),
            initializer=_begin,
            initargs=(self._cwd,),
        )

    def run(self, *args: Any, **options: Any) -> None:
        """Run a graph; the workers of one that is interrupted are not waited for."""
        try:
            super().run(*args, **options)
        except Exception:
            self.pool.shutdown(cancel_futures=True)
            raise
        except BaseException:
            for worker in list((self.pool._processes or {}).values()):
                worker.kill()
            self.pool.shutdown(cancel_futures=True)
            raise

    def _sort_jobs(self, jobids: Iterable[int], scheduler: str = '') -> list[int]:  # noqa: ARG002
        return sorted(jobids, key=lambda number: -self.procs[number].mem_gb)

    def _send_procs_to_workers(self, updatehash: bool = False, graph: Any = None) -> None:
        """Submit what can run, and come back when something ended.

        By itself Nipype looks at its whole graph many times a second, which costs more than all
        the rest of what it does.
        """
        super()._send_procs_to_workers(updatehash=updatehash, graph=graph)
        running = [self._task_obj[task] for task, _ in self.pending_tasks]
        wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED)

    def _submit_job(self, node: Any, updatehash: bool = False) -> int:
        """Give a node to a worker, of a new pool where one died: no pool outlives a worker."""
        try:
            task = int(super()._submit_job(node, updatehash=updatehash))
        except BrokenProcessPool:
            self.pool = self._make_pool()
            task = int(super()._submit_job(node, updatehash=updatehash))
        self._given[task] = node, updatehash
        return task

    def _get_result(self, taskid: int) -> Any:
        """Return what a node said; of one that was lost twice that is how its worker ended.

        By itself Nipype hears nothing of a worker that died, and waits for ever. All nodes that
        ran are lost with it, and nobody knows which of them was too large: each is tried again.
        """
        task = self._task_obj.get(taskid)
        if not (task and task.done() and (error := task.exception())):
            return super()._get_result(self._again.get(taskid, taskid))
        if taskid in self._again or not isinstance(error, BrokenProcessPool):
            return {'result': None, 'traceback': format_exception(error), 'taskid': taskid}
        again = self._again[taskid] = self._submit_job(*self._given[taskid])
        self._task_obj[taskid] = self._task_obj.pop(again)
        return None

    def _clear_task(self, taskid: int) -> None:
        super()._clear_task(taskid)
        for one in (taskid, self._again.pop(taskid, taskid)):
            self._given.pop(one, None)

    def _async_callback(self, args: Any) -> None:
        if not args.exception():
            super()._async_callback(args)


def _begin(folder: str) -> None:
    """Prepare a worker: it leaves Ctrl-C to its parent, and does not outlive it."""
    process_initializer(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == 'linux':
        import ctypes  # noqa: PLC0415

        system = ctypes.CDLL(None)
        # At once: ANTs keeps Python from looking while it works.
        system.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        _keep_memory(system)
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()


def _keep_memory(system: Any) -> None:
    """Let a worker use the memory of one image for the next.

    By itself glibc gives it back, and the system clears every page anew: a third of the time of
    resampling.
    """
    if hasattr(system, 'mallopt'):  # other libraries of C have none
        for parameter, size in _KEPT_MEMORY.items():
            system.mallopt(parameter, size)


def _follow(parent: int) -> None:
    """End this process when its parent is gone."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


def read_plugin(path: Path) -> dict[str, Any]:
    """Read which plugin of Nipype is asked for, as fMRIPrep's ``--use-plugin`` has it.

    Parameters
    ----------
    path
        YAML with ``plugin`` and, if wanted, ``plugin_args``.

    Raises
    ------
    UsageError
        When the file is unreadable or names no plugin.
    ResourceError
        When PyYAML is not installed.
    """
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError as error:
        raise ResourceError(
            'PyYAML is not installed', hint="pip install 'mrrate-bids[compute]'"
        ) from error
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = ' '.join(str(error).split())
        raise UsageError(f'--use-plugin: {path} cannot be read ({said})') from error
    known = isinstance(content, dict) and isinstance(content.get('plugin'), str)
    if not known or not isinstance(content.get('plugin_args', {}), dict):
        raise UsageError(
            f'--use-plugin: {path} names no plugin of Nipype',
            hint="Write 'plugin: SLURM' and, below it, 'plugin_args: {sbatch_args: …}'.",
        )
    if not hasattr(plugins, f'{content["plugin"]}Plugin'):
        raise UsageError(
            f'--use-plugin: Nipype has no plugin {content["plugin"]}',
            hint='It has MultiProc, Linear, SLURM, SGE, PBS, LSF and others.',
        )
    if content['plugin'] == 'SLURM':
        _check_slurm(content.get('plugin_args', {}))
    return dict(content)


def _check_slurm(given: dict[str, Any]) -> None:
    """Refuse what Nipype would pass over in silence."""
    unknown = sorted(map(str, given.keys() - _SLURM))
    if unknown:
        raise UsageError(
            f'--use-plugin: SLURM has no plugin_args {", ".join(unknown)}',
            hint=f'It has {", ".join(_SLURM)}.',
        )
    for name, value in given.items():
        if not isinstance(value, _SLURM[name]) or isinstance(value, bool):
            raise UsageError(f'--use-plugin: {name} of plugin_args cannot be {value!r}')
    try:
        shlex.split(given.get('sbatch_args', ''))
    except ValueError as error:
        said = str(error).lower()
        raise UsageError(f'--use-plugin: sbatch_args cannot be read ({said})') from error
