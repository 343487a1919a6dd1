"""What the client of the Hub notes next to files."""

import pytest

from mrrate_bids.hub_notes import noted_digest

DIGEST = '0123456789abcdef' * 4


def note(folder, text):
    path = folder / '.cache/huggingface/download/models/model.pt.metadata'
    path.parent.mkdir(parents=True)
    path.write_bytes(text)


def test_digest_of_a_large_file(tmp_path):
    note(tmp_path, f'commit\n{DIGEST}\n1700000000.0\n'.encode())
    assert noted_digest(tmp_path, 'models/model.pt') == DIGEST


@pytest.mark.parametrize(
    'text', [b'', b'commit', b'commit\nabc\n', b'commit\n' + b'g' * 64, b'\xff']
)
def test_anything_else_is_no_digest(tmp_path, text):
    note(tmp_path, text)
    assert noted_digest(tmp_path, 'models/model.pt') == ''


def test_where_nothing_was_noted(tmp_path):
    assert noted_digest(tmp_path, 'models/model.pt') == ''
