"""Digests of whole files."""

import hashlib

import pytest

from mrrate_bids.digests import digest_of


@pytest.mark.parametrize('kind', ['md5', 'sha256'])
def test_digest_is_that_of_the_content(tmp_path, kind):
    path = tmp_path / 'a'
    path.write_bytes(b'abc' * 100_000)
    assert digest_of(path, kind) == hashlib.new(kind, b'abc' * 100_000).hexdigest()


def test_usual_kind_is_sha256(tmp_path):
    path = tmp_path / 'a'
    path.write_bytes(b'')
    assert digest_of(path) == hashlib.sha256(b'').hexdigest()
