"""What a run leaves for people who look later: its options, and why nodes failed."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

from mrrate_bids.files import write_if_changed

__all__ = ['Logs']


class Logs:
    """The folder of one run, ``logs/<time>_<number>`` in the output folder.

    Parameters
    ----------
    out
        The output folder.
    """

    def __init__(self, out: Path) -> None:
        now = datetime.now(UTC).strftime('%Y%m%d-%H%M%S')
        self.root = out / 'logs'
        self.folder = self.root / f'{now}_{uuid.uuid4().hex[:8]}'

    def keep_config(self, text: str) -> None:
        """Write the options of the run."""
        write_if_changed(self.folder / 'config.toml', text)
