"""Graphs of studies as pictures, for people who want to see what will run."""

import shutil
from pathlib import Path
from typing import Any

from mrrate_bids.problems import Problem

__all__ = ['draw_graph']


def draw_graph(workflow: Any, folder: Path) -> list[Problem]:
    """Write the graph of a study as ``.dot``, and as ``.svg`` where Graphviz is installed.

    Parameters
    ----------
    workflow
        Of Nipype.
    folder
        Where the files go, named like the workflow.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dot = folder / f'{workflow.name}.dot'
    workflow.write_hierarchical_dotfile(dotfilename=str(dot), colored=True)
    if not shutil.which('dot'):
        text = 'graphs were written as .dot only: Graphviz is not installed'
        return [Problem('warning', text, 'Install graphviz, which has the program dot.')]
    from nipype.pipeline.engine.utils import format_dot  # noqa: PLC0415

    format_dot(str(dot), format='svg')
    return []
