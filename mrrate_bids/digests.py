"""Digests of whole files."""

import hashlib
from pathlib import Path

__all__ = ['digest_of']


def digest_of(path: Path, kind: str = 'sha256') -> str:
    """Return the digest of a file in hexadecimal, by default its SHA-256."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, kind).hexdigest()
