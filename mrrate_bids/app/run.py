"""A run over the studies of a dataset: chunk by chunk, one Nipype run for each chunk."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mrrate_bids.ahead import Watch
from mrrate_bids.app.engine import Engine, Failure
from mrrate_bids.app.given import Given
from mrrate_bids.app.inputs import Found, find_studies
from mrrate_bids.app.ledger import HOME, Ledger, Targets
from mrrate_bids.app.options import Options
from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Study, kind_of
from mrrate_bids.descriptions import COMPUTED_BY, describe_result, write_inherited
from mrrate_bids.errors import TableError, UsageError
from mrrate_bids.export_run import Summary
from mrrate_bids.files import write_if_changed
from mrrate_bids.inheritance import read_json_object
from mrrate_bids.naming import COMPUTED, KINDS
from mrrate_bids.problems import Problem
from mrrate_bids.tables import format_tsv

__all__ = ['ComputeRun', 'Scope']

_STOPPED = Failure(
    'was not finished: the run stopped at the first failure of another study',
    'Mend what failed, and run again.',
)
_CHUNK = 8
"""Studies for each process in one Nipype run: enough that none idles for long at its end."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which studies."""

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    filters: dict[str, Any] = field(default_factory=dict)
    derivatives: dict[str, Path] = field(default_factory=dict)


class ComputeRun:
    """The computation of derivatives of one dataset.

    Parameters
    ----------
    bids, out
        The raw dataset, and the folder that gets a dataset for each group of results.
    scope, options
        Which studies, and what is computed.

    Raises
    ------
    UsageError
        When there is no dataset, or the output would lie on it.
    """

    def __init__(self, bids: Path, out: Path, *, scope: Scope, options: Options) -> None:
        if bids.resolve() == out.resolve():
            raise UsageError(
                f'{out} is the dataset itself', hint=f'Use {bids / "derivatives"}, for example.'
            )
        if not (bids / 'dataset_description.json').is_file():
            raise UsageError(
                f'{bids} is no BIDS dataset: it has no dataset_description.json',
                hint='Name the root of a dataset.',
            )
        if _lies_among_raw(out.resolve(), bids.resolve()):
            raise UsageError(
                f'{out} lies among the raw files of the dataset',
                hint=f'Use {bids / "derivatives"}, or a folder outside.',
            )
        self.bids, self.out = bids.resolve(), out.resolve()
        self.scope, self.options = scope, options
        self.places = Places(self.out, options)
        self.ledger = Ledger(self.places)

    @property
    def home(self) -> Path:
        """The folder of receipts and tables."""
        return self.out / HOME

    @cached_property
    def found(self) -> Found:
        """The studies, with what exists of them."""
        datasets = self.scope.derivatives | self._exported()
        scope = self.scope
        given = Given(
            datasets,
            self.ledger.trusted,
            foreign=self.options.extractor == 'derivatives',
            space=(self.options.template, self.options.resolution),
        )
        found = find_studies(
            self.bids,
            participants=scope.participants,
            sessions=scope.sessions,
            filters=scope.filters,
            given=given,
        )
        self._refuse_without_masks(found)
        return found

    def _exported(self) -> dict[str, Path]:
        """Return datasets of the output folder that no run computed; they stay as they are."""
        found = {}
        for path in sorted(self.out.glob('mrrate-*')) if self.out.is_dir() else []:
            if not _is_computed(path) and (path / 'dataset_description.json').exists():
                found[path.name] = path
        return found

    def _refuse_without_masks(self, found: Found) -> None:
        """Set studies aside whose centre has no mask; the other series get that of the centre."""
        if self.options.extractor != 'derivatives':
            return
        for study in list(found.studies):
            if not {'brain-mask', 'foreign-mask'} & set(study.centre.given):
                text = f'{study.centre.inside}: there is no brain mask of it in --derivatives'
                hint = 'Give a dataset that has one, or use another --brain-extractor.'
                found.problems.append(Problem('error', text, hint, study=study.label))
                found.studies.remove(study)

    def pending(self, *, dry: bool = False) -> Iterator[tuple[Study, Any, Targets]]:
        """Yield studies with something to compute, their graphs and the files they write.

        A *dry* run fetches no template.
        """
        from mrrate_bids.computing.atlas import Atlas  # noqa: PLC0415
        from mrrate_bids.workflows.study import init_study_wf  # noqa: PLC0415  (imports nipype)

        atlas = Atlas(Path(self.options.template), None) if dry else self.atlas
        for study in self.found.studies:
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

    def execute(self, engine: Engine, *, watch: Watch) -> Summary:
        """Compute what is missing; one failed study does not stop the others.

        Raises
        ------
        ResourceError
            When weights, template or device are not there; nothing was computed.
        """
        pending = list(self.pending())
        engine.check(self.options, [workflow for _, workflow, _ in pending])
        summary = Summary(problems=list(self.found.problems))
        summary.counts['failed'] += len(self.found.failed)
        summary.counts['skipped'] += len(self.found.studies) - len(pending)
        pending = [row for row in pending if not self._protects(row[0], row[2], summary)]
        done = 0
        size = _CHUNK * engine.processes
        for chunk in (pending[i : i + size] for i in range(0, len(pending), size)):
            self._announce(chunk)
            for study, _, targets in chunk:
                self.ledger.forget(study, targets)

            def step(count: int, before: int = done) -> None:
                watch('studies', before + count, len(pending), summary.bytes)

            failures = engine.run([(study.label, wf) for study, wf, _ in chunk], watch=step)
            stopped = engine.stop_early and bool(failures)
            for study, _, targets in chunk:
                said = failures.get(study.label, [_STOPPED] if stopped else [])
                self._settle(study, targets, said, summary)
            done += len(chunk)
            if stopped:
                break
        self._finalise()
        return summary

    def _protects(self, study: Study, targets: Targets, summary: Summary) -> bool:
        """Tell whether a study has results that were edited by hand, and say so."""
        edited = self.ledger.edited(study, targets)
        for path in edited:
            text = f'{path.name}: was changed since it was computed, and is not overwritten'
            hint = f'Give {path.parents[len(path.relative_to(self.out).parts) - 2]} with '
            hint += '--derivatives to use it, or remove it to have it computed.'
            summary.problems.append(Problem('error', text, hint, study=study.label))
        summary.counts['failed'] += bool(edited)
        return bool(edited)

    def _announce(self, chunk: Any) -> None:
        """Describe the datasets before they get files."""
        kinds = {kind for _, _, targets in chunk for kind, _ in targets.values()}
        datasets = {kind_of(kind).dataset for kind in kinds}
        known = {kind.dataset for kind in (*KINDS.values(), *COMPUTED.values())}
        here = {name for name in known if name and (self.out / name).is_dir()}
        for dataset in sorted(datasets | here):
            folder = self.out / dataset
            if not (folder / 'dataset_description.json').exists() or _is_computed(folder):
                describe_result(
                    folder,
                    dataset,
                    raw=self.bids,
                    siblings=datasets | here,
                    extractor=self.options.extractor,
                )

    def _settle(
        self, study: Study, targets: Targets, failures: list[Failure], summary: Summary
    ) -> None:
        """Write the receipt of a study, and count it."""
        here = {path: pair for path, pair in targets.items() if path.exists()}
        missing = [path for path in targets if path not in here]
        if failures == [_STOPPED] and not missing:
            failures = []
        problems = [Problem('error', f.message, f.hint, study=study.label) for f in failures]
        if missing and not problems:
            text = f'{len(missing)} files were not computed, as {missing[0].name}'
            problems.append(Problem('error', text, 'Run again with --debug.', study=study.label))
        if outdated := self.ledger.outdated(study):
            text = f'{len(outdated)} results of other options stay, as {outdated[0].name}'
            hint = 'Run again with all --steps to have them computed with these options.'
            problems.append(Problem('warning', text, hint, study=study.label))
        space = self.options.template, self.options.resolution
        for kind, suffix in sorted(set(here.values())):
            write_inherited(self.out / kind_of(kind).dataset, kind, suffix, space=space)
        state = self.ledger.record(study, targets, problems).state
        summary.counts['done' if state == 'complete' else state] += 1
        summary.bytes += sum(path.stat().st_size for path in here)
        summary.problems += problems

    def _finalise(self) -> None:
        """Write the tables that speak of all studies."""
        rows, problems = [], []
        for receipt in self.ledger.receipts:
            rows.append([receipt.study, receipt.state, str(len(receipt.outputs))])
            problems += [Problem.from_dict(p).row() for p in receipt.problems]
        problems += [problem.row() for problem in self.found.problems]
        folder = self.home
        studies = format_tsv(['study', 'state', 'files'], rows)
        write_if_changed(folder / 'studies.tsv', studies)
        write_if_changed(folder / 'problems.tsv', format_tsv(Problem.columns(), problems))


def _lies_among_raw(out: Path, bids: Path) -> bool:
    return out.is_relative_to(bids) and out.relative_to(bids).parts[:1] != ('derivatives',)


def _is_computed(folder: Path) -> bool:
    """Tell whether a dataset was computed by a run."""
    try:
        made_by = read_json_object(folder / 'dataset_description.json').get('GeneratedBy', [])
    except TableError:
        return False
    return COMPUTED_BY in json.dumps(made_by)
