"""Filesystems of fsspec are asked for bytes like a web server."""

import fsspec
import pytest

from mrrate_bids.errors import NetworkError
from mrrate_bids.fetching.client import CutError
from mrrate_bids.fetching.elsewhere import FsspecClient
from mrrate_bids.fetching.rate import Rate

DATA = bytes(range(200))


@pytest.fixture
def client(tmp_path):
    (tmp_path / 'file').write_bytes(DATA)
    return FsspecClient(fsspec.filesystem('file'), Rate())


@pytest.mark.parametrize(
    ('start', 'stop', 'expected'),
    [(0, None, DATA), (10, 20, DATA[10:20]), (-5, None, DATA[-5:]), (190, 999, DATA[190:])],
)
def test_bytes_of_a_file(start, stop, expected, client, tmp_path):
    answer = client.ask(str(tmp_path / 'file'), start, stop)
    assert (answer.size, answer.whole) == (len(DATA), False)
    found = b''
    while part := answer.read(7):
        assert len(part) <= 7
        found += part
    answer.close()
    assert found == expected
    assert client.rate.moved == len(expected)


def test_tag_changes_with_the_file(client, tmp_path):
    path = tmp_path / 'file'
    size, tag = client.look(str(path))
    assert size == len(DATA)
    assert tag
    path.write_bytes(DATA + b'x')
    assert client.look(str(path)) != (size, tag)


def test_file_that_is_not_there(client, tmp_path):
    with pytest.raises(NetworkError, match='cannot be read'):
        client.look(str(tmp_path / 'gone'))
    with pytest.raises(CutError):
        client.piece(str(tmp_path / 'gone'), 0, 5)
