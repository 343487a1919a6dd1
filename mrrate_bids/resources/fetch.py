"""Fetch a resource to where commands look for it, checked, and recorded when it is there."""

import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from mrrate_bids.digests import digest_of
from mrrate_bids.errors import DestinationError, MrRateError, NetworkError, ResourceError
from mrrate_bids.fetching.addresses import check_address
from mrrate_bids.files import appear, remove
from mrrate_bids.hub_notes import noted_digest
from mrrate_bids.locks import held
from mrrate_bids.resources.catalogue import Resource
from mrrate_bids.resources.download import OFFLINE, Progress, download, get_json, say_nothing
from mrrate_bids.resources.lock import Entry
from mrrate_bids.resources.verify import Verdict, published_fault, record, state_of, verify

__all__ = ['fetch']

_LOCK = '.resources.fetching'
_NO_ZIP = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(NotImplementedError, EOFError, RuntimeError),
)
_BUSY = (408, 429)
_DIFFERS = '.differs'
_CLIENTS = ('httpx', 'requests', 'urllib3')
_ELSEWHERE = (
    'Name a folder that can be written in the variable of the resource: '
    'mrrate-bids resources list.'
)
_OFFLINE = (
    'On a machine with network: {command}. Copy {home} over, to the same '
    'place or to one that {variable} names, and run mrrate-bids resources verify {name}.'
)


def fetch(
    resource: Resource,
    *,
    mirror: str = '',
    offline: bool = False,
    accepted: bool = False,
    progress: Progress = say_nothing,
) -> list[Entry] | None:
    """Fetch a resource, unless it is there and what it should be.

    A file that is not what was published or recorded is kept, with ``.differs`` at its end.

    Parameters
    ----------
    resource
        What to fetch.
    mirror
        ``scheme://host`` of a server that has the same paths.
    offline
        Never use the network.
    accepted
        Whether the user accepts its licence.
    progress
        Told the bytes as they arrive.

    Returns
    -------
    entries
        What was recorded of each file; ``None`` when it was there already.

    Raises
    ------
    ResourceError
        When it cannot be fetched, is not what it should be, or its licence is not accepted.
    NetworkError
        When its server does not answer.
    DestinationError
        When its folder cannot be written.
    SourceError
        When *mirror* is no address of a server.
    """
    wrong = _unlike(resource)
    if state_of(resource) == 'here' and not wrong:
        return None
    if offline:
        raise _unreachable(resource, wrong)
    if resource.accept and not accepted:
        raise ResourceError(
            f'{resource.name} has a licence of its own: {resource.licence}',
            hint=f'Read {resource.licence_url}, then add --accept-license.',
        )
    if mirror:
        check_address(mirror)
    with _alone(resource.home):
        wrong = _unlike(resource)
        if state_of(resource) == 'here' and not wrong:  # another process was faster
            return None
        return _fetch(resource, wrong, mirror, progress)


def _unreachable(resource: Resource, wrong: list[Verdict]) -> ResourceError:
    """Return what to say where the network is not to be used."""
    if wrong:
        return ResourceError(
            f'{wrong[0].path}: {wrong[0].reason}',
            hint=f'With network: {resource.command()}. It keeps the file under another name.',
        )
    home = resource.home
    hint = _OFFLINE.format(
        name=resource.name, command=resource.command(), home=home, variable=resource.variable
    )
    return ResourceError(f'{resource.name} is not on this machine ({home})', hint=hint)


def _fetch(
    resource: Resource, wrong: list[Verdict], mirror: str, progress: Progress
) -> list[Entry]:
    """Put aside what is wrong, fetch, and record what came."""
    while wrong:  # it may lie in several places, of which the first counts
        for verdict in wrong:
            verdict.path.replace(f'{verdict.path}{_DIFFERS}')
        wrong = _unlike(resource)
    try:
        _get(resource, mirror, progress)
    except ResourceError:
        _leave_nothing_unsound(resource)
        raise
    _check(resource)
    return record(resource, resource.file, source=_at(resource.address, mirror))


def _get(resource: Resource, mirror: str, progress: Progress) -> None:
    if resource.archive:
        _fetch_archive(resource, mirror, progress)
    elif resource.hub:
        _fetch_from_hub(resource, mirror)
    else:
        _fetch_template(resource, mirror)


def _unlike(resource: Resource) -> list[Verdict]:
    """Return the files that are here and not what was published or recorded."""
    return [verdict for verdict in verify(resource) if verdict.is_bad]


def _leave_nothing_unsound(resource: Resource) -> None:
    """Throw away what arrived and is not what was published: a client may keep it."""
    for verdict in _unlike(resource):
        _throw_away(resource, verdict.path)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Let one process at a time fetch into a folder; the others wait."""
    try:
        with held(home / _LOCK, remedy=_ELSEWHERE):
            yield
    finally:
        _leave_no_empty_folder(home)


def _leave_no_empty_folder(home: Path) -> None:
    """Remove a folder in which nothing has arrived: commands would take it for weights."""
    with suppress(OSError):
        if [path.name for path in home.iterdir()] == [_LOCK]:
            remove(home / _LOCK)
            home.rmdir()


def _at(url: str, mirror: str) -> str:
    """Return an address on another server.

    >>> _at('https://zenodo.org/records/1', 'http://mirror:8000/')
    'http://mirror:8000/records/1'
    """
    return mirror.rstrip('/') + urlsplit(url).path if mirror else url


def _check(resource: Resource) -> None:
    """Compare with what was published; what differs is thrown away."""
    for file in resource.file:
        path = resource.find(file)
        if not path.is_file():
            raise ResourceError(
                f'{resource.name}: {file.path} was not among what was fetched',
                hint=f'Look at {resource.page}.',
            )
        size, sha256 = path.stat().st_size, digest_of(path)
        reason = published_fault(file, path, size=size, sha256=sha256)
        if reason:
            _throw_away(resource, path)
            raise ResourceError(
                f'{path}: what was fetched is not what was published, {reason}',
                hint='Fetch it again; it was thrown away.',
            )


def _throw_away(resource: Resource, path: Path) -> None:
    if resource.template:
        path.write_bytes(b'')  # as TemplateFlow marks what is yet to be fetched
    else:
        remove(path)


def _fetch_archive(resource: Resource, mirror: str, progress: Progress) -> None:
    """Fetch a zip of Zenodo and unpack it."""
    home, url = resource.home, _at(resource.archive, mirror)
    archive = home / f'.{url.rpartition("/")[2]}'
    size, md5 = _published(resource, mirror)
    download(url, archive, size=size, md5=md5, progress=progress)
    try:
        _unpack(archive, home, [file.path for file in resource.file])
    except _NO_ZIP as error:
        raise ResourceError(
            f'{url}: what arrived is no sound zip ({error}); it was thrown away',
            hint='Fetch it again.',
        ) from error
    finally:
        remove(archive)


def _published(resource: Resource, mirror: str) -> tuple[int | None, str]:
    """Return size and MD5 of the archive as the record at Zenodo has them, if it tells."""
    name = resource.archive.rpartition('/')[2]
    for file in get_json(_at(resource.record, mirror)).get('files') or []:
        if isinstance(file, dict) and file.get('key') == name:
            kind, _, digest = str(file.get('checksum', '')).partition(':')
            size = file.get('size')
            return (size if isinstance(size, int) else None), digest if kind == 'md5' else ''
    return None, ''


def _unpack(archive: Path, home: Path, wanted: list[str]) -> None:
    """Unpack the folder of a zip that has the wanted files; each file appears whole."""
    with zipfile.ZipFile(archive) as zipped:
        names = zipped.namelist()
        starts = [n.removesuffix(wanted[0]) for n in names if n.endswith(wanted[0])]
        start = next((s for s in starts if all(s + name in names for name in wanted)), None)
        if start is None:
            raise ResourceError(
                f'{archive.name}: the zip lacks {", ".join(wanted)}', hint='Fetch it again.'
            )
        for info in zipped.infolist():
            inside = info.filename.removeprefix(start)
            if not info.is_dir() and info.filename.startswith(start) and _is_honest(info, inside):
                _unpack_one(zipped, info, home / inside)


def _is_honest(info: zipfile.ZipInfo, inside: str) -> bool:
    path = PurePosixPath(inside)
    return not (path.is_absolute() or '..' in path.parts or stat.S_ISLNK(info.external_attr >> 16))


def _unpack_one(zipped: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    with (
        zipped.open(info) as source,
        appear(target) as temporary,
        Path(temporary).open('wb') as out,
    ):
        while block := source.read(1 << 20):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())


def _fetch_from_hub(resource: Resource, mirror: str) -> None:
    """Fetch by the client of the Hugging Face Hub, which resumes and checks sizes itself."""
    try:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415  (an extra, and slow)
    except ImportError as error:
        raise ResourceError(
            f'huggingface_hub is not installed ({error})', hint="pip install 'mrrate-bids[hub]'"
        ) from error
    home = resource.home
    for file in resource.file:
        try:
            hf_hub_download(
                resource.hub,
                file.path,
                revision=resource.revision,
                local_dir=home,
                endpoint=mirror.rstrip('/') or None,
                token=False if mirror else None,  # who one is, is for the Hub alone
            )
        except Exception as error:  # whatever the client and its client raise
            raise _not_given(resource, file.path, error) from error
        noted = noted_digest(home, file.path)
        if noted and digest_of(home / file.path) != noted:
            remove(home / file.path)
            raise ResourceError(
                f'{home / file.path}: its SHA-256 is not that of the Hub; it was thrown away',
                hint='Fetch it again.',
            )


def _not_given(resource: Resource, name: str, error: Exception) -> MrRateError:
    status = _status_of(error)
    said = f'HTTP {status}' if status else ' '.join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.errno and not hasattr(error, 'response'):
        return DestinationError(f'{resource.home}: {name} cannot be written ({error.strerror})')
    text = f'{resource.hub}: {name} cannot be fetched ({said[:300]})'
    if _is_outage(error):
        return NetworkError(text, hint=f'{NetworkError.default_hint} {OFFLINE}')
    return ResourceError(
        text,
        hint=f'Look at {resource.page}; where it asks for an account: hf auth login.',
    )


def _is_outage(error: BaseException) -> bool:
    """Tell whether a server does not answer, or not now: to ask again later may help."""
    status = _status_of(error)
    if status:
        return status >= 500 or status in _BUSY
    step: BaseException | None = error
    while step is not None:
        if type(step).__module__.startswith(_CLIENTS):
            return True
        step = step.__cause__ or step.__context__
    return False


def _status_of(error: BaseException | None) -> int:
    """Return what a server answered, wherever the client has put it; 0 where none did."""
    while error is not None:
        if (response := getattr(error, 'response', None)) is not None:
            return int(response.status_code)
        error = error.__cause__ or error.__context__
    return 0


def _fetch_template(resource: Resource, mirror: str) -> None:
    """Fetch by the client of TemplateFlow."""
    from mrrate_bids.computing.template import fetch_template, use_mirror  # noqa: PLC0415

    if mirror:
        use_mirror(mirror)
    try:
        fetch_template(resource.template)
    except ResourceError as error:
        if error.__cause__ is None or not _is_outage(error.__cause__):
            raise
        raise NetworkError(str(error), hint=f'{NetworkError.default_hint} {OFFLINE}') from error
