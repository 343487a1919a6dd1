"""Files that are fetched whole: the rest of them, in one piece, or not at all."""

import pytest

from mrrate_bids.archives import Place
from mrrate_bids.errors import ArchiveError, DestinationError
from mrrate_bids.fetching.whole import fetch_file, fetch_rest, fetch_zip

DATA = bytes(range(256)) * 5000


@pytest.fixture
def source(tmp_path):
    path = tmp_path / 'source/file'
    path.parent.mkdir()
    path.write_bytes(DATA)
    return path


def accept(path, count):
    assert path.stat().st_size == count


def stop_at(count):
    """Return a progress that is interrupted."""

    def tell(here, total):
        if here >= count:
            raise KeyboardInterrupt

    return tell


def test_rest_of_a_file(source, tmp_path):
    target, told = tmp_path / 'out/file', []
    with pytest.raises(KeyboardInterrupt):
        fetch_rest(source, target, check=accept, tell=stop_at(500_000))
    (part,) = target.parent.iterdir()
    count = part.stat().st_size
    assert part.name.startswith('.file.')
    assert part.name.endswith('.fetch')
    assert 500_000 <= count < len(DATA)
    done = fetch_rest(source, target, check=accept, tell=lambda here, total: told.append(here))
    assert done == len(DATA)
    assert told[0] > count
    assert told[-1] == len(DATA)
    assert target.read_bytes() == DATA
    assert list(target.parent.iterdir()) == [target]


def test_file_that_is_another_one_by_now(source, tmp_path):
    target = tmp_path / 'out/file'
    with pytest.raises(KeyboardInterrupt):
        fetch_rest(source, target, check=accept, tell=stop_at(1))
    source.write_bytes(DATA[::-1])
    fetch_rest(source, target, check=accept)
    assert target.read_bytes() == DATA[::-1]
    assert list(target.parent.iterdir()) == [target]


def test_what_a_check_refuses_is_thrown_away(source, tmp_path):
    target = tmp_path / 'out/file'

    def refuse(path, count):
        raise ArchiveError(f'{count} bytes of nonsense')

    with pytest.raises(ArchiveError, match='1280000 bytes of nonsense'):
        fetch_rest(source, target, check=refuse)
    assert list(target.parent.iterdir()) == []


def test_folder_that_cannot_be(source, tmp_path):
    (tmp_path / 'out').touch()
    with pytest.raises(DestinationError, match='cannot be written'):
        fetch_rest(source, tmp_path / 'out/file', check=accept)


def test_small_file(source, tmp_path):
    assert fetch_file(source, tmp_path / 'out') == len(DATA)
    assert (tmp_path / 'out').read_bytes() == DATA


def test_file_that_is_closed(source, tmp_path, unprivileged):
    with unprivileged(tmp_path):
        source.chmod(0)
        with pytest.raises(ArchiveError, match=f'{source}: cannot be read') as caught:
            fetch_file(source, tmp_path / 'out')
        source.chmod(0o644)
    assert caught.value.hint == 'Ask its owner for access.'
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('data', [b'', b'PK\x05\x06' + bytes(18), b'no zip'])
def test_zip_that_is_none_is_named_by_where_it_comes_from(data, tmp_path):
    path = tmp_path / 'source/A.zip'
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=f'^{path}: is ') as caught:
        fetch_zip(Place(path, 'A', True), tmp_path / 'out/A.zip')
    assert '.fetch' not in str(caught.value)
    assert list((tmp_path / 'out').iterdir()) == []
