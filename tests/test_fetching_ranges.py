"""Which bytes are asked for."""

import io
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import make_zip

from mrrate_bids.archives import Place, list_place
from mrrate_bids.errors import NetworkError
from mrrate_bids.fetching.client import Answer, Client, CutError
from mrrate_bids.fetching.ranges import Span, join, spans_of
from mrrate_bids.fetching.rate import Rate
from mrrate_bids.fetching.remote import RemoteFile
from mrrate_bids.fetching.stream import NoRangesError, Patience, Stream

spans = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(1, 500)).map(lambda p: Span(p[0], sum(p)))
)


@given(spans)
def test_joined_spans_cover_all_and_waste_little(given_spans):
    joined = join(given_spans)
    assert joined == sorted(joined)
    wanted = {at for span in given_spans for at in range(*span)}
    asked = [at for span in joined for at in range(*span)]
    assert len(asked) == len(set(asked))
    assert wanted <= set(asked)
    assert len(asked) <= 1.02 * len(wanted)


def test_span_of_a_member_holds_its_header_and_its_bytes(tmp_path):
    files = {f'S/img/{n}.nii.gz': bytes([n]) * (1000 + n) for n in range(5)}
    path = make_zip(tmp_path / 'S.zip', files)
    data = path.read_bytes()
    listing = list_place(Place(path, 'S', True))
    for member in listing.members:
        (span,) = spans_of('S', [member])
        assert data[span.start : span.start + 4] == b'PK\x03\x04'
        assert files[f'S/{member.name}'] in data[span.start : span.stop]
    assert len(spans_of('S', listing.members)) == 1
    assert len(spans_of('S', listing.members[::2])) == 3


class _Bytes(Client):
    """A server in memory, that fails where a script says so."""

    def __init__(self, data: bytes, script=()) -> None:
        self.data, self.script, self.asked = data, list(script), []
        super().__init__(Rate())

    def ask(self, address, start, stop):
        self.asked.append((start, stop))
        size = len(self.data)
        start, stop, _ = slice(start, stop).indices(size)
        fault = self.script.pop(0) if self.script else ''
        if fault == 'refuse':
            raise CutError('another range')
        whole = fault == 'whole'
        body = self.data if whole else self.data[start:stop]
        body = body[: len(body) // 2] if fault == 'cut' else body
        return _Answer(0 if whole else start, size, '', whole, address, io.BytesIO(body))

    def look(self, address):
        return len(self.data), 'tag'

    def stop(self):
        pass


class _Answer(Answer):
    def __init__(self, *facts) -> None:
        *facts, self.body = facts
        super().__init__(*facts)

    def read(self, count):
        return self.body.read(count)

    def close(self):
        self.body.close()


def _patience(tries=4):
    return Patience('x', tries=tries, pause=0)


@pytest.mark.parametrize('script', [(), ('cut',), ('refuse', 'cut', 'cut')])
def test_stream_goes_on_after_a_fault(script):
    data = bytes(range(256)) * 100
    client = _Bytes(data, script)
    stream = Stream(lambda a, b: client.ask('', a, b), 100, 20_000, _patience())
    parts = []
    while part := stream.read(777):
        parts.append(part)
    assert b''.join(parts) == data[100:20_000]
    assert len(client.asked) == len(script) + 1


def test_stream_gives_up():
    client = _Bytes(bytes(1000), ['cut'] * 9)
    stream = Stream(lambda a, b: client.ask('', a, b), 0, 1000, _patience(3))
    with pytest.raises(NetworkError, match='too few, 3 times'):
        while stream.read(1000):
            pass


def test_stream_that_gets_on_does_not_give_up():
    client = _Bytes(bytes(8 << 20), ['cut'] * 3)
    stream = Stream(lambda a, b: client.ask('', a, b), 0, 8 << 20, _patience(2))
    total = 0
    while part := stream.read(1 << 18):
        total += len(part)
    assert total == 8 << 20


def test_whole_file_instead_of_a_part():
    client = _Bytes(bytes(1000), ['whole', 'whole'])
    with pytest.raises(NoRangesError):
        Stream(lambda a, b: client.ask('', a, b), 0, 10, _patience()).read(10)
    assert Stream(lambda a, b: client.ask('', a, b), 0, 1000, _patience()).read(10) == bytes(10)


@pytest.mark.parametrize('size', [None, 40_000])
def test_remote_file_reads_like_a_file(size, tmp_path):
    data = bytes(n * n % 251 for n in range(40_000))
    file = RemoteFile(_Bytes(data), 'mem', size=size, spool=tmp_path)
    handle = file.open()
    assert handle.seek(-10, 2) == len(data) - 10
    assert handle.read() == data[-10:]
    for at, count in ((0, 10), (5, 20_000), (39_000, 5000), (30_000, 9_000), (50_000, 3)):
        handle.seek(at)
        assert handle.read(count) == data[at : at + count]
    with pytest.raises(OSError, match='Invalid'):
        handle.seek(-1)
    assert handle.seek(10) == 10 == handle.tell()
    assert handle.seek(5, 1) == 15


def test_announced_spans_come_with_one_request_each(tmp_path):
    data = bytes(n % 251 for n in range(900_000))
    client = _Bytes(data)
    file = RemoteFile(client, 'mem', size=len(data), spool=tmp_path)
    file.expect([Span(1000, 300_000), Span(500_000, 600_000)])
    handle = file.open()
    for start, stop in ((1000, 300_000), (500_000, 600_000)):
        for at in range(start, stop, 10_000):
            handle.seek(at)
            count = min(10_000, stop - at)
            assert handle.read(count) == data[at : at + count]
    assert client.asked == [(1000, 300_000), (500_000, 600_000)]


def test_zip_at_a_server(tmp_path):
    files = {f'S/img/{n}.nii.gz': bytes([n]) * 50_000 for n in range(5)}
    path = make_zip(tmp_path / 'S.zip', files)
    client = _Bytes(path.read_bytes())
    file = RemoteFile(client, 'mem', spool=tmp_path)
    with zipfile.ZipFile(file.open()) as archive:
        assert archive.namelist() == list(files)
        assert archive.testzip() is None
    assert client.asked[0][0] < 0


def test_rate():
    free, slow = Rate(), Rate(10_000)
    begun = time.monotonic()
    for rate in (free, slow):
        for _ in range(10):
            rate.take(300)
    assert free.moved == slow.moved == 3000
    assert 0.29 <= time.monotonic() - begun < 2


def test_address_is_text_and_no_path(tmp_path):
    file = RemoteFile(_Bytes(b''), 'https://host/a/b.zip', spool=tmp_path)
    assert str(file) == 'https://host/a/b.zip' == file
    assert not isinstance(file, Path)
    assert file.state() == [0, 'tag']
