"""What our pages share: templates whose values are escaped, and links that work from disk."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrrate_bids.reports.places import link_to

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

__all__ = ['embed_json', 'link', 'load_template']


def load_template(name: str) -> 'Template':
    """Return a template of the package; every value that it shows is escaped."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # noqa: PLC0415  (slow)

    from mrrate_bids.templates import read_text  # noqa: PLC0415

    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(read_text),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template(name)


def embed_json(content: Any) -> 'Markup':
    """Return JSON that cannot end the script element which it stands in."""
    from markupsafe import Markup  # noqa: PLC0415  (comes with jinja2)

    text = json.dumps(content, ensure_ascii=False, separators=(',', ':'), allow_nan=False)
    return Markup(text.replace('<', '\\u003c'))  # noqa: S704  (nothing of it is markup)


def link(target: Path, folder: Path) -> str:
    """Return the address of a file as seen from a page in *folder*.

    >>> link(Path('/out/reports/a#b.png'), Path('/out/reports'))
    'a%23b.png'
    """
    return link_to(Path(os.path.relpath(target, folder)).as_posix())
