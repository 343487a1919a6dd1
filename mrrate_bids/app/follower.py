"""What is heard of a Nipype run while it goes on: how far it is, and what went wrong."""

import json
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from nipype.interfaces.utility import IdentityInterface

from mrrate_bids.errors import MrRateError
from mrrate_bids.interfaces.base import PROBLEM

__all__ = ['Failure', 'Follower', 'Progress', 'noticing_interrupts', 'study_of']

_HINT = (
    'Look at the newest crash file ({crashes}). If the process was killed, it needs more memory: '
    'use fewer --nprocs.'
)


class Failure(NamedTuple):
    """A node that failed."""

    message: str
    hint: str


class Progress(NamedTuple):
    """How far a run is."""

    studies: int
    """Done, failed ones included."""

    steps: int
    """Nodes that ended."""

    all_steps: int


def study_of(node: Any) -> str:
    """Return the name of the workflow of the study that a node belongs to."""
    return str(node.fullname).split('.')[1]


def _count(workflow: Any) -> Counter[str]:
    """Return how many nodes of each study will run; Nipype drops those that only pass on."""
    nodes = workflow._create_flat_graph().nodes()
    return Counter(study_of(n) for n in nodes if not isinstance(n.interface, IdentityInterface))


class Follower:
    """Told by Nipype what nodes do; counts studies and reads what went wrong.

    Parameters
    ----------
    workflow
        What runs.
    labels
        Of studies, by the name of their workflow.
    watch
        Told how far the run is.
    crashes
        Where crash files go, for the hint.
    """

    def __init__(
        self,
        workflow: Any,
        labels: dict[str, str],
        watch: Callable[[Progress], None],
        crashes: Path,
    ) -> None:
        self._left, self._labels, self._watch = _count(workflow), labels, watch
        self._all, self._ended, self._done = self._left.total(), 0, set[str]()
        self._hint = _HINT.format(crashes=crashes)
        self.interrupted = False
        self.failures: dict[str, list[Failure]] = {}

    def __call__(self, node: Any, status: str) -> None:
        """Take note of a node that ended or failed."""
        if self.interrupted:
            raise KeyboardInterrupt
        if status not in {'end', 'exception'}:
            return
        study = study_of(node)
        self._ended += 1
        if status == 'exception':
            self._note(self._labels[study], self._read(node))
            self._done.add(study)  # what does not hang on the node goes on, but it is no success
        if status == 'end':
            self._left[study] -= 1
            if not self._left[study]:
                self._done.add(study)
        self._watch(Progress(len(self._done), self._ended, self._all))

    def _note(self, label: str, failure: Failure) -> None:
        """Keep a failure; several nodes that read one bad file say the same, which counts once."""
        said = self.failures.setdefault(label, [])
        if failure.message not in {one.message for one in said}:
            said.append(failure)

    def note_all(self, error: Exception) -> None:
        """Take note of a failure that is no node's, for all studies that have not ended."""
        failure = _explain(error)
        for study, label in self._labels.items():
            if study not in self._done:
                self._note(label, failure)
                self._done.add(study)
        self._watch(Progress(len(self._done), self._ended, self._all))

    def _read(self, node: Any) -> Failure:
        """Return what a node said of itself, else that it failed."""
        try:
            said = json.loads((Path(node.output_dir()) / PROBLEM).read_text(encoding='utf-8'))
            return Failure(said['message'], said['hint'])
        except (OSError, ValueError, KeyError):
            return Failure(f'{node.fullname} failed unexpectedly', self._hint)


def _explain(error: Exception) -> Failure:
    """Return a failure that left no crash file."""
    if isinstance(error, MrRateError):
        return Failure(str(error), error.hint)
    text = ' '.join(traceback.format_exception_only(error)[-1].split())
    return Failure(f'Nipype failed: {text}', 'Run it again with -vv, and Nipype says more.')


@contextmanager
def noticing_interrupts(follower: Follower) -> Iterator[None]:
    """Stop at Ctrl-C, which Nipype takes for a failure of the node that it falls into."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def note(number: int, frame: Any) -> None:
        follower.interrupted = True
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if follower.interrupted:
            raise KeyboardInterrupt
