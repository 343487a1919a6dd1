"""What a run makes sure of before anything is computed."""

import json
import sys

import numpy as np
import pytest
from app_studies import MASK, messages, place
from hdbet_weights import configure, edit, make_weights
from makers import make_nifti

pytest.importorskip('bids')
pytest.importorskip('nipype')


from mrrate_bids.app.engine import Engine
from mrrate_bids.app.options import Options
from mrrate_bids.app.run import ComputeRun
from mrrate_bids.app.scope import Scope
from mrrate_bids.errors import ResourceError
from mrrate_bids.workflows.segment import init_segment_wf


def compute(bids, out, **options):
    return ComputeRun(bids, out, scope=Scope(), options=Options(**options))


def test_weights_are_asked_for_only_where_they_are_needed(tmp_path, shared, monkeypatch):
    monkeypatch.delenv('MRRATE_BIDS_HDBET_WEIGHTS', raising=False)
    engine, none = Engine(tmp_path), str(tmp_path / 'none')
    for steps in (('mask',), ('deface',), ('anatref',)):
        run = compute(shared, tmp_path / 'out', steps=steps, hdbet_weights=none, device='cpu')
        graphs = [workflow for _, workflow, _ in run.pending()]
        with pytest.raises(ResourceError, match='HD-BET'):
            engine.check(run.options, graphs)
        engine.check(run.options, [])
    options = Options(steps=('seg',), nvseg_weights=none, device='cpu')
    with pytest.raises(ResourceError, match='none'):
        engine.check(options, [init_segment_wf(task='body')])


def _replace(name, content):
    """Return a function that overwrites a file of the weights."""
    return lambda folder: (folder / name).write_bytes(content)


def _no_patch_size(folder):
    configure(patch_size=None)(folder / 'plans.json')


def _no_orientation(folder):
    edit(image_reader_writer=None)(folder / 'plans.json')


def _wider(folder):
    plans = json.loads((folder / 'plans.json').read_text())
    architecture = plans['configurations']['3d_fullres']['architecture']
    architecture['arch_kwargs']['features_per_stage'] = [8, 16, 32]
    (folder / 'plans.json').write_text(json.dumps(plans))


@pytest.mark.parametrize(
    ('spoil', 'says'),
    [
        (_no_patch_size, "lacks 'patch_size'"),
        (_no_orientation, "lacks 'image_reader_writer'"),
        (_replace('fold_all/checkpoint_final.pth', b'<html>'), 'cannot be loaded'),
        (_wider, 'does not fit'),
    ],
)
def test_unusable_weights_of_hd_bet_end_the_run_before_it_begins(spoil, says, tmp_path, shared):
    weights = make_weights(tmp_path / 'weights')
    spoil(weights)
    options = {'hdbet_weights': str(weights), 'device': 'cpu'}
    run = compute(shared, tmp_path / 'out', steps=('mask',), **options)
    with pytest.raises(ResourceError, match=f'{weights}: .*{says}') as caught:
        run.execute(Engine(tmp_path / 'work'), watch=lambda *said: None)
    assert str(weights) in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ['weights']


@pytest.mark.parametrize('content', ['page', 'list', 'other network'])
def test_unusable_weights_of_the_segmentation_are_found_by_the_check(content, tmp_path):
    import torch

    path = tmp_path / 'model.pt'
    saved = {'list': [1, 2], 'other network': {'conv.weight': torch.zeros(3)}}
    if content == 'page':
        path.write_text('<html>')
    else:
        torch.save(saved[content], path)
    options = Options(steps=('seg',), nvseg_weights=str(tmp_path), device='cpu')
    with pytest.raises(ResourceError, match=f'{path}: holds no weights of NV-Segment-CTMR'):
        Engine(tmp_path).check(options, [init_segment_wf(task='body')])


@pytest.mark.parametrize(
    ('step', 'module', 'extra'),
    [
        ('anatref', 'ants', 'compute'),
        ('mask', 'nnunetv2', 'brain'),
        ('mask', 'torch', 'compute'),
        ('seg', 'monai', 'seg'),
        ('seg', 'einops', 'seg'),
    ],
)
def test_packages_that_a_run_needs_are_asked_for_first(
    step, module, extra, tmp_path, shared, monkeypatch
):
    run = compute(shared, tmp_path / 'out', steps=(step,), device='cpu')
    graphs = [workflow for _, workflow, _ in run.pending()]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ResourceError, match='not installed') as caught:
        Engine(tmp_path).check(run.options, graphs)
    assert caught.value.hint == f"pip install 'mrrate-bids[{extra}]'"
    Engine(tmp_path).check(run.options, [])


def test_nothing_is_written_before_everything_is_there(tmp_path, shared):
    run = compute(shared, tmp_path / 'out', hdbet_weights=str(tmp_path), steps=('mask',))
    with pytest.raises(ResourceError):
        run.execute(Engine(tmp_path / 'work'), watch=lambda *said: None)
    assert list(tmp_path.iterdir()) == []


def test_studies_without_a_mask_are_refused(tmp_path, shared):
    scope = Scope(derivatives={'mrrate-defaced': tmp_path})
    options = Options(extractor='derivatives', steps=('mask',))
    run = ComputeRun(shared, tmp_path / 'out', scope=scope, options=options)
    assert run.found.studies == []
    assert len(run.found.failed) == 4
    assert messages(run.found)[-1].endswith('there is no brain mask of it in --derivatives')


def test_exported_datasets_in_the_output_are_used(tmp_path, plain):
    out = tmp_path / 'out'
    folder = out / 'mrrate-defaced/sub-02/anat'
    make_nifti(folder / f'sub-02_acq-mprage{MASK.format("T1w")}', dtype=np.uint8)
    run = compute(plain, out, steps=('mask',))
    assert not any(study.centre.given for study in run.found.studies)  # no dataset yet
    place(out, 'mrrate-defaced/dataset_description.json', json.dumps({'Name': 'x'}))
    run = compute(plain, out, extractor='derivatives', steps=('mask',))
    (study,) = run.found.studies
    assert study.label == 'sub-02'
    assert list(run.pending()) == []
