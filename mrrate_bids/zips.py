"""Writing a study zip of the release: stored, rooted at the study, the same bytes every time."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from mrrate_bids.errors import ArchiveError, MemberError
from mrrate_bids.files import appear

__all__ = ['write_study_zip']

_EPOCH = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = 0o100644 << 16
_BLOCK = 1 << 18  # stays in the second-level cache between reading, summing and writing

Content = bytes | Path
Verify = Callable[[Mapping[str, int]], None]


def write_study_zip(
    target: Path,
    study_uid: str,
    members: Mapping[str, Content],
    *,
    verify: Verify | None = None,
) -> None:
    """Write the zip of a study, check it, and only then give it its name.

    Parameters
    ----------
    target
        The zip; one that is already there is replaced.
    study_uid
        The folder inside the zip that holds everything.
    members
        Content, or the file that holds it, by path inside the study folder. A file is read in
        blocks, so its size does not matter.
    verify
        Called with the CRC-32 of every member before the zip gets its name; what it raises
        leaves no zip.

    Raises
    ------
    ArchiveError
        When there is nothing to write, a path leaves the study folder, or what was written reads
        back differently.
    MemberError
        When a file cannot be read, or changes meanwhile.
    DestinationError
        When the folder of *target* cannot take the file.
    """
    if not members:
        raise ArchiveError(f'{target.name}: a study without files')
    for name in members:
        if {'', '.', '..'} & set(name.split('/')):
            raise ArchiveError(f'{target.name}: {name!r} is no path inside a study folder')
    with appear(target.absolute()) as draft:
        checksums = _write(draft, study_uid, members)
        if verify:
            verify(checksums)
        _check(draft, target.name, count=len(members))


def _write(draft: str, study_uid: str, members: Mapping[str, Content]) -> dict[str, int]:
    checksums = {}
    with ZipFile(draft, 'w', ZIP_STORED) as archive:
        for name in sorted(members):
            info = ZipInfo(f'{study_uid}/{name}', date_time=_EPOCH)
            info.external_attr = _PLAIN_FILE
            # Otherwise the bytes would name the system that wrote them.
            info.create_system = 3
            content = members[name]
            if isinstance(content, Path):
                try:
                    _copy(content, archive, info)
                except ArchiveError as error:
                    raise MemberError(str(error), member=name, hint=error.hint) from error
            else:
                archive.writestr(info, content)
            checksums[name] = info.CRC
    return checksums


def _copy(source: Path, archive: ZipFile, info: ZipInfo) -> None:
    try:
        file = source.open('rb', buffering=0)
        info.file_size = source.stat().st_size  # tells the archive whether it needs Zip64
    except OSError as error:
        raise ArchiveError(f'{source}: cannot be read ({error.strerror})') from error
    with file, archive.open(info, 'w') as member:
        if _pump(source, file, member) != info.file_size:
            raise ArchiveError(f'{source}: changed while it was read', hint='Import it again.')


def _pump(source: Path, file: IO[bytes], member: IO[bytes]) -> int:
    block, total = memoryview(bytearray(_BLOCK)), 0
    while count := _read_into(source, file, block):
        member.write(block[:count])
        total += count
    return total


def _read_into(source: Path, file: IO[bytes], block: memoryview) -> int:
    try:
        return int(file.readinto(block))  # type: ignore[attr-defined]
    except OSError as error:
        raise ArchiveError(f'{source}: cannot be read ({error.strerror})') from error


def _check(draft: str, name: str, *, count: int) -> None:
    """Read every member back and compare it with its CRC."""
    with ZipFile(draft) as archive:
        broken = archive.testzip()
        if broken is not None or len(archive.infolist()) != count:
            raise ArchiveError(f'{name}: {broken or "a member"} did not survive writing')
