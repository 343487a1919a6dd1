"""Run the BIDS validator (bids-validator-deno) on one dataset and read what it says.

Its memory grows with the dataset, so a large one is shown to it in parts: folders of symbolic
links to some of the subjects and to everything at the root, with tables cut down to those
subjects.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrrate_bids.checks.tree import find_folders, study_of
from mrrate_bids.problems import Problem
from mrrate_bids.selection import Shard

__all__ = ['INSTALL', 'Verdict', 'find_validator', 'run_validator']

INSTALL = 'pip install bids-validator-deno'
"""How to install the validator."""

_NAME = 'bids-validator-deno'
_OPTIONS = ('--ignoreWarnings', '--format', 'json', '--max-rows', '-1')
_NOT_SHOWN = {'derivatives', 'sourcedata'}  # datasets of their own, and opaque to BIDS
_UNUSED = 'SIDECAR_WITHOUT_DATAFILE'
_REMEDY = 'Look the code up in the BIDS specification; correct the file or its name.'


@dataclass(slots=True)
class Verdict:
    """What the validator said about a dataset."""

    files: int = 0
    """Files it looked at; those at the root count once for each part."""

    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)


def find_validator() -> str | None:
    """Return the validator that belongs to this Python, else the one on ``PATH``."""
    beside = Path(sys.executable).with_name(_NAME)
    return str(beside) if beside.exists() else shutil.which(_NAME)


def run_validator(
    root: Path,
    executable: str,
    *,
    prefix: str = '',
    subjects: int = 2000,
    timeout: float = 7200,
    shard: Shard | None = None,
) -> Verdict:
    """Validate a dataset without the datasets inside it.

    Parameters
    ----------
    root
        The dataset.
    executable
        The validator.
    prefix
        What to put before paths in problems, as ``derivatives/mrrate-coreg/``.
    subjects
        Show it at most so many subjects at a time.
    timeout
        Seconds that it may take for each part.
    shard
        Which share of the subjects it is shown. Of a share nobody knows whether a sidecar at the
        root is of use to another one.
    """
    verdict, said = Verdict(), Counter[Problem]()
    everybody = find_folders(root, 'sub-')
    names = (shard or Shard()).of(everybody)
    parts = [names[start : start + subjects] for start in range(0, len(names), subjects)] or [[]]
    for part in parts:
        with _shown(root, part, whole=len(part) == len(everybody)) as folder:
            report = _run(executable, folder, timeout=timeout)
        if isinstance(report, str):
            which = '' if len(part) == len(everybody) else f' on {part[0]} to {part[-1]}'
            problems = [Problem('error', f'the BIDS validator {report}{which}', _again(root))]
        else:
            verdict.files += report['summary'].get('totalFiles', 0)
            verdict.bytes += report['summary'].get('size', 0)
            problems = list(_problems(report['issues'], prefix))
        said.update(set(problems))
    needed = len(parts) if len(names) == len(everybody) else 0
    verdict.problems = sorted(
        (p for p, times in said.items() if times == needed or not _of_part(p)),
        key=lambda problem: (problem.file, problem.message),
    )
    return verdict


def _of_part(problem: Problem) -> bool:
    """Tell whether a problem is none unless every part has it: a sidecar at the root."""
    return _UNUSED in problem.message and 'sub-' not in problem.file


def _again(root: Path) -> str:
    return f'Run it alone to see more: {_NAME} --ignoreWarnings {root}'


def _run(executable: str, folder: Path, *, timeout: float) -> dict[str, Any] | str:
    """Return the report of the validator, or what became of it instead."""
    command = [executable, *_OPTIONS, str(folder)]
    environment = os.environ | {'NO_COLOR': '1'}
    try:
        done = subprocess.run(  # noqa: S603  (the validator, on a folder the user named)
            command, capture_output=True, timeout=timeout, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return f'did not finish within {timeout:g} s'
    except OSError as error:
        return f'cannot be started ({error.strerror})'
    try:
        report = json.loads(done.stdout)
        report['issues']['issues'], report['summary'].keys()
    except (ValueError, KeyError, TypeError, AttributeError):
        said = (done.stderr or done.stdout).decode('utf-8', 'replace').strip().splitlines()
        return f'ended with code {done.returncode} and no report ({said[0] if said else "silent"})'
    return dict(report)


def _problems(issues: dict[str, Any], prefix: str) -> Iterator[Problem]:
    meanings = issues.get('codeMessages') or {}
    for issue in issues['issues']:
        affects = issue.get('affects') or ['']
        path = prefix + (issue.get('location') or affects[0]).strip('/')
        code = ' '.join(filter(None, (issue.get('code'), issue.get('subCode'))))
        text = issue.get('issueMessage') or meanings.get(issue.get('code')) or ''
        message = f'{path or "dataset"}: {code}: {" ".join(text.split())}'.rstrip(': ')
        severity = 'error' if issue.get('severity') == 'error' else 'warning'
        yield Problem(severity, message, _REMEDY, study=study_of(path), file=path)


@contextmanager
def _shown(root: Path, subjects: Sequence[str], *, whole: bool) -> Iterator[Path]:
    """Give a folder that shows some subjects of a dataset."""
    if whole:
        yield root
        return
    with tempfile.TemporaryDirectory(prefix='mrrate-bids-') as name:
        _show(root.resolve(), Path(name), set(subjects))
        yield Path(name)


def _show(root: Path, view: Path, subjects: set[str]) -> None:
    for entry in root.iterdir():
        if entry.name.startswith('sub-') and entry.is_dir():
            if entry.name in subjects:
                (view / entry.name).symlink_to(entry)
        elif entry.name == 'phenotype' and entry.is_dir():
            (view / 'phenotype').mkdir()
            for path in entry.iterdir():
                _show_table(path, view / 'phenotype' / path.name, subjects)
        elif entry.name not in _NOT_SHOWN:
            _show_table(entry, view / entry.name, subjects)


def _show_table(path: Path, target: Path, subjects: set[str]) -> None:
    """Copy the rows of some subjects; a file that is no table of subjects becomes a link."""
    if path.suffix == '.tsv':
        with path.open('rb') as source:
            header = source.readline()
            names = header.decode('utf-8-sig', 'replace').rstrip('\r\n').split('\t')
            if 'participant_id' in names:
                column = names.index('participant_id')
                labels = {subject.encode() for subject in subjects}
                with target.open('wb') as out:
                    out.write(header)
                    out.writelines(line for line in source if _cell(line, column) in labels)
                return
    target.symlink_to(path)


def _cell(line: bytes, column: int) -> bytes:
    cells = line.rstrip(b'\r\n').split(b'\t', column + 1)
    return cells[column] if column < len(cells) else b''
