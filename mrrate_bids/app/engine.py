"""Nipype as we run it: quiet, with failures in words, one run for a chunk of studies."""

import gc
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, chdir, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nipype import config, logging
from nipype.pipeline import engine as pe

from mrrate_bids import __version__
from mrrate_bids.app.follower import Failure, Follower, Progress, noticing_interrupts
from mrrate_bids.app.options import Options
from mrrate_bids.app.plugin import LongestFirst
from mrrate_bids.app.slurm import Slurm
from mrrate_bids.computing.brain_choice import HD_BET
from mrrate_bids.errors import DestinationError, MrRateError, ResourceError, UsageError
from mrrate_bids.interfaces.brain import ExtractBrain
from mrrate_bids.interfaces.segment import Segment
from mrrate_bids.locks import held
from mrrate_bids.naming import study_stem
from mrrate_bids.receipts import signature
from mrrate_bids.templates import read_text

__all__ = ['Engine', 'interfaces_of']

_PREFIX, _SUFFIX = 'mrrate_bids_', '_wf'
_CRASHES = f'{_PREFIX}crash'
_CHUNK = 8
"""Studies for each process in one Nipype run."""

_POLL = 0.05
"""Seconds between two looks at running nodes; Nipype's own are two."""

_SAID = ('CRITICAL', 'WARNING', 'INFO')
"""What Nipype says, by how often --verbose was given."""


def _name() -> str:
    """Return the name of the whole graph, under which the work folder keeps results of nodes.

    Nodes know a preset by its name only: other parameters under that name, or another version,
    must find no result of theirs.
    """
    parameters = signature(__version__, read_text('registration.toml'))
    return f'{_PREFIX}{parameters[:8]}{_SUFFIX}'


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

    verbosity: int = 0
    """0 nothing of what Nipype says, 1 its warnings, 2 everything."""

    monitors: bool = False
    """Whether Nipype samples memory and processors of nodes, into the work folder."""

    crashes: Path | None = None
    """Where crash files go, in a folder for each study; into the work folder if ``None``."""

    @property
    def chunk(self) -> int:
        """Studies in one Nipype run: enough that no process idles for long at its end."""
        return _CHUNK * self.processes

    def clean(self) -> None:
        """Remove what earlier runs left in the work folder; what is not theirs stays."""
        for path in self.work.glob(f'{_PREFIX}*'):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs out of the work folder for a while.

        Raises
        ------
        UsageError
            When another run uses the folder, or it cannot be made.
        """
        is_new, busy = not self.work.exists(), 'is the --work-dir of another run'
        remedy = 'Give another --work-dir.'
        with ExitStack() as stack:
            try:
                stack.enter_context(
                    held(self.work / '.lock', wait=False, busy=busy, remedy=remedy)
                )
            except DestinationError as error:  # nothing was begun
                raise UsageError(str(error), hint=error.hint) from error
            try:
                yield
            finally:
                if is_new and [path.name for path in self.work.iterdir()] == ['.lock']:
                    shutil.rmtree(self.work)  # nothing was computed, and nothing is left

    def check(self, options: Options, workflows: Iterable[Any]) -> None:
        """Make sure that nothing is lacking.

        Raises
        ------
        ResourceError
            When something is, or weights are those of something else.
        """
        for error in self.lacking(options, workflows):
            raise error

    def lacking(self, options: Options, workflows: Iterable[Any]) -> Iterator[ResourceError]:
        """Yield which packages, device and weights are not there, before anything is computed.

        Weights are opened and compared with the network they are for, but not read.

        Parameters
        ----------
        options
            Where weights and device are.
        workflows
            What will run; weights that none of it needs are not asked for.
        """
        for look in self._looks(options, workflows):
            try:
                look()
            except ResourceError as error:
                yield error

    @staticmethod
    def _looks(options: Options, workflows: Iterable[Any]) -> Iterator[Callable[[], object]]:
        """Yield what raises :class:`ResourceError` when something is not there."""
        from mrrate_bids.computing import hdbet_model, vista3d_network  # noqa: PLC0415
        from mrrate_bids.computing.devices import pick_device  # noqa: PLC0415
        from mrrate_bids.computing.packages import require_packages  # noqa: PLC0415
        from mrrate_bids.interfaces.needs import modules_of  # noqa: PLC0415

        needed = {kind for workflow in workflows for kind in interfaces_of(workflow)}
        yield partial(require_packages, modules_of(needed, options.extractor))
        if {ExtractBrain, Segment} & needed:
            yield partial(pick_device, options.device)
        if options.extractor == HD_BET.name and ExtractBrain in needed:
            yield partial(hdbet_model.check_weights, options.hdbet_weights)
        if Segment in needed:
            yield partial(vista3d_network.check_weights, options.nvseg_weights)

    def run(
        self, graphs: Sequence[tuple[str, Any]], *, watch: Callable[[Progress], None]
    ) -> dict[str, list[Failure]]:
        """Run the graphs of some studies together.

        Parameters
        ----------
        graphs
            Label and workflow of each study.
        watch
            Told how far the run is.

        Returns
        -------
        dict
            What failed, by label.
        """
        labels = {workflow.name: label for label, workflow in graphs}
        self._configure()
        # A workflow keeps the settings of the moment at which it is made.
        whole = pe.Workflow(name=_name(), base_dir=str(self.work))
        for label, workflow in graphs:
            self._send_crashes(label, workflow)
            whole.add_nodes([workflow])
        follower = Follower(whole, labels, watch, self._crashes)
        gc.freeze()  # Nipype collects garbage at each look, all modules included
        try:
            with noticing_interrupts(follower), self._place_for_samples():
                whole.run(**self._plugin(follower))
        except Exception as error:  # noqa: BLE001  (Nipype raises what its nodes raised)
            if not follower.failures or isinstance(error, MrRateError):
                follower.note_all(error)
        finally:
            gc.unfreeze()
        return follower.failures

    def _place_for_samples(self) -> AbstractContextManager[None]:
        """Work in the work folder while Nipype samples: it leaves files where it stands."""
        return chdir(self.work) if self.monitors else nullcontext()

    @property
    def _crashes(self) -> Path:
        return self.crashes or self.work / _CRASHES

    def _send_crashes(self, label: str, workflow: Any) -> None:
        """Tell the nodes of a study where their crash files go."""
        folder = self._crashes / study_stem(label)
        for node in _nodes(workflow):
            node.config = {'execution': {'crashdump_dir': str(folder)}}

    def _configure(self) -> None:
        level = _SAID[min(self.verbosity, len(_SAID) - 1)]
        config.update_config(
            {
                'execution': {
                    'crashfile_format': 'txt',
                    'stop_on_first_crash': str(self.stop_early).lower(),
                    'poll_sleep_duration': str(_POLL),
                    'create_report': 'false',
                    'check_version': 'false',
                },
                'logging': dict.fromkeys(('workflow_level', 'interface_level'), level),
                'monitoring': {
                    'summary_file': str(self.work / 'resource_monitor.json'),
                    'summary_append': 'true',
                },
            }
        )
        logging.update_logging(config)
        if self.monitors:
            config.enable_resource_monitor()

    def _plugin(self, follower: Follower) -> dict[str, Any]:
        arguments: dict[str, Any] = {'status_callback': follower}
        asked = self.plugin.get('plugin_args', {})
        name = self.plugin.get('plugin', 'Linear' if self.processes == 1 else 'MultiProc')
        if name == 'SLURM':
            return {'plugin': Slurm(plugin_args=arguments | asked)}
        if name != 'MultiProc':
            return {'plugin': name, 'plugin_args': arguments | asked}
        arguments |= {
            'n_procs': self.processes,
            'n_gpu_procs': 1,  # networks take the first GPU, whatever others there are
            'raise_insufficient': False,
        }
        if self.memory_gb is not None:
            arguments['memory_gb'] = self.memory_gb
        arguments |= asked
        return {'plugin': LongestFirst(plugin_args=arguments)}


def interfaces_of(workflow: Any) -> frozenset[type]:
    """Return the classes of the interfaces of a graph."""
    return frozenset(type(node.interface) for node in _nodes(workflow))


def _nodes(workflow: Any) -> Iterator[Any]:
    """Yield every node, those of inner workflows included."""
    return (workflow.get_node(name) for name in workflow.list_node_names())
