"""The report as a node of a graph."""

import pytest

pytest.importorskip('nipype')
pytest.importorskip('bids')

import reported_study

from mrrate_bids.app.engine import Engine
from mrrate_bids.problems import Problem
from mrrate_bids.workflows.report import init_report_wf


def test_node_writes_the_page(tmp_path):
    made = reported_study.make_study(tmp_path)
    problem = Problem('error', 'something failed')
    workflow = init_report_wf(
        study=made.study, places=made.places, problems=[problem], atlas=made.atlas, name='one_wf'
    )
    failures = Engine(tmp_path / 'work').run([('sub-01/ses-1', workflow)], watch=lambda _: None)
    assert failures == {}
    page = made.places.root / 'reports/sub-01_ses-1.html'
    assert 'something failed' in page.read_text()


def test_problems_may_be_left_out(tmp_path):
    made = reported_study.make_study(tmp_path)
    workflow = init_report_wf(study=made.study, places=made.places, faces=False)
    Engine(tmp_path / 'work').run([('sub-01/ses-1', workflow)], watch=lambda _: None)
    assert 'complete' in (made.places.root / 'reports/sub-01_ses-1.html').read_text()


def test_node_that_fails_says_why(tmp_path):
    made = reported_study.make_study(tmp_path)
    (made.places.root / 'reports').write_text('a file')
    workflow = init_report_wf(study=made.study, places=made.places)
    failures = Engine(tmp_path / 'work').run([('sub-01/ses-1', workflow)], watch=lambda _: None)
    (failure,) = failures['sub-01/ses-1']
    assert 'has a file where a folder should be' in failure.message
