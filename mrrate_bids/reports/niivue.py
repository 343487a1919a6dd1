"""NiiVue, the viewer that runs in a browser, out of an installed package.

The package ipyniivue ships NiiVue as a module for notebooks. A page that is opened from disk may
load scripts but no modules, so the class is handed over by a script that is made of the module.

Source: Taylor et al., NiiVue, github.com/niivue/niivue (BSD 2-Clause).
"""

import re
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from mrrate_bids.errors import ResourceError
from mrrate_bids.files import write_if_changed

__all__ = ['CLASS', 'PACKAGE', 'write_script']

PACKAGE = 'ipyniivue'
CLASS = 'mrrateNiivue'
"""Name of NiiVue's class in a page."""

_MADE = re.compile(r'Creating new Niivue instance"\);.{0,200}?=new (?P<name>[\w$]+)\(', re.DOTALL)
_EXPORT = re.compile(r'export\s*\{[^{}]*\};?\s*$')
_HINT = f'pip install "{PACKAGE}==2.4.4"'


def write_script(folder: Path) -> Path:
    """Write the script of NiiVue, with its licence, unless it is there already.

    Parameters
    ----------
    folder
        Of scripts that pages share.

    Returns
    -------
    Path
        Its path; the name holds the version of the package.

    Raises
    ------
    ResourceError
        When the package is not installed, or is made otherwise than expected.
    DestinationError
        When *folder* cannot take the file.
    """
    module, version = _find()
    target = folder / f'niivue-{version}.js'
    if not target.exists():  # it appears whole, and its name tells what is in it
        write_if_changed(target, _as_script(module.read_text(encoding='utf-8')))
    return target


def _find() -> tuple[Path, str]:
    spec = find_spec(PACKAGE)
    places = (spec.submodule_search_locations if spec else None) or []
    for place in places:
        module = Path(place) / 'static/widget.js'
        if module.is_file():
            return module, _version()
    raise ResourceError(f'{PACKAGE}, which holds the viewer, is not installed', hint=_HINT)


def _version() -> str:
    try:
        return distribution(PACKAGE).version
    except PackageNotFoundError:
        return 'unknown'


def _licence() -> str:
    """Return the licence, which must go with copies."""
    files = distribution(PACKAGE).files or []
    texts = [file.read_text() for file in files if file.name.upper().startswith('LICEN')]
    return '\n'.join(texts).replace('*/', '* /')


def _as_script(module: str) -> str:
    made, end = _MADE.search(module), _EXPORT.search(module)
    if not made or not end:
        raise ResourceError(f'{PACKAGE} holds the viewer in a form that is not known', hint=_HINT)
    body = module[: end.start()]
    return f'/* {_licence()} */\n(()=>{{{body}\nwindow.{CLASS}={made["name"]};}})();\n'
