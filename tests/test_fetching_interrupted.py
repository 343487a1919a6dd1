"""Runs that are killed: what is there is right, and the next run goes on."""

import random
import signal
import subprocess
import sys
import threading
import time

import hostile
import pytest
from bad_server import served
from fetches import assert_nothing_half_written, fetch, images, large, published
from hostile import COMMAND, Study

from mrrate_bids.fetched import UNFINISHED

NATIVE = ('image', 'brain-mask', 'defacing-mask')
KILLS = 20


@pytest.fixture
def studies():
    found = []
    for number, letter in enumerate('ABCDEF'):
        study = Study(f'STUDY{letter}AAAA', str(number + 1), seed=number)
        study.files = {'MR-RATE': study.files['MR-RATE']}
        for index, series in enumerate(study.series):
            seed = 10 * number + index
            study.files['MR-RATE'][study.image(series)] = large(seed, side=64)
            for kind in ('brain-mask', 'defacing-mask'):
                mask = f'seg/{study.uid}_{series}_{kind}.nii.gz'
                study.files['MR-RATE'][mask] = large(seed, side=64)
        found.append(study)
    return found


@pytest.fixture
def server(source):
    yield from served(source, rate=2e6)


def _begin(server, target, *options):
    words = [COMMAND, 'fetch', server.url, target, *options]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _wait_for_a_request(server):
    deadline = time.monotonic() + 30
    while not [request for request in server.asked() if request.method == 'GET']:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _output_of(process):
    """Return what a process has said at its end, which is brought about if it is not near."""
    killer = threading.Timer(10, process.kill)
    killer.start()
    output, _ = process.communicate()
    killer.cancel()
    return output


def _wait_for_images(server):
    deadline = time.monotonic() + 30
    while not any('.zip' in r.path and r.sent > 50_000 for r in server.log):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize('layout', ['folders', 'zips', 'bids'])
def test_run_that_is_killed_again_and_again(layout, server, source, studies, tmp_path):
    part, bids, draw = tmp_path / 'part', tmp_path / 'bids', random.Random(layout)
    options = {'folders': [], 'zips': ['--whole-zips'], 'bids': ['--to-bids', bids]}[layout]
    right = set(published(studies, kinds=NATIVE).values())
    zips = {study.uid: study.zip_of(source).read_bytes() for study in studies}
    for _ in range(KILLS):
        server.log.clear()
        with _begin(server, part, *options) as process:
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and not server.asked():
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.6))
            process.send_signal(signal.SIGKILL)
        for path in [*part.rglob('*.nii.gz'), *bids.rglob('*.nii.gz')]:
            assert path.read_bytes() in right, path
        for path in part.rglob('*.zip'):
            assert path.read_bytes() == zips[path.stem], path
    server.rate = 0
    done = fetch(server.url, part, *options)
    assert done.code == 0, done.output
    if layout == 'folders':
        assert images(part) == published(studies, kinds=NATIVE)
    elif layout == 'zips':
        assert {path.stem: path.read_bytes() for path in part.rglob('*.zip')} == zips
    else:
        assert hostile.export(source, tmp_path / 'peer').code == 0
        ours, theirs = hostile.tree(bids), hostile.tree(tmp_path / 'peer')
        assert {k: v for k, v in ours.items() if 'receipts/' not in k} == {
            k: v for k, v in theirs.items() if 'receipts/' not in k
        }
    assert_nothing_half_written(part)


def test_zip_goes_on_where_it_was_cut(server, source, studies, tmp_path):
    server.rate = 5e5
    with _begin(server, tmp_path / 'part', '--whole-zips', '--jobs', '1') as process:
        _wait_for_images(server)
        time.sleep(0.5)
        process.kill()
    (partial,) = (tmp_path / 'part').rglob('*.fetch')
    size = partial.stat().st_size
    assert size
    server.rate, begun = 0, len(server.log)
    assert fetch(server.url, tmp_path / 'part', '--whole-zips', '--jobs', 1).code == 0
    first = next(r for r in server.log[begun:] if r.path.endswith('.zip') and r.method == 'GET')
    assert first.range.startswith(f'bytes={size}-')


def test_beginning_of_another_state_is_not_gone_on_with(server, source, studies, tmp_path):
    server.rate = 5e5
    with _begin(server, tmp_path / 'part', '--whole-zips', '--jobs', '1') as process:
        _wait_for_images(server)
        time.sleep(0.5)
        process.kill()
    (partial,) = (tmp_path / 'part').rglob('*.fetch')
    study = next(study for study in studies if study.uid in partial.name)
    study.files['MR-RATE'][study.image()] = large(99, side=64)
    hostile.write_zip(study.zip_of(source), study.files['MR-RATE'], prefix=f'{study.uid}/')
    server.rate = 0
    assert fetch(server.url, tmp_path / 'part', '--whole-zips').code == 0
    here = study.zip_of(tmp_path / 'part')
    assert here.read_bytes() == study.zip_of(source).read_bytes()
    assert not list((tmp_path / 'part').rglob('*.fetch'))


@pytest.mark.parametrize('options', [(), ('--to-bids', 'bids')])
def test_interrupt_does_not_wait_for_a_study(options, server, studies, tmp_path):
    server.rate = 1e5  # a study would take half a minute
    options = [tmp_path / 'bids' if option == 'bids' else option for option in options]
    with _begin(server, tmp_path / 'part', *options) as process:
        _wait_for_images(server)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
        assert time.monotonic() - begun < 5
    assert process.returncode == 130
    assert 'Interrupted' in output
    assert 'Traceback' not in output


def test_impatience_is_no_fault(server, studies, tmp_path):
    server.order('stall', times=-1)
    with _begin(server, tmp_path / 'part') as process:
        _wait_for_a_request(server)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        begun = time.monotonic()
        output, _ = process.communicate(timeout=20)
        assert time.monotonic() - begun < 1
    assert process.returncode == -signal.SIGINT
    assert 'Traceback' not in output


def test_interrupt_does_not_wait_for_a_busy_server(server, studies, tmp_path):
    server.order('busy for long', times=-1)
    with _begin(server, tmp_path / 'part') as process:
        _wait_for_a_request(server)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        output = _output_of(process)
    assert process.returncode == 130
    assert output.endswith('Interrupted.\n')


_PEAK = """
import sys
from mrrate_bids.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code
with open('/proc/self/status') as file:
    print(next(line.split()[1] for line in file if line.startswith('VmHWM')))
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize('options', [(), ('--whole-zips',)])
def test_memory_does_not_grow_with_the_zips(options, source, studies, tmp_path):
    """Each job holds a block, and the end of a zip."""
    study, peaks = studies[0], []
    for other in studies[1:]:
        other.zip_of(source).unlink()
    for side in (64, 400):
        study.files['MR-RATE'][study.image()] = large(1, side=side)
        hostile.write_zip(study.zip_of(source), study.files['MR-RATE'], prefix=f'{study.uid}/')
        for server in served(source):
            words = ('fetch', server.url, tmp_path / f'part{side}', *options)
            command = [sys.executable, '-c', _PEAK, *map(str, words)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split()[-1]))
    assert study.zip_of(source).stat().st_size > 60 << 20
    assert peaks[1] - peaks[0] < 16 << 10, peaks  # in KiB


@pytest.mark.parametrize('options', [('--whole-zips',), ()])
def test_two_runs_at_once(options, server, source, studies, tmp_path):
    """They have other ideas of what is wanted; both get it, and each file is right at any time."""
    part, right = tmp_path / 'part', set(published(studies, kinds=NATIVE).values())
    zips = {study.uid: study.zip_of(source).read_bytes() for study in studies}
    with (
        _begin(server, part, *options, '--what', 'native') as first,
        _begin(server, part, *options, '--what', 'masks') as second,
    ):
        while None in {first.poll(), second.poll()}:
            for path in [*part.rglob('*.zip'), *part.rglob('*.nii.gz')]:
                assert path.read_bytes() in {*zips.values(), *right}, path
            time.sleep(0.05)
        assert (first.returncode, second.returncode) == (0, 0), first.stdout.read()
    if options:
        assert {path.stem: path.read_bytes() for path in part.rglob('*.zip')} == zips
    else:
        assert images(part) == published(studies, kinds=NATIVE)
    begun = len(server.log)
    assert fetch(server.url, part, *options, '--what', 'native,masks', '--offline').code == 0
    assert len(server.log) == begun


def test_state_of_a_fetch_that_was_killed(server, studies, tmp_path):
    server.rate = 5e5
    with _begin(server, tmp_path / 'part', '--jobs', '1') as process:
        _wait_for_images(server)
        process.kill()
    words = ('status', tmp_path / 'part', '--tsv', tmp_path / 'status.tsv')
    assert 'was stopped; the rest is not counted' in hostile.command(*words).output
    server.rate = 0
    assert fetch(server.url, tmp_path / 'part', '--what', 'native,masks,tables,coreg').code == 2
    assert 'was stopped' in hostile.command(*words).output
    assert fetch(server.url, tmp_path / 'part', '--verify').code == 0
    assert 'was stopped' not in hostile.command(*words).output


@pytest.mark.parametrize(
    ('killed', 'later', 'stays'),
    [
        (('--what', 'native'), ('--what', 'native,masks'), False),
        (('--study', 'STUDYAAAAA'), (), False),
        (('--shard', '1/2'), (), False),
        ((), ('--shard', '1/2'), True),
        ((), ('--study', 'STUDYAAAAA'), True),
        (('--whole-zips',), (), True),
    ],
)
def test_note_goes_with_who_has_done_as_much(killed, later, stays, server, studies, tmp_path):
    server.order('stall', times=-1)
    part = tmp_path / 'part'
    with _begin(server, part, *killed) as process:
        _wait_for_a_request(server)
        process.kill()
    assert list((part / UNFINISHED).iterdir())
    words = ('status', part, '--tsv', tmp_path / 'status.tsv')
    assert 'was stopped' in hostile.command(*words).output, 'before there is any receipt'
    server.orders.clear()
    assert fetch(server.url, part, *later).code == 0
    assert (part / UNFINISHED).exists() is stays


def test_interrupt_does_not_wait_for_another_run(server, studies, tmp_path):
    server.rate = 1e5
    with _begin(server, tmp_path / 'part', '--jobs', '1') as first:
        _wait_for_images(server)
        with _begin(server, tmp_path / 'part', '--jobs', '1') as second:
            time.sleep(3)
            second.send_signal(signal.SIGINT)
            output = _output_of(second)
        first.kill()
    assert second.returncode == 130
    assert output.endswith('Interrupted.\n')
