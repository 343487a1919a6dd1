"""The report of one study."""

from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, File, TraitedSpec, isdefined, traits

from mrrate_bids.computing.atlas import Atlas
from mrrate_bids.interfaces.base import Step
from mrrate_bids.reports.study import write_study_report

__all__ = ['Report']


class _ReportSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    study = traits.Any(mandatory=True, desc='the study as it was before the run, or its label')
    places = traits.Any(mandatory=True, desc='the output, and the options of the run')
    problems = traits.Any(desc='what went wrong; what the receipt says if left out')
    atlas = traits.Any(desc='the template; looked for on this machine if left out')
    faces = traits.Bool(True, usedefault=True, desc='show images before defacing')


class _ReportedSpec(TraitedSpec):  # type: ignore[misc]
    page = File(exists=True, desc='the page')


class Report(Step):
    """Write a report (:func:`mrrate_bids.reports.study.write_study_report`)."""

    input_spec, output_spec = _ReportSpec, _ReportedSpec
    _always_run = True  # what it shows lies outside of the work folder

    def _compute(self, runtime: Any) -> Any:
        asked = self.inputs
        page = write_study_report(
            asked.study,
            asked.places,
            problems=asked.problems if isdefined(asked.problems) else None,
            # Nipype makes plain tuples of ours.
            atlas=Atlas(*asked.atlas) if isdefined(asked.atlas) else None,
            faces=asked.faces,
        )
        self._results['page'] = str(page)
        return runtime
