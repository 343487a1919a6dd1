"""Brain masks: found, carried over from the centre, or taken over from another pipeline."""

from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, File, InputMultiObject, traits

from mrrate_bids.computing.ants_session import Session
from mrrate_bids.computing.brain import carry_mask, extract_brain, take_mask
from mrrate_bids.computing.brain_choice import EXTRACTORS, Choice
from mrrate_bids.interfaces.base import QualitySpec, SessionSpec, Step

__all__ = ['CarryMask', 'ExtractBrain', 'TakeMask']

_MASK = 'brain_mask.nii.gz'


class _ImageSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    image = File(exists=True, mandatory=True, desc='the series')


class _ExtractSpec(_ImageSpec):
    extractor = traits.Enum(*EXTRACTORS, usedefault=True, desc='the network')
    weights = traits.Str('', usedefault=True, desc='folder of the weights of HD-BET')
    weight_files = InputMultiObject(
        File(exists=True), desc='the files in it; when one is replaced, the mask is found anew'
    )
    device = traits.Str('auto', usedefault=True, desc='auto, cpu, cuda or cuda:N')
    threads = traits.Int(1, usedefault=True, desc='of torch on the CPU')
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc='counts for n_gpu_procs')


class _CarrySpec(_ImageSpec, SessionSpec):
    centre = File(exists=True, mandatory=True, desc='the centre T1w')
    centre_mask = File(exists=True, mandatory=True, desc='its brain mask')
    transform = File(exists=True, mandatory=True, desc='from points of the centre to the series')


class _TakeSpec(_ImageSpec):
    given = File(exists=True, mandatory=True, desc='a brain mask on the same voxels')


class _MaskSpec(QualitySpec):
    mask = File(exists=True, desc='1 brain, 0 everything else; uint8 on the grid of the image')


class ExtractBrain(Step):
    """Find the brain in an image (:func:`mrrate_bids.computing.brain.extract_brain`)."""

    input_spec, output_spec = _ExtractSpec, _MaskSpec

    def _compute(self, runtime: Any) -> Any:
        asked, mask = self.inputs, self._place(runtime, _MASK)
        choice = Choice(asked.extractor, asked.weights, asked.device, asked.threads)
        quality = extract_brain(Path(asked.image), mask, choice=choice)
        return self._finish(runtime, quality, mask=mask)


class CarryMask(Step):
    """Bring the brain mask of the centre to a series (``carry_mask``)."""

    input_spec, output_spec = _CarrySpec, _MaskSpec

    def _compute(self, runtime: Any) -> Any:
        asked, mask = self.inputs, self._place(runtime, _MASK)
        quality = carry_mask(
            Path(asked.image),
            mask,
            centre=Path(asked.centre),
            mask=Path(asked.centre_mask),
            transform=Path(asked.transform),
            session=Session(asked.seed, asked.threads),
        )
        return self._finish(runtime, quality, mask=mask)


class TakeMask(Step):
    """Take over a brain mask of another pipeline (``take_mask``)."""

    input_spec, output_spec = _TakeSpec, _MaskSpec

    def _compute(self, runtime: Any) -> Any:
        mask = self._place(runtime, _MASK)
        quality = take_mask(Path(self.inputs.image), mask, mask=Path(self.inputs.given))
        return self._finish(runtime, quality, mask=mask)
