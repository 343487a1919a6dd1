"""Nipype as we run it: quiet, with failures in words, one run for a chunk of studies."""

import gc
import json
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nipype import config, logging
from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe

from mrrate_bids.app.options import Options
from mrrate_bids.app.plugin import LongestFirst
from mrrate_bids.errors import UsageError
from mrrate_bids.interfaces.base import PROBLEM
from mrrate_bids.interfaces.brain import ExtractBrain
from mrrate_bids.interfaces.segment import Segment

__all__ = ['Engine', 'Failure']

_NAME = 'mrrate_bids_wf'
_POLL = 0.05
"""Seconds between two looks at running nodes; Nipype's own are two."""

_HINT = (
    'Look at the newest file in the folder crash of the work folder. If the process was killed, '
    'it needs more memory: use fewer --nprocs.'
)


class Failure(NamedTuple):
    """A node that failed."""

    message: str
    hint: str


@dataclass
class Engine:
    """Where and how graphs run.

    Parameters
    ----------
    work
        Folder of intermediate results; a run that is started again goes on from them.
    processes
        Nodes at the same time; 1 runs everything in this process.
    memory_gb
        Together; what the machine has if ``None``.
    plugin
        A plugin of Nipype and its arguments; ``MultiProc`` or ``Linear`` if empty.
    """

    work: Path
    processes: int = 1
    memory_gb: float | None = None
    plugin: dict[str, Any] = field(default_factory=dict)
    stop_early: bool = False
    """Whether nothing more is started after the first failure."""

    def clean(self) -> None:
        """Remove what earlier runs left in the work folder; what is not theirs stays."""
        for name in (_NAME, 'crash'):
            shutil.rmtree(self.work / name, ignore_errors=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs out of the work folder for a while.

        Raises
        ------
        UsageError
            When the folder cannot be made, or another run uses it.
        """
        from filelock import FileLock, Timeout  # noqa: PLC0415  (it imports asyncio)

        lock, is_new = FileLock(self.work / '.lock'), not self.work.exists()
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            raise UsageError(
                f'another run uses the work folder {self.work}',
                hint='Wait for it, or give another --work-dir.',
            ) from error
        except OSError as error:
            raise UsageError(
                f'{self.work} cannot be a work folder ({error.strerror})',
                hint='Give another --work-dir.',
            ) from error
        try:
            yield
        finally:
            lock.release()
            if is_new and [path.name for path in self.work.iterdir()] == ['.lock']:
                shutil.rmtree(self.work)  # nothing was computed, and nothing is left

    def check(self, options: Options, workflows: Iterable[Any]) -> None:
        """Make sure that packages, device and weights are there before anything is computed.

        Weights are opened and compared with the network they are for, but not read.

        Parameters
        ----------
        options
            Where weights and device are.
        workflows
            What will run; weights that none of it needs are not asked for.

        Raises
        ------
        ResourceError
            When they are not, or the weights are those of something else.
        """
        from mrrate_bids.computing import hdbet_model, vista3d_network  # noqa: PLC0415
        from mrrate_bids.computing.devices import pick_device  # noqa: PLC0415
        from mrrate_bids.computing.packages import require_packages  # noqa: PLC0415
        from mrrate_bids.interfaces.needs import modules_of  # noqa: PLC0415

        nodes = (node for workflow in workflows for node in workflow._get_all_nodes())
        needed = {type(node.interface) for node in nodes}
        require_packages(modules_of(needed, options.extractor))
        if {ExtractBrain, Segment} & needed:
            pick_device(options.device)
        if options.extractor == 'hd-bet' and ExtractBrain in needed:
            hdbet_model.check_weights(options.hdbet_weights)
        if Segment in needed:
            vista3d_network.check_weights(options.nvseg_weights)

    def run(
        self, graphs: Iterable[tuple[str, Any]], *, watch: Callable[[int], None]
    ) -> dict[str, list[Failure]]:
        """Run the graphs of some studies together.

        Parameters
        ----------
        graphs
            Label and workflow of each study.
        watch
            Told how many studies are done.

        Returns
        -------
        dict
            What failed, by label.
        """
        labels = {workflow.name: label for label, workflow in graphs}
        crashes = self.work / 'crash'
        crashes.mkdir(parents=True, exist_ok=True)
        config.update_config(
            {
                'execution': {
                    'crashdump_dir': str(crashes),
                    'crashfile_format': 'txt',
                    'stop_on_first_crash': str(self.stop_early).lower(),
                    'poll_sleep_duration': str(_POLL),
                    'create_report': 'false',
                    'check_version': 'false',
                },
                'logging': dict.fromkeys(('workflow_level', 'interface_level'), 'CRITICAL'),
            }
        )
        logging.update_logging(config)
        # A workflow keeps the settings of the moment at which it is made.
        whole = pe.Workflow(name=_NAME, base_dir=str(self.work))
        whole.add_nodes([workflow for _, workflow in graphs])
        follower = _Follower(labels, watch, _count(whole))
        gc.freeze()  # Nipype collects garbage at each look, all modules included
        try:
            whole.run(**self._plugin(follower))
        except Exception as error:  # noqa: BLE001  (Nipype raises what its nodes raised)
            if not follower.failures:
                follower.note_all(error)
        finally:
            gc.unfreeze()
        return follower.failures

    def _plugin(self, follower: '_Follower') -> dict[str, Any]:
        arguments: dict[str, Any] = {'status_callback': follower}
        if self.plugin:
            arguments |= self.plugin.get('plugin_args', {})
            return {'plugin': self.plugin['plugin'], 'plugin_args': arguments}
        if self.processes == 1:
            return {'plugin': 'Linear', 'plugin_args': arguments}
        arguments |= {'n_procs': self.processes, 'raise_insufficient': False}
        if self.memory_gb is not None:
            arguments['memory_gb'] = self.memory_gb
        return {'plugin': LongestFirst(plugin_args=arguments)}


def _count(workflow: Any) -> Counter[str]:
    """Return how many nodes of each study will run; Nipype drops those that only pass on."""
    nodes = workflow._create_flat_graph().nodes()
    return Counter(_study_of(n) for n in nodes if not isinstance(n.interface, IdentityInterface))


def _study_of(node: Any) -> str:
    return str(node.fullname).split('.')[1]


class _Follower:
    """Told by Nipype what nodes do; counts studies and reads what went wrong."""

    def __init__(
        self, labels: dict[str, str], watch: Callable[[int], None], left: dict[str, int]
    ) -> None:
        self._labels, self._watch, self._left = labels, watch, left
        self.failures: dict[str, list[Failure]] = {}

    def __call__(self, node: Any, status: str) -> None:
        """Take note of a node that ended or failed."""
        study = _study_of(node)
        if status == 'exception':
            self.failures.setdefault(self._labels[study], []).append(_read_failure(node))
        if status == 'end':
            self._left[study] -= 1
            if not self._left[study]:
                self._watch(sum(not left for left in self._left.values()))

    def note_all(self, error: Exception) -> None:
        """Take note of a failure that is no node's."""
        text = ' '.join(traceback.format_exception_only(error)[-1].split())
        for label in self._labels.values():
            self.failures[label] = [Failure(f'Nipype failed: {text}', _HINT)]


def _read_failure(node: Any) -> Failure:
    """Return what a node said of itself, else the last line of its traceback."""
    try:
        said = json.loads((Path(node.output_dir()) / PROBLEM).read_text(encoding='utf-8'))
        return Failure(said['message'], said['hint'])
    except (OSError, ValueError, KeyError):
        return Failure(f'{node.fullname} failed unexpectedly', _HINT)
