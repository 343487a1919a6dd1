"""Import of a dataset into verified zips, against ``zip -0 -r`` over the same files.

    python benchmarks/import.py [--studies 60] [--megabytes 80] [--folder DIR]

Prints medians and the ratio that ``docs/explanation/scale.md`` quotes. Both run from a warm page
cache with two workers and write one zip per study; the import also looks at every image, writes
the tables and reads every zip back.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from export import EXPORT, make_release, timed

IMPORT = (sys.executable, '-m', 'mrrate_bids', 'import')
LIMIT = 1.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--studies', type=int, default=60)
    parser.add_argument('--megabytes', type=int, default=80)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--folder', type=Path, help='where to work; needs five times the data')
    options = parser.parse_args()
    if not shutil.which('zip'):
        raise SystemExit('zip is not installed; it is what the import is compared with')
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        compare(Path(name), options)


def prepare(work: Path, options: argparse.Namespace) -> tuple[Path, Path]:
    """Write a release, its BIDS dataset and the same files as folders of studies."""
    make_release(work, studies=options.studies, megabytes=options.megabytes)
    bids, tree = work / 'bids', work / 'tree'
    subprocess.run((*EXPORT, str(work / 'MR-RATE'), str(bids)), check=True, capture_output=True)
    tree.mkdir()
    for path in (work / 'MR-RATE/mri/batch00').glob('*.zip'):
        subprocess.run(('unzip', '-q', str(path), '-d', str(tree)), check=True)
    shutil.rmtree(work / 'MR-RATE')
    return bids, tree


def compare(work: Path, options: argparse.Namespace) -> None:
    bids, tree = prepare(work, options)
    release, out = work / 'release', work / 'out'
    zips = f'mkdir -p {out} && ls | xargs -P2 -I{{}} zip -q -0 -r {out}/{{}}.zip {{}}'
    command = (*IMPORT, str(bids), str(release), '--jobs', '2')
    pairs, size = [], sum(path.stat().st_size for path in tree.rglob('*.gz'))
    subprocess.run(['sh', '-c', f'find {bids} {tree} -type f | xargs cat > /dev/null'], check=True)
    for turn in range(options.repeats):
        contest = [
            ('import', lambda: timed(release, command, cwd=work)),
            ('zip', lambda: timed(out, (), cwd=tree, shell=zips)),
        ]
        times = {}
        for name, run in contest[:: 1 if turn % 2 else -1]:
            times[name] = run()
            for leftover in (release, work / 'release-import', out):
                shutil.rmtree(leftover, ignore_errors=True)
        pairs.append((times['import'], times['zip']))
    print(f'{options.studies} studies, {size / 1e9:.2f} GB, medians of {options.repeats}')
    for name, values in zip(('import', 'zip'), zip(*pairs, strict=True), strict=True):
        taken = statistics.median(values)
        print(f'  {name:8} {taken:6.2f} s  {size / taken / 1e9:5.2f} GB/s')
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    print(f'  import / zip   {ratio:5.2f}  (limit {LIMIT})')


if __name__ == '__main__':
    main()
