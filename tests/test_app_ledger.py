"""What earlier runs computed: what is trusted, what stays, what is forgotten."""

import dataclasses
import os
import shutil
from pathlib import Path

import pytest
from hdbet_weights import edit, make_weights

pytest.importorskip('bids')
pytest.importorskip('nipype')


from mrrate_bids.app import study as studies
from mrrate_bids.app.inputs import find_studies
from mrrate_bids.app.ledger import Ledger
from mrrate_bids.app.options import Options
from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Study, kind_of
from mrrate_bids.problems import Problem
from mrrate_bids.sidecars import sidecar_path


@pytest.fixture
def ledger(tmp_path):
    return Ledger(Places(tmp_path / 'out', Options()))


def _real_study(root, *suffixes):
    """Return a study whose images exist."""
    images = []
    for suffix in suffixes:
        inside = f'sub-01/ses-1/anat/sub-01_ses-1_{suffix}.nii.gz'
        path = root / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(suffix.encode())
        images.append(studies.Series(path, inside))
    return Study('sub-01', 'ses-1', tuple(images), images[0])


def _computed(ledger, study, *kinds):
    """Return the targets of a run that wrote all of them."""
    places, targets = ledger._places, {}
    for series in study.series:
        for kind in (kind for kind in kinds if study.has(series, kind_of(kind))):
            path = places.target(study, series, kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('result')
            Path(sidecar_path(str(path))).write_text('{}')
            targets[path] = (kind, series.suffix)
    return targets


def test_what_was_computed_is_trusted(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w', 'T2w')
    targets = _computed(ledger, study, 'brain-mask', 'defacing-mask')
    assert ledger.trusted(study) == frozenset()
    assert ledger.record(study, targets, []).state == 'complete'
    assert ledger.trusted(study) == frozenset(targets)


def test_results_of_an_image_that_changed_are_not_trusted(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w', 'T2w')
    targets = _computed(ledger, study, 'brain-mask')
    ledger.record(study, targets, [])
    study.series[1].image.write_bytes(b'another image')
    mask = ledger._places.target(study, study.centre, 'brain-mask')
    assert ledger.trusted(study) == frozenset([mask])
    study.centre.image.write_bytes(b'another centre')  # on which everything hangs
    assert ledger.trusted(study) == frozenset()


def _with(tmp_path, **options):
    return Ledger(Places(tmp_path / 'out', Options(**options)))


def test_results_of_other_options_are_not_trusted_but_stay(ledger, tmp_path):
    """A run removes nothing that it does not compute anew; who asks as before gets it again."""
    study = _real_study(tmp_path / 'bids', 'T1w', 'T2w')
    targets = _computed(ledger, study, 'atlas-image', 'coreg-transform')
    ledger.record(study, targets, [])
    other = _with(tmp_path, seed=7)
    assert other.trusted(study) == frozenset()
    fresh = {path: pair for path, pair in targets.items() if pair[0] == 'atlas-image'}
    other.record(study, fresh, [])
    assert all(path.exists() for path in targets)
    assert other.trusted(study) == frozenset(fresh)
    assert ledger.trusted(study) == frozenset(targets) - frozenset(fresh)


@pytest.mark.parametrize(
    ('changed', 'stays'),
    [
        ({'seed': 7}, {'brain-mask', 'defacing-mask'}),
        ({'preset': 'fast'}, {'brain-mask', 'defacing-mask'}),
        ({'template': 'MNI152NLin6Asym'}, {'brain-mask', 'defacing-mask', 'coreg-transform'}),
        ({'buffer_mm': 3.0}, {'brain-mask', 'coreg-transform'}),
        ({'extractor': 'deepbet'}, set()),
        ({'offline': True}, {'brain-mask', 'defacing-mask', 'coreg-transform', 'atlas-image'}),
    ],
)
def test_a_result_depends_on_what_made_it_only(changed, stays, ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w', 'T2w')
    kinds = ('brain-mask', 'defacing-mask', 'coreg-transform', 'atlas-image')
    targets = _computed(ledger, study, *kinds)
    ledger.record(study, targets, [])
    trusted = _with(tmp_path, **changed).trusted(study)
    assert {targets[path][0] for path in trusted} == stays


def test_results_of_other_weights_are_not_trusted(tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    one, other = (make_weights(tmp_path / f'w{seed}', seed=seed) for seed in (0, 1))
    before = _with(tmp_path, hdbet_weights=str(one), device='cuda')
    targets = _computed(before, study, 'brain-mask')
    before.record(study, targets, [])
    moved = shutil.copytree(one, tmp_path / 'moved')
    shutil.copytree(other, one, dirs_exist_ok=True)
    assert _with(tmp_path, hdbet_weights=str(one), device='cuda').trusted(study) == frozenset()
    again = _with(tmp_path, hdbet_weights=str(moved), device='cpu')
    assert again.trusted(study) == frozenset(targets)


def test_masks_that_deepbet_carried_follow_from_registrations(tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    before = _with(tmp_path, extractor='deepbet')
    before.record(study, _computed(before, study, 'brain-mask'), [])
    assert _with(tmp_path, extractor='deepbet', seed=7).trusted(study) == frozenset()


def test_images_with_faces_are_not_taken_once_faces_go(tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    bare = _with(tmp_path, steps=('mask', 'coreg', 'anatref'))
    targets = _computed(bare, study, 'brain-mask', 'coreg-image', 'anatref-image')
    bare.record(study, targets, [])
    assert bare.trusted(study) == frozenset(targets)
    trusted = _with(tmp_path, steps=('mask', 'deface', 'coreg', 'anatref')).trusted(study)
    assert {targets[path][0] for path in trusted} == {'brain-mask'}


def test_defaced_images_are_taken_without_the_step_that_defaced_them(tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    first = _with(tmp_path, steps=('deface', 'coreg'))
    targets = _computed(first, study, 'defacing-mask', 'coreg-image')
    first.record(study, targets, [])
    assert _with(tmp_path, steps=('coreg',)).trusted(study) == frozenset(targets)


def test_results_of_an_image_that_is_no_more_go(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    targets = _computed(ledger, study, 'brain-mask', 'defacing-mask')
    ledger.record(study, targets, [])
    study.centre.image.write_bytes(b'another image')
    fresh = {path: pair for path, pair in targets.items() if pair[0] == 'brain-mask'}
    ledger.record(study, fresh, [])
    assert [path for path in targets if path.exists()] == list(fresh)


def test_result_without_its_sidecar_is_computed_again(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w', 'T2w')
    first, *others = targets = _computed(ledger, study, 'brain-mask')
    ledger.record(study, targets, [])
    Path(sidecar_path(str(first))).unlink()
    assert ledger.trusted(study) == frozenset(others)


def test_results_of_other_options_are_named(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    targets = _computed(ledger, study, 'brain-mask', 'atlas-image')
    ledger.record(study, targets, [])
    assert ledger.outdated(study) == []
    stale = [path for path, (kind, _) in targets.items() if kind == 'atlas-image']
    assert _with(tmp_path, seed=7).outdated(study) == stale


def test_what_was_edited_is_known(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    targets = _computed(ledger, study, 'brain-mask', 'defacing-mask')
    assert ledger.edited(study, targets) == []  # of a run that was interrupted
    ledger.record(study, targets, [])
    assert ledger.edited(study, targets) == []
    mask = next(iter(targets))
    mask.write_text('corrected by hand')
    assert ledger.edited(study, targets) == [mask]
    mask.unlink()
    assert ledger.edited(study, targets) == []
    ledger.forget(study, targets)  # a run begins, and is killed when it has written
    mask.write_text('something else')
    assert ledger.edited(study, targets) == []


def test_edit_that_keeps_the_size_is_known_whatever_runs_follow(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    targets = _computed(ledger, study, 'brain-mask')
    ledger.record(study, targets, [])
    (mask,) = targets
    mask.write_text('RESULT')
    os.utime(mask, ns=(1, 1))  # whatever time it has
    assert ledger.trusted(study) == ledger.written(study) == frozenset()
    ledger.record(study, _computed(ledger, study, 'defacing-mask'), [])  # a younger receipt
    assert ledger.edited(study, targets) == [mask]


def test_copy_of_a_result_is_the_same_result(ledger, tmp_path):
    """Its content counts where its time is another one."""
    study = _real_study(tmp_path / 'bids', 'T1w')
    targets = _computed(ledger, study, 'brain-mask')
    ledger.record(study, targets, [])
    for path in targets:
        os.utime(path, ns=(1, 1))
    assert ledger.trusted(study) == frozenset(targets)


def test_results_that_were_not_touched_are_not_read(ledger, tmp_path, monkeypatch):
    study = _real_study(tmp_path / 'bids', 'T1w')
    targets = _computed(ledger, study, 'brain-mask')
    ledger.record(study, targets, [])
    monkeypatch.setattr('mrrate_bids.app.ledger.checksum', None)
    assert ledger.trusted(study) == ledger.written(study) == frozenset(targets)


def test_receipts_that_know_no_checksum_go_by_size(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    targets = _computed(ledger, study, 'brain-mask')
    receipt = ledger.record(study, targets, [])
    old = [one._replace(crc32=None, mtime_ns=None) for one in receipt.outputs]
    ledger.receipts.save(dataclasses.replace(receipt, outputs=old))
    (mask,) = targets
    mask.write_text('RESULT')
    assert ledger.trusted(study) == frozenset(targets)
    mask.write_text('longer than it was')
    assert ledger.trusted(study) == frozenset()


def test_a_later_run_adds_to_what_is_there(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    first = _computed(ledger, study, 'brain-mask')
    ledger.record(study, first, [])
    second = _computed(ledger, study, 'defacing-mask')
    ledger.record(study, second, [])
    assert ledger.trusted(study) == frozenset([*first, *second])


def test_what_failed_is_forgotten_first(ledger, tmp_path):
    study = _real_study(tmp_path / 'bids', 'T1w')
    targets = _computed(ledger, study, 'brain-mask')
    ledger.forget(study, targets)
    problem = Problem('error', 'it failed')
    assert ledger.record(study, targets, [problem]).state == 'failed'
    assert ledger.trusted(study) == frozenset()


def test_results_are_taken_where_the_weights_are_not(tmp_path, shared):
    """One machine computes masks, another without weights goes on in the same folder."""
    out, weights = tmp_path / 'out', make_weights(tmp_path / 'weights')
    options = Options(hdbet_weights=str(weights), device='cpu')
    found = find_studies(shared)
    study = found.studies[0]
    there = Ledger(Places(out, options))
    target = Places(out, options).target(study, study.centre, 'brain-mask')
    target.parent.mkdir(parents=True)
    target.write_bytes(b'mask')
    Path(sidecar_path(str(target))).write_text('{}')
    there.record(study, {target: ('brain-mask', 'T1w')}, [], [])

    def trusts(folder):
        places = Places(out, dataclasses.replace(options, hdbet_weights=str(folder)))
        return Ledger(places).trusted(study) == {target}

    assert trusts(weights)
    assert trusts(tmp_path / 'nowhere')
    other = make_weights(tmp_path / 'other')
    edit(more=1)(other / 'plans.json')
    assert not trusts(other)


def test_what_a_session_has_once_hangs_on_its_centre(ledger, tmp_path):
    """Another image that changes takes nothing of it away."""
    study = _real_study(tmp_path / 'bids', 'T1w', 'T2w')
    targets = _computed(ledger, study, 'anatref-image')
    ledger.record(study, targets, [])
    (output,) = ledger.receipts.load('run', study.label).outputs
    assert output.series == study.centre.inside
    (moving,) = study.moving
    os.utime(moving.image, (1, 1))
    assert ledger.trusted(study) == frozenset(targets)
    ledger.record(study, {}, [])
    assert all(path.exists() for path in targets)
