"""What the client of the Hugging Face Hub notes next to the files that it fetches.

Into ``.cache/huggingface/download`` of the folder it writes for each file the commit, the ETag,
which is the SHA-256 of a large file, and the time.
"""

from pathlib import Path

__all__ = ['noted_digest']

_HEX = set('0123456789abcdef')


def noted_digest(folder: Path, name: str) -> str:
    """Return the SHA-256 that was noted for a file; empty when there is none.

    Parameters
    ----------
    folder
        Where a repository was fetched to.
    name
        The path of the file in it.
    """
    path = folder / '.cache/huggingface/download' / f'{name}.metadata'
    try:
        etag = path.read_text(encoding='utf-8').split('\n')[1].strip()
    except (OSError, UnicodeDecodeError, IndexError):
        return ''
    return etag if len(etag) == 64 and set(etag) <= _HEX else ''
