"""Benchmarks run, at the size of a toy: they are scripts that nobody imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / 'benchmarks'


def run_python(*arguments):
    command = [sys.executable, *map(str, arguments)]
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([str(HERE), *sys.path])}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def scaled(tmp_path):
    pytest.importorskip('psutil')

    def run(*options):
        few = ('--repeats', 1, '--shards', 2, '--skip-bids-validator', '--folder', tmp_path)
        return run_python(HERE / 'scale.py', *few, *options)

    return run


def test_scale_tells_each_step_and_how_it_grows(scaled, tmp_path):
    done = scaled('--studies', 12, 30, '--limit', 'inf')  # so few studies cost whatever they do
    assert done.returncode == 0, done.stderr
    for step in ('export', 'index', 'validate'):
        assert len([line for line in done.stdout.splitlines() if f' {step} ' in line]) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_plans_alone(scaled, tmp_path):
    pytest.importorskip('bids')
    pytest.importorskip('nipype')
    done = scaled('--plans', '--studies', 12, 30, '--limit', 'inf')
    assert done.returncode == 0, done.stderr
    for step in ('export', 'fetch', 'import', 'run'):
        assert len([line for line in done.stdout.splitlines() if f' {step} ' in line]) == 3
    assert list(tmp_path.iterdir()) == []


def test_fetch_without_nginx_writes_nothing(tmp_path):
    done = run_python(HERE / 'fetch.py', '--nginx', 'no-nginx', '--folder', tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith('there is no no-nginx here (Debian: apt-get install nginx-light')
    assert done.stderr.count('\n') == 1
    assert list(tmp_path.iterdir()) == []


INVENTED = """
import sys, scale
costs = {(size, step): cost for size, cost in ((10, 1000), (20, 1150)) for step in scale.STEPS}
scale.compare = lambda sizes, folder, options: scale.report(costs, [10, 20], options.limit)
scale.main()
"""


@pytest.mark.parametrize(('limit', 'code'), [('1.15', 0), ('1.14', 1)])
def test_scale_fails_when_a_study_costs_more_than_the_limit(limit, code):
    pytest.importorskip('psutil')
    done = run_python('-c', INVENTED, '--limit', limit)
    assert done.returncode == code, done.stderr
    assert f'1.15  (limit {limit})' in done.stdout


@pytest.mark.parametrize(('limit', 'code'), [('inf', 0), ('1.15', 1)])
def test_scale_tells_no_growth_where_the_start_hides_the_studies(limit, code):
    pytest.importorskip('psutil')
    hidden = INVENTED.replace('1000', '-0.5')
    done = run_python('-c', hidden, '--limit', limit)
    assert done.returncode == code, done.stderr
    assert done.stdout.count(f'inf  (limit {limit})') == 4


def test_scale_compares_with_where_a_study_costs_least():
    pytest.importorskip('psutil')
    fallen = INVENTED.replace('((10, 1000), (20, 1150))', '((10, 1200), (20, 1000), (30, 1150))')
    done = run_python('-c', fallen.replace('[10, 20]', '[10, 20, 30]'), '--limit', '1.14')
    assert done.returncode == 1, done.stderr
    assert done.stdout.count('30 / 20 studies   1.15') == 4
