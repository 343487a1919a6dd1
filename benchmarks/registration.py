"""Time of registrations: ``fast`` against ``reference``, and whole studies against BrainLes.

    python benchmarks/registration.py [--skip-study] [--skip-pairs] [--repeats 3]

Prints the ratios that ``docs/explanation/registration.md`` quotes; exits 1 when a limit is missed.
Studies and the peer take turns, as a shared machine is faster at one time than at another; the
medians count.
The real heads and the peer are named by MRRATE_BIDS_SHARED_DATA and MRRATE_BIDS_BRAINLES_PYTHON.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from accuracy import find
from common.cases import error_mm, known_motions, points_in
from common.peers import brainles_study
from common.places import BRAINLES, SHARED

from mrrate_bids.computing.ants_session import REPEATABLE, load_ants, to_ants
from mrrate_bids.computing.scans import read_scan
from mrrate_bids.computing.transforms import write_transform

FAST, EXTRA_MM = 0.4, 0.05
AGAINST_PEER = {'reference': 0.85, 'fast': 0.35}
STUDIES, OVERHEAD = 4, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--skip-study', action='store_true')
    parser.add_argument('--skip-pairs', action='store_true')
    parser.add_argument('--repeats', type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        missed = 0 if options.skip_pairs else pairs(Path(name))
        if not options.skip_study:
            missed += studies(Path(name), options.repeats)
    sys.exit(1 if missed else 0)


def pairs(work: Path) -> int:
    """Print time and error of both presets on every pair with a known motion."""
    missed = 0
    print(f'{"case":28}{"reference":>18}{"fast":>18}{"time":>8}   (limit {FAST}, +{EXTRA_MM} mm)')
    for case in known_motions(work):
        results = {}
        for preset in ('reference', 'fast'):
            matrix, seconds = find(case, preset, work)
            results[preset] = seconds, error_mm(matrix, case.truth, points_in(case.brain))
        (slow, far), (quick, near) = results['reference'], results['fast']
        ratio = quick / slow
        print(
            f'{case.name:28}{slow:8.1f} s {far:5.3f} mm{quick:8.1f} s {near:5.3f} mm{ratio:8.2f}',
            flush=True,
        )
        missed += ratio > FAST or near > far + EXTRA_MM
    return missed


class Measured(NamedTuple):
    """A run of ours next to one of the peer."""

    taken: float
    """Seconds from the start of the command to its end."""

    ratio: float
    """To the peer, which ran just before."""

    rest: float
    """Fraction of the time of two cores that is not spent inside ANTs."""


def studies(work: Path, repeats: int) -> int:
    """Print the time of coreg and atlas of four studies on two cores, against the peer's."""
    if not (BRAINLES and SHARED.is_dir()):
        print('left out: studies against BrainLes; name its Python and the real heads')
        return 0
    from common.studies import make_studies

    bids, template, home = make_studies(work, STUDIES)
    missed = 0
    print(f'{STUDIES} studies, co-registration and atlas, two cores; {repeats} turns, medians')
    for preset, limit in AGAINST_PEER.items():
        turns = [_turn(bids, template, home, work, preset) for _ in range(repeats)]
        taken, ratio, rest = map(statistics.median, zip(*turns, strict=True))
        print(
            f'  {preset:10} {taken:6.0f} s, {ratio:.2f} of BrainLes (limit {limit}); not inside '
            f'ANTs {rest:.1%} (limit {OVERHEAD:.0%} of reference)',
            flush=True,
        )
        missed += (ratio > limit) + (preset == 'reference' and rest > OVERHEAD)
    return missed


def _turn(bids: Path, template: Path, home: Path, work: Path, preset: str) -> Measured:
    """Run the peer, then ours."""
    source = SHARED / 'tcga-fg-6692'
    moving = [source / f'TCGA-FG-6692_{name}.nii.gz' for name in ('T1wCE', 'T2w', 'FLAIR')]
    centre = source / 'TCGA-FG-6692_T1w.nii.gz'
    theirs = STUDIES * sum(brainles_study(centre, moving, template, work).values())
    taken, inside = run(bids, work, home, preset)
    inside += STUDIES * _resampling(centre, template, work)
    found = Measured(taken, taken / theirs, 1 - inside / 2 / taken)
    print(
        f'    BrainLes {theirs:.0f} s, {preset} {taken:.0f} s ({found.ratio:.2f}), of which '
        f'{inside:.0f} s of two cores inside ANTs, the rest {found.rest:.1%}',
        flush=True,
    )
    return found


def _resampling(centre: Path, template: Path, work: Path) -> float:
    """Return the seconds inside ANTs of the resampling of a study: 3 images, 4 more and a mask."""
    ants, still = load_ants(REPEATABLE), work / 'still.mat'
    write_transform(still, np.eye(4))
    image, total = to_ants(read_scan(centre)), 0.0
    for count, grid in ((3, centre), (5, template)):
        like = to_ants(read_scan(grid))
        begun = time.perf_counter()
        ants.apply_transforms(like, image, transformlist=[str(still)])
        total += count * (time.perf_counter() - begun)
    return total


def run(bids: Path, work: Path, home: Path, preset: str) -> tuple[float, float]:
    """Return the seconds of a run, and those that its registrations spent inside ANTs."""
    out, scratch = work / f'out_{preset}', work / f'work_{preset}'
    for folder in (out, scratch):  # of the turn before
        shutil.rmtree(folder, ignore_errors=True)
    command = [
        *(sys.executable, '-m', 'mrrate_bids', 'run', str(bids), str(out), 'participant'),
        *('--steps', 'coreg,atlas', '--brain-extractor', 'derivatives', '--registration', preset),
        *('-d', str(work / 'masks'), '-w', str(scratch), '--nprocs', '2'),
        '--skip-bids-validation',  # the peer does not validate
    ]
    begun = time.perf_counter()
    environment = os.environ | {'TEMPLATEFLOW_HOME': str(home)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    taken = time.perf_counter() - begun
    found = scratch.rglob('quality.json')
    return taken, sum(json.loads(path.read_text()).get('seconds', 0) for path in found)


if __name__ == '__main__':
    main()
