"""Segmentation by NV-Segment-CTMR (VISTA3D)."""

from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, File, InputMultiObject, traits

from mrrate_bids.computing.segmentation import Network, segment_scan
from mrrate_bids.interfaces.base import QualitySpec, Step, optional

__all__ = ['Segment']


class _SegmentSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    image = File(exists=True, mandatory=True, desc='the series')
    mask = File(exists=True, desc='its brain mask; outside, the task brain sees nothing')
    task = traits.Enum('brain', 'body', usedefault=True, desc='which classes are asked for')
    weights = traits.Str('', usedefault=True, desc='model.pt or its folder')
    weight_files = InputMultiObject(
        File(exists=True), desc='the file itself; when it is replaced, labels are found anew'
    )
    device = traits.Str('auto', usedefault=True, desc='auto, cpu, cuda or cuda:N')
    threads = traits.Int(1, usedefault=True, desc='of torch on the CPU')
    low_mem = traits.Bool(False, usedefault=True, desc='smaller windows')
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc='counts for n_gpu_procs')


class _SegmentedSpec(QualitySpec):
    dseg = File(exists=True, desc='class numbers, uint16 on the grid of the image')


class Segment(Step):
    """Segment an image (:func:`mrrate_bids.computing.segmentation.segment_scan`)."""

    input_spec, output_spec = _SegmentSpec, _SegmentedSpec

    def _compute(self, runtime: Any) -> Any:
        asked, dseg = self.inputs, self._place(runtime, 'dseg.nii.gz')
        quality = segment_scan(
            Path(asked.image),
            dseg,
            task=asked.task,
            mask=optional(asked.mask),
            network=Network(asked.weights, asked.device, asked.threads, asked.low_mem),
        )
        return self._finish(runtime, quality, dseg=dseg)
