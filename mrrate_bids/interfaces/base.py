"""What our interfaces share: results in the folder of the node, quality as JSON next to them."""

import json
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from mrrate_bids.computing.presets import SEED
from mrrate_bids.errors import MrRateError

__all__ = ['PROBLEM', 'QualitySpec', 'SessionSpec', 'Step', 'optional']

PROBLEM = 'problem.json'
"""Message and hint of an error, in the folder of the node that failed."""


class SessionSpec(BaseInterfaceInputSpec):  # type: ignore[misc]  # nipype has no types
    """How ANTs runs."""

    seed = traits.Int(SEED, usedefault=True, desc='of all registrations')
    threads = traits.Int(1, usedefault=True, desc='of ITK; with 1 the result is repeatable')


class QualitySpec(TraitedSpec):  # type: ignore[misc]
    """What every step says of its result."""

    quality = File(desc='JSON file with the numbers that judge the result')


class Step(SimpleInterface):  # type: ignore[misc]
    """An interface whose results lie in the folder of its node.

    What goes wrong with the data is written there as well, in words for the user.
    """

    def _run_interface(self, runtime: Any) -> Any:
        try:
            return self._compute(runtime)
        except MrRateError as error:
            said = {'message': str(error), 'hint': error.hint}
            self._place(runtime, PROBLEM).write_text(json.dumps(said), encoding='utf-8')
            raise

    def _compute(self, runtime: Any) -> Any:
        raise NotImplementedError

    def _place(self, runtime: Any, name: str) -> Path:
        return Path(runtime.cwd) / name

    def _finish(self, runtime: Any, quality: dict[str, Any], **files: Path) -> Any:
        path = self._place(runtime, 'quality.json')
        path.write_text(json.dumps(quality, indent=2, sort_keys=True), encoding='utf-8')
        self._results |= {name: str(file) for name, file in files.items()}
        self._results['quality'] = str(path)
        return runtime


def optional(value: Any) -> Path | None:
    """Return the path of an input that may be left out."""
    return Path(value) if value and isinstance(value, str) else None
