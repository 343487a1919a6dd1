"""Fetching from a web server on this machine, against curl of the same bytes.

    python benchmarks/fetch.py [--studies 40] [--megabytes 80] [--jobs 4] [--nginx PATH]

Serves a release with nginx, prints medians and the ratios that ``docs/explanation/scale.md``
quotes, and what a part of it moves, as the server's log has it. Start-up, tables and checks of
every byte are in our times; curl writes what it gets. Ends with 1 when a limit is missed.
"""

import argparse
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export import make_release, timed

FETCH = (sys.executable, '-m', 'mrrate_bids', 'fetch')
MOST_MOVED, LEAST_SPEED = 1.05, 0.7
_CONFIG = """
daemon off; worker_processes 1; pid {home}/pid; error_log {home}/errors;
events {{ worker_connections 256; }}
http {{
    log_format bytes '$body_bytes_sent $request_uri';
    access_log {home}/log bytes;
    sendfile on; tcp_nopush on; keepalive_requests 100000;
    client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;
    uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
    server {{ listen 127.0.0.1:{port}; root {root}; autoindex on; }}
}}
"""


@contextmanager
def nginx(program: str, root: Path, home: Path) -> Iterator[str]:
    """Serve a folder; the log is in *home*."""
    home.mkdir()
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    config = home / 'nginx.conf'
    config.write_text(_CONFIG.format(home=home, root=root, port=port))
    command = [program, '-p', str(home), '-c', str(config), '-e', str(home / 'errors')]
    with subprocess.Popen(command) as process:
        time.sleep(1)
        if process.poll() is not None:
            raise SystemExit(f'nginx ended: {(home / "errors").read_text()}')
        try:
            yield f'http://127.0.0.1:{port}'
        finally:
            process.terminate()


def sent(home: Path) -> int:
    """Return the bytes of all answers so far."""
    return sum(int(line.split()[0]) for line in (home / 'log').read_text().splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--studies', type=int, default=40)
    parser.add_argument('--megabytes', type=int, default=80)
    parser.add_argument('--jobs', type=int, default=4)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--nginx', default='nginx', help='the program, if it is not on the path')
    parser.add_argument('--folder', type=Path, help='where to work; needs three times the data')
    options = parser.parse_args()
    require(options.nginx, 'nginx-light; --nginx names one that is not on the path')
    require('curl', 'curl')
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        work = Path(name)
        (work / 'served').mkdir()
        Path(name).chmod(0o755)  # nginx gives up its rights
        make_release(work / 'served', studies=options.studies, megabytes=options.megabytes)
        with nginx(options.nginx, work / 'served', work / 'home') as address:
            moved = part(address, work)
            slowest = min(compare(address, work, options))
    if moved > MOST_MOVED or slowest < LEAST_SPEED:
        raise SystemExit(1)


def require(program: str, package: str) -> None:
    """End in one line, before anything is written, when a program is not here."""
    if shutil.which(program) is None:
        raise SystemExit(f'there is no {program} here (Debian: apt-get install {package})')


def part(address: str, work: Path) -> float:
    """Say and return what it takes to fetch one modality of a few studies, against its bytes."""
    target, before = work / 'part', sent(work / 'home')
    words = ('--what', 'native', '--modality', 'FLAIR', '--where', "patient < '2'")
    subprocess.run([*FETCH, address, str(target), *words], check=True, capture_output=True)
    moved = sent(work / 'home') - before
    files = [path for path in target.glob('MR-RATE/**/*') if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    served = sum(path.stat().st_size for path in (work / 'served').rglob('*.zip'))
    print(f'  a part: {len(files)} files, {size / 1e6:.1f} MB of {served / 1e6:.0f} MB published')
    print(f'  moved / wanted {moved / size:6.3f}  (limit {MOST_MOVED})')
    shutil.rmtree(target)
    return moved / size


def compare(address: str, work: Path, options: argparse.Namespace) -> list[float]:
    """Say and return how fast each way is, against curl."""
    zips = sorted((work / 'served').rglob('*.zip'))
    lines = [
        f'url = "{address}/{path.relative_to(work / "served")}"\noutput = "{path.name}"\n'
        for path in zips
    ]
    (work / 'urls').write_text(''.join(lines))
    out, jobs = work / 'out', str(options.jobs)
    curl = f'mkdir -p {out} && cd {out} && curl -s -Z --parallel-max {jobs} -K {work}/urls'
    base = (*FETCH, address, str(out), '--jobs', jobs, '--what', 'native,masks')
    bids = ('--to-bids', str(work / 'bids'))
    contest = {
        'curl': lambda: timed(out, (), cwd=work, shell=curl),
        'fetch': lambda: timed(out, base, cwd=work),
        'fetch --whole-zips': lambda: timed(out, (*base, '--whole-zips'), cwd=work),
        'fetch --to-bids': lambda: timed(out, (*base, *bids), cwd=work),
    }
    times: dict[str, list[float]] = {}
    contest['curl']()  # warms the cache
    for turn in range(options.repeats):  # whoever starts, the others follow
        for name in [*contest, *contest][turn : turn + len(contest)]:
            times.setdefault(name, []).append(contest[name]())
            shutil.rmtree(out)
            shutil.rmtree(work / 'bids', ignore_errors=True)
    size = sum(path.stat().st_size for path in zips)
    print(f'{options.studies} studies, {size / 1e9:.2f} GB, {jobs} jobs')
    for name, values in times.items():
        value = statistics.median(values)
        print(f'  {name:20} {value:6.2f} s  {size / value / 1e9:5.2f} GB/s')
    found = []
    for name in list(contest)[1:]:
        ratios = [a / b for a, b in zip(times['curl'], times[name], strict=True)]
        found.append(statistics.median(ratios))
        print(f'  {name} / curl {found[-1]:5.2f} of its throughput  (limit {LEAST_SPEED})')
    return found


if __name__ == '__main__':
    main()
