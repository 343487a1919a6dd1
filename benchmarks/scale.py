"""Studies of tiny images really exported, indexed and validated by shards: cost per study.

    python benchmarks/scale.py [--studies 1000 5000 20000] [--shards 4] [--plans]

Each size is a release of its own: four repositories of zips, all tables, two series in a study,
a thousand studies in a batch. Every shard is a command of its own, one after the other and with
one job, as threads that wait for each other cost time of their own. Costs are seconds of processor
time (user and system), of which the start of each command, as ten studies show it, is taken off:
so nothing hides what grows. No command begins while the disk is busy with what the one before it
has written. With ``--plans`` it measures what is told before anything is done (``--dry-run``),
each by one command. Ends with 1 when a study costs more in the largest release than the limit
allows, against the one in which it costs least.
"""

import argparse
import math
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from common.costs import Cost, measure
from common.tiny import make_release

MRRATE = (sys.executable, '-m', 'mrrate_bids')
START = 10
"""So many studies show what the start of a command costs."""

LIMIT = 1.15
STEPS = ('export', 'index', 'validate')
PLANS = ('export', 'fetch', 'import', 'run')


def commands(step: str, work: Path, options: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Yield the commands that make a step of a release in *work*."""
    release, bids = str(work / 'release'), str(work / 'bids')
    shards = [f'{number + 1}/{options.shards}' for number in range(options.shards)]
    jobs = ('--jobs', str(options.jobs))
    skip = ('--skip-bids-validator',) if options.skip_bids_validator else ()
    if step == 'export':
        yield from ((*MRRATE, 'export', release, bids, *jobs, '--shard', s) for s in shards)
    elif step == 'index':
        found = str(work / 'found.txt')
        yield (*MRRATE, 'select', bids, '--where', "split == 'val'", '--out', found)
    else:
        yield from ((*MRRATE, 'validate', bids, *jobs, *skip, '--shard', s) for s in shards)


def plan(step: str, work: Path) -> tuple[str, ...]:
    """Return the command that plans a step, and writes nothing but the plan."""
    release, bids, other = (str(work / name) for name in ('release', 'bids', 'other'))
    words = {
        'export': ('export', release, other),
        'fetch': ('fetch', release, other, '--what', 'native,masks,coreg,atlas,seg'),
        'import': ('import', bids, other),
        'run': ('run', bids, other, 'participant', '--steps', 'deface', '-w', str(work / 'nodes')),
    }[step]
    file = () if step == 'run' else ('--plan-file', str(work / 'plan.tsv'))
    return (*MRRATE, *words, '--dry-run', *file)


def take(studies: int, folder: Path, options: argparse.Namespace) -> dict[str, Cost]:
    """Make a release of so many studies, do every step, and return what each cost."""
    work = Path(tempfile.mkdtemp(dir=folder))
    make_release(work / 'release', studies)
    if options.plans:
        for command in commands('export', work, options):
            measure(command)
        costs = {step: measure(plan(step, work)) for step in PLANS}
    else:
        costs = {
            step: sum((measure(c) for c in commands(step, work, options)), Cost())
            for step in STEPS
        }
    refuse_less(work / 'bids', studies)
    return costs


def refuse_less(bids: Path, studies: int) -> None:
    """Make sure that what was measured was really done."""
    lines = (bids / 'sourcedata/mrrate/studies.tsv').read_text().splitlines()[1:]
    states = Counter(line.split('\t')[3] for line in lines)
    people = (bids / 'participants.tsv').read_text().count('\n') - 1
    folders = sum(1 for _ in bids.glob('sub-*'))
    if states != {'complete': studies} or people != folders:
        raise SystemExit(f'{bids}: {dict(states)}, {people} participants, {folders} folders')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--studies', type=int, nargs='+', default=[1000, 5000, 20_000])
    parser.add_argument('--shards', type=int, default=4)
    parser.add_argument('--jobs', type=int, default=1)
    parser.add_argument('--repeats', type=int, default=3, help='of the smallest, for its median')
    parser.add_argument('--limit', type=float, default=LIMIT, help='of growth')
    parser.add_argument('--plans', action='store_true', help='what --dry-run costs, instead')
    parser.add_argument('--skip-bids-validator', action='store_true')
    parser.add_argument('--folder', type=Path, help='where to work; needs 8 GB in small files')
    options = parser.parse_args()
    sizes = sorted(options.studies)
    if sizes[0] <= START or len(sizes) < 2:
        parser.error(f'--studies: two sizes at least, more than {START} each')
    with tempfile.TemporaryDirectory(dir=options.folder) as name:  # to remove it takes minutes
        grows = compare(sizes, Path(name), options)
    if max(grows.values()) > options.limit:
        raise SystemExit(1)


def compare(sizes: list[int], folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Print what each step costs in each size; return how much more in the largest."""
    start = take(START, folder, options)
    print(f'{options.shards} shards, {options.jobs} jobs, milliseconds of processor per study')
    print(f'{"studies":>8}  {"step":10} {"ms/study":>9} {"CPU s":>8} {"wall s":>8} {"MiB":>6}')
    found = {}
    for size in sizes:
        repeats = options.repeats if size == sizes[0] else 1
        runs = [take(size, folder, options) for _ in range(repeats)]
        for step in start:
            cpu = statistics.median(run[step].cpu for run in runs)
            wall = statistics.median(run[step].wall for run in runs)
            peak = max(run[step].mib for run in runs)
            each = found[size, step] = 1000 * (cpu - start[step].cpu) / (size - START)
            line = f'{size:8,}  {step:10} {each:9.2f} {cpu:8.1f} {wall:8.1f} {peak:6.0f}'
            print(line, flush=True)
    return report(found, sizes, options.limit)


def report(
    found: dict[tuple[int, str], float], sizes: list[int], limit: float
) -> dict[str, float]:
    """Print and return how the cost of a study grows, by step, from where it is least."""
    *smaller, large = sizes
    steps = list(dict.fromkeys(step for _, step in found))
    growth = {}
    for step in (*steps, 'all'):
        parts = steps if step == 'all' else [step]
        costs = {size: sum(found[size, part] for part in parts) for size in sizes}
        least = min(smaller, key=costs.__getitem__)
        growth[step] = ratio(costs[large], costs[least])
        print(
            f'  {step:10} {large:,} / {least:,} studies  {growth[step]:5.2f}  (limit {limit:g})',
            flush=True,
        )
    return growth


def ratio(large: float, small: float) -> float:
    """Return how much more; infinite where a few studies cost no more than the start itself."""
    return large / small if small > 0 else math.inf


if __name__ == '__main__':
    main()
