"""What runs computed for each study, and from what: the reason why nothing is computed twice."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mrrate_bids.app.origin import Origin, sign_images
from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Series, Study, kind_of
from mrrate_bids.files import checksum, remove, sweep
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import Output, Receipt, Receipts, is_unchanged, signature
from mrrate_bids.sidecars import sidecar_path

__all__ = ['HOME', 'Ledger', 'Targets']

HOME = '.mrrate-bids'
"""Inside the output folder: receipts and tables."""

Targets = dict[Path, tuple[str, str]]
"""File kind and suffix of every path that a graph writes."""

_MASK = 'defacing-mask'
_BATCH = 'run'
_GIVEN = {'foreign-mask', 'brain-mask', 'coreg-transform'}
"""What any result can follow from: masks of other series come through the transform."""

_GIVEN_SHOWN = {_MASK, 'defaced-image'}
"""What all others than brain masks and transforms can follow from, too."""


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
        self._sums: dict[tuple[Path, int], int] = {}
        """Checksums of results that were touched, by path and time."""

    def receipt(self, label: str) -> Receipt | None:
        """Return what runs noted of a study, by its label; ``None`` where none has seen it."""
        return self.receipts.load(_BATCH, label)

    def written(self, study: Study, *, but: Collection[str] = ()) -> frozenset[Path]:
        """Return what runs wrote of a study and nobody has changed since.

        Results of some series can be left out (*but*).
        """
        outputs = [o for o in self._noted(study) if o.series not in but]
        return frozenset(self._places.root / o.path for o in outputs if self._has(o))

    def _has(self, output: Output) -> bool:
        """Tell whether a result is as a run left it; read only where its time is another one."""
        try:
            return is_unchanged(self._places.root / output.path, output, read=self._sum)
        except OSError:
            return False

    def _sum(self, path: Path) -> int:
        """Return the checksum of a result, which is asked for again and again."""
        key = path, path.stat().st_mtime_ns
        if key not in self._sums:
            self._sums[key] = checksum(path)
        return self._sums[key]

    def _noted(self, study: Study) -> list[Output]:
        """Return what the receipt of a study names, whether it is there or not."""
        receipt = self.receipt(study.label)
        return receipt.outputs if receipt else []

    def trusted(self, study: Study) -> frozenset[Path]:
        """Return results of a study that a run left so, of the same images and options."""
        here = [output for output in self._noted(study) if self._is_whole(output)]
        masks = {o.series for o in here if o.kind == _MASK and self._holds(study, o, set())}
        return frozenset(
            self._places.root / output.path for output in here if self._holds(study, output, masks)
        )

    def _holds(self, study: Study, output: Output, masks: set[str]) -> bool:
        """Tell whether a result is what would be computed now.

        *masks* are the series of which a run found the defacing mask.
        """
        series = next((one for one in study.series if one.inside == output.series), None)
        if series is None:
            return False
        now = self._origin(study, series, output.kind, output.series in masks)
        return Origin.parse(output.origin).agrees(now)

    def _is_whole(self, output: Output) -> bool:
        path = self._places.root / output.path
        return self._has(output) and Path(sidecar_path(str(path))).exists()

    def outdated(self, study: Study) -> list[Path]:
        """Return results that a run with the options of this one would compute anew."""
        trusted, here = self.trusted(study), {one.inside for one in study.series}
        outputs = [o for o in self._noted(study) if o.series in here]
        given = {path for one in study.series for path in one.given.values()}
        paths = [self._places.root / o.path for o in outputs if not self._lies_elsewhere(study, o)]
        return [path for path in paths if path not in trusted | given and path.exists()]

    def _lies_elsewhere(self, study: Study, output: Output) -> bool:
        """Tell whether a result lies in another template's space than that of this run."""
        series = next(one for one in study.series if one.inside == output.series)
        return self._places.target(study, series, output.kind) != self._places.root / output.path

    def edited(self, study: Study, targets: Targets) -> list[Path]:
        """Return those of *targets* that somebody changed since a run wrote them."""
        written = {self._places.root / o.path: o for o in self._noted(study)}
        here = [path for path in targets if path in written and path.exists()]
        return [path for path in here if not self._has(written[path])]

    def _origin(self, study: Study, series: Series, kind: str, masked: bool = False) -> Origin:
        """Return what a result follows from: images, options, weights and files given."""
        images = [(one.inside, one.image) for one in (series, study.centre)]
        options = self._places.options
        defaced = masked or 'deface' in options.steps or _MASK in series.given
        given = _facts_of_given(study, series, kind)
        return Origin(
            sign_images(*images),
            signature(options.facts(kind, defaced=defaced)),
            options.weights(kind),
            signature(given) if given else '',
        )

    def _has_same_images(self, study: Study, series: Series, output: Output) -> bool:
        now = self._origin(study, series, output.kind)
        return Origin.parse(output.origin).images == now.images

    def forget(self, study: Study, targets: Iterable[Path]) -> None:
        """Remove results that are computed anew: what stands there afterwards is new."""
        if receipt := self.receipt(study.label):
            gone = set(targets)
            left = [o for o in receipt.outputs if self._places.root / o.path not in gone]
            state = receipt.state if left == receipt.outputs else 'partial'
            self.receipts.save(replace(receipt, outputs=left, state=state))
        self._remove(targets)
        for path in targets:  # what a run left half-written that was killed
            for one in (path, Path(sidecar_path(str(path)))):
                sweep(one.parent, name=one.name)

    def _remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            remove(path)
            remove(sidecar_path(str(path)))

    def note(
        self, label: str, set_aside: list[Problem], *, fails: bool, study: Study | None = None
    ) -> None:
        """Keep what is known of a study of which this run computes nothing.

        So the tables, which are made from receipts, speak of it whatever other runs do.

        Parameters
        ----------
        label
            Of the study.
        set_aside
            What was wrong before anything ran.
        fails
            Whether nothing of it can be computed; else all that is asked for is there.
        study
            The study, where it is one.
        """
        old = self.receipt(label)
        receipt = old or Receipt(label.partition('/')[0], label, _BATCH, 'complete')
        problems, steps = receipt.problems, self._steps
        if not fails and all(step in steps for step in receipt.keys):
            problems = [one for one in problems if one['severity'] != 'error']  # they are solved
        wrong = any(one['severity'] == 'error' for one in problems)
        state = 'complete' if not wrong else 'partial' if receipt.outputs else 'failed'
        new = replace(
            receipt,
            state='failed' if fails else state,
            keys=receipt.keys or steps,
            problems=problems,
            set_aside=[problem.to_dict() for problem in set_aside],
            outdated=self._outdated(study) if study else receipt.outdated,
        )
        if new != old:
            self.receipts.save(new)

    @property
    def _steps(self) -> list[list[str]]:
        """What was asked for, as :attr:`Receipt.keys`."""
        return [[step] for step in self._places.options.steps]

    def origins(self, study: Study, targets: Targets) -> dict[Path, str]:
        """Return what each result of a graph follows from, as it is now: before it is computed."""
        rows = self._results(study, targets)
        return {path: str(self._origin(study, series, kind)) for path, series, kind in rows}

    def _results(self, study: Study, targets: Targets) -> Iterator[tuple[Path, Series, str]]:
        """Yield each target with the series and file kind that it is of."""
        for series in study.series:
            for kind in sorted({kind for kind, _ in targets.values()}):
                path = self._places.target(study, series, kind)
                is_its = study.has(series, kind_of(kind))
                if is_its and targets.get(path, ('',))[0] == kind:
                    yield path, series, kind

    def record(
        self,
        study: Study,
        targets: Targets,
        problems: list[Problem],
        set_aside: Iterable[Problem] = (),
        *,
        origins: Mapping[Path, str] | None = None,
    ) -> Receipt:
        """Write the receipt of a study after a run, and return it.

        Without *origins*, as :meth:`origins` returned them before the run, nothing has changed
        since.
        """
        origins = self.origins(study, targets) if origins is None else origins
        outputs = self._outputs(study, targets, origins)
        kept = self._kept(study, {output.path for output in outputs})
        missing = len(targets) - len(outputs)
        receipt = Receipt(
            patient=study.subject,
            study=study.label,
            batch=_BATCH,
            state='complete' if not missing else 'partial' if outputs or kept else 'failed',
            keys=self._steps,
            outputs=[*kept, *outputs],
            centre=study.centre.inside,
            problems=[problem.to_dict() for problem in problems],
            set_aside=[problem.to_dict() for problem in set_aside],
        )
        self.receipts.save(receipt)
        if outdated := self._outdated(study):  # known once the receipt is there
            receipt = replace(receipt, outdated=outdated)
            self.receipts.save(receipt)
        return receipt

    def _outdated(self, study: Study) -> list[str]:
        """Return the paths of what is outdated, as receipts have them."""
        return [os.path.relpath(path, self._places.root) for path in self.outdated(study)]

    def _outputs(
        self, study: Study, targets: Targets, origins: Mapping[Path, str]
    ) -> list[Output]:
        found = []
        for path, series, kind in self._results(study, targets):
            if path.exists():
                inside, state = os.path.relpath(path, self._places.root), path.stat()
                crc, origin = checksum(path), origins[path]
                facts = inside, state.st_size, crc, kind, series.inside, origin
                found.append(Output(*facts, state.st_mtime_ns))
        return found

    def _kept(self, study: Study, paths: set[str]) -> list[Output]:
        """Return what an earlier run left and this one did not repeat.

        Results of other options stay, and are used when those are asked for again. Results of an
        image that has changed since are removed.
        """
        others = [o for o in self._noted(study) if o.path not in paths]
        series = {one.inside: one for one in study.series}
        gone = [
            o
            for o in others
            if o.series in series and not self._has_same_images(study, series[o.series], o)
        ]
        self._remove(self._places.root / o.path for o in gone)
        return [o for o in others if o not in gone]


def _facts_of_given(study: Study, series: Series, kind: str) -> list[tuple[str, str, int, int]]:
    """Return size and time of each file of the user that a result can follow from."""
    wanted = set(_GIVEN)
    if not kind.endswith('transform') and kind != 'brain-mask':
        wanted |= _GIVEN_SHOWN
    if kind.startswith('atlas'):
        wanted.add('atlas-transform')
    facts = []
    for one in dict.fromkeys((series.inside, study.centre.inside)):
        found = next(s for s in study.series if s.inside == one)
        for name in sorted(found.handed & wanted):
            said = found.given[name].stat()
            facts.append((one, name, said.st_size, said.st_mtime_ns))
    return facts
