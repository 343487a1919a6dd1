"""What the tests of fetching share: releases to serve, the command, and what must come of it."""

import gzip
from functools import cache
from pathlib import Path

import hostile
import nibabel as nib
import numpy as np
from click.testing import CliRunner
from hostile import CENTRE, MOVING, THIRD, Run, Study

from mrrate_bids.cli import main
from mrrate_bids.naming import KINDS, member_path

SERIES = (CENTRE, MOVING, THIRD)


def fetch(source: object, target: Path, *options: object) -> Run:
    """Run ``mrrate-bids fetch`` in this process; an exception fails the test."""
    words = ['fetch', str(source), str(target), *map(str, options)]
    done = CliRunner().invoke(main, words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert 'Traceback' not in done.output
    assert 'unexpected' not in done.output
    return Run(done.exit_code, done.output)


def large(seed: int, *, side: int = 96) -> bytes:
    """Return a ``.nii.gz`` of noise that nobody had to squeeze."""
    noise = np.random.default_rng(seed).integers(0, 256, (side,) * 3, np.uint8)
    return gzip.compress(nib.Nifti1Image(noise, np.eye(4)).to_bytes(), 0, mtime=0)


@cache
def twenty_studies() -> tuple[Study, ...]:
    """Return studies with native images that are large next to a directory of a zip."""
    studies = []
    for number, letter in enumerate('ABCDEFGHIJKLMNOPQRST'):
        study = Study(f'STUDY{letter}AAAA', str(100 + number), f'batch{number // 10:02d}')
        study.split = 'val' if number % 5 == 0 else 'train'
        for index, series in enumerate(SERIES):
            study.files['MR-RATE'][study.image(series)] = large(10 * number + index)
        studies.append(study)
    return tuple(studies)


def images(root: Path) -> dict[str, bytes]:
    """Return every file of the repositories by its path, without tables."""
    found = {}
    for path in sorted(root.glob('MR-RATE*/mri/**/*')):
        if path.is_file():
            found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


def published(studies, *, kinds=tuple(KINDS), series=SERIES, split='') -> dict[str, bytes]:
    """Return the files that an extracted release of these studies has."""
    found = {}
    for study in studies:
        if split and study.split != split:
            continue
        for kind in map(KINDS.get, kinds):
            for name in study.series:
                if name not in series:
                    continue
                member = member_path(study.uid, name, kind, centre=name == study.series[0])
                data = study.files.get(kind.repository, {}).get(member)
                if data is not None:
                    where = f'{kind.repository}/mri/{study.batch}/{study.uid}/{member}'
                    found[where] = data
    return found


def assert_nothing_half_written(root: Path) -> None:
    """Make sure that no file lies around under a temporary name."""
    assert list(root.rglob('*.part')) == []
    assert list(root.rglob('*.fetch')) == []
    assert list((root / '.mrrate-bids/fetch').glob('spool/*')) == []


def write_release(root: Path, studies) -> Path:
    """Write a release as zips."""
    return hostile.write_release(root, studies)
