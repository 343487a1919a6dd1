"""The template that images are brought to, through the client of TemplateFlow.

Sources: Ciric et al. 2022, TemplateFlow: FAIR-sharing of multi-scale, multi-species brain models,
Nature Methods 19:1568-1571; Fonov et al. 2011, Unbiased average age-appropriate atlases for
pediatric studies, NeuroImage 54:313-327 (MNI152NLin2009cSym).
"""

import difflib
import io
import os
import re
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mrrate_bids.atlas_grid import ATLAS_ORIGIN, ATLAS_SHAPE
from mrrate_bids.computing.scans import Scan, read_whole, same_space
from mrrate_bids.errors import ImageError, ResourceError, UsageError
from mrrate_bids.naming import ATLAS
from mrrate_bids.resources.catalogue import read_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    'DEFAULT',
    'Template',
    'fetch_template',
    'is_at_hand',
    'parse_template',
    'use_mirror',
]

DEFAULT = ATLAS

_TEXT = re.compile(r'(?P<name>[A-Za-z0-9]+)(?::res-(?P<resolution>[0-9]{1,3}))?')
_IMAGE: dict[str, str | None] = {'suffix': 'T1w', 'desc': None}
_BRAIN: dict[str, str | None] = {'suffix': 'mask', 'desc': 'brain'}
_VOLUME = {'extension': '.nii.gz', 'density': None}
_CARRIED = (
    'For a machine without, run this elsewhere with TEMPLATEFLOW_HOME=DIR, copy DIR over, and set '
    'TEMPLATEFLOW_HOME to the copy.'
)


class Template(NamedTuple):
    """A template on this machine.

    Parameters
    ----------
    name
        As TemplateFlow has it, without ``tpl-``.
    resolution
        The number after ``res-``.
    image
        Its T1w image, with the skull.
    brain
        Its brain mask, on the grid of the image; None where the template has none.
    """

    name: str
    resolution: int
    image: Path
    brain: Path | None


def parse_template(text: str) -> tuple[str, int]:
    """Return name and resolution of ``NAME`` or ``NAME:res-2``.

    >>> parse_template('MNI152NLin6Asym:res-02')
    ('MNI152NLin6Asym', 2)

    Raises
    ------
    UsageError
        When *text* is neither.
    """
    found = _TEXT.fullmatch(text)
    if not found:
        raise UsageError(
            f'{text!r} is no template', hint=f'Write NAME or NAME:res-N, as in {DEFAULT}:res-1.'
        )
    return found['name'], int(found['resolution'] or 1)


def fetch_template(name: str = DEFAULT, *, resolution: int = 1, offline: bool = False) -> Template:
    """Return a template, from ``TEMPLATEFLOW_HOME`` or, what is not there yet, the network.

    Many processes at once should find it there: fetch it before they start.

    Parameters
    ----------
    name
        As TemplateFlow has it, without ``tpl-``.
    resolution
        The number after ``res-``.
    offline
        Never use the network.

    Raises
    ------
    UsageError
        When TemplateFlow has no such template, not this resolution, or several for cohorts.
    ResourceError
        When a file is not there and cannot be fetched, is broken, or has another grid than it
        should; the hint says how to get it.
    """
    template = _at_hand(name, resolution) or _ask_client(name, resolution, offline=offline)
    _check(template)
    return template


def use_mirror(mirror: str) -> None:
    """Let TemplateFlow fetch from another server that has the same paths.

    Raises
    ------
    ResourceError
        When it is too old for that, or cannot set up its folder.
    """
    with _set_up():
        from templateflow import conf  # noqa: PLC0415
    try:
        conf._cache.config.s3_root = mirror.rstrip('/')
    except AttributeError as error:
        raise ResourceError(
            'this TemplateFlow cannot fetch from a mirror',
            hint="pip install 'templateflow>=25', or leave out --mirror.",
        ) from error


def is_at_hand(name: str, *, resolution: int) -> bool:
    """Tell whether the files of a template are all there; nothing is fetched or written."""
    # The client makes its folder when it is imported.
    return read_resources()[DEFAULT].home.is_dir() and _at_hand(name, resolution) is not None


def _at_hand(name: str, resolution: int) -> Template | None:
    """Return a template whose files are all there: the client would index every template first."""
    with _set_up():
        from templateflow import conf  # noqa: PLC0415

        paths = sorted((conf.TF_HOME / f'tpl-{name}').glob('*.nii.gz'))
    ends = (rf'tpl-{name}_res-0*{resolution}_{end}\.nii\.gz' for end in ('T1w', 'desc-brain_mask'))
    images, masks = ([p for p in paths if re.fullmatch(end, p.name)] for end in ends)
    if len(images) != 1 or len(masks) != 1 or not all(map(_filled, images + masks)):
        return None  # the client knows whether a mask should be there
    return Template(name, resolution, images[0], masks[0])


def _ask_client(name: str, resolution: int, *, offline: bool) -> Template:
    with _set_up():
        from templateflow import api  # noqa: PLC0415

        api.templates()
    with _quiet():
        image = _listed(api, name, resolution)
        masks = _paths(api, name, resolution, _BRAIN)
        brain = masks[0] if len(masks) == 1 else None
        for path, entities in ((image, _IMAGE), (brain, _BRAIN)):
            if path and not _filled(path):
                _fetch(api, name, resolution, path, entities, offline=offline)
    return Template(name, resolution, image, brain)


@contextmanager
def _set_up() -> 'Iterator[None]':
    """Let TemplateFlow read its variables and unpack its list of files: it does so on import."""
    os.environ.setdefault('TEMPLATEFLOW_AUTOUPDATE', 'off')  # nothing is asked of the network
    with _quiet():
        try:
            yield
        except ImportError as error:
            raise ResourceError(
                f'templateflow cannot be imported ({error})',
                hint="pip install 'mrrate-bids[compute]'",
            ) from error
        except OSError as error:
            raise ResourceError(
                f'TemplateFlow cannot set up its folder ({error})',
                hint='Set TEMPLATEFLOW_HOME to a folder that can be written, or that is filled.',
            ) from error


@contextmanager
def _quiet() -> 'Iterator[None]':
    """Keep back what TemplateFlow and PyBIDS print and warn of."""
    hidden = io.StringIO()
    with redirect_stdout(hidden), redirect_stderr(hidden), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def _listed(api: Any, name: str, resolution: int) -> Path:
    """Return where the T1w image is or will be."""
    found = _paths(api, name, resolution, _IMAGE)
    if not found and _complete_list():
        found = _paths(api, name, resolution, _IMAGE)
    if len(found) > 1:
        raise UsageError(
            f'{name}: has {len(found)} T1w images at res-{resolution}, one for each cohort',
            hint='Take a template without cohorts.',
        )
    if not found:
        raise _unknown(api, name, resolution)
    return found[0]


def _paths(api: Any, name: str, resolution: int, entities: dict[str, Any]) -> list[Path]:
    return list(api.ls(name, resolution=resolution, **_VOLUME, **entities))


def _complete_list() -> bool:
    """Add the empty files that the client knows and the folder does not, without network.

    Returns
    -------
    grown
        Whether there were any.
    """
    from templateflow import conf  # noqa: PLC0415

    if conf.TF_USE_DATALAD:
        return False  # it would ask the network
    try:
        return bool(conf.update(local=True, overwrite=False, silent=True))
    except OSError:
        return False  # a folder that cannot be written has what it has


def _unknown(api: Any, name: str, resolution: int) -> UsageError:
    known = api.templates()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=5)
        return UsageError(
            f'{name}: TemplateFlow has no such template',
            hint=f'Did you mean {", ".join(close)}?' if close else f'It has {", ".join(known)}.',
        )
    has = sorted(map(int, api.get_resolutions(template=name, **_IMAGE)))
    numbers = ', '.join(f'res-{number}' for number in has) or 'none with a resolution'
    return UsageError(f'{name}: has no T1w image res-{resolution}', hint=f'It has {numbers}.')


def _filled(path: Path) -> bool:
    """Tell whether a file is there and is more than the empty file that stands for it."""
    return path.is_file() and path.stat().st_size > 0


def _fetch(
    api: Any, name: str, resolution: int, path: Path, entities: dict[str, Any], *, offline: bool
) -> None:
    if offline:
        raise _absent(name, resolution, path, 'is not on this machine')
    try:
        api.get(name, resolution=resolution, **_VOLUME, **entities)
    except BaseException as error:
        _empty(path)
        if not isinstance(error, (OSError, RuntimeError)):  # requests' errors are OSErrors
            raise
        why = 'is not on this machine, and cannot be fetched'
        raise _absent(name, resolution, path, f'{why} ({type(error).__name__})') from error


def _empty(path: Path) -> None:
    """Leave no half of a file: the client would take it for the whole."""
    if _filled(path):
        path.write_bytes(b'')


def _absent(name: str, resolution: int, path: Path, why: str) -> ResourceError:
    return ResourceError(f'{path}: {why}', hint=_how_to(name, resolution))


def _how_to(name: str, resolution: int) -> str:
    if (name, resolution) == (DEFAULT, 1):
        return f'With network: {read_resources()[DEFAULT].command()}. {_CARRIED}'
    gets = '; '.join(
        f'get({name!r}, resolution={resolution}, suffix={e["suffix"]!r}, desc={e["desc"]!r})'
        for e in (_IMAGE, _BRAIN)
    )
    return f'With network: python -c "from templateflow.api import get; {gets}". {_CARRIED}'


def _check(template: Template) -> None:
    """Raise unless the files can be read to the end and have the grid they should have."""
    image = _read(template, template.image)
    if (template.name, template.resolution) == (DEFAULT, 1):
        expected = np.eye(4)
        expected[:3, 3] = ATLAS_ORIGIN
        if image.values.shape != ATLAS_SHAPE or not np.allclose(image.affine, expected, atol=1e-3):
            raise _broken(template, template.image, 'does not have the grid of this template')
    if template.brain and not same_space(_read(template, template.brain), image):
        raise _broken(template, template.brain, f'lies on another grid than {template.image.name}')


def _read(template: Template, path: Path) -> Scan:
    try:
        return read_whole(path, name=str(path))
    except ImageError as error:
        raise _broken(template, path, f'is broken ({error})') from error


def _broken(template: Template, path: Path, why: str) -> ResourceError:
    again = 'Delete the file, or empty it, and fetch it again.'
    return ResourceError(
        f'{path}: {why}', hint=f'{again} {_how_to(template.name, template.resolution)}'
    )
