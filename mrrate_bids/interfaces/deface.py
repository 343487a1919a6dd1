"""Quickshear, our own.

Nipype's wrapper calls a program whose buffer counts voxels and whose edges wrap around the image;
see the explanation of defacing in the documentation.
"""

from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, File, traits

from mrrate_bids.computing.defacing import deface_scan
from mrrate_bids.computing.presets import BUFFER_MM
from mrrate_bids.interfaces.base import QualitySpec, Step, optional

__all__ = ['Deface']


class _DefaceSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    image = File(exists=True, mandatory=True, desc='the series')
    mask = File(exists=True, desc='its brain mask; may be left out where a mask is given')
    given = File(exists=True, desc='a defacing mask that exists and is only applied')
    buffer_mm = traits.Float(BUFFER_MM, usedefault=True, desc='between the brain and the plane')


class _DefacedSpec(QualitySpec):
    keep_mask = File(exists=True, desc='1 kept, 0 removed; uint8')
    defaced = File(exists=True, desc='the series, 0 outside the mask')


class Deface(Step):
    """Take the face away (:func:`mrrate_bids.computing.defacing.deface_scan`)."""

    input_spec, output_spec = _DefaceSpec, _DefacedSpec

    def _compute(self, runtime: Any) -> Any:
        keep, defaced = (self._place(runtime, f'{name}.nii.gz') for name in ('keep', 'defaced'))
        quality = deface_scan(
            Path(self.inputs.image),
            optional(self.inputs.mask),
            keep=keep,
            defaced=defaced,
            buffer_mm=self.inputs.buffer_mm,
            given=optional(self.inputs.given),
        )
        return self._finish(runtime, quality, keep_mask=keep, defaced=defaced)
