"""What a paper may say of a run, with the references to cite."""

import re
from html import escape
from pathlib import Path
from typing import Any

from mrrate_bids import __version__
from mrrate_bids.app.options import DERIVATIVES, Options
from mrrate_bids.computing.brain_choice import EXTRACTORS
from mrrate_bids.descriptions import tool_version
from mrrate_bids.files import write_if_changed
from mrrate_bids.templates import read_text, read_toml

__all__ = ['describe_run', 'write_boilerplate']

_TOOLS = {'nipype': 'nipype', 'antspyx': 'ANTsPy'} | {
    name.replace('-', ''): network.title for name, network in EXTRACTORS.items()
}
_ENTRY = re.compile(r'^(@\w+\{(\w+),.*?^\})', re.DOTALL | re.MULTILINE)
_CITATION = re.compile(r'\[@(\w+)\]')


def describe_run(options: Options, *more: Options) -> str:
    """Return the methods of a run in sentences, as Markdown with citations for pandoc.

    Parameters
    ----------
    options
        What is asked for; steps that are not have no sentence.
    more
        The same for further templates.
    """
    texts = read_toml('boilerplate.toml')
    sentences = [texts['start'], texts['centre']]
    if 'mask' in options.steps or options.extractor != DERIVATIVES:
        sentences.append(texts['mask'][options.extractor])
    sentences += [text for step, text in texts['steps'].items() if step in options.steps]
    words = _words(options)
    said = [sentence.format(**words) for sentence in sentences]
    said += [texts['another_template'].format(**_words(one)) for one in more]
    return ' '.join(said)


def _words(options: Options) -> dict[str, Any]:
    names = ('buffer_mm', 'preset', 'seed', 'template', 'resolution')
    words = {word: _version(name) for word, name in _TOOLS.items()}
    return words | {name: getattr(options, name) for name in names} | {'version': __version__}


def _version(name: str) -> str:
    return tool_version(name).get('Version', '(unknown version)')


def write_boilerplate(folder: Path, *options: Options) -> Path:
    """Write ``CITATION.md``, ``.html`` and ``.bib``; return the first.

    Parameters
    ----------
    folder
        ``logs`` of the output folder.
    options
        Of the run, for each template.
    """
    text = describe_run(*options)
    entries = _cited(text)
    target = folder / 'CITATION.md'
    write_if_changed(target, f'# Methods\n\n{text}\n')
    write_if_changed(folder / 'CITATION.bib', '\n\n'.join(entries.values()) + '\n')
    write_if_changed(folder / 'CITATION.html', _page(text, entries))
    return target


def _cited(text: str) -> dict[str, str]:
    """Return the entries that a text cites, by key, in the order of the bibliography."""
    entries = _ENTRY.findall(read_text('boilerplate.bib'))
    return {key: entry for entry, key in entries if f'[@{key}]' in text}


def _page(text: str, entries: dict[str, str]) -> str:
    """Return a page whose citations lead to the entries."""
    linked = _CITATION.sub(r'[<a href="#\1">\1</a>]', escape(text))
    rows = (f'<pre id="{key}">{escape(entry)}</pre>\n' for key, entry in entries.items())
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Methods</title>\n'
        f'<h1>Methods</h1>\n<p>{linked}</p>\n<h2>References</h2>\n'
        + '\n'.join(rows)
        + '\n</html>\n'
    )
