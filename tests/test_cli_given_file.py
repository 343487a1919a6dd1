"""Files that are given as ``@FILE``."""

import pytest

from mrrate_bids.cli.given_file import text_of
from mrrate_bids.errors import UsageError


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
def test_text_of_any_editor(encoding, tmp_path):
    (tmp_path / 'list').write_text('é\r\nb\n', encoding=encoding, newline='')
    assert text_of(tmp_path / 'list') == 'é\nb\n'


@pytest.mark.parametrize('name', ['', '.', 'none', 'a/b', 'zero\0byte'])
def test_file_that_cannot_be_read(name, tmp_path):
    (tmp_path / 'a').touch()
    with pytest.raises(UsageError, match='cannot be read'):
        text_of(tmp_path / name)


@pytest.mark.parametrize('data', [b'\xff\xfeA\x00', b'\x93\x00\x80'])
def test_file_that_is_no_text(data, tmp_path):
    (tmp_path / 'list').write_bytes(data)
    with pytest.raises(UsageError, match='list is no text in UTF-8'):
        text_of(tmp_path / 'list')
