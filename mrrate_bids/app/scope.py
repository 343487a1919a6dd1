"""Which studies a run computes, and where it may lie."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrrate_bids.errors import UsageError
from mrrate_bids.selection import Shard

__all__ = ['Scope', 'refuse_places']


@dataclass(frozen=True, slots=True)
class Scope:
    """Which studies."""

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    filters: dict[str, Any] = field(default_factory=dict)
    derivatives: dict[str, Path] = field(default_factory=dict)
    database: Path | None = None
    """Of pybids, over the whole dataset."""

    shard: Shard = field(default_factory=Shard)


def refuse_places(bids: Path, out: Path) -> None:
    """Make sure that there is a dataset and that results do not lie on it.

    Raises
    ------
    UsageError
        When there is none, or they would.
    """
    if bids.resolve() == out.resolve():
        raise UsageError(
            f'{out} is the dataset itself', hint=f'Use {bids / "derivatives"}, for example.'
        )
    if not (bids / 'dataset_description.json').is_file():
        raise UsageError(
            f'{bids} is no BIDS dataset: it has no dataset_description.json',
            hint='Name the root of a dataset.',
        )
    if _lies_among_raw(out.resolve(), bids.resolve()):
        raise UsageError(
            f'{out} lies among the raw files of the dataset',
            hint=f'Use {bids / "derivatives"}, or a folder outside.',
        )


def _lies_among_raw(out: Path, bids: Path) -> bool:
    return out.is_relative_to(bids) and out.relative_to(bids).parts[:1] != ('derivatives',)
