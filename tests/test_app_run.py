"""A run and what the user gives it: masks, folders that take nothing, images that are gone."""

import json
import os
import resource
import shutil
from collections import defaultdict
from pathlib import Path

import nibabel as nib
import pytest
from app_studies import execute, make_masks, mask_of, names, pretend, run_of
from foreign_bids import make_dataset
from makers import make_nifti

pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.app.options import Options
from mrrate_bids.app.run import ComputeRun
from mrrate_bids.app.scope import Scope
from mrrate_bids.errors import UsageError
from mrrate_bids.export_run import Summary
from mrrate_bids.sidecars import sidecar_path


@pytest.fixture
def bids(tmp_path):
    """Return a dataset of two subjects with a T1w each; the first has more series."""
    return make_dataset(tmp_path / 'bids', subjects=2, sessions=False)


@pytest.fixture
def masks(bids, tmp_path):
    """Return a dataset of masks of the second subject, by the name of ours."""
    return make_masks(bids, tmp_path / 'masks')


def make_run(bids, out, *, participants=('02',), steps=('deface',), **given):
    """Return a run that takes masks only from what is *given*."""
    derivatives = {name.replace('_', '-'): path for name, path in given.items()}
    scope = Scope(participants=participants, derivatives=derivatives)
    return ComputeRun(bids, out, scope=scope, options=Options(steps, 'derivatives'))


def table(out, name):
    return (out / '.mrrate-bids' / f'{name}.tsv').read_text().splitlines()[1:]


# Results follow from what is given


def test_other_masks_make_other_results(bids, masks, tmp_path):
    out = tmp_path / 'out'
    written = pretend(make_run(bids, out, mrrate_defaced=masks))
    assert len(written) == 2
    assert names(make_run(bids, out, mrrate_defaced=masks).pending()) == []
    path = mask_of(masks, 'sub-02')
    os.utime(path, ns=(1, 1))
    assert len(names(make_run(bids, out, mrrate_defaced=masks).pending())) == 2


def test_masks_may_be_moved(bids, masks, tmp_path):
    """Size and time say that it is the same file; another place makes no other results."""
    out = tmp_path / 'out'
    pretend(make_run(bids, out, mrrate_defaced=masks))
    moved = masks.rename(tmp_path / 'moved')
    assert names(make_run(bids, out, mrrate_defaced=moved).pending()) == []


def test_masks_that_are_given_no_more(bids, masks, tmp_path):
    out = tmp_path / 'out'
    pretend(make_run(bids, out, mrrate_defaced=masks))
    run = ComputeRun(bids, out, scope=Scope(('02',)), options=Options(('deface',), 'derivatives'))
    with pytest.raises(UsageError, match='no brain masks'):
        run.found  # noqa: B018


def test_foreign_masks_count_also_when_they_were_taken_over(bids, tmp_path):
    """Step by step: in the second run there is a mask of the first, which follows from theirs."""
    theirs = make_masks(bids, tmp_path / 'fmriprep', 'desc-brain_mask.nii.gz')
    out = tmp_path / 'out'
    pretend(make_run(bids, out, steps=('mask',), fmriprep=theirs))
    both = ('mask', 'deface')
    assert len(pretend(make_run(bids, out, steps=both, fmriprep=theirs))) == 2
    assert names(make_run(bids, out, steps=both, fmriprep=theirs).pending()) == []
    os.utime(mask_of(theirs, 'sub-02', 'desc-brain_mask.nii.gz'), ns=(1, 1))
    assert len(names(make_run(bids, out, steps=both, fmriprep=theirs).pending())) == 3


def test_results_of_a_run_are_judged_by_receipts_also_when_they_are_given(bids, masks, tmp_path):
    out = tmp_path / 'out'
    pretend(make_run(bids, out, mrrate_defaced=masks))
    own = out / 'mrrate-defaced'
    shutil.copy(mask_of(masks, 'sub-02'), mask_of(own, 'sub-02'))
    os.utime(mask_of(own, 'sub-02'), ns=(1, 1))  # another mask, in that folder
    again = make_run(bids, out, mrrate_defaced=own)
    assert len(names(again.pending())) == 2
    pretend(again)
    assert names(make_run(bids, out, mrrate_defaced=own).pending()) == []


def test_result_that_was_edited_can_be_given(bids, masks, tmp_path):
    out = tmp_path / 'out'
    keep, *_ = sorted(pretend(make_run(bids, out, mrrate_defaced=masks)), reverse=True)
    keep.write_bytes(b'corrected by hand')
    shutil.copytree(masks / 'sub-02', out / 'mrrate-defaced/sub-02', dirs_exist_ok=True)
    rows, edited = make_run(bids, out, mrrate_defaced=out / 'mrrate-defaced').plan()
    assert edited == []
    assert keep.name not in names(rows)


def test_what_is_given_goes_before_what_lies_in_the_output(bids, masks, tmp_path):
    out = tmp_path / 'out'
    exported = make_masks(bids, out / 'mrrate-defaced')
    other = mask_of(exported, 'sub-02', 'mod-T1w_space-orig_defacemask.nii.gz')
    shutil.copy(mask_of(exported, 'sub-02'), other)
    (study,) = make_run(bids, out, mrrate_defaced=masks).found.studies
    assert study.centre.given['brain-mask'] == mask_of(masks, 'sub-02')
    assert study.centre.given['defacing-mask'] == other  # never computed over
    (study,) = make_run(bids, out).found.studies
    assert study.centre.given['brain-mask'] == mask_of(exported, 'sub-02')


def test_dataset_that_serves_nothing_is_named(bids, masks, tmp_path):
    other = make_masks(bids, tmp_path / 'other')
    run = make_run(bids, tmp_path / 'out', mrrate_defaced=masks, other=other)
    (problem,) = run.found.problems
    assert problem.severity == 'warning'
    assert problem.message == f'--derivatives: nothing of {other} is used'
    assert 'mrrate-anatref, mrrate-atlas, mrrate-coreg, mrrate-defaced' in problem.remedy
    assert 'NAME=PATH' in problem.remedy
    assert run.found.failed == set()
    theirs = make_masks(bids, tmp_path / 'fmriprep', 'desc-brain_mask.nii.gz')
    assert make_run(bids, tmp_path / 'out', fmriprep=theirs).found.problems == []
    hdbet = Options(('mask',))
    run = ComputeRun(bids, tmp_path / 'out', scope=Scope((), (), {}, {'a': theirs}), options=hdbet)
    assert len(run.found.problems) == 1


def test_masks_only_from_derivatives_and_none_given(bids, tmp_path):
    with pytest.raises(UsageError, match='--derivatives is not given'):
        make_run(bids, tmp_path / 'out').found  # noqa: B018


# The tables


def no_t1w(bids, subject):
    for path in (bids / subject / 'anat').glob('*_T1w.*'):
        path.unlink()


def test_tables_speak_of_all_runs(bids, masks, tmp_path):
    """What another run set aside stays in them until it succeeds."""
    out = tmp_path / 'out'
    no_t1w(bids, 'sub-01')
    first = make_run(bids, out, participants=('01',), mrrate_defaced=masks)
    assert execute(first, tmp_path).counts == {'failed': 1, 'skipped': 0}
    pretend(make_run(bids, out, mrrate_defaced=masks))
    assert execute(make_run(bids, out, mrrate_defaced=masks), tmp_path).counts['skipped'] == 1
    assert table(out, 'studies') == ['sub-01\tfailed\t0', 'sub-02\tcomplete\t2']
    (line,) = table(out, 'problems')
    assert '\tsub-01\t' in line
    assert 'has no T1w' in line
    (bids / 'sub-01/anat/sub-01_FLAIR.nii.gz').rename(bids / 'sub-01/anat/sub-01_T1w.nii.gz')
    again = make_run(bids, out, participants=('01',), mrrate_defaced=masks)
    (study,) = find_without_masks(again)
    again.ledger.record(study, {}, [])
    execute(make_run(bids, out, mrrate_defaced=masks), tmp_path)
    assert table(out, 'studies') == ['sub-01\tcomplete\t0', 'sub-02\tcomplete\t2']
    assert table(out, 'problems') == []


def find_without_masks(run):
    from mrrate_bids.app.inputs import find_studies

    return find_studies(run.bids, participants=run.scope.participants).studies


def test_study_that_is_set_aside_keeps_its_results(bids, masks, tmp_path):
    out = tmp_path / 'out'
    written = pretend(make_run(bids, out, mrrate_defaced=masks))
    empty = tmp_path / 'empty'
    (empty / 'sub-02').mkdir(parents=True)
    execute(make_run(bids, out, mrrate_defaced=empty), tmp_path)
    assert table(out, 'studies') == ['sub-02\tfailed\t2']
    assert all(path.exists() for path in written)
    assert execute(make_run(bids, out, mrrate_defaced=masks), tmp_path).counts['skipped'] == 1
    assert table(out, 'studies') == ['sub-02\tcomplete\t2']
    assert table(out, 'problems') == []


def test_what_was_edited_is_in_the_table_and_in_no_plan(bids, masks, tmp_path):
    out = tmp_path / 'out'
    keep, *_ = sorted(pretend(make_run(bids, out, mrrate_defaced=masks)), reverse=True)
    keep.write_bytes(b'corrected by hand')
    run = make_run(bids, out, mrrate_defaced=masks)
    rows, edited = run.plan(dry=True)
    assert (names(rows), len(edited)) == ([], 1)
    assert execute(run, tmp_path).counts['failed'] == 1
    assert 'was changed since it was computed' in table(out, 'problems')[0]


def test_results_of_an_image_that_is_gone_stay_and_are_named(bids, masks, tmp_path):
    out = tmp_path / 'out'
    written = pretend(make_run(bids, out, mrrate_defaced=masks))
    shutil.rmtree(bids / 'sub-02')
    no_t1w(bids, 'sub-01')
    summary = execute(make_run(bids, out, participants=('01',), mrrate_defaced=masks), tmp_path)
    assert all(path.exists() for path in written)
    (line,) = (line for line in table(out, 'problems') if 'is not in the dataset any more' in line)
    assert line.startswith('warning\tsub-02/anat/sub-02_acq-mprage_T1w.nii.gz: ')
    assert all(path.name in line for path in written)
    assert [p.study for p in summary.problems if p.severity == 'warning'] == ['sub-02']
    for path in written:
        path.unlink()
    execute(make_run(bids, out, participants=('01',), mrrate_defaced=masks), tmp_path)
    assert len(table(out, 'problems')) == 1


# An output that takes nothing


@pytest.mark.parametrize('place', ['out', 'out/mrrate-defaced', 'out/.mrrate-bids'])
def test_output_with_a_file_in_the_way(place, bids, masks, tmp_path):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text('a file')
    with pytest.raises(UsageError, match='nothing can be written to it') as caught:
        execute(make_run(bids, tmp_path / 'out', mrrate_defaced=masks), tmp_path)
    assert 'a file where a folder should be' in str(caught.value)
    assert (tmp_path / place).read_text() == 'a file'


def test_output_that_is_full(bids, masks, tmp_path):
    run = make_run(bids, tmp_path / 'out', mrrate_defaced=masks)
    rows, _ = run.plan()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the system refuses to write more
        with pytest.raises(UsageError, match='cannot hold a file of this size'):
            run._claim(rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / 'out').rglob('.*probe*'))


# Sources


def test_sources_name_masks_that_were_given(bids, masks, tmp_path):
    run = make_run(bids, tmp_path / 'out', mrrate_defaced=masks)
    (study,) = run.found.studies
    said = run.places.sidecar(study, study.centre, 'defacing-mask', set())
    inside = mask_of(masks, 'sub-02').relative_to(masks)
    assert said['Sources'] == [f'bids:raw:{study.centre.inside}', f'bids:givenDefaced:{inside}']
    rows, _ = run.plan()
    folder = tmp_path / 'out/mrrate-defaced'
    folder.mkdir(parents=True)
    run._announce(rows)
    links = json.loads((folder / 'dataset_description.json').read_text())['DatasetLinks']
    assert (folder / links['givenDefaced']).resolve() == masks
    assert (folder / links['givenDefaced'] / inside).is_file()


def test_sources_name_a_mask_that_was_taken_over(bids, tmp_path):
    theirs = make_masks(bids, tmp_path / 'fmriprep', 'desc-brain_mask.nii.gz')
    run = make_run(bids, tmp_path / 'out', fmriprep=theirs)
    (study,) = run.found.studies
    said = run.places.sidecar(study, study.centre, 'brain-mask', set())['Sources']
    name = 'sub-02_acq-mprage_desc-brain_mask.nii.gz'
    assert said[1:] == [f'bids:givenFmriprep:sub-02/anat/{name}']


def test_links_of_earlier_runs_stay(bids, masks, tmp_path):
    """Files that those runs wrote name them."""
    out = tmp_path / 'out'
    first = make_run(bids, out, mrrate_defaced=masks)
    first._announce(first.plan()[0])
    theirs = make_masks(bids, tmp_path / 'fmriprep', 'desc-brain_mask.nii.gz')
    second = make_run(bids, out, fmriprep=theirs)
    second._announce(second.plan()[0])
    text = (out / 'mrrate-defaced/dataset_description.json').read_text()
    assert {'givenDefaced', 'givenFmriprep'} < set(json.loads(text)['DatasetLinks'])


def test_sidecar_is_the_same_step_by_step(bids, tmp_path):
    """An image in atlas space names both transforms, also when one is written later."""
    image = nib.load(bids / 'sub-02/anat/sub-02_acq-mprage_T1w.nii.gz')
    make_nifti(bids / 'sub-02/anat/sub-02_T2w.nii.gz', image.shape, image.affine, seed=3)
    run = run_of(bids, tmp_path / 'out', 'coreg', 'atlas')
    (study,) = run.found.studies
    (moving,) = study.moving
    kinds = ('atlas-image', 'coreg-transform')
    moved, transform = (run.places.target(study, moving, kind) for kind in kinds)
    sidecar = Path(sidecar_path(str(moved)))
    sidecar.parent.mkdir(parents=True)
    texts = []
    for planned in ({moved}, {moved, transform}):
        said = run.places.sidecar(study, moving, 'atlas-image', planned)
        texts.append(json.dumps(said | {'QualityControl': {'x': 1}}, indent=2) + '\n')
    assert texts[0] != texts[1]
    sidecar.write_text(texts[0])
    run.places.name_sources(study, moving, 'atlas-image', dict.fromkeys([moved, transform]))
    assert sidecar.read_text() == texts[1]
    run.places.name_sources(study, moving, 'atlas-image', dict.fromkeys([moved]))
    assert sidecar.read_text() == texts[1]  # what it names is there


def test_carried_mask_names_no_transform_that_another_step_keeps(bids, tmp_path):
    """So it says the same when the step coreg is taken on another machine."""
    theirs = make_masks(bids, tmp_path / 'fmriprep', 'desc-brain_mask.nii.gz')
    image = nib.load(bids / 'sub-02/anat/sub-02_acq-mprage_T1w.nii.gz')
    make_nifti(bids / 'sub-02/anat/sub-02_T2w.nii.gz', image.shape, image.affine, seed=3)
    run = make_run(bids, tmp_path / 'out', steps=('mask', 'coreg'), fmriprep=theirs)
    (study,) = run.found.studies
    (moving,) = study.moving
    kinds = ('brain-mask', 'coreg-transform')
    mask, transform = (run.places.target(study, moving, kind) for kind in kinds)
    centre_mask = run.places.target(study, study.centre, 'brain-mask')
    said = [
        run.places.sidecar(study, moving, 'brain-mask', planned)
        for planned in ({mask, centre_mask}, {mask, centre_mask, transform})
    ]
    assert said[0] == said[1]
    assert len(said[0]['Sources']) == 2


def test_study_that_a_stopped_run_never_began_is_named(bids, tmp_path):
    """The first failure stops the run: a row of the table says so of every study that is left."""
    run = run_of(bids, tmp_path / 'out', 'mask', who=())
    rows, _ = run.plan()
    summary = Summary(problems=[])
    run._leave(rows, defaultdict(list), summary)
    assert summary.counts['failed'] == len(rows)
    assert {run.ledger.receipt(study.label).state for study, _ in rows} == {'failed'}


@pytest.mark.parametrize(
    ('value', 'container'),
    [
        ('docker:mrrate-bids:0.2.0', {'Type': 'docker', 'Tag': 'mrrate-bids:0.2.0'}),
        ('', None),
        ('docker', None),
    ],
)
def test_container_is_named(value, container, bids, masks, tmp_path, monkeypatch):
    monkeypatch.setenv('MRRATE_BIDS_CONTAINER', value)
    run = make_run(bids, tmp_path / 'out', mrrate_defaced=masks)
    run._announce(run.plan()[0])
    path = tmp_path / 'out/mrrate-defaced/dataset_description.json'
    (tool,) = [
        one
        for one in json.loads(path.read_text())['GeneratedBy']
        if one.get('Description', '').startswith('Computed')
    ]
    assert tool.get('Container') == container
