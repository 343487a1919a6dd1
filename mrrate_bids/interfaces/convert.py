"""A share of a conversion between release and BIDS, as a node that any plugin can place."""

import json
from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, Directory, File, TraitedSpec, traits

from mrrate_bids.errors import UsageError
from mrrate_bids.interfaces.base import Step

__all__ = ['ExportShard', 'ImportShard']


class _ShardSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    source = Directory(exists=True, mandatory=True, desc='what is read')
    target = traits.Str(mandatory=True, desc='the folder that is written, by its whole path')
    shard = traits.Str('1/1', usedefault=True, desc='I/N: the share of this node')
    jobs = traits.Int(1, usedefault=True, desc='studies at the same time')


class _SummarySpec(TraitedSpec):  # type: ignore[misc]
    summary = File(exists=True, desc='JSON: how many studies ended how, and what went wrong')


class _Shard(Step):
    """A node that runs one share and says how its studies ended."""

    input_spec, output_spec = _ShardSpec, _SummarySpec
    _always_run = True  # receipts know what was done, and files may have gone since

    def _compute(self, runtime: Any) -> Any:
        done = self._open().execute(jobs=self.inputs.jobs)
        said = {
            'counts': dict(done.counts),
            'problems': [problem.to_dict() for problem in done.problems],
        }
        path = self._place(runtime, 'summary.json')
        path.write_text(json.dumps(said, indent=2, sort_keys=True), encoding='utf-8')
        self._results['summary'] = str(path)
        return runtime

    def _open(self) -> Any:
        raise NotImplementedError

    def _target(self) -> Path:
        """Return the folder that is written; each node runs in a folder of its own."""
        target = Path(self.inputs.target)
        if not target.is_absolute():
            raise UsageError(f'{target} is a relative path', hint='Give the whole path as target.')
        return target


class ExportShard(_Shard):
    """Export a share of a release (:class:`mrrate_bids.export_run.ExportRun`)."""

    def _open(self) -> Any:
        from mrrate_bids.catalog import open_release  # noqa: PLC0415
        from mrrate_bids.export import ExportSettings  # noqa: PLC0415
        from mrrate_bids.export_run import ExportRun  # noqa: PLC0415
        from mrrate_bids.selection import Selection, Shard  # noqa: PLC0415

        return ExportRun(
            open_release(Path(self.inputs.source)),
            self._target(),
            selection=Selection(),
            settings=ExportSettings(),
            shard=Shard.parse(self.inputs.shard),
        )


class ImportShard(_Shard):
    """Import a share of a dataset (:class:`mrrate_bids.importing.run.ImportRun`)."""

    def _open(self) -> Any:
        from mrrate_bids.importing.run import ImportRun, ImportSettings  # noqa: PLC0415
        from mrrate_bids.selection import Shard  # noqa: PLC0415

        return ImportRun(
            Path(self.inputs.source),
            self._target(),
            settings=ImportSettings(),
            shard=Shard.parse(self.inputs.shard),
        )
