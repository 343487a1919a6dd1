"""Each run has a folder of its own for what it leaves to later readers."""

import re

from mrrate_bids.app.logs import Logs


def test_runs_have_folders_of_their_own(tmp_path):
    one, other = Logs(tmp_path), Logs(tmp_path)
    assert one.folder != other.folder
    assert re.fullmatch(r'[0-9]{8}-[0-9]{6}_[0-9a-f]{8}', one.folder.name)
    assert one.folder.parent == one.root == tmp_path / 'logs'
    assert not one.root.exists(), 'a run that says nothing leaves nothing'
    one.keep_config('x = 1\n')
    assert (one.folder / 'config.toml').read_text() == 'x = 1\n'
