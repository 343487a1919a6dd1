"""Bring single files to their place, and take them back; nothing is ever overwritten."""

import errno
import filecmp
import os
import secrets
import shutil
from pathlib import Path
from typing import NamedTuple

from mrrate_bids.errors import DestinationError
from mrrate_bids.files import remove
from mrrate_bids.merging.journal import Line

__all__ = ['Hindrance', 'bring', 'find_hindrance', 'take_back']

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}
_BOTH = 'Look at both, and remove or move one by hand.'


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


class Hindrance(NamedTuple):
    """Why a change cannot be undone, and what to do about it."""

    reason: str
    remedy: str


def find_hindrance(line: Line) -> Hindrance | None:
    """Return why a change cannot be undone; nothing when it can, or when it is undone.

    Raises
    ------
    DestinationError
        When a file cannot be looked at.
    """
    if line.action == 'mkdir':
        return None  # one that others have files in stays, and that is all right
    try:
        return _find(line)
    except OSError as error:
        raise _explain(error, 'undo', line.target) from error


def _find(line: Line) -> Hindrance | None:
    if not os.path.lexists(line.target):
        if os.path.lexists(line.source):
            return None  # not done, or undone already
        remedy = 'Fetch it again, or take its line out of the journal.'
        return Hindrance(f'{line.target} was removed, and {line.source} is not there', remedy)
    return _find_of_moved(line) if line.action == 'move' else _find_of_second(line)


def _find_of_moved(line: Line) -> Hindrance | None:
    _, source, target, stamp = line
    if os.path.lexists(source):
        if source.samefile(target):
            return None
        return Hindrance(f'{target} cannot go back: {source} has come to be meanwhile', _BOTH)
    if stamp and not stamp.is_of(target):
        remedy = f'Move it to {source} by hand, if it is to go back.'
        return Hindrance(f'{target} was changed since it was merged', remedy)
    return None


def _find_of_second(line: Line) -> Hindrance | None:
    action, source, target, _ = line
    if not source.exists():
        return Hindrance(f'{target} is the only one left: {source} is gone', _BOTH)
    if not _is_what_was_merged(action, source, target):
        reason = f'{target} is no longer what was merged: it differs from {source}'
        return Hindrance(reason, _BOTH)
    return None


def _is_what_was_merged(action: str, source: Path, target: Path) -> bool:
    if not target.is_file():
        return False
    if target.samefile(source):
        return True
    return action == 'copy' and filecmp.cmp(source, target, shallow=False)


def take_back(line: Line) -> Hindrance | None:
    """Undo a change; return why it was not, nothing when it was or there was nothing to undo.

    Raises
    ------
    DestinationError
        When a file cannot be moved or removed.
    """
    hindrance = find_hindrance(line)
    if hindrance:
        return hindrance
    try:
        if line.action == 'mkdir':
            _remove_folder(line.target)
        elif line.action == 'move':
            _move_back(line.source, line.target)
        else:
            line.target.unlink(missing_ok=True)
    except OSError as error:
        raise _explain(error, 'undo', line.target) from error
    return None


def _remove_folder(folder: Path) -> None:
    """Remove a folder that was made; what has files of others stays."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def _move_back(source: Path, target: Path) -> None:
    if not os.path.lexists(target):
        return
    if os.path.lexists(source):
        target.unlink()  # the same file: the move had been interrupted in the middle
        return
    source.parent.mkdir(parents=True, exist_ok=True)
    _move(target, source)
