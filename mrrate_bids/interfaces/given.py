"""Results of the user, looked at before anything follows from them.

Each node passes its file on as it is; where it fails, nothing that hangs on the file is written.
"""

from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, File, TraitedSpec, traits

from mrrate_bids.computing.defacing import check_defacing
from mrrate_bids.interfaces.base import Step

__all__ = ['CheckDefacing']


class _CheckSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    given = File(exists=True, mandatory=True, desc='the file of the user')


class _CheckedSpec(TraitedSpec):  # type: ignore[misc]
    out_file = File(exists=True, desc='the same file')


class _Check(Step):
    """A node that fails or passes a file on."""

    output_spec = _CheckedSpec

    def _compute(self, runtime: Any) -> Any:
        self._look(Path(self.inputs.given))
        self._results['out_file'] = self.inputs.given
        return runtime

    def _look(self, given: Path) -> None:
        raise NotImplementedError


class _DefacingSpec(_CheckSpec):
    image = File(exists=True, mandatory=True, desc='the series')
    mask = File(exists=True, mandatory=True, desc='its brain mask')
    faceless = traits.Bool(False, usedefault=True, desc='whether it was applied before')


class CheckDefacing(_Check):
    """Look at a defacing mask (:func:`mrrate_bids.computing.defacing.check_defacing`)."""

    input_spec = _DefacingSpec

    def _look(self, given: Path) -> None:
        asked = self.inputs
        brain = Path(asked.mask)
        check_defacing(given, Path(asked.image), brain=brain, faceless=asked.faceless)
