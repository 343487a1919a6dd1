"""An import that is killed, shared out or repeated ends in the same release."""

import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import hostile
import pytest
from hostile import COMMAND, Study
from round_trip import assert_same_release, content, import_


@pytest.fixture(scope='module')
def many(tmp_path_factory):
    """Return a dataset whose import takes some hundred milliseconds, and its release."""
    studies = [
        Study(f'STUDY{n:05d}', str(n // 2), f'batch{n % 3:02d}', seed=n % 5, date=f'2020{n:04d}')
        for n in range(30)
    ]
    root = tmp_path_factory.mktemp('many')
    source = hostile.write_release(root / 'published', studies)
    assert hostile.export(source, root / 'bids').code == 0
    assert import_(root / 'bids', root / 'release').code == 0
    return root / 'bids', root / 'release'


def start(source: Path, target: Path, *options: str) -> subprocess.Popen[bytes]:
    arguments = [COMMAND, 'import', source, target, *options]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[bytes]) -> None:
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 0, output


def assert_same_bytes(one: Path, other: Path) -> None:
    assert hostile.tree(one) == hostile.tree(other)


@pytest.mark.parametrize('seed', range(5))
def test_killed_import_goes_on(seed, many, tmp_path):
    source, expected = many
    target, whole = tmp_path / 'release', hostile.tree(many[1])
    moments, killed = random.Random(seed), 0
    while killed < 4:
        process = start(source, target, '--jobs', str(1 + seed % 2))
        begun = len(list(target.rglob('*.zip')))
        while process.poll() is None and len(list(target.rglob('*.zip'))) == begun:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.08))
        process.kill()
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            break  # it was done first
        killed += 1
        for where, digest in hostile.tree(target).items():
            if where.endswith('.zip'):
                assert whole[where] == digest, where
    assert killed > 1
    finish(start(source, target))
    assert_same_bytes(target, expected)


@pytest.mark.parametrize('shards', [2, 3])
def test_shards_at_the_same_time(shards, many, tmp_path):
    source, expected = many
    target = tmp_path / 'release'
    running = [start(source, target, '--shard', f'{n + 1}/{shards}') for n in range(shards)]
    for process in running:
        finish(process)
    assert_same_bytes(target, expected)


def test_second_run_writes_nothing(many, tmp_path):
    source, _ = many
    assert import_(source, tmp_path / 'release').code == 0
    before = hostile.stamps(tmp_path / 'release')
    done = import_(source, tmp_path / 'release')
    assert '│ 0 │ 30 │ 0 │ 0 │ 0 │' in ' '.join(done.output.split())
    assert hostile.stamps(tmp_path / 'release') == before


def test_half_written_files_are_swept_away(many, tmp_path):
    source, expected = many
    target = shutil.copytree(expected, tmp_path / 'release')
    shutil.copytree(f'{expected}-import', tmp_path / 'release-import')
    for folder in ('MR-RATE', 'MR-RATE/metadata', 'MR-RATE-atlas/mri/batch01'):
        (target / folder / '.a.zip.0123456789ab.part').write_bytes(b'half')
    assert import_(source, target).code == 0
    assert_same_bytes(target, expected)


def test_missing_zip_is_written_again(many, tmp_path):
    source, expected = many
    target = shutil.copytree(expected, tmp_path / 'release')
    shutil.copytree(f'{expected}-import', tmp_path / 'release-import')
    next(target.glob('MR-RATE-coreg/mri/*/*.zip')).unlink()
    (target / 'MR-RATE/splits.csv').unlink()
    assert import_(source, target).code == 0
    assert_same_bytes(target, expected)


def test_other_layout_takes_the_place_of_the_first(source, tmp_path):
    assert hostile.export(source, tmp_path / 'bids').code == 0
    assert import_(tmp_path / 'bids', tmp_path / 'one').code == 0
    assert import_(tmp_path / 'bids', tmp_path / 'one', '--no-zip').code == 0
    assert import_(tmp_path / 'bids', tmp_path / 'two', '--no-zip').code == 0
    assert content(tmp_path / 'one') == content(tmp_path / 'two')


def test_target_that_fills_up(many, disk, tmp_path):
    """What was finished stays; with more room the same command ends in the same release."""
    source, expected = many
    small, work = disk('size=300k'), tmp_path / 'work'
    done = import_(source, small / 'release', '--work-dir', str(work))
    assert done.code == 3
    assert 'the destination is full' in ' '.join(done.output.split())
    subprocess.run(['mount', '-o', 'remount,size=64m', str(small)], check=True)
    assert import_(source, small / 'release', '--work-dir', str(work)).code == 0
    assert_same_release(small / 'release', expected)


def test_target_that_is_read_only(many, disk, tmp_path):
    source, _ = many
    closed = disk('ro')
    for options in ((), ('--work-dir', str(tmp_path / 'work'))):
        done = import_(source, closed / 'release', *options)
        assert done.code == 3
        assert 'Error: ' in done.output
        assert str(closed) in done.output.replace('\n', '')
