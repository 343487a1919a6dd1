"""Benchmarks run, at the size of a toy: they are scripts that nobody imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / 'benchmarks'


def bench(name, *options):
    command = [sys.executable, str(HERE / name), *map(str, options)]
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def scaled(tmp_path):
    pytest.importorskip('psutil')

    def run(*options):
        few = ('--repeats', 1, '--shards', 2, '--skip-bids-validator', '--folder', tmp_path)
        return bench('scale.py', *few, *options)

    return run


def test_scale_tells_each_step_and_how_it_grows(scaled, tmp_path):
    done = scaled('--studies', 12, 30, '--limit', 1000)
    assert done.returncode == 0, done.stderr
    for step in ('export', 'index', 'validate'):
        assert len([line for line in done.stdout.splitlines() if f' {step} ' in line]) == 3
    assert list(tmp_path.iterdir()) == []


def test_scale_fails_when_a_study_costs_more_than_the_limit(scaled):
    done = scaled('--studies', 12, 30, '--limit', 0)
    assert done.returncode == 1
    assert 'limit 0' in done.stdout
