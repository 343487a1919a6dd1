"""Writing a study zip of the release: stored, rooted at the study, the same bytes every time."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from mrrate_bids.errors import ArchiveError
from mrrate_bids.files import appear

__all__ = ['write_study_zip']

_EPOCH = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = 0o100644 << 16


def write_study_zip(target: Path, study_uid: str, members: Mapping[str, bytes | Path]) -> None:
    """Write the zip of a study, check it, and only then give it its name.

    Parameters
    ----------
    target
        The zip; one that is already there is replaced.
    study_uid
        The folder inside the zip that holds everything.
    members
        Content, or the file that holds it, by path inside the study folder.

    Raises
    ------
    ArchiveError
        When there is nothing to write, a path leaves the study folder, or what was written reads
        back differently.
    DestinationError
        When the folder of *target* cannot take the file.
    """
    if not members:
        raise ArchiveError(f'{target.name}: a study without files')
    for name in members:
        if {'', '.', '..'} & set(name.split('/')):
            raise ArchiveError(f'{target.name}: {name!r} is no path inside a study folder')
    with appear(target.absolute()) as draft:
        _write(draft, study_uid, members)
        _check(draft, target.name, count=len(members))


def _write(draft: str, study_uid: str, members: Mapping[str, bytes | Path]) -> None:
    with ZipFile(draft, 'w', ZIP_STORED) as archive:
        for name in sorted(members):
            info = ZipInfo(f'{study_uid}/{name}', date_time=_EPOCH)
            info.external_attr = _PLAIN_FILE
            # Otherwise the bytes would name the system that wrote them.
            info.create_system = 3
            content = members[name]
            data = content.read_bytes() if isinstance(content, Path) else content
            archive.writestr(info, data)


def _check(draft: str, name: str, *, count: int) -> None:
    """Read every member back and compare it with its CRC."""
    with ZipFile(draft) as archive:
        broken = archive.testzip()
        if broken is not None or len(archive.infolist()) != count:
            raise ArchiveError(f'{name}: {broken or "a member"} did not survive writing')
