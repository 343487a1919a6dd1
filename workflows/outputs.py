"""The only writer of derivatives: every result of a study, from its node to its place."""

from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from nipype.pipeline import engine as pe

from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Series, Study
from mrrate_bids.interfaces.store import Store

__all__ = ['Outputs', 'Result', 'feed']

Result = tuple[Any, str]
"""A node, or a file that exists already (then the node is ``None``), and a field or path."""


def feed(workflow: Any, node: Any, name: str, result: Result) -> None:
    """Give a node of a workflow an input that another node makes, or that is there.

    *name* is that of the input; of an inner workflow that of one of its nodes stands before it.
    """
    source, field_or_path = result
    if source is None:
        *inner, last = name.split('.')
        setattr(reduce(getattr, inner, node.inputs), last, field_or_path)
    else:
        workflow.connect(source, field_or_path, node, name)


@dataclass
class Outputs:
    """What a graph writes.

    Results are collected first and connected at the end: only then it is known what exists, and
    may be named as the source of something else.
    """

    workflow: Any
    study: Study
    places: Places
    _rows: list[tuple[Series, str, Result, Result | None]] = field(default_factory=list)

    def add(
        self, series: Series, kind: str, result: Result, quality: Result | None = None
    ) -> None:
        """Write *result* as a file kind of *series*, with the numbers of *quality*."""
        self._rows.append((series, kind, result, quality))

    def connect(self) -> dict[Path, tuple[str, str]]:
        """Add the nodes that write; return kind and suffix of each file they write."""
        targets = {
            self.places.target(self.study, series, kind): (kind, series.suffix)
            for series, kind, *_ in self._rows
        }
        for series, kind, result, quality in self._rows:
            target = self.places.target(self.study, series, kind)
            sidecar = self.places.sidecar(self.study, series, kind, set(targets))
            store = pe.Node(
                Store(target=str(target), sidecar=sidecar),
                name=f'store_{series.key}_{kind}'.replace('-', '_'),
                run_without_submitting=True,
            )
            self.workflow.add_nodes([store])
            feed(self.workflow, store, 'in_file', result)
            if result[0] is None and kind.endswith('mask'):  # given by the user, and only copied
                store.inputs.like = str(series.image)
            if quality:
                feed(self.workflow, store, 'quality', quality)
        return targets
