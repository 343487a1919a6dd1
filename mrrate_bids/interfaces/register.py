"""Registration and resampling through antspyx.

Nipype's own ANTs interfaces call the programs of ANTs, which few machines have; antspyx is a
wheel that brings the same code.
"""

from pathlib import Path
from typing import Any

from nipype.interfaces.base import File, InputMultiObject, TraitedSpec, traits

from mrrate_bids.computing.ants_session import Session
from mrrate_bids.computing.atlas import Atlas, register_to_atlas, resample_mask
from mrrate_bids.computing.coregistration import Fixed, coregister, resample_series
from mrrate_bids.computing.presets import PRESETS
from mrrate_bids.computing.reference import make_reference
from mrrate_bids.interfaces.base import QualitySpec, SessionSpec, Step, optional

__all__ = ['Coregister', 'MakeReference', 'RegisterToAtlas', 'Resample']

_TRANSFORM = 'rigid.mat'


class _RegisterSpec(SessionSpec):
    preset = traits.Enum(*PRESETS, usedefault=True, desc='the registration parameters')


class _CoregisterSpec(_RegisterSpec):
    centre = File(exists=True, mandatory=True, desc='the centre T1w')
    centre_mask = File(exists=True, mandatory=True, desc='its brain mask')
    moving = File(exists=True, mandatory=True, desc='the series')
    moving_mask = File(exists=True, desc='its own brain mask; judges the result')


class _AtlasSpec(_RegisterSpec):
    template = File(exists=True, mandatory=True, desc='the template')
    template_mask = File(exists=True, desc='its brain mask')
    centre = File(exists=True, mandatory=True, desc='the centre T1w')
    centre_mask = File(exists=True, mandatory=True, desc='its brain mask')


class _TransformSpec(QualitySpec):
    transform = File(
        exists=True, desc='ITK .mat, from points of the fixed image to the moving one'
    )


class _ResampleSpec(SessionSpec):
    image = File(exists=True, mandatory=True, desc='the series')
    mask = File(exists=True, desc='a mask on its grid; resampled instead of the series')
    like = File(exists=True, mandatory=True, desc='an image on the grid of the result')
    transforms = InputMultiObject(
        File(exists=True), mandatory=True, desc='.mat files; the one of the series stands last'
    )


class _ResampledSpec(TraitedSpec):  # type: ignore[misc]
    resampled = File(exists=True, desc='float32, linear; a mask uint8, nearest voxel')


class _ReferenceSpec(SessionSpec):
    image = File(exists=True, mandatory=True, desc='the centre T1w')
    mask = File(exists=True, mandatory=True, desc='its brain mask')


class _ReferencedSpec(TraitedSpec):  # type: ignore[misc]
    preproc = File(exists=True, desc='without shading (N4), axes turned to RAS')
    brain = File(exists=True, desc='the brain mask on the same grid')


class Coregister(Step):
    """Register a series to the centre (``coregister``)."""

    input_spec, output_spec = _CoregisterSpec, _TransformSpec

    def _compute(self, runtime: Any) -> Any:
        asked, transform = self.inputs, self._place(runtime, _TRANSFORM)
        quality = coregister(
            Fixed(Path(asked.centre), Path(asked.centre_mask), asked.preset, _session(asked)),
            Path(asked.moving),
            transform=transform,
            mask=optional(asked.moving_mask),
        )
        return self._finish(runtime, quality, transform=transform)


class RegisterToAtlas(Step):
    """Register the centre to a template (``register_to_atlas``)."""

    input_spec, output_spec = _AtlasSpec, _TransformSpec

    def _compute(self, runtime: Any) -> Any:
        asked, transform = self.inputs, self._place(runtime, _TRANSFORM)
        quality = register_to_atlas(
            Atlas(Path(asked.template), optional(asked.template_mask)),
            Path(asked.centre),
            Path(asked.centre_mask),
            transform=transform,
            preset=asked.preset,
            session=_session(asked),
        )
        return self._finish(runtime, quality, transform=transform)


class Resample(Step):
    """Bring a series, or a mask of it, to another grid in one interpolation."""

    input_spec, output_spec = _ResampleSpec, _ResampledSpec

    def _compute(self, runtime: Any) -> Any:
        asked, target = self.inputs, self._place(runtime, 'resampled.nii.gz')
        common: dict[str, Any] = {
            'like': Path(asked.like),
            'transforms': [Path(path) for path in asked.transforms],
            'session': _session(asked),
        }
        mask = optional(asked.mask)
        if mask is None:
            resample_series(Path(asked.image), target, **common)
        else:
            resample_mask(Path(asked.image), mask, target, **common)
        self._results['resampled'] = str(target)
        return runtime


class MakeReference(Step):
    """Make the T1w that fMRIPrep takes over (``make_reference``)."""

    input_spec, output_spec = _ReferenceSpec, _ReferencedSpec

    def _compute(self, runtime: Any) -> Any:
        preproc, brain = (self._place(runtime, f'{name}.nii.gz') for name in ('T1w', 'brain'))
        make_reference(
            Path(self.inputs.image),
            Path(self.inputs.mask),
            preproc=preproc,
            brain=brain,
            session=_session(self.inputs),
        )
        self._results |= {'preproc': str(preproc), 'brain': str(brain)}
        return runtime


def _session(asked: Any) -> Session:
    return Session(asked.seed, asked.threads)
