"""Results of the user, looked at before anything follows from them.

Each node passes its file on as it is; where it fails, nothing that hangs on the file is written.
"""

from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, File, TraitedSpec, traits

from mrrate_bids.computing.atlas import Atlas
from mrrate_bids.computing.defacing_masks import check_defacing, derive_defacing
from mrrate_bids.computing.given_transforms import check_atlas_transform, check_transform
from mrrate_bids.interfaces.base import QualitySpec, Step, optional

__all__ = ['CheckAtlasTransform', 'CheckDefaced', 'CheckDefacing', 'CheckTransform']


class _CheckSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    given = File(exists=True, mandatory=True, desc='the file of the user')
    image = File(exists=True, mandatory=True, desc='the series')
    mask = File(exists=True, mandatory=True, desc='its brain mask')


class _CheckedSpec(TraitedSpec):  # type: ignore[misc]
    out_file = File(exists=True, desc='the same file')


class _DefacingSpec(_CheckSpec):
    faceless = traits.Bool(False, usedefault=True, desc='whether it was applied before')


class _Check(Step):
    """A node that looks at a file, and passes it on as it is."""

    output_spec = _CheckedSpec

    def _compute(self, runtime: Any) -> Any:
        given = Path(self.inputs.given)
        self._look(given)
        self._results['out_file'] = str(given)
        return runtime

    def _look(self, given: Path) -> None:
        raise NotImplementedError


class CheckDefacing(_Check):
    """Look at a defacing mask (:func:`mrrate_bids.computing.defacing_masks.check_defacing`)."""

    input_spec = _DefacingSpec

    def _look(self, given: Path) -> None:
        asked = self.inputs
        image, brain = Path(asked.image), Path(asked.mask)
        check_defacing(given, image, brain=brain, faceless=asked.faceless)


class _DerivedSpec(QualitySpec):
    out_file = File(exists=True, desc='the same file')
    keep_mask = File(exists=True, desc='1 kept, 0 changed; uint8')


class CheckDefaced(Step):
    """Look at a defaced image (:func:`mrrate_bids.computing.defacing_masks.derive_defacing`)."""

    input_spec, output_spec = _CheckSpec, _DerivedSpec

    def _compute(self, runtime: Any) -> Any:
        asked, keep = self.inputs, self._place(runtime, 'keep.nii.gz')
        image, given = Path(asked.image), Path(asked.given)
        quality = derive_defacing(image, given, brain=Path(asked.mask), keep=keep)
        return self._finish(runtime, quality, out_file=given, keep_mask=keep)


class _TransformSpec(_CheckSpec):
    centre = File(exists=True, mandatory=True, desc='the centre T1w, of which the mask is')


class CheckTransform(_Check):
    """Look at a transform (:func:`mrrate_bids.computing.given_transforms.check_transform`)."""

    input_spec = _TransformSpec

    def _look(self, given: Path) -> None:
        asked = self.inputs
        centre, mask, moving = map(Path, (asked.centre, asked.mask, asked.image))
        check_transform(given, centre=centre, mask=mask, moving=moving)


class _AtlasTransformSpec(_CheckSpec):
    template = File(exists=True, mandatory=True, desc='the template')
    template_mask = File(exists=True, desc='its brain mask')


class CheckAtlasTransform(_Check):
    """Look at one (:func:`mrrate_bids.computing.given_transforms.check_atlas_transform`)."""

    input_spec = _AtlasTransformSpec

    def _look(self, given: Path) -> None:
        asked = self.inputs
        atlas = Atlas(Path(asked.template), optional(asked.template_mask))
        check_atlas_transform(given, atlas=atlas, centre=Path(asked.image), mask=Path(asked.mask))
