"""The text of a file that is given as ``@FILE``."""

from pathlib import Path

from mrrate_bids.errors import UsageError

__all__ = ['text_of']


def text_of(path: Path) -> str:
    """Return the text of a small file, without the mark that some editors begin one with.

    Raises
    ------
    UsageError
        When it cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise UsageError(f'{path} is no text in UTF-8', hint='Save it as UTF-8.') from error
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = getattr(error, 'strerror', None) or error
        raise UsageError(f'{path} cannot be read ({reason})', hint='Name another file.') from error
