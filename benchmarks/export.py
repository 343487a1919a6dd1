"""Export of stored zips and of extracted folders, against unzip, cp and a rate.

    python benchmarks/export.py [--studies 60] [--megabytes 80] [--folder DIR]

Prints medians and the ratios that ``docs/explanation/scale.md`` quotes. Every command runs from a
warm page cache, start-up and checks included, the competitors in turn.
"""

import argparse
import gzip
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

SERIES = (
    't1w-raw-sag',
    't1w-raw-axi',
    't2w-raw-axi',
    'flair-raw-axi',
    'swi-raw-axi',
    't2w-raw-cor',
)
HEADER = ('patient_uid', 'study_uid', 'series_id', 'classified_modality', 'acquisition_plane')
EXPORT = (sys.executable, '-m', 'mrrate_bids', 'export')


def nifti(shape: tuple[int, int, int], data: bytes, *, code: int, bits: int) -> bytes:
    """Return a minimal NIfTI-1 file of the given voxels."""
    header = bytearray(352)
    struct.pack_into('<i', header, 0, 348)
    struct.pack_into('<8h', header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into('<2h', header, 70, code, bits)
    struct.pack_into('<8f', header, 76, 1, 1, 1, 1, 0, 0, 0, 0)
    struct.pack_into('<f', header, 108, 352)
    header[344:348] = b'n+1\0'
    return bytes(header) + data


def make_release(root: Path, *, studies: int, megabytes: int) -> None:
    """Write a native repository of stored zips of the given size."""
    side = 256
    slices = megabytes * 1_000_000 // len(SERIES) // (2 * side * side) + 1
    shape = (side, side, slices)
    noise = np.random.default_rng(1).integers(0, 4096, shape, dtype=np.uint16)
    image = gzip.compress(nifti(shape, noise.tobytes(), code=512, bits=16), 0, mtime=0)
    mask = gzip.compress(nifti(shape, bytes(noise.size), code=2, bits=8), 1, mtime=0)
    folder = root / 'MR-RATE' / 'mri' / 'batch00'
    folder.mkdir(parents=True)
    rows = [','.join((*HEADER, 'is_center_modality'))]
    for number in range(studies):
        uid = f'BENCH{number:05d}'.translate(str.maketrans('0189', 'ABCD'))
        with zipfile.ZipFile(folder / f'{uid}.zip', 'w') as archive:
            for series in SERIES:
                archive.writestr(f'{uid}/img/{uid}_{series}.nii.gz', image)
                archive.writestr(f'{uid}/seg/{uid}_{series}_brain-mask.nii.gz', mask)
                archive.writestr(f'{uid}/seg/{uid}_{series}_defacing-mask.nii.gz', mask)
                rows.append(f'{number},{uid},{series},T1w,AXIAL,{series == SERIES[0]}')
    metadata = root / 'MR-RATE' / 'metadata'
    metadata.mkdir()
    (metadata / 'batch00_metadata.csv').write_text('\n'.join(rows) + '\n')


def timed(target: Path, command: tuple[str, ...], *, cwd: Path, shell: str = '') -> float:
    """Run a command that fills *target* and return its wall time; *target* is removed first."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(['sync'], check=True)
    start = time.perf_counter()
    subprocess.run(
        ['sh', '-c', shell] if shell else command, cwd=cwd, check=True, capture_output=True
    )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--studies', type=int, default=60)
    parser.add_argument('--megabytes', type=int, default=80)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--folder', type=Path, help='where to work; needs three times the data')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        compare(Path(name), options)


def compare(work: Path, options: argparse.Namespace) -> None:
    make_release(work, studies=options.studies, megabytes=options.megabytes)
    link(work, options)
    zips, bids, out = work / 'MR-RATE/mri/batch00', work / 'bids', work / 'out'
    times: dict[str, list[float]] = {}
    unzip = f'mkdir -p {out} && ls *.zip | xargs -P2 -n1 unzip -q -d {out}'
    export = (*EXPORT, str(work / 'MR-RATE'), str(bids), '--jobs', '2')
    timed(out, (), cwd=zips, shell=unzip)  # warms the cache, and is what cp copies
    copy = work / 'copy'
    contest = {
        'export': lambda: timed(bids, export, cwd=work),
        'unzip': lambda: timed(out, (), cwd=zips, shell=unzip),
        'cp': lambda: timed(copy, ('cp', '-r', str(out), str(copy)), cwd=work),
    }
    for turn in range(options.repeats):  # whoever starts, the others follow
        for name in [*contest, *contest][turn : turn + len(contest)]:
            times.setdefault(name, []).append(contest[name]())
            for leftover in (bids, copy):
                shutil.rmtree(leftover, ignore_errors=True)
    report(times, out, options)


def report(times: dict[str, list[float]], out: Path, options: argparse.Namespace) -> None:
    median = {name: statistics.median(values) for name, values in times.items()}
    size = sum(path.stat().st_size for path in out.rglob('*.gz'))
    print(f'{options.studies} studies, {size / 1e9:.2f} GB, medians of {options.repeats}')
    for name, value in median.items():
        print(f'  {name:8} {value:6.2f} s  {size / value / 1e9:5.2f} GB/s')
    for peer, limit in (('unzip', 0.7), ('cp', 1.4)):
        ratios = [a / b for a, b in zip(times['export'], times[peer], strict=True)]
        print(f'  export / {peer:5} {statistics.median(ratios):5.2f}  (limit {limit})')


def link(work: Path, options: argparse.Namespace) -> None:
    """Measure hard links first: removing gigabytes slows the making of files for a while."""
    extracted = work / 'extracted'
    make_extracted(work, extracted)
    files = sum(1 for _ in extracted.rglob('*.gz'))
    pairs = []
    for turn in range(options.repeats):  # into new folders: removing many files slows a disk down
        linked, bare = work / f'linked{turn}', work / f'bare{turn}'
        export = (*EXPORT, str(extracted), str(linked), '--link', 'hardlink', '--jobs', '2')
        peer = ('cp', '-al', str(extracted), str(bare))
        pairs.append((timed(linked, export, cwd=work), timed(bare, peer, cwd=work)))
    taken = statistics.median(ours for ours, _ in pairs)
    print(f'  hard links {files / taken:,.0f} files/s over {files:,} files  (limit 2,000)')
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    print(f'  export / cp -al {ratio:5.2f}  (which writes no JSON and checks nothing)')


def make_extracted(work: Path, target: Path) -> None:
    """Write an extracted release of many small files; a link does not depend on the size."""
    shutil.copytree(work / 'MR-RATE/metadata', target / 'metadata')
    rows = (target / 'metadata/batch00_metadata.csv').read_text().splitlines()
    image = gzip.compress(nifti((8, 8, 8), bytes(1024), code=512, bits=16), mtime=0)
    mask = gzip.compress(nifti((8, 8, 8), bytes(512), code=2, bits=8), mtime=0)
    lines = [rows[0]]
    for number in range(600):
        uid = f'LINKS{number:05d}'.translate(str.maketrans('0189', 'ABCD'))
        folder = target / 'mri/batch00' / uid
        (folder / 'img').mkdir(parents=True)
        (folder / 'seg').mkdir()
        for series in SERIES:
            (folder / f'img/{uid}_{series}.nii.gz').write_bytes(image)
            for what in ('brain', 'defacing'):
                (folder / f'seg/{uid}_{series}_{what}-mask.nii.gz').write_bytes(mask)
            lines.append(f'{number},{uid},{series},T1w,AXIAL,{series == SERIES[0]}')
    (target / 'metadata/batch00_metadata.csv').write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
