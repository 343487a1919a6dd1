"""Filesystems of fsspec are asked for bytes like a web server."""

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from mrrate_bids.errors import AccessError, GoneError, NetworkError, OutageError
from mrrate_bids.fetching.elsewhere import FsspecClient
from mrrate_bids.fetching.rate import Rate
from mrrate_bids.fetching.remote import RemoteFile

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


class _Silent(LocalFileSystem):
    """A filesystem that says no sizes."""

    def info(self, path, **more):
        return super().info(path, **more) | {'size': None}


def test_file_of_unknown_size_is_read_to_its_end(tmp_path):
    (tmp_path / 'file').write_bytes(DATA)
    client = FsspecClient(_Silent(), Rate())
    assert client.look(str(tmp_path / 'file'))[0] is None
    file = RemoteFile(client, str(tmp_path / 'file'), spool=tmp_path / 'spool')
    with file.open() as opened:
        opened.seek(150)
        assert opened.read() == DATA[150:]
        opened.seek(0)
        assert opened.read() == DATA
    file.close()


def test_tag_changes_with_the_file(client, tmp_path):
    path = tmp_path / 'file'
    size, tag = client.look(str(path))
    assert size == len(DATA)
    assert tag
    path.write_bytes(DATA + b'x')
    assert client.look(str(path)) != (size, tag)


def test_file_that_is_not_there(client, tmp_path):
    with pytest.raises(GoneError, match='cannot be read'):
        client.look(str(tmp_path / 'gone'))
    with pytest.raises(GoneError, match='cannot be read'):
        client.piece(str(tmp_path / 'gone'), 0, 5)


class _Closed(LocalFileSystem):
    """A filesystem that gives nothing."""

    def info(self, path, **more):
        raise self.error


@pytest.mark.parametrize('error', [PermissionError('no'), RuntimeError('out of order')])
def test_what_gives_nothing_is_not_asked_for_ever(error):
    filesystem = _Closed()
    filesystem.error = error
    client, said = FsspecClient(filesystem, Rate()), []
    for number in range(8):
        with pytest.raises((AccessError, NetworkError)) as caught:
            client.look(f'file{number}')
        said.append(caught.value)
    if isinstance(error, PermissionError):
        assert [refused.everything for refused in said] == [False] * 7 + [True]
    else:
        assert [isinstance(lost, OutageError) for lost in said] == [False] * 7 + [True]


def test_success_begins_the_count_anew(client, tmp_path):
    for _ in range(3):
        for number in range(7):
            (tmp_path / 'closed').mkdir(exist_ok=True)
            with pytest.raises(NetworkError) as caught:
                client._open(str(tmp_path / 'closed'))
            assert not isinstance(caught.value, OutageError), number
        client.ask(str(tmp_path / 'file'), 0, 5).read(5)


@pytest.mark.parametrize(
    ('protocol', 'alone'), [('file', False), ('memory', True), ('http', False)]
)
def test_one_thread_at_a_time_where_a_filesystem_is_not_made_for_several(protocol, alone):
    client = FsspecClient(fsspec.filesystem(protocol), Rate())
    assert hasattr(client.turn, 'acquire') is alone


class _Broken(LocalFileSystem):
    """A filesystem that knows its files and delivers none."""

    def cat_file(self, path, start=None, end=None, **more):
        raise RuntimeError('out of order')


def test_what_delivers_nothing_is_not_asked_for_ever(tmp_path):
    (tmp_path / 'file').write_bytes(DATA)
    client, said = FsspecClient(_Broken(), Rate()), []
    for _ in range(8):
        file = RemoteFile(client, str(tmp_path / 'file'), spool=tmp_path, pause=0)
        with pytest.raises(NetworkError, match='out of order, 6 times') as caught:
            file.open().read()
        said.append(isinstance(caught.value, OutageError))
    assert said == [False] * 7 + [True]
