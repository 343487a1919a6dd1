"""``mrrate-bids run`` on phantoms: what it writes, what it says, and what it never does twice.

Commands that compute run in a process of their own, as TemplateFlow and ANTs read the environment
when they are imported.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import small_bids
from click.testing import CliRunner
from small_bids import DEFACED, OWN, TEMPLATE, WITH_SESSIONS, call

if not find_spec('ants'):  # an import here would fix its number of threads
    pytest.skip('antspyx is not installed', allow_module_level=True)
pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.bids_validator import find_validator, run_validator
from mrrate_bids.cli import main

DATASETS = ('mrrate-anatref', 'mrrate-atlas', 'mrrate-coreg', 'mrrate-defaced')
FAST = (
    *('--registration', 'fast', '--brain-extractor', 'derivatives'),
    '--skip-bids-validation',  # test_cli_app.py has it
)
APART = ('logs', 'reports')
HEAVY = {'ants', 'bids', 'nibabel', 'nipype', 'numpy', 'templateflow', 'torch'}
ONE = 'sub-02/ses-1/anat/sub-02_ses-1'
ONE_DONE = {'done': 1}


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Return a dataset, its masks and templates; only the derivatives of the dataset may grow."""
    root = tmp_path_factory.mktemp('world')
    small_bids.make_bids(root / 'bids')
    small_bids.make_masks(root / 'masks')
    home = small_bids.make_templates(root / 'home')
    return SimpleNamespace(
        root=root, bids=root / 'bids', masks=root / 'masks', env=small_bids.clean_environment(home)
    )


def compute(world, out, *more, cwd=None):
    """Run on one process, and return what the command said."""
    common = ('-d', world.masks, '-w', world.root / f'work-{out.name}', '--nprocs', '1')
    arguments = ('run', world.bids, out, 'participant', *FAST, *common, *more)
    return call(*arguments, env=world.env, cwd=cwd or world.root)


@pytest.fixture(scope='module')
def computed(world):
    """Return the derivatives of the dataset, in the usual place and the usual space."""
    out = world.bids / 'derivatives'
    done = compute(world, out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(done) == {'done': 2}
    return out


@pytest.fixture(scope='module')
def coarse(world):
    """Return all results of one study, in a coarse space."""
    out = world.root / 'coarse'
    done = compute(world, out, *COARSE)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


COARSE = ('--template', OWN, '--participant-label', '02')


def states(done):
    """Return the numbers of the table of studies that are not 0."""
    (line,) = [line for line in done.stdout.splitlines() if line.startswith('│')]
    names = ('done', 'skipped', 'partial', 'failed', 'absent')
    counts = map(int, re.findall(r'\d+', line))
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def planned(done):
    """Return the numbers of files of the table of a dry run."""
    return {kind: int(n) for kind, n in re.findall(r'│ ([a-z-]+) +│ +(\d+) │', done.stdout)}


def stamps(folder):
    return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob('*') if p.is_file()}


def content(out):
    """Return the bytes of every file of the datasets."""
    paths = (path for name in DATASETS for path in (out / name).rglob('*') if path.is_file())
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def images(out):
    return {name: data for name, data in content(out).items() if name.endswith('.nii.gz')}


def nodes(work):
    """Return the names of the parts of a graph that ran."""
    return {path.name for path in work.glob('mrrate_bids_*_wf/*/*') if path.is_dir()}


def ask(*arguments, **env):
    """Run a command that computes nothing, in this process."""
    return CliRunner(env=env).invoke(main, ['run', *map(str, arguments)])


# What is written


@pytest.mark.parametrize('name', DATASETS)
def test_datasets_are_valid(name, computed):
    verdict = run_validator(computed / name, find_validator())
    assert verdict.problems == []
    assert verdict.files > 5


def test_names(computed):
    anat = 'sub-02/ses-1/anat/sub-02_ses-1'
    space = f'space-{TEMPLATE}_res-1'
    images = {
        f'mrrate-anatref/{anat}_desc-brain_mask.nii.gz',
        f'mrrate-anatref/{anat}_desc-preproc_T1w.nii.gz',
        f'mrrate-atlas/{anat}_{space}_T1w.nii.gz',
        f'mrrate-atlas/{anat}_{space}_label-brain_desc-T1w_mask.nii.gz',
        f'mrrate-atlas/{anat}_mod-T1w_{space}_defacemask.nii.gz',
        f'mrrate-atlas/{anat}_from-T1w_to-{TEMPLATE}_mode-image_xfm.mat',
        f'mrrate-coreg/{anat}_space-T1w_T1w.nii.gz',
        f'mrrate-coreg/{anat}_space-T1w_label-brain_desc-T1w_mask.nii.gz',
        f'mrrate-coreg/{anat}_mod-T1w_space-T1w_defacemask.nii.gz',
        f'mrrate-defaced/{anat}_desc-defaced_T1w.nii.gz',
        f'mrrate-defaced/{anat}_mod-T1w_space-orig_defacemask.nii.gz',
    }
    sidecars = {re.sub(r'\.(nii\.gz|mat)$', '.json', name) for name in images}
    found = {name for name in content(computed) if '/sub-02/' in name}
    assert found == images | sidecars
    moving = {name for name in content(computed) if 'FLAIR' in name and '/sub-01/' in name}
    assert len([name for name in moving if not name.endswith('.json')]) == 5
    assert {path.name for path in computed.iterdir()} == {'.mrrate-bids', *DATASETS, *APART}


def test_images_lie_on_their_grids(computed):
    at = f'{computed}/{{}}/sub-01/ses-1/anat/sub-01_ses-1_{{}}.nii.gz'
    raw = nib.load(computed.parent / 'sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz')
    for name in ('space-T1w_T2w', 'space-T1w_FLAIR', 'space-T1w_label-brain_desc-T1w_mask'):
        image = nib.load(at.format('mrrate-coreg', name))
        assert image.shape == raw.shape
        assert np.allclose(image.affine, raw.affine, atol=1e-4)
    for name in ('T1w', 'T2w', 'FLAIR', 'label-brain_desc-T1w_mask'):
        image = nib.load(at.format('mrrate-atlas', f'space-{TEMPLATE}_res-1_{name}'))
        assert image.shape == small_bids.GRID.shape
        assert np.array_equal(image.affine, small_bids.GRID.affine)


def test_registrations_are_true(computed):
    """All poses of the phantom are known: it does not move in the world."""
    from mrrate_bids.computing.transforms import angle_of, read_transform, shift_of

    found = [*computed.rglob('*_xfm.mat')]
    assert len(found) == 4
    for path in found:
        matrix = read_transform(path)
        assert angle_of(matrix) < 1
        assert shift_of(matrix, np.array([0.0, -20, 10])) < 1.5


def sidecars(computed):
    return {
        path: json.loads(path.read_text())
        for name in DATASETS
        for path in (computed / name).glob('sub-*/ses-*/anat/*.json')
    }


def test_sidecars_say_how(computed):
    said = sidecars(computed)
    transforms = [one for path, one in said.items() if path.name.endswith('_xfm.json')]
    assert len(transforms) == 4
    for one in transforms:
        assert (one['Preset'], one['RandomSeed'], len(one['Parameters'])) == ('fast', 42, 2)
        assert one['QualityControl']['Sharpness'] > 1.3
    masks = [one for path, one in said.items() if 'space-orig_defacemask' in path.name]
    assert len(masks) == 4
    for one in masks:
        assert one['Parameters'] == {'BufferMm': 8.0}
        assert 0.05 < one['QualityControl']['HeadRemoved'] < 0.5
    assert not [one for one in said.values() if 'seconds' in str(one)]


def sources(out):
    """Yield the URIs that sidecars name, and the files that they lead to."""
    for path, said in sidecars(out).items():
        dataset = next(p for p in path.parents if p.parent == out)
        links = json.loads((dataset / 'dataset_description.json').read_text())['DatasetLinks']
        named = [*said.get('Sources', []), said.get('FromFile'), said.get('ToFile')]
        for uri in (one for one in named if one and one.startswith('bids:')):
            _, name, inside = uri.split(':')
            yield uri, dataset / (links[name] if name else '.') / inside


def test_sources_exist(computed):
    found = list(sources(computed))
    assert [uri for uri, path in found if not path.is_file()] == []
    assert len(found) > 30
    assert len([uri for uri, _ in found if uri.startswith('bids:givenDefaced:')]) > 4


def test_defaced_images_are_as_raw_where_they_are_kept(computed):
    paths = [*(computed / DEFACED).rglob('*_desc-defaced_*.nii.gz')]
    assert len(paths) == 4
    for path in paths:
        suffix = path.name.split('_')[-1].partition('.')[0]
        keep = path.with_name(
            path.name.replace(f'desc-defaced_{suffix}', f'mod-{suffix}_space-orig_defacemask')
        )
        raw = computed.parent / path.relative_to(computed / DEFACED)
        raw = raw.with_name(raw.name.replace('_desc-defaced', ''))
        kept, shown, was = (np.asanyarray(nib.load(p).dataobj) for p in (keep, path, raw))
        assert np.array_equal(shown, np.where(kept, was, 0))
        assert (kept == 0).any()


def test_tables_of_a_run(computed):
    home = computed / '.mrrate-bids'
    assert (home / 'studies.tsv').read_text() == (
        'study\tstate\tfiles\nsub-01/ses-1\tcomplete\t21\nsub-02/ses-1\tcomplete\t11\n'
    )
    assert len((home / 'problems.tsv').read_text().splitlines()) == 1


# Never twice


def test_second_run_computes_nothing(computed, world):
    before = stamps(computed)
    done = compute(world, computed)
    assert (done.returncode, states(done)) == (0, {'skipped': 2})
    after = stamps(computed)
    (options,) = after.keys() - before.keys()
    assert options.name == 'config.toml'
    assert {path: after[path] for path in before} == before


def test_step_that_is_added_uses_what_is_there(coarse, world):
    """Step by step, and on two processes, the files are those of one run."""
    out = world.root / 'steps'
    first = compute(world, out, *COARSE, '--steps', 'mask,deface')
    assert (first.returncode, states(first)) == (0, {'done': 1})
    assert [path.name for path in sorted(out.glob('mrrate-*'))] == [DEFACED]
    images = {p: s for p, s in stamps(out / DEFACED).items() if p.name.endswith('.nii.gz')}
    work = world.root / 'work-steps-2'
    second = compute(world, out, *COARSE, '--nprocs', '2', '-w', work)
    assert (second.returncode, states(second)) == (0, {'done': 1})
    assert {p: s for p, s in stamps(out / DEFACED).items() if p in images} == images
    made = nodes(work)
    assert 'atlas' in made
    assert not [name for name in made if 'deface' in name]
    assert content(out) == content(coarse)


@pytest.mark.parametrize('processes', ['1', '2'])
@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGINT])
def test_run_that_was_stopped_goes_on(how, processes, coarse, world):
    """Killed, or with Ctrl-C, which a terminal sends to its workers as well."""
    out = world.root / f'stopped-{how.name}-{processes}'
    arguments = ('run', world.bids, out, 'participant', *FAST, *COARSE, '-d', world.masks)
    arguments += ('-w', world.root / f'work-{out.name}', '--nprocs', processes)
    # Ctrl-C is ignored by what runs in the background, and by all that is started there.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        small_bids.command(*arguments),
        cwd=world.root,
        env=world.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, before)
    try:
        until = time.monotonic() + 60
        while len([*out.rglob('*.nii.gz')]) < 2:
            assert process.poll() is None, 'it was over before it could be stopped'
            assert time.monotonic() < until
            time.sleep(0.02)
        workers = children(process.pid)
    finally:
        os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()
        said, errors = process.communicate(timeout=60)
    assert bool(workers) == (processes == '2')
    if how == signal.SIGINT:
        assert (process.returncode, said) == (130, '')
        *lines, last = errors.splitlines()
        assert last == 'Interrupted.'
        assert all(line.startswith('Computing ') for line in lines)
    time.sleep(0.5)
    assert not any(map(is_alive, workers))
    assert len([*out.rglob('*.nii.gz')]) < len([*coarse.rglob('*.nii.gz')])
    done = compute(world, out, *COARSE)
    assert (done.returncode, states(done)) == (0, {'done': 1})
    assert content(out) == content(coarse)
    assert not list(out.rglob('*.part'))


def children(pid):
    listed = Path(f'/proc/{pid}/task/{pid}/children')
    return listed.read_text().split() if listed.exists() else []


def is_alive(pid):
    """Tell whether a process runs; one that ended and that nobody asked about does not."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def test_file_that_was_edited_is_not_overwritten(coarse, world):
    """A mask corrected by hand is work of hours; it is named, and nothing is computed over it."""
    out = world.root / 'edited'
    shutil.copytree(coarse, out)
    (mask,) = (out / DEFACED / ONE).parent.glob('*T1w*defacemask.nii.gz')
    mask.write_bytes(b'corrected by hand')
    before = stamps(out / DEFACED)
    done = compute(world, out, *COARSE)
    assert (done.returncode, states(done)) == (3, {'failed': 1})
    assert f'{mask.name}: was changed since it was computed' in done.stdout
    assert f'Give {out / DEFACED} with --derivatives' in ' '.join(done.stdout.split())
    assert stamps(out / DEFACED) == before
    mask.unlink()
    again = compute(world, out, *COARSE)
    assert (again.returncode, content(out)) == (0, content(coarse))


def test_mask_of_another_pipeline_serves_all_series(world):
    """fMRIPrep has one of the T1w only; the other series get it through their transforms."""
    other, out = world.root / 'fmriprep', world.root / 'taken'
    small_bids.describe(other, 'derivative')
    visit = WITH_SESSIONS[0]
    mask = small_bids.mask_of(world.masks / DEFACED, visit, 'T1w')
    target = other / visit[0] / visit[1] / f'anat/{visit[0]}_{visit[1]}_desc-brain_mask.nii.gz'
    target.parent.mkdir(parents=True)
    shutil.copy(mask, target)
    masked = SimpleNamespace(bids=world.bids, masks=other, env=world.env, root=world.root)
    done = compute(masked, out, '--participant-label', visit[0], '--steps', 'mask')
    assert (done.returncode, states(done)) == (0, {'done': 1})
    said = {p.name: json.loads(p.read_text()) for p in out.rglob('sub-*mask.json')}
    carried = {name: one['Carried'] for name, one in said.items()}
    assert len(carried) > 1
    assert [name for name, is_so in carried.items() if not is_so] == [
        name for name in carried if 'T1w' in name
    ]
    masks = images(out)
    both = ('--participant-label', visit[0], '--steps', 'mask,coreg')
    assert planned(compute(masked, out, *both, '--dry-run')) == {
        'coreg-transform': 2,
        'coreg-image': 3,
        'coreg-brain-mask': 1,
    }
    assert states(compute(masked, out, *both)) == {'done': 1}
    assert masks.items() <= images(out).items()
    once = world.root / 'taken-at-once'
    assert states(compute(masked, once, *both)) == {'done': 1}
    assert content(out) == content(once)  # also what sidecars of masks say of transforms
    found = [(uri, path) for uri, path in sources(out) if uri.startswith('bids:givenFmriprep:')]
    assert [path.resolve() for _, path in found] == [target]
    assert states(compute(masked, out, *both)) == {'skipped': 1}
    os.utime(target, ns=(1, 1))
    assert planned(compute(masked, out, *both, '--dry-run')) == planned(
        compute(masked, world.root / 'taken-never', *both, '--dry-run')
    )


def test_blocks_on_two_machines_give_the_files_of_one_run(world):
    """Also what sidecars say of sources; of the second output only the links lead elsewhere."""
    other = world.root / 'smriprep'
    small_bids.describe(other, 'derivative')
    subject, session = ONE.split('/')[:2]
    target = other / f'{ONE}_desc-brain_mask.nii.gz'
    target.parent.mkdir(parents=True)
    shutil.copy(small_bids.mask_of(world.masks / DEFACED, (subject, session), 'T1w'), target)
    masked = SimpleNamespace(bids=world.bids, masks=other, env=world.env, root=world.root)
    once, first, second = (world.root / name for name in ('once', 'block-1', 'block-2'))
    assert states(compute(masked, once, *COARSE, '--steps', 'mask,deface,coreg,atlas')) == ONE_DONE
    assert states(compute(masked, first, *COARSE, '--steps', 'mask,deface')) == ONE_DONE
    given = SimpleNamespace(**vars(masked) | {'masks': first})
    done = compute(given, second, *COARSE, '--steps', 'coreg,atlas')
    assert states(done) == ONE_DONE, done.stdout + done.stderr
    both = content(first) | content(second)
    at_root = {name for name in both if '/sub-' not in name}
    assert not [n for n, data in content(once).items() if n not in at_root and both[n] != data]
    assert both.keys() == content(once).keys()
    assert [uri for uri, path in sources(second) if not path.is_file()] == []
    assert [uri for uri, _ in sources(second) if uri.startswith('bids:defaced:')]
    # What goes into the second output from now on would be taken for those sources.
    refused = compute(masked, second, *COARSE, '--steps', 'mask,deface')
    assert refused.returncode == 2
    assert f'was computed from {first / DEFACED}' in ' '.join(refused.stderr.split())
    assert not (second / DEFACED).exists()


def test_second_block_takes_masks_of_the_user_and_results_of_the_first(coarse, world):
    """Both datasets have one name: the first block does not copy what it was given."""
    first, second = world.root / 'own-1', world.root / 'own-2'
    assert states(compute(world, first, *COARSE, '--steps', 'mask,deface')) == ONE_DONE
    arguments = ('run', world.bids, second, 'participant', *FAST, *COARSE, '--nprocs', '1')
    arguments += ('-d', first / DEFACED, world.masks, '-w', world.root / 'work-own-2')
    done = call(*arguments, '--steps', 'coreg,atlas,anatref', env=world.env, cwd=world.root)
    assert states(done) == ONE_DONE, done.stdout + done.stderr
    both, once = content(first) | content(second), content(coarse)
    assert [name for name in once if '/sub-' in name and both.get(name) != once[name]] == []
    assert [uri for uri, path in sources(second) if not path.is_file()] == []


def test_file_that_was_lost_comes_back(coarse, world):
    path = coarse / f'mrrate-coreg/{ONE}_space-T1w_T1w.nii.gz'
    was, before = path.read_bytes(), stamps(coarse)
    path.unlink()
    work = world.root / 'work-lost'
    done = compute(world, coarse, *COARSE, '-w', work)
    assert states(done) == {'done': 1}
    assert nodes(work) == {'store_T1w_coreg_image', 'report'}
    assert path.read_bytes() == was
    images = [p for p in before if p.name.endswith('.nii.gz') and p != path]
    assert {p: stamps(coarse)[p] for p in images} == {p: before[p] for p in images}


# What is wrong with the input

STUDIES = {
    '11': ('localizer', 'has only 3 voxels along an axis (57x60x3), as localizers have'),
    '12': ('4-D', 'is 4-D (57x60x57x2), a series is one volume'),
    '13': ('NaN', '7 voxels are NaN or infinite'),
    '14': ('constant', 'is constant, every voxel is 5'),
    '15': ('empty mask', 'the mask is empty'),
    '16': ('2-D', 'is 2-D (57x60), a series is one volume'),
    '17': ('spine', 'has no T1w that can be the centre'),
    '18': ('truncated', 'T1w.nii.gz: '),
    '19': ('other grid', 'does not lie on the grid of sub-19_T1w.nii.gz'),
}


def spoil(what, image, mask):
    values, brain, affine = small_bids.scan('T1w')
    if what == 'localizer':
        small_bids.write(image, values[..., :3], affine)
        small_bids.write(mask, brain[..., 27:30], affine)
    elif what == '4-D':
        small_bids.write(image, np.stack([values, values], axis=-1), affine)
    elif what == 'NaN':
        broken = values.astype(np.float32)
        broken.flat[:7] = np.nan
        small_bids.write(image, broken, affine)
    elif what == 'constant':
        small_bids.write(image, np.full_like(values, 5), affine)
    elif what == 'empty mask':
        small_bids.write(mask, np.zeros_like(brain), affine)
    elif what == '2-D':
        small_bids.write(image, values[..., 0], affine)
    elif what == 'truncated':
        image.write_bytes(image.read_bytes()[:-5000])
    elif what == 'other grid':
        small_bids.write(mask, brain[..., :-1], affine)
    elif what == 'spine':
        sidecar = image.with_name(image.name.replace('.nii.gz', '.json'))
        sidecar.write_text('{"BodyPart": "LSPINE"}')


@pytest.fixture(scope='module')
def spoilt(world):
    """Return what a run says of bad studies, and the folder in which the good one is."""
    visits = tuple((f'sub-{label}', '', ('T1w',)) for label in ('10', *STUDIES))
    bids = small_bids.make_bids(world.root / 'spoilt', visits)
    masks = small_bids.make_masks(world.root / 'spoilt-masks', visits)
    for visit in visits[1:]:
        image = small_bids.image_of(bids, visit, 'T1w')
        mask = small_bids.mask_of(masks / DEFACED, visit, 'T1w')
        spoil(STUDIES[visit[0][4:]][0], image, mask)
    bad = SimpleNamespace(bids=bids, masks=masks, env=world.env, root=world.root)
    out = world.root / 'spoilt-out'
    done = compute(bad, out, '--steps', 'mask,deface')
    return SimpleNamespace(done=done, out=out)


def test_good_study_among_bad_ones_is_done(spoilt):
    assert spoilt.done.returncode == 3
    assert states(spoilt.done) == {'done': 1, 'failed': len(STUDIES)}
    done = {path.parts[-3] for path in spoilt.out.rglob('*.nii.gz')}
    assert done == {'sub-10'}
    assert not [
        p for p in spoilt.out.rglob('sub-*.json') if 'sub-10' not in p.name and 'rec' not in str(p)
    ]
    assert run_validator(spoilt.out / DEFACED, find_validator()).problems == []


@pytest.mark.parametrize('label', STUDIES)
def test_bad_study_is_named_with_a_reason(label, spoilt):
    _, reason = STUDIES[label]
    lines = [one for one in spoilt.done.stdout.splitlines() if f'sub-{label}: ' in one]
    assert [one for one in lines if reason in one and ' → ' in one], lines
    assert 'unexpectedly' not in ' '.join(lines)
    problems = (spoilt.out / '.mrrate-bids/problems.tsv').read_text()
    assert f'\tsub-{label}\t' in problems
    assert reason in problems


def test_remedies_are_for_files_of_the_user(spoilt):
    lines = {
        label: line
        for line in spoilt.done.stdout.splitlines()
        for label in STUDIES
        if f'sub-{label}: ' in line
    }
    assert lines['15'].endswith(' → Give another with --derivatives, or leave it out.')
    assert lines['19'].endswith(' → Resample the mask with nearest neighbour, or leave it out.')
    assert 'Convert the image again' in lines['18']
    assert not [line for line in lines.values() if 'release' in line.partition(' → ')[2]]


def test_spine_is_named_as_such(spoilt):
    said = spoilt.done.stdout
    assert 'sub-17_T1w.nii.gz: shows the lspine, not the head; it was set aside' in said


def test_bad_study_can_be_corrected(spoilt, world):
    """What failed is tried again, what was done is not."""
    bids, masks = world.root / 'spoilt', world.root / 'spoilt-masks'
    visit = ('sub-15', '', ('T1w',))
    _, brain, affine = small_bids.scan('T1w', seed=15)
    path = small_bids.mask_of(masks / DEFACED, visit, 'T1w')
    time.sleep(0.01)
    small_bids.write(path, brain, affine)
    bad = SimpleNamespace(bids=bids, masks=masks, env=world.env, root=world.root)
    before = stamps(spoilt.out / f'{DEFACED}/sub-10')
    chosen = ('--participant-label', '10,15', '--steps', 'mask,deface')
    done = compute(bad, spoilt.out, *chosen)
    assert (done.returncode, states(done)) == (0, {'done': 1, 'skipped': 1})
    assert stamps(spoilt.out / f'{DEFACED}/sub-10') == before


def test_run_can_stop_at_the_first_failure(spoilt, world):
    bad = SimpleNamespace(
        bids=world.root / 'spoilt',
        masks=world.root / 'spoilt-masks',
        env=world.env,
        root=world.root,
    )
    chosen = ('--participant-label', '13,10', '--steps', 'mask,deface', '--stop-on-first-crash')
    done = compute(bad, world.root / 'stopped', *chosen)
    assert (done.returncode, states(done)) == (3, {'failed': 2})
    (other,) = [line for line in done.stdout.splitlines() if 'sub-10: ' in line]
    assert 'stopped at the first failure' in other
    again = compute(bad, world.root / 'stopped', *chosen[:1], '10', *chosen[2:])
    assert (again.returncode, states(again)) == (0, {'done': 1})


def test_plugin_and_an_empty_work_folder(coarse, world, tmp_path):
    """The plugin of a file is used; the folder keeps what is not of a run."""
    plugin, work = tmp_path / 'plugin.yml', tmp_path / 'work'
    plugin.write_text('plugin: Linear\nplugin_args: {}\n')
    stale = work / 'mrrate_bids_0_wf/sub_99_wf'
    stale.mkdir(parents=True)
    (work / 'mine.txt').write_text('mine')
    more = ('--use-plugin', plugin, '--clean-workdir', '-w', work, '--steps', 'mask,deface')
    done = compute(world, tmp_path / 'out', *COARSE, *more)
    assert (done.returncode, states(done)) == (0, {'done': 1})
    assert (work / 'mine.txt').exists()
    assert not stale.exists()
    made, before = images(tmp_path / 'out'), images(coarse)
    assert made.items() <= before.items()
    assert len(made) == 2


# What cannot work at all


def refusal(result):
    assert result.exit_code == 2, result.output
    return result.output


def test_output_that_is_the_dataset(world):
    said = refusal(ask(world.bids, world.bids, 'participant', '-w', world.root / 'w'))
    assert 'is the dataset itself' in said
    assert 'derivatives' in said


@pytest.mark.parametrize('folder', ['', 'derivatives/work'])
def test_work_folder_inside_the_dataset(folder, world, tmp_path):
    said = refusal(ask(world.bids, tmp_path, 'participant', '-w', world.bids / folder))
    assert 'lies inside the dataset' in said
    assert '--work-dir' in said


def test_index_inside_the_dataset(world, tmp_path):
    options = ('--bids-database-dir', world.bids / 'index', '--dry-run')
    assert 'lies inside the dataset' in refusal(ask(world.bids, tmp_path, 'participant', *options))
    assert not (world.bids / 'index').exists()


def test_index_that_is_none(world, tmp_path):
    folder = tmp_path / 'index'
    folder.mkdir()
    (folder / 'layout_index.sqlite').write_bytes(b'no database' * 500)
    options = ('--bids-database-dir', folder, '--dry-run')
    said = refusal(ask(world.bids, tmp_path / 'out', 'participant', *options))
    assert 'file is not a database' in said
    assert 'SELECT' not in said
    assert '--bids-database-dir' in said


def test_dry_run_makes_no_index(world, tmp_path):
    options = ('-d', world.masks, '--steps', 'mask', '--bids-database-dir', tmp_path / 'index')
    result = ask(world.bids, tmp_path / 'out', 'participant', *FAST, *options, '--dry-run')
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == []


def test_work_folder_that_is_a_file(world, tmp_path):
    work = tmp_path / 'work'
    work.write_text('mine')
    arguments = (world.bids, tmp_path / 'out', 'participant', '-d', world.masks, '-w', work)
    said = refusal(ask(*arguments, *FAST, '--steps', 'deface'))
    assert said.count('Error: ') == 1
    assert 'Give another --work-dir.' in said
    assert work.read_text() == 'mine'


def test_work_folder_is_in_the_current_folder(world, tmp_path, monkeypatch):
    monkeypatch.chdir(world.bids)
    assert 'lies inside the dataset' in refusal(ask('.', tmp_path, 'participant'))


@pytest.mark.parametrize('label', ['9', 'sub-9'])
def test_participant_that_is_not_there(label, world, tmp_path):
    arguments = (tmp_path, 'participant', '-w', tmp_path / 'w', '--participant-label', label)
    said = refusal(ask(world.bids, *arguments, '--steps', 'mask'))
    assert "has no participant '9'" in said
    assert 'It has 01, 02.' in said


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        (None, 'cannot be read'),
        ('plugin: [', 'cannot be read'),
        ('SLURM', 'names no plugin of Nipype'),
        ('plugin: SLURM\nplugin_args: 3', 'names no plugin of Nipype'),
        ('plugin: NoSuchThing', 'has no plugin NoSuchThing'),
        ('plugin: SLURM\nplugin_args: {max_job: 3}', 'SLURM has no plugin_args max_job'),
        (
            'plugin: SLURM\nplugin_args: {max_jobs: many}',
            "max_jobs of plugin_args cannot be 'many'",
        ),
        ('plugin: SLURM\nplugin_args: {sbatch_args: "-A \\"x"}', 'sbatch_args cannot be read (no'),
    ],
)
def test_plugin_that_is_none(text, says, world, tmp_path):
    path = tmp_path / 'plugin.yml'
    if text is not None:
        path.write_text(text)
    common = ('-w', tmp_path / 'work', '--use-plugin', path)
    said = refusal(ask(world.bids, tmp_path / 'out', 'participant', *common))
    assert says in ' '.join(said.split())
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('name', ["o'work", 'work[1]'])
def test_work_folder_that_the_plugin_for_slurm_cannot_take(name, world, tmp_path):
    path = tmp_path / 'plugin.yml'
    path.write_text('plugin: SLURM')
    common = ('-w', tmp_path / name, '--use-plugin', path)
    said = ' '.join(refusal(ask(world.bids, tmp_path / 'out', 'participant', *common)).split())
    assert "which Nipype's plugin for Slurm cannot take" in said
    assert not (tmp_path / 'out').exists()


def test_steps_that_are_not_there(world, tmp_path):
    said = refusal(ask(world.bids, tmp_path, 'participant', '--steps', 'mask,segment'))
    assert 'segment' in said
    assert 'anatref' in said


@pytest.mark.parametrize('number', ['nan', 'inf', '-1'])
@pytest.mark.parametrize('option', ['--quickshear-buffer', '--mem'])
def test_numbers_that_are_none(option, number, world, tmp_path):
    said = refusal(ask(world.bids, tmp_path / 'out', 'participant', option, number))
    assert option in said


@pytest.mark.parametrize('seed', ['0', '-1', str(2**31)])
def test_seed_that_ants_does_not_take(seed, world, tmp_path):
    said = refusal(ask(world.bids, tmp_path / 'out', 'participant', '--random-seed', seed))
    assert '--random-seed' in said


@pytest.mark.parametrize(
    'empty',
    [('-w', ''), ('--bids-database-dir', ''), ('-d', ''), ('-d', 'name='), ('--config-file', '')],
    ids=' '.join,
)
def test_empty_paths_do_not_stand_for_this_folder(empty, world, tmp_path):
    said = refusal(ask(world.bids, tmp_path / 'out', 'participant', '--dry-run', *empty))
    assert empty[0] in said or '--derivatives' in said


def test_masks_are_asked_for_and_not_given(world, tmp_path):
    options = ('--brain-extractor', 'derivatives', '-w', tmp_path / 'w')
    for more in ((), ('--dry-run',)):
        said = refusal(ask(world.bids, tmp_path / 'out', 'participant', *options, *more))
        assert said.count('Error: ') == 1
        assert '--derivatives is not given' in said
    assert list(tmp_path.iterdir()) == []


def test_output_that_takes_nothing(world, tmp_path):
    (tmp_path / 'out').write_text('a file')
    options = ('-d', world.masks, '-w', tmp_path / 'w', '--steps', 'deface')
    said = refusal(ask(world.bids, tmp_path / 'out', 'participant', *options))
    assert said.count('Error: ') == 1
    assert 'nothing can be written to it' in said


def test_dataset_that_serves_nothing_is_said(world, tmp_path):
    other = world.root / 'fmriprep-empty'
    (other / 'sub-01').mkdir(parents=True, exist_ok=True)
    options = ('-d', world.masks, '-d', other, '-w', tmp_path / 'w', '--steps', 'deface')
    result = ask(world.bids, tmp_path / 'out', 'participant', *options, '--dry-run')
    assert result.exit_code == 0
    assert f'nothing of {other} is used' in ' '.join(result.output.split())


def test_derivatives_that_are_not_there(world, tmp_path):
    said = refusal(ask(world.bids, tmp_path, 'participant', '-d', tmp_path / 'none'))
    assert 'there is no folder' in said


@pytest.mark.parametrize('steps', ['mask', 'deface'])
def test_weights_of_hd_bet_that_are_missing(steps, world, tmp_path):
    out, work = tmp_path / 'out', tmp_path / 'work'
    arguments = (world.bids, out, 'participant', '-w', work, '--steps', steps)
    weights = ('--device', 'cpu', '--hdbet-weights', tmp_path / 'none')
    said = refusal(ask(*arguments, *weights))
    assert f'no folder {tmp_path}/none' in said
    fetching = f'MRRATE_BIDS_HDBET_WEIGHTS={tmp_path}/none mrrate-bids resources fetch hd-bet'
    assert fetching in ' '.join(said.split())
    assert '--hdbet-weights' in said
    assert list(tmp_path.iterdir()) == []


def test_weights_of_hd_bet_that_are_unusable(world, tmp_path):
    """Found out at once and told in a line, not by every study."""
    from hdbet_weights import make_weights

    weights = make_weights(tmp_path / 'weights')
    (weights / 'fold_all/checkpoint_final.pth').write_text('<html>')
    arguments = (world.bids, tmp_path / 'out', 'participant', '-w', tmp_path / 'work')
    options = ('--steps', 'mask', '--device', 'cpu', '--hdbet-weights', weights)
    said = ' '.join(refusal(ask(*arguments, *options)).split())
    assert 'checkpoint_final.pth cannot be loaded' in said
    assert f'Fetch them into {weights} with' in said
    assert [path.name for path in tmp_path.iterdir()] == ['weights']


def test_weights_of_the_segmentation_that_are_missing(world, tmp_path):
    arguments = (world.bids, tmp_path / 'out', 'participant', '-w', tmp_path / 'work')
    options = ('--steps', 'seg', '--brain-extractor', 'derivatives', '-d', world.masks)
    weights = ('--device', 'cpu', '--nvseg-weights', tmp_path / 'none')
    said = refusal(ask(*arguments, *options, *weights))
    assert f'{tmp_path}/none' in said
    assert list(tmp_path.iterdir()) == []


def test_gpu_that_is_not_there(world, tmp_path, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    arguments = (world.bids, tmp_path / 'out', 'participant', '-w', tmp_path / 'work')
    said = refusal(ask(*arguments, '--steps', 'mask', '--device', 'cuda'))
    assert 'cuda: torch finds no GPU here' in said
    assert 'Use cpu or auto' in said


@pytest.mark.parametrize('device', ['gpu', 'cuda:x', 'cpu:1'])
def test_device_that_is_none(device, world, tmp_path):
    """Also where no step needs one."""
    options = ('--steps', 'coreg', *FAST, '-d', world.masks, '--device', device)
    said = refusal(ask(world.bids, tmp_path / 'out', 'participant', *options))
    assert f"'{device}' is no device" in said


@pytest.mark.parametrize('offline', [(), ('--offline',)])
def test_template_that_cannot_be_had(offline, world, tmp_path):
    env = small_bids.clean_environment(tmp_path / 'home')
    arguments = ('run', world.bids, tmp_path / 'out', 'participant', *FAST, '-d', world.masks)
    done = call(*arguments, '-w', tmp_path / 'work', *offline, env=env, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert f'tpl-{TEMPLATE}_res-1_T1w.nii.gz: is not on this machine' in done.stderr
    fetching = 'from templateflow.api import get'
    if TEMPLATE == 'MNI152NLin2009cSym':
        fetching = f'mrrate-bids resources fetch {TEMPLATE}'
    assert fetching in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ['home']


def test_dry_run_writes_nothing(world, tmp_path):
    before = stamps(world.root)
    out, work = tmp_path / 'out', tmp_path / 'work'
    arguments = ('run', world.bids, out, 'participant', *FAST, '-d', world.masks, '-w', work)
    done = call(*arguments, '--template', OWN, '--dry-run', env=world.env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert stamps(world.root) == before
    counts = planned(done)
    assert counts['defaced-image'] == 4
    assert counts['coreg-transform'] == counts['atlas-transform'] == counts['anatref-mask'] == 2
    assert 'brain-mask' not in counts
    assert '2 of 2 studies have something to compute.' in done.stdout


def test_dry_run_tells_what_is_wrong(world, tmp_path):
    (tmp_path / 'mrrate-defaced/sub-01').mkdir(parents=True)
    options = ('--dry-run', '--brain-extractor', 'derivatives', '-w', tmp_path / 'work')
    given = ('-d', tmp_path / 'mrrate-defaced', '--steps', 'mask')
    result = ask(world.bids, tmp_path / 'out', 'participant', *options, *given)
    assert result.exit_code == 3
    assert 'there is no brain mask of it in --derivatives' in result.output
    assert [path.name for path in tmp_path.iterdir()] == ['mrrate-defaced']


def test_dry_run_tells_what_the_machine_lacks(world, tmp_path):
    options = ('--dry-run', '--steps', 'mask', '--nprocs', '5000', '--mem', '1e6')
    weights = ('--device', 'cpu', '--hdbet-weights', tmp_path / 'none')
    result = ask(world.bids, tmp_path / 'out', 'participant', *options, *weights)
    assert result.exit_code == 0
    said = ' '.join(result.output.split())
    assert 'warning this machine is not ready: ' in said
    assert f'no folder {tmp_path}/none' in said
    assert 'resources fetch hd-bet' in said
    assert '--nprocs 5000 on a machine with' in said
    assert '--mem 1e+06 is more than the' in said
    assert list(tmp_path.iterdir()) == []


def test_dry_run_names_all_that_is_lacking(world, tmp_path, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    options = ('--dry-run', '--steps', 'mask,seg', '--device', 'cuda')
    weights = ('--hdbet-weights', tmp_path / 'bet', '--nvseg-weights', tmp_path / 'seg')
    result = ask(world.bids, tmp_path / 'out', 'participant', *options, *weights)
    assert result.exit_code == 0
    said = ' '.join(result.output.split())
    assert said.count('this machine is not ready: ') == 3
    assert all(part in said for part in ('cuda: torch finds no GPU', 'bet', 'seg'))


def test_dry_run_tells_of_the_template(world, tmp_path):
    env = small_bids.clean_environment(tmp_path / 'home')
    arguments = ('run', world.bids, tmp_path / 'out', 'participant', *FAST, '-d', world.masks)
    arguments += ('--steps', 'atlas', '--dry-run', '-w', tmp_path / 'work')
    done = call(*arguments, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = ' '.join(done.stdout.split())
    assert f'this machine is not ready: the template {TEMPLATE}, res-1, is not here' in said
    assert list(tmp_path.iterdir()) == []


def test_dry_run_of_two_templates_counts_each_file_once(world, tmp_path):
    arguments = ('run', world.bids, tmp_path / 'out', 'participant', *FAST, '-d', world.masks)
    arguments += ('--output-spaces', OWN, TEMPLATE, '--dry-run', '-w', tmp_path / 'work')
    done = call(*arguments, env=world.env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f'For {OWN}' in done.stdout
    assert f'For {TEMPLATE}' in done.stdout
    kinds = re.findall(r'│ ([a-z-]+) +│ +\d+ │', done.stdout)
    assert kinds.count('defaced-image') == 1
    assert kinds.count('atlas-transform') == 2


def test_dry_run_counts_what_a_run_writes(coarse, world, tmp_path):
    """Masks that are carried, taken over or made on the way: the plan has those that stay."""
    out, work = tmp_path / 'out', tmp_path / 'work'
    arguments = ('run', world.bids, out, 'participant', *FAST, *COARSE, '-d', world.masks)
    done = call(*arguments, '-w', work, '--dry-run', env=world.env, cwd=tmp_path)
    receipt = (coarse / '.mrrate-bids/receipts').rglob('*.json')
    outputs = [one for path in receipt for one in json.loads(path.read_text())['outputs']]
    assert planned(done) == Counter(kind for _, _, _, kind, *_ in outputs)
    written = {
        path.relative_to(coarse).as_posix() for path in coarse.glob('mrrate-*/sub-*/**/sub-*')
    }
    assert {one[0] for one in outputs} == {p for p in written if not p.endswith('.json')}


# The command itself


def test_help_is_quick():
    code = (
        'import sys, time; start = time.perf_counter();'
        'from mrrate_bids.cli import main;'
        'main(["run", "--help"], standalone_mode=False);'
        'spent = time.perf_counter() - start;'
        f'print("loaded:", *({HEAVY!r} & sys.modules.keys())); print(time.process_time(), spent)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    *_, loaded, spent = done.stdout.splitlines()
    assert loaded.strip() == 'loaded:'
    assert float(spent.split()[0]) < 0.5


def test_masks_of_hd_bet(world, tmp_path):
    """The network has random weights: it finds anything, and too little of it is refused."""
    pytest.importorskip('HD_BET')
    pytest.importorskip('nnunetv2')
    from hdbet_weights import make_weights

    weights = make_weights(tmp_path / 'weights')
    plans = json.loads((weights / 'plans.json').read_text())
    plans['configurations']['3d_fullres']['spacing'] = [4.0, 4.0, 4.0]
    (weights / 'plans.json').write_text(json.dumps(plans))
    arguments = ('run', world.bids, tmp_path / 'out', 'participant', '--participant-label', '02')
    options = ('--steps', 'mask', '--device', 'cpu', '--nprocs', '1', '-w', tmp_path / 'work')
    done = call(*arguments, *options, '--hdbet-weights', 'weights', env=world.env, cwd=tmp_path)
    mask = tmp_path / 'out' / DEFACED / f'{ONE}_space-orig_label-brain_desc-T1w_mask.nii.gz'
    if done.returncode == 3:
        assert re.search(r'T1w\.nii\.gz: (its brain mask is|HD-BET finds no brain)', done.stdout)
        assert not mask.exists()
        return
    assert done.returncode == 0, done.stdout + done.stderr
    assert np.asanyarray(nib.load(mask).dataobj).any()
    said = json.loads(mask.with_name(mask.name.replace('.nii.gz', '.json')).read_text())
    assert said['Description'].startswith('1 = brain (HD-BET)')
    assert said['QualityControl']['BrainVolumeMl'] >= 200
    assert said['Sources'] == [f'bids:raw:{ONE}_T1w.nii.gz']


@pytest.mark.slow
def test_masks_of_deepbet(world, tmp_path):
    """It finds the brain in the T1w; the T2w gets that mask by its transform."""
    pytest.importorskip('deepbet')
    (tmp_path / 'filter.json').write_text('{"flair": {"acquisition": "none"}}')
    arguments = ('run', world.bids, tmp_path / 'out', 'participant', '--participant-label', '01')
    chosen = ('--brain-extractor', 'deepbet', '--registration', 'fast', '--steps', 'mask')
    more = ('--bids-filter-file', 'filter.json', '--device', 'cpu', '--nprocs', '1')
    work = ('-w', tmp_path / 'work')
    done = call(*arguments, *chosen, *more, *work, env=world.env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len([*(tmp_path / 'out').rglob('*.nii.gz')]) == 2
    visit = WITH_SESSIONS[0]
    for suffix, how in (('T1w', 'found in the image'), ('T2w', 'carried over from the centre')):
        path = small_bids.mask_of(tmp_path / 'out' / DEFACED, visit, suffix)
        mask = np.asanyarray(nib.load(path).dataobj)
        true = small_bids.scan(suffix)[1]
        assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.9
        said = json.loads(path.with_name(path.name.replace('.nii.gz', '.json')).read_text())
        assert how in said['Description']
        assert said['Carried'] == (suffix == 'T2w')


def test_results_become_a_release(computed, world, tmp_path):
    bids = tmp_path / 'bids'
    shutil.copytree(world.bids, bids)
    small_bids.write_masks(bids / 'derivatives' / DEFACED)
    rules = [
        part for name in ('min_age', 'min_fov_mm', 'min_shape') for part in ('--rule', f'{name}=0')
    ]
    release = tmp_path / 'release'
    done = call('import', bids, release, '--seed', '3', *rules, env=world.env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(done) == {'done': 2}
    for name, ending in (
        ('MR-RATE', ''),
        ('MR-RATE-coreg', '_coreg'),
        ('MR-RATE-atlas', '_atlas'),
    ):
        assert len([*release.glob(f'{name}/mri/batch00/*{ending}.zip')]) == 2
    checked = call('validate', release, env=world.env, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
