"""The group level over 5,000 studies: time, peak memory, size of the page, time to open it.

    python benchmarks/group.py [--studies 5000] [--folder DIR] [--keep]

The studies are simulated: the receipts, and every sidecar that a run writes beside its results,
are written by what a run writes them with; the images are not there, as the group level opens
none. One study in a hundred failed, two lack results, some numbers are far off. The group level
runs in a process of its own. The page is opened in headless Chromium where one is found (or is
named by MRRATE_BIDS_CHROMIUM), and says itself when it was loaded, with its table drawn.
"""

import argparse
import contextlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mrrate_bids.app.ledger import HOME
from mrrate_bids.app.options import Options
from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Series, Study
from mrrate_bids.descriptions import describe_result, format_json
from mrrate_bids.files import write_text
from mrrate_bids.naming import KINDS
from mrrate_bids.receipts import Output, Receipt, Receipts
from mrrate_bids.sidecars import sidecar_path

LIMIT_SECONDS, LIMIT_MB = 3.0, 30.0
SERIES = {
    'acq-sag_run-01_T1w': (4.0, 1.09),
    'acq-axi_ce-gadolinium_run-01_T1w': (5.0, 1.11),
    'acq-axi_run-01_T2w': (4.5, 1.07),
    'acq-axi_run-01_FLAIR': (4.4, 1.08),
    'acq-axi_rec-SWI_run-01_T2starw': (3.9, 1.05),
}
"""Images of a study, the centre first, with their usual sharpness and mutual information."""

SCANNERS = (
    ('Siemens', 'Aera', 1.5, 0.3),
    ('Siemens', 'Skyra', 3.0, 0.25),
    ('SIEMENS', 'Avanto', 1.494, 0.15),
    ('Philips Medical Systems', 'Ingenia', 3.0, 0.15),
    ('GE MEDICAL SYSTEMS', 'SIGNA Artist', 1.5, 0.1),
    ('Canon Medical Systems', 'Vantage Orian', 1.5, 0.05),
)
"""With their parts of all studies."""

INCLUDES = ('defaced', 'coreg', 'atlas')
BROWSERS = ('chromium', 'chromium-browser', 'chromium-headless-shell', 'google-chrome')
PIXEL = bytes.fromhex(
    '89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489'
    '0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082'
)
"""A PNG of one pixel."""

LOADED = """<script>
addEventListener('load', () => {
  document.documentElement.dataset.seconds = performance.now() / 1000;
  document.documentElement.dataset.rows = document.querySelectorAll('tbody tr').length;
});
</script>"""


def make_studies(root: Path, count: int) -> Path:
    """Write a raw dataset without images, and what a run leaves of it; return the results."""
    rng = np.random.default_rng(1)
    bids, out = root / 'bids', root / 'bids' / 'derivatives'
    description = {'Name': 'Simulated', 'BIDSVersion': '1.10.1', 'DatasetType': 'raw'}
    write_text(bids / 'dataset_description.json', format_json(description))
    datasets = sorted({kind.dataset for kind in KINDS.values() if kind.include in INCLUDES})
    for name in datasets:
        describe_result(out / name, name, raw=bids, siblings=datasets, extractor='hd-bet')
    places, receipts = Places(out, Options()), Receipts(out, out / HOME)
    for number in range(count):
        study = name_study(bids, number)
        write_raw(study, SCANNERS[rng.choice(len(SCANNERS), p=[s[3] for s in SCANNERS])])
        state = rng.choice(['complete', 'partial', 'failed'], p=[0.97, 0.02, 0.01])
        outputs = [] if state == 'failed' else write_results(places, study, state, rng)
        receipt = Receipt(study.subject, study.label, 'run', str(state), outputs=outputs)
        if state != 'complete':
            receipt.problems = [make_problem(study)]
        receipts.save(receipt)
        write_reports(out / 'reports', study)
    return out


def name_study(bids: Path, number: int) -> Study:
    subject, session = f'sub-{10_000 + number}', f'ses-{number:08X}'
    names = [f'{subject}/{session}/anat/{subject}_{session}_{name}.nii.gz' for name in SERIES]
    series = tuple(Series(bids / name, name) for name in names)
    return Study(subject, session, series, series[0])


def write_raw(study: Study, scanner: tuple) -> None:
    """Write the sidecars of the raw images."""
    manufacturer, model, tesla, _ = scanner
    content = {
        'Manufacturer': manufacturer,
        'ManufacturersModelName': model,
        'MagneticFieldStrength': tesla,
        'EchoTime': 0.01,
    }
    for series in study.series:
        write_text(Path(sidecar_path(str(series.image))), format_json(content))


def write_results(places: Places, study: Study, state: str, rng) -> list[Output]:
    """Write every sidecar of a study; return what its receipt lists."""
    targets = {
        places.target(study, series, kind.name): (series, kind.name)
        for kind in KINDS.values()
        if kind.include in INCLUDES and not (state == 'partial' and kind.include == 'atlas')
        for series in study.series
        if kind.belongs_to(centre=series is study.centre)
    }
    outputs, planned = [], set(targets)
    for path, (series, kind) in targets.items():
        content = places.sidecar(study, series, kind, planned)
        if quality := judge(kind, series, rng):
            content['QualityControl'] = quality
        write_text(Path(sidecar_path(str(path))), format_json(content))
        inside = path.relative_to(places.root).as_posix()
        outputs.append(Output(inside, 1000, None, kind, series.inside))
    return outputs


def judge(kind: str, series: Series, rng) -> dict:
    """Return numbers as real runs give them; one in five hundred is far off."""
    bad = rng.random() < 0.002
    if kind == 'brain-mask':
        return {'BrainVolumeMl': round(rng.normal(1250, 120) * (0.4 if bad else 1), 1)}
    if kind == 'defacing-mask':
        return {'HeadRemoved': round(abs(rng.normal(0.13, 0.02)) * (3 if bad else 1), 4)}
    if not kind.endswith('-transform'):
        return {}
    atlas = kind == 'atlas-transform'
    sharp, told = next(two for name, two in SERIES.items() if name in series.inside)
    sharp = rng.normal(1.7 if atlas else sharp, 0.1 if atlas else 0.3)
    numbers = {
        'NormalizedMutualInformation': round(rng.normal(told, 0.008), 4),
        'Sharpness': round(1.3 if bad else sharp, 2),
        'BrainCovered': round(min(1.0, rng.beta(200, 2) * (0.8 if bad else 1)), 3),
        'RotationDegrees': round(rng.gamma(2, 4), 3),
        'TranslationMm': round(rng.gamma(3, 6), 3),
        'Start': 'centres of mass',
    }
    return numbers | ({'AtlasBrainDice': round(rng.normal(0.91, 0.01), 4)} if atlas else {})


def make_problem(study: Study) -> dict[str, str]:
    text = f'{study.centre.image.name}: cannot be registered; sharpness 1.01, at least 1.3 needed'
    return {'severity': 'error', 'message': text, 'remedy': 'Look.', 'study': study.label}


def write_reports(folder: Path, study: Study) -> None:
    """Write what the page links to."""
    name = f'{study.subject}_{study.session}'
    write_text(folder / f'{name}.html', f'<!doctype html><title>{name}</title>\n')
    thumbnail = folder / 'figures' / name / 'thumbnail.png'
    thumbnail.parent.mkdir(parents=True)
    thumbnail.write_bytes(PIXEL)


def measure(out: Path) -> dict[str, float]:
    """Run the group level in this process."""
    from mrrate_bids.group.report import write_group

    start = time.perf_counter()
    page = write_group(out)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {'seconds': seconds, 'GiB': peak, 'MB': page.stat().st_size / 1e6}


def open_page(page: Path) -> float | None:
    """Return seconds until the page is loaded in Chromium; ``None`` when there is none."""
    named = os.environ.get('MRRATE_BIDS_CHROMIUM')
    browser = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        return None
    copy = page.with_name('opened.html')
    copy.write_text(page.read_text('utf-8').replace('</body>', f'{LOADED}</body>'), 'utf-8')
    with tempfile.TemporaryDirectory() as profile:
        flags = ['--headless', '--no-sandbox', '--disable-gpu', f'--user-data-dir={profile}']
        command = [browser, *flags, '--window-size=1280,900', '--dump-dom', copy.as_uri()]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    copy.unlink()
    found = re.search(r'data-seconds="([0-9.]+)" data-rows="([0-9]+)"', done.stdout)
    if found is None or found[2] == '0':
        raise SystemExit('the page did not draw its table')
    return float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--studies', type=int, default=5000)
    parser.add_argument('--folder', type=Path, help='where to work; needs 1.5 GB of small files')
    parser.add_argument('--keep', action='store_true', help='leave what was made')
    parser.add_argument('--measure', type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    with contextlib.ExitStack() as stack:
        name = tempfile.mkdtemp(dir=options.folder)
        if not options.keep:
            stack.callback(shutil.rmtree, name)
        start = time.perf_counter()
        out = make_studies(Path(name), options.studies)
        made = time.perf_counter() - start
        print(
            f'{options.studies:,} studies of {len(SERIES)} series in {name}, made in {made:.0f} s'
        )
        command = [sys.executable, __file__, '--measure', str(out)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        print(f'  group level  {found["seconds"]:.1f} s, peak {found["GiB"]:.2f} GiB')
        print(f'  page         {found["MB"]:.1f} MB, / limit {found["MB"] / LIMIT_MB:.2f}')
        seconds = open_page(out / 'reports' / 'group.html')
        if seconds is None:
            print('  left out: opening it, there is no Chromium (MRRATE_BIDS_CHROMIUM names one)')
        else:
            print(f'  opens in     {seconds:.2f} s, / limit {seconds / LIMIT_SECONDS:.2f}')


if __name__ == '__main__':
    main()
