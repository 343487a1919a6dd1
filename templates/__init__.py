"""Data files: the naming table, dataset texts and label tables.

Everything in here is data. Code reaches it through :func:`read_text` and :func:`read_toml`.
"""

import json
import tomllib
from importlib.resources import files
from typing import Any

__all__ = ['read_json', 'read_text', 'read_toml']


def read_text(name: str) -> str:
    """Return the template *name* as text."""
    return files(__package__).joinpath(name).read_text(encoding='utf-8')


def read_toml(name: str) -> dict[str, Any]:
    """Return the TOML template *name* as a dictionary."""
    return tomllib.loads(read_text(name))


def read_json(name: str) -> dict[str, Any]:
    """Return the JSON template *name* as a dictionary."""
    return dict(json.loads(read_text(name)))
