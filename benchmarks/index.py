"""Answers from the index of a release of full size: time and memory of the whole command.

    python benchmarks/index.py [--batches 28] [--folder DIR]

The tables are real files of full size (98,334 studies, 705,254 series); the directories of the
zips are simulated, with one image for each series, and written through the real index. Then
`mrrate-bids select` answers, each time in a process of its own, the start of Python included.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scale import BATCHES, make_tables

LIMIT_SECONDS, LIMIT_GIB = 1.0, 2.0
CONDITIONS = (
    "FieldStrength_T >= 3 and split == 'val' and modality == 'FLAIR'",
    "plane == 'AXIAL' and TE_ms > 10 and sex == 'F' and split == 'test'",
    "split == 'val' and report.str.contains('Report')",
    "study_uid == 'AAAAAAAAAA'",
)


def write_index(root: Path) -> int:
    """Index the tables as if there were a zip with an image for each series."""
    from mrrate_bids import catalog
    from mrrate_bids.archives import Listing, Member, Place
    from mrrate_bids.index import Index, units

    series_of: dict[str, list[str]] = {}

    class Simulated(catalog.Release):
        """A release whose zips exist on paper only."""

        def read_batch(self, name: str) -> catalog.Batch:
            batch = super().read_batch(name)
            series_of.clear()
            for study in batch.studies:
                series_of[study.study] = [row.cells[2] for row in study.rows]
                path = self.native / 'mri' / name / f'{study.study}.zip'
                study.places = [Place(path, study.study, True)]
            return batch

    def listing(place: Place) -> Listing:
        names = [f'img/{place.study}_{series}.nii.gz' for series in series_of[place.study]]
        return Listing([Member(place.path, name, 1_000_000, 100, 1) for name in names], [])

    units.open_release = lambda path: Simulated(path, {path.name: path}, path)
    units.list_place = listing
    start = time.perf_counter()
    index = Index(root)
    index.renew()
    size = sum(path.stat().st_size for path in (root / '.mrrate-bids').rglob('*.parquet'))
    seconds = time.perf_counter() - start
    print(f'{index.rows:,} rows indexed once in {seconds:.0f} s, {size / 1e6:.0f} MB')
    return index.rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--batches', type=int, default=BATCHES)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--folder', type=Path, help='where to work; needs 1 GB')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name) / 'MR-RATE'
        make_tables(root, options.batches)
        write_index(root)
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
