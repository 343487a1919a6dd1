"""Answers from the index of a release of full size: time and memory of the whole command.

    python benchmarks/index.py [--batches 28] [--images] [--folder DIR]

The tables are real files of full size (98,334 studies, 705,254 series, a report of its own for
each study); the directories of the zips are simulated, with every file that a series has, or its
image alone (``--images``), and written through the real index. Then `mrrate-bids select` answers,
each time in a process of its own, the start of Python included.
"""

import argparse
import csv
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from planning import BATCHES, LETTERS, make_tables, simulate

from mrrate_bids.archives import Listing, Place

LIMIT_SECONDS, LIMIT_GIB = 1.0, 2.0
CONDITIONS = (
    "FieldStrength_T >= 3 and split == 'val' and modality == 'FLAIR'",
    "plane == 'AXIAL' and TE_ms > 10 and sex == 'F' and split == 'test'",
    "split == 'val' and report.str.contains('glioma')",
    "study_uid == 'AAAAAAAAAA'",
)


def write_reports(root: Path) -> None:
    """Give each study a report of its own, as long as a real one."""
    random.seed(2)
    words = [''.join(random.choices(LETTERS.lower(), k=7)) for _ in range(2000)]
    for path in sorted((root / 'reports').glob('*.csv')):
        with path.open(newline='') as text:
            header, *rows = csv.reader(text)
        with path.open('w', newline='') as text:
            writer = csv.writer(text, lineterminator='\n')
            writer.writerow(header)
            for study, _, *rest in rows:
                found = ['glioma'] if random.random() < 0.01 else []
                writer.writerow([study, ' '.join([*random.choices(words, k=180), *found]), *rest])


def write_index(root: Path, *, images: bool) -> None:
    """Index the tables as if there were the zips of each study."""
    from mrrate_bids.index import Index, units

    release, listing = simulate(root)

    def list_images(place: Place) -> Listing:
        members, refused = listing(place)
        return Listing([m for m in members if m.name.startswith('img/')], refused)

    units.find_repositories = lambda path: {path.name: path}
    units.open_release = lambda _: release
    units.list_place = list_images if images else listing
    start = time.perf_counter()
    index = Index(root)
    index.renew()
    size = sum(path.stat().st_size for path in (root / '.mrrate-bids').rglob('*.parquet'))
    seconds = time.perf_counter() - start
    print(f'{index.rows:,} files indexed once in {seconds:.0f} s, {size / 1e6:.0f} MB')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--batches', type=int, default=BATCHES)
    parser.add_argument('--images', action='store_true', help='an image for each series, no more')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--folder', type=Path, help='where to work; needs 1 GB')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name) / 'MR-RATE'
        make_tables(root, options.batches)
        write_reports(root)
        write_index(root, images=options.images)
        for condition in CONDITIONS:
            ask(root, condition, options.repeats)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f'  peak of the largest {peak:.2f} GiB, peak / limit {peak / LIMIT_GIB:.2f}')


def ask(root: Path, condition: str, repeats: int) -> None:
    command = (sys.executable, '-m', 'mrrate_bids', 'select', str(root), '--where', condition)
    times, found = [], ''
    for _ in range(repeats + 1):
        start = time.perf_counter()
        done = subprocess.run(
            (*command, '--out', str(root.parent / 'found.txt')),
            check=True,
            capture_output=True,
            text=True,
        )
        times.append(time.perf_counter() - start)
        found = done.stderr.strip().splitlines()[-1]
    taken = statistics.median(times[1:])
    print(
        f'  {taken:.2f} s, seconds / limit {taken / LIMIT_SECONDS:.2f}: {condition}\n    {found}'
    )


if __name__ == '__main__':
    main()
