"""A run over the studies of a dataset: chunk by chunk, one Nipype run for each chunk."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from mrrate_bids.ahead import Watch
from mrrate_bids.app.drawing import draw_graph
from mrrate_bids.app.engine import Engine, interfaces_of
from mrrate_bids.app.faces import MASKED, Faces
from mrrate_bids.app.follower import Progress
from mrrate_bids.app.given import DATASETS, dataset_of
from mrrate_bids.app.inputs import Found
from mrrate_bids.app.ledger import HOME, Ledger, Targets
from mrrate_bids.app.options import Options
from mrrate_bids.app.places import Places
from mrrate_bids.app.reporting import Reporter
from mrrate_bids.app.scope import Scope, refuse_places
from mrrate_bids.app.search import Search
from mrrate_bids.app.settling import STOPPED, Settling
from mrrate_bids.app.study import Study, kind_of
from mrrate_bids.app.summary import write_tables
from mrrate_bids.app.uncovering import Uncovering
from mrrate_bids.descriptions import describe_result, is_computed, linked_elsewhere
from mrrate_bids.errors import DestinationError, ResourceError, UsageError
from mrrate_bids.export_run import Summary
from mrrate_bids.files import remove, write_bytes
from mrrate_bids.locks import held
from mrrate_bids.problems import Problem
from mrrate_bids.workflows.study import init_study_wf

__all__ = ['ComputeRun', 'Row']

_PROBE = 64 * 1024
"""Bytes that are written to the output and removed again before anything is computed."""

_LOOKED_AT = 2000
"""Images of other studies that a run of some participants looks at: 0.2 s on a local disk."""

Row = tuple[Study, Targets]
"""A study, and the files that its graph writes; the graph itself is made when its turn comes."""


class _Rest(NamedTuple):
    """Studies of which nothing is computed."""

    failed: set[str]
    idle: set[str]
    uncovered: Mapping[str, list[Problem]]
    """What is told of their faces."""


class ComputeRun:
    """The computation of derivatives of one dataset.

    Parameters
    ----------
    bids, out
        The raw dataset, and the folder that gets a dataset for each group of results.
    scope, options
        Which studies, and what is computed.
    is_first
        Whether no other run of the same command comes before, for another template.

    Raises
    ------
    UsageError
        When there is no dataset, or the output would lie on it.
    """

    def __init__(
        self, bids: Path, out: Path, *, scope: Scope, options: Options, is_first: bool = True
    ) -> None:
        refuse_places(bids, out)
        self.bids, self.out = bids.resolve(), out.resolve()
        self.scope, self.options = scope, options
        self.notes: list[Problem] = []
        """What was found before, and is told with the rest."""

        self.keep: Callable[[], object] = list
        """Called once it is sure that the run begins: writes its options."""

        self.graphs: Path | None = None
        """Where graphs are drawn, if they are."""

        self.shows_faces = True
        """Whether reports have pictures from before defacing."""

        self.is_first, self.is_last = is_first, True
        """Among runs for several templates: what concerns all is said by one of them."""

        given = dict(self._given_datasets())
        self.places = Places(self.out, options, given, is_extra=not is_first)
        self.ledger = Ledger(self.places)
        self._samples: dict[frozenset[type], Any] = {}
        """A graph for each set of interfaces that is planned: each is checked once."""

    def _given_datasets(self) -> Iterator[tuple[str, Path]]:
        """Yield what the user gave; datasets of the output by the paths that receipts have."""
        for name, path in self.scope.derivatives.items():
            own = self.out / dataset_of(name)
            yield name, own if path == own.resolve() else path

    @cached_property
    def _faces(self) -> Faces:
        here = self.out / MASKED
        roots = [path for key, path in self.places.given.items() if dataset_of(key) == MASKED]
        return Faces(self.bids, self.options.steps, [here, *roots])

    @property
    def _uncovering(self) -> Uncovering:
        exported = frozenset(self._search.exported())
        return Uncovering(self.places, self.ledger, self._faces, exported, self.is_last)

    @property
    def home(self) -> Path:
        """The folder of receipts and tables."""
        return self.out / HOME

    @cached_property
    def _search(self) -> Search:
        return Search(
            self.bids,
            self.scope,
            self.options,
            self.places,
            self.ledger,
            self._faces,
            self.is_first,
        )

    @cached_property
    def found(self) -> Found:
        """The studies, with what exists of them."""
        return self._search.find()

    def pending(self, *, dry: bool = False) -> Iterator[tuple[Study, Any, Targets]]:
        """Yield studies with something to compute, their graphs and the files they write.

        A *dry* run fetches no template.
        """
        from mrrate_bids.computing.atlas import Atlas  # noqa: PLC0415

        studies = self.found.studies  # before a template is fetched for nothing
        atlas = Atlas(Path(self.options.template), None) if dry else self.atlas
        for study in studies:
            workflow, targets = init_study_wf(study, self.places, atlas=atlas)
            if targets:
                yield study, workflow, targets

    @cached_property
    def atlas(self) -> Any:
        """The template, when a step needs it."""
        if 'atlas' not in self.options.steps:
            return None
        from mrrate_bids.computing.atlas import Atlas  # noqa: PLC0415
        from mrrate_bids.computing.template import fetch_template  # noqa: PLC0415

        template = fetch_template(
            self.options.template, resolution=self.options.resolution, offline=self.options.offline
        )
        # Nodes run in folders of their own.
        return Atlas(template.image.absolute(), template.brain and template.brain.absolute())

    def plan(self, *, dry: bool = False) -> tuple[list[Row], list[Problem]]:
        """Return what is computed, and what is not because it was edited by hand."""
        rows, problems = [], list[Problem]()
        for study, workflow, targets in self.pending(dry=dry):
            edited = [self._protect(study, path) for path in self.ledger.edited(study, targets)]
            problems += edited
            if not edited:
                rows.append((study, targets))
                self._samples.setdefault(interfaces_of(workflow), workflow)
        return rows, problems

    def _protect(self, study: Study, path: Path) -> Problem:
        text = f'{path.name}: was changed since it was computed, and is not overwritten'
        hint = f'Give {self.out / path.relative_to(self.out).parts[0]} with '
        hint += '--derivatives to use it, or remove it to have it computed.'
        return Problem('error', text, hint, study=study.label)

    def lacking(self, engine: Engine) -> Iterator[ResourceError]:
        """Yield what the plan needs and this machine lacks; nothing is fetched."""
        from mrrate_bids.computing.template import is_at_hand  # noqa: PLC0415

        yield from engine.lacking(self.options, self._samples.values())
        name, resolution = self.options.template, self.options.resolution
        if 'atlas' in self.options.steps and not is_at_hand(name, resolution=resolution):
            yield ResourceError(
                f'the template {name}, res-{resolution}, is not here',
                hint='A run fetches it, where TemplateFlow has it and a network is there.',
            )

    def execute(self, engine: Engine, *, watch: Watch) -> Summary:
        """Compute what is missing; one failed study does not stop the others.

        Raises
        ------
        ResourceError
            When weights, template or device are not there; nothing was computed.
        UsageError
            When the output folder takes no files.
        """
        rows, edited = self.plan()
        engine.check(self.options, self._samples.values())
        self._begin(rows)
        summary = Summary(problems=[*self.notes, *self.found.problems, *edited])
        noted, rest = _by_study(summary.problems), self._rest(rows, edited)
        self._note_rest(rest, noted, summary)
        summary.problems += self._draw(rows)
        reporter = self._reporter(engine, watch)
        self._compute_all(engine, rows, reporter, noted, summary, watch)
        summary.problems += reporter.write([*sorted(rest.failed), *self._unread(rest, reporter)])
        summary.problems += self._name_others()
        summary.problems += write_tables(self.bids, self.out, self.ledger.receipts)
        return summary

    def _begin(self, rows: list[Row]) -> None:
        """Refuse what cannot work, and write the options of the run."""
        if rows:
            self._refuse_two_sources(rows)
            self._claim(rows)
        with suppress(DestinationError):  # a run that has nothing to write needs no log
            self.keep()

    def _rest(self, rows: list[Row], edited: list[Problem]) -> _Rest:
        """Return the studies of which nothing is computed, after their faces were taken away."""
        failed = self.found.failed | {problem.study for problem in edited}
        computed = {study.label for study, _ in rows}
        idle = {study.label for study in self.found.studies} - failed - computed
        return _Rest(failed, idle, self._uncover(idle | failed))

    def _note_rest(
        self, rest: _Rest, noted: Mapping[str, list[Problem]], summary: Summary
    ) -> None:
        """Count them, and write down what is wrong with them."""
        summary.counts['failed'] += len(rest.failed)
        summary.counts['skipped'] += len(rest.idle)
        known = {study.label: study for study in self.found.studies}
        for label in sorted(rest.failed | rest.idle):
            said, fails = noted[label] + rest.uncovered[label], label in rest.failed
            self.ledger.note(label, said, fails=fails, study=known.get(label))
        summary.problems += chain.from_iterable(rest.uncovered.values())

    def _unread(self, rest: _Rest, reporter: Reporter) -> Iterator[Study]:
        """Yield studies that nothing was computed of, and that need another page all the same."""
        for study in self.found.studies:
            changed = reporter.lacks(study.label) or rest.uncovered[study.label]
            # A page of another run may show faces that this one hides.
            if study.label in rest.idle and (changed or not self.shows_faces):
                yield study

    def _compute_all(
        self,
        engine: Engine,
        rows: list[Row],
        reporter: Reporter,
        noted: Mapping[str, list[Problem]],
        summary: Summary,
        watch: Watch,
    ) -> None:
        """Compute and report chunk by chunk, until one stops the run."""
        for start in range(0, len(rows), engine.chunk):
            chunk = rows[start : start + engine.chunk]

            def step(progress: Progress, before: int = start) -> None:
                watch('studies', before + progress.studies, len(rows), summary.bytes)
                watch('steps', progress.steps, progress.all_steps, 0)

            stopped = self._compute(engine, chunk, step, noted, summary)
            summary.problems += reporter.write([study for study, _ in chunk])
            if stopped:
                self._leave(rows[start + engine.chunk :], noted, summary)
                break

    def _uncover(self, labels: Container[str]) -> Mapping[str, list[Problem]]:
        """Take faces away where nothing is computed; return what is told, by study."""
        studies = [study for study in self.found.studies if study.label in labels]
        return _by_study(p for study in studies for p in self._uncovering.clear(study, {}))

    def _name_others(self) -> Iterator[Problem]:
        """Name what shows the face of studies that are not of this run, where faces go.

        Parts of a run, of which there may be thousands, each look at a limited number of images,
        and shards at none: between them they have all studies of the dataset.
        """
        scope, studies = self.scope, self.found.studies
        if not self.is_last or scope.shard.count > 1 or not any(map(self._faces.go, studies)):
            return
        most = _LOOKED_AT if scope.participants or scope.sessions else None
        yield from self._uncovering.name_others({study.label for study in studies}, most=most)

    def _leave(
        self, rows: list[Row], noted: Mapping[str, list[Problem]], summary: Summary
    ) -> None:
        """Note studies that were not begun because another one failed."""
        for study, _ in rows:
            problem = Problem('error', *STOPPED, study=study.label)
            self.ledger.note(study.label, [*noted[study.label], problem], fails=True)
            summary.problems.append(problem)
        summary.counts['failed'] += len(rows)

    def _graph(self, study: Study) -> Any:
        return init_study_wf(study, self.places, atlas=self.atlas)[0]

    def _draw(self, rows: list[Row]) -> list[Problem]:
        if self.graphs is None:
            return []
        graphs = (self._graph(study) for study, _ in rows)
        said = [problem for graph in graphs for problem in draw_graph(graph, self.graphs)]
        return list(dict.fromkeys(said))

    def _reporter(self, engine: Engine, watch: Watch) -> Reporter:
        atlas = self.atlas if 'atlas' in self.options.steps else None
        return Reporter(engine, self.places, atlas=atlas, faces=self.shows_faces, watch=watch)

    def report(self, engine: Engine, *, watch: Watch) -> Summary:
        """Make the reports of what was computed, and compute nothing."""
        labels = self.found.failed
        missing = self._reporter(engine, watch).write([*sorted(labels), *self.found.studies])
        wrong = [replace(problem, severity='error') for problem in missing]
        summary = Summary(problems=[*self.found.problems, *wrong])
        summary.counts['done'] += len(labels) + len(self.found.studies) - len(wrong)
        summary.counts['failed'] += len(wrong)
        return summary

    def _refuse_two_sources(self, rows: list[Row]) -> None:
        """Do not compute what results of this output name as their source, and lies elsewhere."""
        for dataset in sorted(_datasets(rows)):
            for other in DATASETS:
                if place := linked_elsewhere(self.out / other, dataset):
                    raise UsageError(
                        f'{self.out / other} was computed from {place}, not from results here',
                        hint=f'Give another OUTPUT_DIR for what goes into {dataset}, or remove '
                        f'{other} to have it computed anew.',
                    )

    def _claim(self, rows: list[Row]) -> None:
        """Make sure that the output takes files before hours are spent on them."""
        for name in (HOME, *sorted(_datasets(rows))):
            probe = self.out / name / '.probe'
            try:
                write_bytes(probe, bytes(_PROBE))
                remove(probe)
            except (DestinationError, OSError) as error:
                said = ' '.join(str(error).removeprefix(f'{probe}: ').split())
                raise UsageError(
                    f'{probe.parent}: nothing can be written to it ({said})',
                    hint='Make room or give another folder, then run the same command again.',
                ) from error

    def _compute(
        self,
        engine: Engine,
        chunk: list[Row],
        step: Callable[[Progress], None],
        noted: Mapping[str, list[Problem]],
        summary: Summary,
    ) -> bool:
        """Run a chunk of studies, and tell whether it stopped early."""
        self._announce(chunk)
        for study, targets in chunk:
            self.ledger.forget(study, targets)
        # As it is now: what somebody changes meanwhile is computed anew by the next run.
        origins = {s.label: self.ledger.origins(s, targets) for s, targets in chunk}
        graphs = [(study.label, self._graph(study)) for study, _ in chunk]
        failures = engine.run(graphs, watch=step)
        stopped = engine.stop_early and bool(failures)
        settling = Settling(self.places, self.ledger, self._uncovering)
        for study, targets in chunk:
            said = failures.get(study.label, [STOPPED] if stopped else [])
            state, problems = settling.settle(
                study, targets, origins[study.label], said, noted[study.label]
            )
            summary.counts['done' if state == 'complete' else state] += 1
            summary.bytes += sum(path.stat().st_size for path in targets if path.exists())
            summary.problems += problems
        return stopped

    def _announce(self, chunk: list[Row]) -> None:
        """Describe the datasets before they get files."""
        datasets, used = _datasets(chunk), self._search.used(study for study, _ in chunk)
        roots = {self.places.given[name] for name in used}
        given = {link: root for link, root in self.places.links.items() if root in roots}
        with held(self.home / '.lock', needed=False):  # other parts may do it, too
            here = {name for name in DATASETS if (self.out / name).is_dir()}
            for dataset in sorted(datasets | here):
                folder = self.out / dataset
                if not (folder / 'dataset_description.json').exists() or is_computed(folder):
                    describe_result(
                        folder,
                        dataset,
                        raw=self.bids,
                        siblings=datasets | here,
                        extractor=self.options.extractor,
                        given=given,
                    )


def _by_study(problems: Iterable[Problem]) -> Mapping[str, list[Problem]]:
    found = defaultdict[str, list[Problem]](list)
    for problem in problems:
        found[problem.study].append(problem)
    return found


def _datasets(rows: Iterable[Row]) -> set[str]:
    kinds = {kind for _, targets in rows for kind, _ in targets.values()}
    return {kind_of(kind).dataset for kind in kinds}
