"""Time of reports against that of the studies that they are about.

    python benchmarks/reports.py

Prints the processor time of both and their ratio; exits 1 when it is above the limit. A report is
made of everything that a run leaves: four series with masks, defaced, co-registered, in atlas
space. The real heads are named by MRRATE_BIDS_SHARED_DATA.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from common.places import SHARED
from common.studies import make_studies

STUDIES = 2
LIMIT = 0.1
MOST_MB = 5.0

_REPORT = """
import sys
from pathlib import Path
from mrrate_bids.app.options import Options
from mrrate_bids.app.run import ComputeRun
from mrrate_bids.app.scope import Scope
from mrrate_bids.reports.study import write_study_report
options = Options(extractor='deepbet', preset='fast', offline=True)
run = ComputeRun(Path(sys.argv[1]), Path(sys.argv[2]), scope=Scope(), options=options)
for study in run.found.studies:
    write_study_report(study, run.places)
"""
"""In a process of its own, so that imports count as well."""


def main() -> None:
    if not SHARED.is_dir():
        print(f'left out: there is no {SHARED}')
        return
    with tempfile.TemporaryDirectory() as name:
        sys.exit(1 if measure(Path(name)) else 0)


def measure(work: Path) -> int:
    """Print the ratio of times, and sizes; return how many limits are missed."""
    bids, _, home = make_studies(work, STUDIES)
    environment = os.environ | {'TEMPLATEFLOW_HOME': str(home)}
    arguments = [bids, work / 'out', 'participant', '-w', work / 'work', '--nprocs', '1']
    options = ['--brain-extractor', 'deepbet', '--registration', 'fast']
    command = [sys.executable, '-m', 'mrrate_bids', 'run', *map(str, arguments), *options]
    study = _spent(command, environment) / STUDIES
    command = [sys.executable, '-c', _REPORT, str(bids), str(work / 'out')]
    report = _spent(command, environment) / STUDIES
    folder = work / 'out/reports'
    files = [p for p in folder.rglob('*') if p.is_file() and 'assets' not in p.parts]
    pages = sum(p.stat().st_size for p in files if 'viewer' not in p.name) / STUDIES / 1e6
    ratio = report / study
    print(f'a study {study:.1f} s, its report {report:.2f} s: {ratio:.3f}   (limit {LIMIT})')
    print(f'a page with its figures {pages:.1f} MB   (limit {MOST_MB})')
    return (ratio > LIMIT) + (pages > MOST_MB)


def _spent(command: list[str], environment: dict[str, str]) -> float:
    """Return the processor time of a command, children included, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == '__main__':
    main()
