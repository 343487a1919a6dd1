"""Bring single files to their place, and take them back; nothing is ever overwritten."""

import errno
import filecmp
import os
import secrets
import shutil
from pathlib import Path

from mrrate_bids.errors import DestinationError
from mrrate_bids.files import remove
from mrrate_bids.merging.journal import Line

__all__ = ['bring', 'take_back']

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


def bring(action: str, source: Path, target: Path) -> None:
    """Bring a file to its place.

    Parameters
    ----------
    action
        ``hardlink``, ``move`` or ``copy``.
    source, target
        From where, to where.

    Raises
    ------
    DestinationError
        When the target cannot take it, or something lies there.
    """
    try:
        if action == 'hardlink':
            os.link(source.resolve(), target)
        elif action == 'move':
            _move(source, target)
        else:
            _copy(source, target)
    except OSError as error:
        raise _explain(error, action, target) from error


def _explain(error: OSError, action: str, target: Path) -> DestinationError:
    reason = error.strerror or type(error).__name__
    if isinstance(error, FileExistsError):
        return DestinationError(
            f'{target} has come to be meanwhile', hint='Look at it; then run the same again.'
        )
    if action == 'hardlink' and error.errno in _NO_LINKS:
        return DestinationError(
            f'{target}: no hard link can be made here ({reason})',
            hint='Run the same again with --link copy.',
        )
    return DestinationError(f'{target}: cannot be written ({reason})')


def _move(source: Path, target: Path) -> None:
    """Move by a link and the removal of the old name: a rename would overwrite."""
    if not (target.exists() and target.samefile(source)):  # else the removal is left to be done
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _copy(source, target)
    source.unlink()


def _copy(source: Path, target: Path) -> None:
    """Copy under a temporary name, read it back, and only then give it its name."""
    temporary = target.with_name(f'.{target.name}.{secrets.token_hex(6)}.part')
    try:
        shutil.copy2(source, temporary)
        with temporary.open('rb+') as file:
            os.fsync(file.fileno())
        filecmp.clear_cache()
        if not filecmp.cmp(source, temporary, shallow=False):
            raise OSError(errno.EIO, 'the copy reads back differently', str(target))
        _name(temporary, target)
    finally:
        remove(temporary)


def _name(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, 'exists', str(target)) from error
        temporary.rename(target)


def take_back(line: Line) -> str:
    """Undo a change; return why it was not, empty when it was or nothing was to be undone.

    Raises
    ------
    DestinationError
        When a file cannot be moved or removed.
    """
    action, source, target = line
    try:
        if action == 'mkdir':
            return _remove_folder(target)
        if not os.path.lexists(target):
            return ''  # not done, or undone already
        if action == 'move':
            return _move_back(source, target)
        if not source.exists():
            return f'{target} is the only one left: {source} is gone'
        equal = target.is_file() and (
            target.samefile(source)
            or (action == 'copy' and filecmp.cmp(source, target, shallow=False))
        )
        if not equal:
            return f'{target} is no longer what was merged: it differs from {source}'
        target.unlink()
    except OSError as error:
        raise _explain(error, 'undo', target) from error
    return ''


def _remove_folder(folder: Path) -> str:
    """Remove a folder that was made; what has files of others stays."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
    return ''


def _move_back(source: Path, target: Path) -> str:
    if os.path.lexists(source):
        if not source.samefile(target):
            return f'{target} cannot go back: {source} has come to be meanwhile'
        target.unlink()  # the move had been interrupted in the middle
        return ''
    source.parent.mkdir(parents=True, exist_ok=True)
    _move(target, source)
    return ''
