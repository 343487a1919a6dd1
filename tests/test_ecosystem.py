"""What other people's tools make of an export: of the demo, and of a release of real heads."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import small_bids
from real_release import DATA, build_real_release

from mrrate_bids.catalog import open_release
from mrrate_bids.export import ExportSettings
from mrrate_bids.export_run import ExportRun
from mrrate_bids.selection import Selection
from mrrate_bids.validation import validate

LEGACY = Path(sys.executable).parents[1] / 'legacy/node_modules/.bin/bids-validator'


@pytest.fixture(scope='session')
def real(tmp_path_factory):
    if not (DATA / 'tcga-fg-6692').is_dir():
        pytest.skip(f'no real heads at {DATA}; name their folder in MRRATE_BIDS_SHARED_DATA')
    root = tmp_path_factory.mktemp('real')
    build_real_release(root / 'release', root / 'work')
    release = open_release(root / 'release')
    run = ExportRun(release, root / 'bids', selection=Selection(), settings=ExportSettings())
    summary = run.execute(jobs=2)
    assert summary.exit_code == 0, summary.problems
    return root / 'bids'


@pytest.fixture(params=['exported', pytest.param('real', marks=pytest.mark.shared)])
def bids(request):
    return request.getfixturevalue(request.param)


def datasets(bids):
    return [bids, *sorted((bids / 'derivatives').iterdir())]


def test_own_checks_and_bids_validator(bids):
    report = validate(bids, jobs=2, deep=True)
    assert [problem.message for problem in report.problems] == []
    checked = {row.dataset for row in report.rows if row.check == 'BIDS validator'}
    assert checked == {'raw', *(path.name for path in datasets(bids)[1:])}
    assert not any(row.not_run for row in report.rows)


def test_older_bids_validator(bids):
    program = shutil.which('bids-validator', path=str(LEGACY.parent))
    if program is None:
        pytest.skip('bids-validator 1.15.0 is not installed (npm); .ci/run installs it')
    found = subprocess.run(
        [program, str(bids), '--json'], check=False, capture_output=True, text=True
    )
    errors = {issue['key'] for issue in json.loads(found.stdout)['issues']['errors']}
    assert errors <= {'PHENOTYPE_SUBJECTS_MISSING'}


def test_pybids_indexes_raw_and_derivatives(bids):
    from bids import BIDSLayout

    layout = BIDSLayout(bids, derivatives=True)
    raw = layout.get(scope='raw', extension='.nii.gz')
    assert len(raw) == len(list(bids.glob('sub-*/ses-*/anat/*.nii.gz')))
    names = {path.name for path in datasets(bids)[1:]}
    assert {Path(name).name for name in layout.derivatives} == names
    image = layout.get(scope='raw', suffix='T1w', extension='.nii.gz')[0]
    assert image.get_metadata()['MRRATE']['classified_modality'] == 'T1w'
    mask = layout.get(scope='mrrate-defaced', suffix='mask', extension='.nii.gz')[0]
    metadata = mask.get_metadata()
    assert (metadata['Type'], metadata['SpatialReference']) == ('Brain', 'orig')  # inherited
    assert metadata['Sources'][0].startswith('bids:raw:')  # its own


def test_bids2table_indexes_every_dataset(bids):
    from bids2table import index_dataset

    for dataset in datasets(bids):
        table = index_dataset(dataset)
        found = {path for path in table['path'].to_pylist() if path.endswith('.nii.gz')}
        assert found == {
            str(p.relative_to(dataset)) for p in dataset.glob('sub-*/*/anat/*.nii.gz')
        }


def test_nilearn_loads_images(bids):
    from nilearn.image import load_img, resample_to_img

    image = next(bids.glob('sub-*/ses-*/anat/*_T1w.nii.gz'))
    mask = next((bids / 'derivatives/mrrate-defaced').glob('sub-*/ses-*/anat/*_mask.nii.gz'))
    assert load_img(image).shape == nib.load(image).shape
    moved = resample_to_img(mask, image, interpolation='nearest')
    assert np.asarray(moved.dataobj).any()


def test_fmriprep_finds_the_t1w(bids):
    from niworkflows.utils.bids import collect_data

    subjects = [path.name.removeprefix('sub-') for path in bids.glob('sub-*')]
    for subject in subjects:
        found, _ = collect_data(str(bids), subject, bids_validate=False)
        expected = sorted(map(str, bids.glob(f'sub-{subject}/ses-*/anat/*_T1w.nii.gz')))
        assert sorted(found['t1w']) == expected
        assert expected


# sMRIPrep, which fMRIPrep leaves the anatomy to

TWICE = (('sub-01', 'ses-1', ('T1w', 'T2w')), ('sub-01', 'ses-2', ('T1w',)))
"""A patient with two sessions."""

ANATREF = 'mrrate-anatref'
FLAGS = r'^\$ smriprep (.+)$'


@pytest.fixture(scope='session')
def anatref(tmp_path_factory):
    """Return a dataset, and a run's T1w references of its two sessions; do not change them."""
    if not find_spec('ants') or not find_spec('nipype'):
        pytest.skip('antspyx and nipype are not installed')
    root = tmp_path_factory.mktemp('anatref')
    bids = small_bids.make_bids(root / 'bids', TWICE)
    masks = small_bids.make_masks(root / 'masks', TWICE)
    home = small_bids.make_templates(root / 'home')
    for name in (small_bids.OWN, 'OASIS30ANTs'):  # the second is a default of sMRIPrep
        (home / f'tpl-{name}').mkdir(exist_ok=True)
        about = {'Name': 'A phantom', 'Identifier': name, 'ReferencesAndLinks': []}
        (home / f'tpl-{name}/template_description.json').write_text(json.dumps(about))
    env = small_bids.clean_environment(home, NO_ET='1')
    given = ('--brain-extractor', 'derivatives', '-d', masks, '--steps', 'anatref')
    more = ('-w', root / 'work', '--nprocs', '1')
    done = small_bids.call(
        'run', bids, root / 'out', 'participant', *given, *more, env=env, cwd=root
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return SimpleNamespace(root=root, bids=bids, dataset=root / 'out' / ANATREF, env=env)


@pytest.fixture(scope='session')
def graph(anatref):
    """Return what sMRIPrep finds in the references, and what its workflow has with and without."""
    if not find_spec('smriprep'):
        pytest.skip('smriprep is not installed')
    out = anatref.root / 'smriprep'
    out.mkdir()
    image = small_bids.image_of(anatref.bids, TWICE[1], 'T1w')
    script = Path(__file__).with_name('smriprep_graph.py')
    found = subprocess.run(
        [sys.executable, script, anatref.dataset, '01', '2', image, out],
        check=False,
        capture_output=True,
        text=True,
        env=anatref.env,
        cwd=out,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    return json.loads((out / 'graph.json').read_text())


def test_smriprep_finds_one_t1w_and_one_mask_a_session(graph, anatref):
    stem = anatref.dataset / 'sub-01/ses-2/anat/sub-01_ses-2'
    assert graph['found'] == {
        't1w_preproc': f'{stem}_desc-preproc_T1w.nii.gz',
        't1w_mask': f'{stem}_desc-brain_mask.nii.gz',
        'transforms': {},
    }


def test_smriprep_needs_the_session(graph):
    """Of two sessions it would take a list for one image: the documentation says so."""
    assert len(graph['every session']['t1w_preproc']) == 2


@pytest.mark.parametrize('part', ['anat_template_wf.', 'brain_extraction_wf.', 'inu_n4'])
def test_smriprep_need_not_average_extract_or_correct(part, graph):
    """It does all three when it finds nothing."""
    assert any(part in name for name in graph['without'])
    assert [name for name in graph['with'] if part in name] == []
    assert {'anat_validate', 'apply_mask', 'fast'} <= set(graph['with'])


def test_smriprep_takes_the_t1w_as_it_is_and_masks_it(graph):
    found, first = graph['found'], graph['first']
    assert first['same']  # ValidateImage would have mended a header that is wrong
    image, mask = nib.load(found['t1w_preproc']), nib.load(found['t1w_mask'])
    brain = nib.load(first['brain'])
    assert nib.aff2axcodes(image.affine) == ('R', 'A', 'S')
    np.testing.assert_array_equal(brain.affine, image.affine)
    assert np.count_nonzero(brain.dataobj) > 0.9 * np.count_nonzero(mask.dataobj)


def test_options_of_smriprep_in_the_documentation(graph, anatref):
    page = Path(__file__).parents[1] / 'docs/how-to/use-with-fmriprep.md'
    (line,) = re.findall(FLAGS, page.read_text(encoding='utf-8'), flags=re.MULTILINE)
    code = (
        'import json, sys; from smriprep.cli.run import get_parser;'
        'print(json.dumps(vars(get_parser().parse_args(sys.argv[1:])), default=str))'
    )
    command = [sys.executable, '-c', code, *shlex.split(line)]
    env = anatref.env | {'HOME': str(anatref.root)}  # where it notes the newest version
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    options = json.loads(done.stdout.splitlines()[-1])
    assert options['session_label'] == ['K5QZ7MWB2D']
    assert options['derivatives'] == ['bids/derivatives/mrrate-anatref']
    assert options['subject_anatomical_reference'] == 'sessionwise'
