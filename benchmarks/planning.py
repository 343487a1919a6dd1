"""Catalogue and plan a release of full size: time, peak memory, growth with the batches.

    python benchmarks/planning.py [--batches 28] [--folder DIR]

The tables are real files of full size (98,334 studies, 705,254 series, 315 optional columns in
four batches); the directories of the zips are simulated, for they would be 400,000 files. Each
size runs in a process of its own, so that peaks do not mix.
"""

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCHES, STUDIES, SERIES, PATIENTS = 28, 98_334, 705_254, 83_425
LIMIT_SECONDS, LIMIT_GIB = 120, 2.0
WIDE = {3, 9, 15, 21}
COLUMNS = (
    'patient_uid,study_uid,series_id,classified_modality,is_derived,acquisition_plane,'
    'SeriesNumber,is_localizer,is_subtraction,is_center_modality,anon_study_date,'
    'classification_rule,sequence_family,dwi_sub_type,array_shape,array_spacing_mm,array_fov_mm,'
    "Patient'sAge,Patient'sSex,FlipAngle,TI_ms,TE_ms,TR_ms,FieldStrength_T,Manufacturer,"
    "Manufacturer'sModelName"
).split(',')
NAMES = (
    't1w-raw-axi',
    't1w-raw-sag',
    't2w-raw-axi',
    'flair-raw-axi',
    'swi-raw-axi',
    't2w-raw-cor',
)
MODALITY = {'t1w': 'T1w', 't2w': 'T2w', 'flair': 'FLAIR', 'swi': 'SWI'}
PLANE = {'axi': 'AXIAL', 'sag': 'SAGITTAL', 'cor': 'CORONAL'}
LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'


def study_uid(number: int) -> str:
    """Return a study_uid of the form that the release has."""
    return ''.join(LETTERS[(number >> shift) & 31] for shift in range(0, 50, 5))


def split_of(patient: int) -> str:
    """Return the split of a patient, in about the shares that the release has."""
    return 'val' if patient % 25 == 0 else 'test' if patient % 17 == 0 else 'train'


def series_ids(count: int) -> list[str]:
    """Return the series of a study of *count* series."""
    repeats, rest = divmod(count, len(NAMES))
    ids = [n if r == 0 else f'{n}-{r + 1}' for r in range(repeats) for n in NAMES]
    return ids + [n if repeats == 0 else f'{n}-{repeats + 1}' for n in NAMES[:rest]]


def make_tables(root: Path, batches: int) -> None:
    """Write the CSVs of the first *batches* batches of a release of full size."""
    random.seed(1)
    for folder in ('metadata', 'reports', 'pathology_labels'):
        (root / folder).mkdir(parents=True)
    labels = [f'Finding {number}' for number in range(32)]
    with (
        (root / 'splits.csv').open('w') as splits,
        (root / 'pathology_labels/mrrate_labels.csv').open('w') as marks,
    ):
        splits.write('batch_id,patient_uid,study_uid,split\n')
        marks.write(','.join(['study_uid', *labels]) + '\n')
        for batch in range(batches):
            studies = range(STUDIES * batch // BATCHES, STUDIES * (batch + 1) // BATCHES)
            make_batch(root, batch, studies)
            for number in studies:
                uid = study_uid(number)
                patient = number % PATIENTS
                splits.write(f'batch{batch:02d},{patient},{uid},{split_of(patient)}\n')
                marks.write(f'{uid}{",0" * 31},1\n')


def make_batch(root: Path, batch: int, studies: range) -> None:
    """Write metadata and reports of a batch."""
    optional = [f'OptionalColumn{n:03d}' for n in range(315)] if batch in WIDE else []
    cells = [f'value {n}' if n % 3 else '' for n in range(len(optional))]
    shape = ['[256, 256, 24]', '[0.9, 0.9, 5.5]', '[230.4, 230.4, 132.0]', '045Y', 'F', '90.0']
    with (root / f'metadata/batch{batch:02d}_metadata.csv').open('w', newline='') as text:
        write = csv.writer(text, lineterminator='\n').writerow
        write([*COLUMNS, *optional])
        for number in studies:
            start = SERIES * number // STUDIES
            field = '3.0' if number % 3 == 0 else '1.5'
            for order, series in enumerate(series_ids(SERIES * (number + 1) // STUDIES - start)):
                modality, _, plane = series.split('-')[:3]
                names = [number % PATIENTS, study_uid(number), series]
                kind = [MODALITY[modality], 'False', PLANE[plane], order + 1.0, 'False', 'False']
                rule = ['TIER2: ScanSeq=SE + TE<30 + TR<1000', 'SE-based T1w', '']
                scan = ['', random.choice(['9.1', '100.0', '12.5']), '550.0', field, 'Siemens']
                facts = [*kind, order == 0, '2019-03-04', *rule, *shape, *scan, 'Aera']
                write([*names, *facts, *cells])
    with (root / f'reports/batch{batch:02d}_reports.csv').open('w', newline='') as text:
        write = csv.writer(text, lineterminator='\n').writerow
        write('study_uid,report,clinical_information,technique,findings,impression'.split(','))
        for number in studies:
            write(
                [study_uid(number), 'Report text. ' * 120, 'Headache', 'MRI', 'None. ' * 60, '—']
            )


def simulate(root: Path) -> tuple:
    """Return the release at *root*, and what lists its zips; they exist on paper only."""
    from mrrate_bids import catalog
    from mrrate_bids.archives import Listing, Member, Place
    from mrrate_bids.naming import KINDS, REPOSITORIES, member_path

    kinds = [kind for kind in KINDS.values() if kind.name != 'vista-seg']
    series_of: dict[str, list[str]] = {}

    class Simulated(catalog.Release):
        def read_batch(self, name: str) -> catalog.Batch:
            batch = super().read_batch(name)
            series_of.clear()
            for study in batch.studies:
                series_of[study.study] = [row.cells[2] for row in study.rows]
                study.places = [
                    Place(
                        self.native / 'mri' / name / pattern.format(study=study.study),
                        study.study,
                        True,
                    )
                    for repository, pattern in REPOSITORIES.items()
                    if repository != 'MR-RATE-vista-seg'
                ]
            return batch

    def listing(place: Place) -> Listing:
        repository = next(
            name
            for name, pattern in REPOSITORIES.items()
            if place.path.name == pattern.format(study=place.study)
        )
        members = []
        for kind in kinds:
            if kind.repository == repository:
                for order, series in enumerate(series_of[place.study]):
                    if kind.belongs_to(centre=order == 0):
                        name = member_path(place.study, series, kind, centre=order == 0)
                        members.append(Member(place.path, name, 1_000_000, 100, 12345))
        return Listing(members, [])

    return Simulated(root, {'MR-RATE': root}, root), listing


def measure(root: Path) -> dict[str, float]:
    """Catalogue and plan the release at *root* in this process."""
    from mrrate_bids import export, export_run
    from mrrate_bids.selection import Selection

    start = time.perf_counter()
    release, export.list_place = simulate(root)
    run = export_run.ExportRun(
        release, root.parent / 'bids', selection=Selection(), settings=export.ExportSettings()
    )
    problems: list = []
    studies = files = series = 0
    for plan in run.plans(problems):
        studies += 1
        series += len(plan.series)
        files += len(plan.rows)
        problems += plan.problems
    if problems:
        raise SystemExit(f'the synthetic release is wrong: {problems[0]}')
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = time.perf_counter() - start
    return {'studies': studies, 'series': series, 'files': files, 'seconds': seconds, 'GiB': peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--batches', type=int, default=BATCHES)
    parser.add_argument('--folder', type=Path, help='where to work; needs 1 GB')
    parser.add_argument('--measure', type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    results = []
    for batches in (max(1, options.batches // 4), options.batches):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            root = Path(name) / 'MR-RATE'
            make_tables(root, batches)
            command = [sys.executable, __file__, '--measure', str(root)]
            found = subprocess.run(command, check=True, capture_output=True, text=True)
            results.append(json.loads(found.stdout))
    small, large = results
    for r in results:
        print(
            f'{r["studies"]:,} studies, {r["series"]:,} series, {r["files"]:,} files: '
            f'{r["seconds"]:.1f} s, peak {r["GiB"]:.2f} GiB'
        )
    print(f'  seconds / limit  {large["seconds"] / LIMIT_SECONDS:.2f}')
    print(f'  peak / limit     {large["GiB"] / LIMIT_GIB:.2f}')
    cost = (large['seconds'] / large['series']) / (small['seconds'] / small['series'])
    print(f'  cost per series, all batches / a quarter of them  {cost:.2f}')
    print(f'  peak, all batches / a quarter of them             {large["GiB"] / small["GiB"]:.2f}')


if __name__ == '__main__':
    main()
