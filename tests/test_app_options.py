"""Options of a run: steps, and what results depend on."""

import hashlib
import shutil

import pytest
from hdbet_weights import make_weights

pytest.importorskip('bids')
pytest.importorskip('nipype')


from mrrate_bids.app.options import DEFAULT_STEPS, STEPS, Options
from mrrate_bids.computing.presets import find_preset
from mrrate_bids.errors import UsageError
from mrrate_bids.naming import COMPUTED, KINDS


def test_steps_run_in_one_order():
    assert [step for step in STEPS if step in DEFAULT_STEPS] == list(DEFAULT_STEPS)
    assert 'seg' not in DEFAULT_STEPS  # its weights are under a licence of their own


@pytest.mark.parametrize('steps', [(), ('mask', 'segment')])
def test_steps_that_do_not_exist(steps):
    with pytest.raises(UsageError) as caught:
        Options(steps=steps)
    assert 'anatref' in caught.value.hint


def test_facts_are_what_results_depend_on():
    def facts(**change):
        return Options(**change).facts('coreg-image', defaced=True)

    usual = facts()
    for change in ({'seed': 1}, {'preset': 'fast'}, {'extractor': 'deepbet'}, {'buffer_mm': 3.0}):
        assert facts(**change) != usual
    for change in ({'steps': ('mask',)}, {'device': 'cpu'}, {'offline': True}):
        assert facts(**change) == usual


def test_weights_count_by_their_content(tmp_path, monkeypatch):
    def facts(folder, kind='brain-mask', **change):
        return Options(hdbet_weights=str(folder), **change).weights(kind)

    one = make_weights(tmp_path / 'one')
    usual = facts(one)
    assert facts(shutil.copytree(one, tmp_path / 'copy')) == usual
    assert facts(one, device='cuda:1') == usual
    assert str(tmp_path) not in str(usual)
    monkeypatch.setenv('MRRATE_BIDS_HDBET_WEIGHTS', str(one))
    assert facts('') == usual
    for name in ('fold_all/checkpoint_final.pth', 'plans.json'):
        shutil.copy(tmp_path / 'copy' / name, one / name)
        with (one / name).open('ab') as file:
            file.write(b' ')
        assert facts(one) != usual
        shutil.copy(tmp_path / 'copy' / name, one / name)
        assert facts(one) == usual
    assert facts(one, extractor='deepbet') == facts(tmp_path, extractor='deepbet')


def test_weights_of_the_segmentation_count_for_it_only(tmp_path):
    def facts(content, kind):
        (tmp_path / 'model.pt').write_bytes(content)
        return Options(nvseg_weights=str(tmp_path), extractor='deepbet').weights(kind)

    for kind in ('nvseg-brain', 'nvseg-body'):
        assert facts(b'a', kind) == facts(b'a', kind) != facts(b'b', kind)
    assert facts(b'a', 'brain-mask') == facts(b'b', 'brain-mask')


def test_weights_are_read_once_in_a_run(tmp_path, monkeypatch):
    opened, digest = [], hashlib.file_digest
    monkeypatch.setattr(
        hashlib, 'file_digest', lambda file, name: opened.append(file.name) or digest(file, name)
    )
    options = Options(hdbet_weights=str(make_weights(tmp_path / 'one')))
    for kind in ('brain-mask', 'defacing-mask', 'coreg-image'):
        options.weights(kind)
    assert len(opened) == 3


@pytest.mark.parametrize('kind', sorted({*COMPUTED, *KINDS} - {'image'}))
def test_every_kind_has_facts(kind):
    assert 'extractor' in Options().facts(kind, defaced=True)


def test_numbers_of_a_preset_count_and_not_its_name_only(monkeypatch):
    usual = Options().facts('coreg-transform', defaced=True)
    stage = find_preset('reference', 'coreg')[0]
    other = stage._replace(sampling=0.3)
    monkeypatch.setattr('mrrate_bids.app.options.find_preset', lambda name, step: (other,))
    assert Options().facts('coreg-transform', defaced=True) != usual
