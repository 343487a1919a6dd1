"""What runs computed for each study, and from what: the reason why nothing is computed twice."""

import os
from collections.abc import Iterable
from pathlib import Path

from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Series, Study
from mrrate_bids.files import remove
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import Output, Receipt, Receipts, signature
from mrrate_bids.sidecars import sidecar_path

__all__ = ['HOME', 'Ledger', 'Targets']

HOME = '.mrrate-bids'
"""Inside the output folder: receipts and tables."""

Targets = dict[Path, tuple[str, str]]
"""File kind and suffix of every path that a graph writes."""

_BATCH = 'run'


class Ledger:
    """The receipts of an output folder.

    Parameters
    ----------
    places
        The output, and the options of the run.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self.receipts = Receipts(places.root, places.root / HOME)

    def trusted(self, study: Study) -> frozenset[Path]:
        """Return results of a study that a run left so, of the same images and options."""
        receipt = self.receipts.load(_BATCH, study.label)
        if receipt is None:
            return frozenset()
        origins = {one.inside: self._origin(study, one) for one in study.series}
        return frozenset(
            self._places.root / output.path
            for output in receipt.outputs
            if output.origin == origins.get(output.series) and self.receipts.has(output)
        )

    def _origin(self, study: Study, series: Series) -> str:
        """Return a digest of what the results of a series follow from."""
        images = (series.image.stat(), study.centre.image.stat())
        facts = [(image.st_size, image.st_mtime_ns) for image in images]
        return signature(self._places.options.facts(), series.inside, study.centre.inside, facts)

    def forget(self, targets: Iterable[Path]) -> None:
        """Remove results that are computed anew: what stands there afterwards is new."""
        for path in targets:
            remove(path)
            remove(sidecar_path(str(path)))

    def record(self, study: Study, targets: Targets, problems: list[Problem]) -> Receipt:
        """Write the receipt of a study after a run, and return it."""
        outputs = self._outputs(study, targets)
        kept = self._kept(study, {output.path for output in outputs})
        missing = len(targets) - len(outputs)
        receipt = Receipt(
            patient=study.subject,
            study=study.label,
            batch=_BATCH,
            state='complete' if not missing else 'partial' if outputs or kept else 'failed',
            outputs=[*kept, *outputs],
            problems=[problem.to_dict() for problem in problems],
        )
        self.receipts.save(receipt)
        return receipt

    def _outputs(self, study: Study, targets: Targets) -> list[Output]:
        places, found = self._places, []
        for series in study.series:
            origin = self._origin(study, series)
            for kind in sorted({kind for kind, _ in targets.values()}):
                path = places.target(study, series, kind)
                if targets.get(path, ('',))[0] == kind and path.exists():
                    inside, size = os.path.relpath(path, places.root), path.stat().st_size
                    found.append(Output(inside, size, None, kind, series.inside, origin))
        return list({output.path: output for output in found}.values())

    def _kept(self, study: Study, paths: set[str]) -> list[Output]:
        """Return what an earlier run left and this one did not repeat; remove what is outdated."""
        old = self.receipts.load(_BATCH, study.label)
        others = [o for o in old.outputs if o.path not in paths] if old else []
        origins = {one.inside: self._origin(study, one) for one in study.series}
        kept = [o for o in others if o.origin == origins.get(o.series, o.origin)]
        self.forget(self._places.root / o.path for o in others if o not in kept)
        return kept
