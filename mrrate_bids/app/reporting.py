"""Reports of studies, made by the same engine as their results."""

from collections.abc import Sequence
from typing import Any

from mrrate_bids.ahead import Watch
from mrrate_bids.app.engine import Engine
from mrrate_bids.app.follower import Progress
from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Study, node_name
from mrrate_bids.problems import Problem
from mrrate_bids.reports.study import report_path

__all__ = ['Reporter']

_AGAIN = 'Make it again with --reports-only.'


class Reporter:
    """What makes the reports of a run.

    Parameters
    ----------
    engine, places
        Where graphs run, and where results are.
    atlas
        The template; looked for on this machine if ``None``.
    faces
        Whether pictures from before defacing are shown.
    watch
        Told how many reports are done.
    """

    def __init__(
        self, engine: Engine, places: Places, *, atlas: Any, faces: bool, watch: Watch
    ) -> None:
        self._engine, self._places, self._watch = engine, places, watch
        self._asked = {'atlas': atlas, 'faces': faces}

    def lacks(self, label: str) -> bool:
        """Tell whether there is no report of a study."""
        return not report_path(self._places, label).exists()

    def write(self, studies: Sequence[Study | str]) -> list[Problem]:
        """Write the reports of studies, or of labels that became none; return what went wrong."""
        problems, size = [], self._engine.chunk
        for start in range(0, len(studies), size):

            def step(progress: Progress, before: int = start) -> None:
                self._watch('reports', before + progress.studies, len(studies), 0)

            graphs = [self._graph(study) for study in studies[start : start + size]]
            failures = self._engine.run(graphs, watch=step)
            problems += [
                Problem('warning', f'no report: {failure.message}', _AGAIN, study=label)
                for label, said in failures.items()
                for failure in said[:1]
            ]
        return problems

    def _graph(self, study: Study | str) -> tuple[str, Any]:
        """Return the label of a study and the graph that writes its report."""
        from mrrate_bids.workflows.report import init_report_wf  # noqa: PLC0415

        label = study if isinstance(study, str) else study.label
        name = f'report_{node_name(label)}_wf'
        return label, init_report_wf(study=study, places=self._places, name=name, **self._asked)
