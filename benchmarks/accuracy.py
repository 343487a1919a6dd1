"""How near the truth results are, beside peers: registration, brain masks, defacing.

    python benchmarks/accuracy.py [--only registration|masks|defacing] [--presets reference,fast]

Prints the tables that ``docs/explanation/registration.md`` quotes; exits 1 when a limit is missed.
The real heads and the peers are named by MRRATE_BIDS_SHARED_DATA, MRRATE_BIDS_BRAINLES_PYTHON and
MRRATE_BIDS_PYDEFACE.
"""

import argparse
import sys
import tempfile
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np
from common.cases import Case, error_mm, known_motions, moved, points_in, real_pairs
from common.peers import brainles_register
from common.places import BRAINLES, SHARED

from mrrate_bids.computing.agreement import dice
from mrrate_bids.computing.presets import find_preset
from mrrate_bids.computing.registration import register
from mrrate_bids.computing.scans import read_mask, read_scan

NOISE = 0.04
"""mm that two runs of the peer differ by: it has no seed and two threads. Its mean of four places
was 0.066, 0.089 and 0.106 for one pair, 0.069, 0.072 and 0.087 for another."""

DICE = 0.97


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', choices=['registration', 'masks', 'defacing'])
    parser.add_argument('--presets', default='reference,fast')
    options = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if options.only in {None, 'registration'}:
            missed += registrations(work, options.presets.split(','))
        if options.only in {None, 'masks'}:
            missed += masks(work)
        if options.only in {None, 'defacing'}:
            from defacing import report

            missed += report()
    sys.exit(1 if missed else 0)


def find(case: Case, preset: str, work: Path) -> tuple[np.ndarray, float]:
    """Return the matrix from fixed to moving points in RAS mm, and seconds inside ANTs."""
    fixed, moving = read_scan(case.fixed), read_scan(case.moving)
    brain = read_mask(case.brain, like=fixed).values
    found = register(
        fixed,
        moving,
        target=work / 'found.mat',
        preset=find_preset(preset, 'coreg'),
        brains=(brain, None),
    )
    return found.matrix, found.seconds


def half_voxel(case: Case) -> float:
    """Return half the in-plane voxel edge of the coarser image, in mm."""
    return max(np.sort(read_scan(p).spacing)[:2].max() for p in (case.fixed, case.moving)) / 2


def registrations(work: Path, presets: list[str]) -> int:
    """Print the target registration error of every case; return how many limits are missed."""
    names = [*presets, *(['BrainLes'] if BRAINLES else [])]
    print('mean TRE over brain points, mm')
    print(f'{"case":28}{"limit":>8}' + ''.join(f'{name:>12}' for name in names), flush=True)
    missed = 0
    for case in known_motions(work):
        errors = [_error(case, name, work) for name in names]
        missed += _print_row(case.name, half_voxel(case), names, errors)
    for case in real_pairs(work):
        errors = [_inconsistency(case, name, work) for name in names]
        missed += _print_row(f'{case.name}, moved', half_voxel(case), names, errors)
    return missed


def _matrix(case: Case, name: str, work: Path) -> np.ndarray:
    if name == 'BrainLes':
        return brainles_register(case.fixed, case.moving, work)[0]
    return find(case, name, work)[0]


def _error(case: Case, name: str, work: Path) -> float:
    return error_mm(_matrix(case, name, work), case.truth, points_in(case.brain))


def _inconsistency(case: Case, name: str, work: Path) -> float:
    """Return how far results differ when the header of the moving image is moved.

    Nobody knows the true motion of a real pair; but whatever known motion is added to it, what is
    found must follow. The mean over all pairs of four such results.
    """
    found = [_matrix(case, name, work)]
    found += [np.linalg.inv(one.truth) @ _matrix(one, name, work) for one in moved(case, work)]
    points = points_in(case.brain)
    return float(np.mean([error_mm(*pair, points) for pair in combinations(found, 2)]))


def _print_row(case: str, limit: float, names: list[str], errors: list[float]) -> int:
    print(f'{case:28}{limit:8.2f}' + ''.join(f'{error:12.3f}' for error in errors), flush=True)
    peer = errors[-1] + NOISE if names[-1] == 'BrainLes' else np.inf
    ours = [e for name, e in zip(names, errors, strict=True) if name != 'BrainLes']
    return sum(error > min(limit, peer) for error in ours)


def masks(work: Path) -> int:
    """Print the Dice of deepbet's mask with FreeSurfer's."""
    folder = SHARED / 'aomic-sub-0001'
    if not folder.is_dir():
        print(f'left out: brain masks, there is no {folder}')
        return 0
    from mrrate_bids.computing.deepbet import DeepBet

    image, source = nib.load(folder / 'orig.mgz'), work / 'aomic_T1w.nii.gz'
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine), source)
    truth = (np.asarray(nib.load(folder / 'brainmask.mgz').dataobj) > 0).astype(np.uint8)
    overlap = dice(DeepBet.load(device='cpu').mask(read_scan(source)), truth)
    print(f'Dice of deepbet with brainmask.mgz of aomic-sub-0001: {overlap:.3f} (limit {DICE})')
    return int(overlap < DICE)


if __name__ == '__main__':
    main()
