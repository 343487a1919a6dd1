"""The only way into an output dataset: a file and its sidecar, whole or not at all."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    TraitedSpec,
    traits,
)

from mrrate_bids.computing.brain_volume import read_brain
from mrrate_bids.computing.scans import read_grid, read_mask
from mrrate_bids.descriptions import format_json
from mrrate_bids.files import appear, holds, remove, write_text
from mrrate_bids.inheritance import split_name
from mrrate_bids.interfaces.base import Step, optional
from mrrate_bids.sidecars import sidecar_path

__all__ = ['Store']

_COST = 'seconds'
"""Says how long it took, which differs from run to run: not for a sidecar."""


class _StoreSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    in_file = File(exists=True, mandatory=True, desc='what was computed')
    quality = InputMultiObject(File(exists=True), desc='JSON files with numbers that judge it')
    like = File(exists=True, desc='the image on whose grid in_file must be a mask; else unchecked')
    target = traits.Str(mandatory=True, desc='path in the output dataset')
    sidecar = traits.Dict(desc='what the sidecar says beside the quality')


class _StoredSpec(TraitedSpec):  # type: ignore[misc]
    out_file = File(exists=True, desc='the file in the output dataset')


class Store(Step):
    """Copy a result to its place and write its sidecar."""

    input_spec, output_spec = _StoreSpec, _StoredSpec
    _always_run = True  # cheap, and what was removed from the output must come back

    def _compute(self, runtime: Any) -> Any:
        asked, target = self.inputs, Path(self.inputs.target)
        if like := optional(asked.like):
            _refuse(Path(asked.in_file), like, target)
        content, numbers = dict(asked.sidecar or {}), dict[str, Any]()
        for path in asked.quality or []:
            numbers |= json.loads(Path(path).read_text(encoding='utf-8'))
        numbers.pop(_COST, None)
        if numbers:
            content['QualityControl'] = numbers
        sidecar, text = Path(sidecar_path(str(target))), format_json(content)
        # Others look for images: one appears last, when its description is there. A sidecar alone
        # is no result, and this program trusts neither before the receipt of the study names it.
        with appear(target, keep_equal=True) as temporary:
            _copy(Path(asked.in_file), Path(temporary), packed=target.suffix == '.gz')
            if not holds(sidecar, text):
                remove(target)  # it was something else, and is not to stand beside this sidecar
                write_text(sidecar, text)
        self._results['out_file'] = str(target)
        return runtime


def _copy(source: Path, target: Path, *, packed: bool) -> None:
    """Copy a file; one that is not packed, as a raw image may be, is *packed* by its new name."""
    if not packed or source.suffix == '.gz':
        shutil.copyfile(source, target)
        return
    with (
        source.open('rb') as plain,
        target.open('wb') as file,
        gzip.GzipFile('', 'wb', fileobj=file, mtime=0) as packing,  # the same bytes every time
    ):
        shutil.copyfileobj(plain, packing)


def _refuse(mask: Path, like: Path, target: Path) -> None:
    """Raise unless a file is a mask on the grid of an image, and a brain mask may be one."""
    is_brain = split_name(target.name)[0].get('label') == 'brain'
    read = read_brain if is_brain else read_mask
    read(mask, like=read_grid(like))
