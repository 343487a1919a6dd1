"""Brain masks of a few small series in this process, against the command ``hd-bet``.

    python benchmarks/hdbet.py [--series 7] [--repeats 3] [--no-tta] [--folder DIR]

Random weights of the true format, on the CPU. Both start a fresh Python and load the weights
once for all series; the command starts twelve more for its pools. Exits with 1 when a mask
differs from that of the command, or when the median ratio of the times is above the limit.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

ROOT = Path(__file__).parents[1]
OURS = """
import sys
from pathlib import Path
from mrrate_bids.computing.hdbet import Extractor
from mrrate_bids.computing.hdbet_weights import find_weights
from mrrate_bids.computing.scans import read_scan, write_mask
source, target, tta = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == 'tta'
extractor = Extractor.load(find_weights(), device='cpu', tta=tta)
target.mkdir()
for path in sorted(source.iterdir()):
    scan = read_scan(path)
    write_mask(scan, extractor.mask(scan, largest=False), target / path.name)
"""
LIMIT = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--series', type=int, default=7)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--no-tta', dest='tta', action='store_false', help='no mirrored copies')
    parser.add_argument('--folder', type=Path, help='where to work')
    options = parser.parse_args()
    if not command():
        raise SystemExit('hd-bet is not installed; it is what we are compared with')
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        sys.exit(compare(Path(name), options))


def command() -> str | None:
    """Return where hd-bet is: beside this Python, or on the path."""
    return shutil.which('hd-bet', path=Path(sys.executable).parent) or shutil.which('hd-bet')


def prepare(work: Path, series: int) -> Path:
    """Write weights where HD-BET looks for them, and series of 40 to 48 voxels."""
    sys.path.insert(0, str(ROOT / 'tests'))
    from hdbet_weights import make_weights

    make_weights(work / 'hd-bet_params/release_2.0.0')
    source = work / 'source'
    source.mkdir()
    rng = np.random.default_rng(1)
    for number in range(series):
        shape = tuple(rng.integers(40, 49, 3))
        grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing='ij')
        head = np.linalg.norm(grid, axis=0) < 0.9
        values = (head * rng.integers(100, 900, shape)).astype(np.uint16)
        spacing = rng.choice([0.9, 1, 1.1, 1.3], 3)
        image = nib.Nifti1Image(values, np.diag([*spacing * [-1, 1, 1], 1]))
        nib.save(image, source / f'series{number}.nii.gz')
    return source


def timed(arguments: list[str], work: Path) -> float:
    """Return the seconds of a command that finds its weights below *work*."""
    environment = {**os.environ, 'HOME': str(work), 'PYTHONPATH': str(ROOT)}
    environment.pop('MRRATE_BIDS_HDBET_WEIGHTS', None)
    start = time.perf_counter()
    done = subprocess.run(
        arguments, check=False, cwd=work, env=environment, capture_output=True, text=True
    )
    taken = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f'{arguments[0]} failed:\n{done.stdout}{done.stderr}')
    return taken


def different(theirs: Path, ours: Path) -> list[int]:
    """Return for each series how many voxels of the masks differ."""
    counts = []
    for path in sorted(ours.iterdir()):
        one, other = nib.load(path), nib.load(theirs / path.name.replace('.nii', '_bet.nii'))
        assert np.allclose(one.affine, other.affine, atol=1e-4)
        counts.append(int((np.asarray(one.dataobj) != np.asarray(other.dataobj)).sum()))
    return counts


def compare(work: Path, options: argparse.Namespace) -> int:
    source, theirs, ours = prepare(work, options.series), work / 'theirs', work / 'ours'
    hd_bet = [command(), '-i', str(source), '-o', str(theirs), '-device', 'cpu']
    hd_bet += ['--save_bet_mask', '--no_bet_image', *['--disable_tta'] * (not options.tta)]
    setting = 'tta' if options.tta else 'plain'
    in_process = [sys.executable, '-c', OURS, str(source), str(ours), setting]
    pairs, counts = [], []
    for turn in range(options.repeats):
        contest = [('hd-bet', hd_bet, theirs), ('in process', in_process, ours)]
        times = {}
        for name, arguments, target in contest[:: 1 if turn % 2 else -1]:
            shutil.rmtree(target, ignore_errors=True)
            times[name] = timed(arguments, work)
        pairs.append((times['hd-bet'], times['in process']))
        counts += different(theirs, ours)
    return report(pairs, counts, options)


def report(pairs, counts, options: argparse.Namespace) -> int:
    print(f'{options.series} series, TTA {"on" if options.tta else "off"}, CPU')
    for name, values in zip(('hd-bet', 'in process'), zip(*pairs, strict=True), strict=True):
        print(f'  {name:10} {statistics.median(values):6.2f} s')
    ratio = statistics.median(ours / theirs for theirs, ours in pairs)
    print(f'  in process / hd-bet   {ratio:5.2f}  (limit {LIMIT})')
    same = counts.count(0)
    print(f'  identical masks       {same} of {len(counts)}, {sum(counts)} voxels differ')
    return int(ratio > LIMIT or same < len(counts))


if __name__ == '__main__':
    main()
